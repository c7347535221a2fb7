"""Words that Compute's properties choose from: read without regard to case, kept and shown in Azure's own spelling."""

from __future__ import annotations

from typing import Any

from azure_emulator import errors

PRIORITIES = ("Regular", "Low", "Spot")
EVICTIONS = ("Deallocate", "Delete")
CREATIONS = ("FromImage", "Attach", "Empty", "Copy", "Restore")
CACHING = ("None", "ReadOnly", "ReadWrite")
DETACHMENTS = ("Delete", "Detach")
SECURITY = ("TrustedLaunch", "ConfidentialVM", "Standard")
UPGRADES = ("Manual", "Automatic", "Rolling")
ORCHESTRATIONS = ("Uniform", "Flexible")


def settle(holder: dict[str, Any], name: str, words: tuple[str, ...]) -> None:
    """Give a value its proper spelling, or refuse it; null counts as not given."""
    value = holder.get(name)
    if value is None:
        holder.pop(name, None)
        return
    spelling = {word.lower(): word for word in words}.get(str(value).lower())
    if spelling is None:
        raise errors.invalid_parameter(name, value, f"Allowed values are {', '.join(words)}.")
    holder[name] = spelling


def settle_machine(properties: dict[str, Any]) -> None:
    """All of them in the properties of a VM, or in the VM profile of a scale set."""
    settle(properties, "priority", PRIORITIES)
    settle(properties, "evictionPolicy", EVICTIONS)
    settle(properties.get("securityProfile") or {}, "securityType", SECURITY)
    storage = properties.get("storageProfile") or {}
    for disk in (storage.get("osDisk") or {}, *(storage.get("dataDisks") or [])):
        settle(disk, "createOption", CREATIONS)
        settle(disk, "caching", CACHING)
        settle(disk, "deleteOption", DETACHMENTS)
