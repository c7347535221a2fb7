"""Microsoft.Compute/diskEncryptionSets: which key of a vault encrypts disks. Nothing is encrypted here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers import assigned_identities
from azure_emulator.providers.compute.names import DISK, SNAPSHOT
from azure_emulator.providers.protocols import COMPUTE
from azure_emulator.types import Answer, Call, Change, Hold, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

SET = "Microsoft.Compute/diskEncryptionSets"
_KINDS = (
    "EncryptionAtRestWithCustomerKey", "EncryptionAtRestWithPlatformAndCustomerKeys",
    "ConfidentialVmEncryptedWithCustomerKey",
)  # fmt: skip


def _check(change: Change) -> None:
    if not bodies.get(change.body, "identity.type"):
        raise errors.missing_parameter("diskEncryptionSet.identity")
    assigned_identities.complete(change)
    kind = change.properties.setdefault("encryptionType", _KINDS[0])
    if kind not in _KINDS:
        raise errors.invalid_parameter(
            "diskEncryptionSet.encryptionType", kind, f"Allowed values are {', '.join(_KINDS)}."
        )
    if not bodies.get(change.properties, "activeKey.keyUrl"):
        raise errors.missing_parameter("diskEncryptionSet.activeKey.keyUrl")
    change.properties.setdefault("rotationToLatestKeyVersionEnabled", False)
    change.properties["previousKeys"] = _previous(change)


def _previous(change: Change) -> list[Mapping[str, object]]:
    kept = list(change.old.get("previousKeys") or [])
    old, new = change.old.get("activeKey"), change.properties["activeKey"]
    return kept if old is None or bodies.same(old, new) else [*kept, old]


def list_associated(call: Call) -> Answer:
    """GET …/diskEncryptionSets/{name}/associatedResources: ids only."""
    found = call.engine.require(parse(call.path.parent))
    value = [referrer.id for referrer in call.engine.store.referrers(found.id)]
    return Answer(200, {"value": value})


def _held(by: str, what: str) -> Hold:
    # Documented: a set in use cannot be deleted. Code and wording are assumptions.
    return Hold(by, "OperationNotAllowed", f"Disk encryption set {{name}} is used by {what} {{holders}}.", status=409)


TYPE = ResourceType(
    name=SET,
    protocol=COMPUTE,
    put=Verb(seconds=10, created=202, updated=202),
    patch=Patch(seconds=10, status=202),
    delete=Verb(seconds=10),
    read_only=("properties.previousKeys", "properties.lastKeyRotationTimestamp", "identity.principalId",
               "identity.tenantId"),
    immutable=("properties.encryptionType",),
    holds=(_held(DISK, "disks"), _held(SNAPSHOT, "snapshots")),
    delete_first=70,
    check=_check,
    depth="keeps its former keys, refuses deletion while disks use it; encrypts nothing",
)  # fmt: skip
