"""What would go wrong, found before the first write: quota, sizes, images, networks, names, registrations, rights.

Judges what `subscription` tells; a question that Azure does not answer holds nothing up. One module for each check.
"""
