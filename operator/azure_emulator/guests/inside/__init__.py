"""What runs in a guest's first process: it boots the guest as cloud-init and systemd would.

Standard library and PyYAML only, and nothing is imported late: the Python installation is out of sight by then.
"""
