"""What can be set of the emulator's behaviour: where Azure's is unknown, differs between sources, or may be scaled.

The registry of all names that `Engine.setting` is asked for; docs/emulator.md shows it, and a setting of another name
is refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tunable:
    """One setting.

    Attributes
    ----------
    kinds
        What a value may be; a bool is no number here.
    default
        What holds as long as nothing was set.
    text
        What it does, in one sentence for users.
    """

    kinds: tuple[type, ...]
    default: Any
    text: str


def check(name: str, value: Any) -> None:
    """Raise ValueError with a sentence that says what to write instead."""
    tunable = TUNABLES.get(name)
    if tunable is None:
        close = difflib.get_close_matches(name, TUNABLES, n=1)
        hint = f"did you mean {close[0]}?" if close else "docs/emulator.md lists them all."
        msg = f"there is no setting {name!r}; {hint}"
        raise ValueError(msg)
    fits = isinstance(value, tunable.kinds) and (not isinstance(value, bool) or bool in tunable.kinds)
    if not fits:
        words = " or ".join(_WORDS[kind] for kind in tunable.kinds)
        msg = f"{name} is {value!r}; write {words}. {tunable.text}"
        raise ValueError(msg)


_WORDS = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", dict: "an object", list: "a list",
    type(None): "null",
}  # fmt: skip
NUMBER = (int, float)

TUNABLES: Mapping[str, Tunable] = {
    # ARM
    "page": Tunable((int,), 500, "Resources on one page of a list."),
    "throttling": Tunable((bool,), True, "Whether requests beyond the limits are refused with 429."),
    "armBuckets": Tunable(
        (dict,), {}, 'ARM\'s token buckets, such as {"reads": [250, 25]}: size, and how many come back a second.'
    ),
    "wholeSeconds": Tunable(
        (bool,), False, "On a fast clock, whether Retry-After stands beside retry-after-ms, for clients that know no "
        "milliseconds."),
    "visibleAfterSeconds": Tunable(NUMBER, 0.0, "How long GET answers 404 after a creation."),
    "resourceGraphLagSeconds": Tunable(NUMBER, 10.0, "How long a change stays unseen by Resource Graph."),
    "serialisedWrites": Tunable(
        (str,), "refused", "What a second write under a virtual network or NetApp account is: refused, or "
        "failed at its "
        "end."),
    "registeringSeconds": Tunable(NUMBER, 45.0, "How long registering a resource provider takes."),
    "unregisteringSeconds": Tunable(NUMBER, 30.0, "How long unregistering one takes."),
    "activityLogDelaySeconds": Tunable(NUMBER, 0.0, "How long events stay unseen in the activity log."),
    "budgetsNeedETag": Tunable((bool,), False, "Whether an update of a budget without its eTag is refused."),
    "exportsNeedETag": Tunable((bool,), False, "Whether an update of a cost export without its eTag is refused."),
    "policyEffectSeconds": Tunable(NUMBER, 0.0, "How long a policy assignment takes to work."),
    "asyncValidation": Tunable((bool,), False, "Whether validating a deployment answers 202 and a Location."),
    "deploymentQuota": Tunable((int,), 800, "Deployments that a scope keeps."),
    "deploymentAutoDeletion": Tunable((bool,), True, "Whether the oldest deployments go when the quota is near."),
    "deploymentPollSeconds": Tunable(NUMBER, 2.0, "How often a deployment asks how its resources are getting on."),
    "deploymentRetries": Tunable((int,), 5, "How often a deployment tries again what may go through later."),
    "deploymentRetrySeconds": Tunable(NUMBER, 15.0, "How long it waits in between."),
    # Rights
    "rights": Tunable((str,), "off", "Whether role assignments decide what a caller may do: on or off."),
    "login": Tunable(
        (str,), "trusting", "Whether secrets and assertions are checked: strict (so where rights are on) or trusting."),
    "rightsDelaySeconds": Tunable(NUMBER, 30.0, "How long a role assignment takes to work."),
    "replicationSeconds": Tunable(NUMBER, 20.0, "How long a new principal is unknown to role assignments."),
    "federationDelaySeconds": Tunable(NUMBER, 0.0, "How long a federated credential takes to work."),
    "federatedWriteSeconds": Tunable(NUMBER, 0.0, "How long a write of a federated credential keeps others away."),
    "otherTenants": Tunable((list,), [], "Tenants beside our own for which tokens are given out too."),
    # Compute
    "quota": Tunable((dict,), {}, "Limits of usages; `admin quota` sets them."),
    "capacity": Tunable((list,), [], "How many more VMs can be had; `admin capacity` sets it."),
    "restrictions": Tunable((list,), [], "Sizes that the subscription may not use; a scenario sets them."),
    "images": Tunable((list,), [], "More marketplace images; a scenario adds them."),
    "imageStates": Tunable((dict,), {}, "Deprecation states of images by URN."),
    "quotaErrorCode": Tunable((str,), "OperationNotAllowed", "Code of a refusal for quota; QuotaExceeded is seen too."),
    "deallocatedTakesQuota": Tunable((bool,), False, "Whether a deallocated VM still counts its cores."),
    "overconstrainedFrom": Tunable((int,), 2, "With so many constraints a missing place is called overconstrained."),
    "flexibleSetDelete": Tunable((str,), "cascade", "What deleting a Flexible scale set does with its VMs."),
    "runCommandScriptFailure": Tunable((str,), "succeeded", "How the action runCommand ends if its script fails."),
    "scaleSetGrowth": Tunable((str,), "partial", "What a scale set keeps if there is no room for all: partial "
        "(what found a "
                              "place) or allOrNothing."),
    "serviceHealingSeconds": Tunable((int, float, type(None)), 300.0, "After so long a crashed VM boots elsewhere."),
    "spotRestoreSeconds": Tunable(NUMBER, 300.0, "How often a scale set tries to get evicted instances back."),
    "marketplaceRefusal": Tunable((str,), "ResourcePurchaseValidationFailed", "Code where terms were not accepted."),
    "quotaRequestSeconds": Tunable(NUMBER, 180.0, "How long a quota request is looked at."),
    "quotaApprovedUpTo": Tunable((int,), 100_000, "A wish beyond this is declined."),
    # Network
    "lateFreeingSeconds": Tunable(NUMBER, 180.0, "How long a subnet stays held after a service has left it."),
    "natGatewayInUseCode": Tunable((str,), "InUseNatGatewayCannotBeDeleted", "Code where a NAT gateway in use "
        "is deleted."),
    "onPremisesAnswers": Tunable((bool,), True, "Whether gateways on premises answer."),
    # Storage
    "takenNames": Tunable((list,), [], "Names of storage accounts and MySQL servers that others in the world have."),
    "storageSuffix": Tunable(
        (str,), "core.windows.net", "What storage endpoints end with; with TLS the emulator's own host."),
    "shareDowngradeHours": Tunable(NUMBER, 24.0, "How long a provisioned share size cannot go down after it went up."),
    "parallelVolumes": Tunable((bool,), False, "Whether NetApp volumes of one account may be created at once."),
    "largeVolumeGrowth": Tunable(NUMBER, 0.3, "By which share a large NetApp volume may grow."),
    "downTierWaitSeconds": Tunable(NUMBER, 604_800.0, "How long after a move up a NetApp volume cannot move down."),
    "lustreAddressesPerTiB": Tunable(NUMBER, 1.25, "Addresses of its subnet that a Lustre file system takes per TiB."),
    "lustreAddressesBase": Tunable((int,), 5, "Addresses that a Lustre file system takes besides."),
    # Key Vault
    "vaultDns": Tunable((str,), "vault.azure.net", "What vaults' names end with; with TLS the emulator's own host."),
    "vaultFirewall": Tunable((bool,), False, "Whether a vault without public access refuses everybody."),
    "secretMoveSeconds": Tunable(NUMBER, 5.0, "How long deleting or recovering a secret takes."),
}  # fmt: skip
