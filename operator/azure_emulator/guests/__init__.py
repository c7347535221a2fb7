"""Guests: emulated VMs that are alive, each in a sandbox of its own with a network, disks and services.

`SandboxGuests` is what the engine calls; what runs inside is in `inside/`. See docs/emulator-guests.md.
"""
