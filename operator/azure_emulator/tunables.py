"""What can be set of the emulator's behaviour: where Azure's is unknown, differs between sources, or may be scaled.

The registry of all names that `Engine.setting` is asked for; docs/emulator.md shows it, and a setting of another name
is refused.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
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
    choices
        The words that mean something, where not every text does.
    least
        The smallest number that makes sense.
    fits
        Whether the inside of an object or a list can be used.
    words
        What to write where it cannot.
    """

    kinds: tuple[type, ...]
    default: Any
    text: str
    choices: tuple[str, ...] = ()
    least: float = 0
    fits: Callable[[Any], bool] = lambda _: True
    words: str = ""

    def wanted(self, value: Any) -> str | None:
        """What to write instead of a value that cannot be used."""
        if not isinstance(value, self.kinds) or (isinstance(value, bool) and bool not in self.kinds):
            return " or ".join(_WORDS[kind] for kind in self.kinds)
        if self.choices and value not in self.choices:
            return " or ".join(self.choices)
        if isinstance(value, int | float) and not self.least <= value < math.inf:
            return f"a number from {self.least:g} on"
        return None if self.fits(value) else self.words


def check(name: str, value: Any) -> None:
    """Raise ValueError with a sentence that says what to write instead."""
    tunable = TUNABLES.get(name)
    if tunable is None:
        close = difflib.get_close_matches(name, TUNABLES, n=1)
        hint = f"did you mean {close[0]}?" if close else "docs/emulator.md lists them all."
        msg = f"there is no setting {name!r}; {hint}"
        raise ValueError(msg)
    wanted = tunable.wanted(value)
    if wanted is not None:
        msg = f"{name} is {value!r}; write {wanted}. {tunable.text}"
        raise ValueError(msg)


_WORDS = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", dict: "an object", list: "a list",
    type(None): "null",
}  # fmt: skip
NUMBER = (int, float)


def _buckets(value: dict[str, Any]) -> bool:
    """Whether it is {"reads": [size, per second], ...}, with tokens that come back."""
    return set(value) <= {"reads", "writes", "deletes"} and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(one) in NUMBER and one > 0 for one in pair)  # noqa: PLR2004
        for pair in value.values()
    )


def _texts(value: list[Any] | dict[str, Any]) -> bool:
    return all(isinstance(one, str) for one in (value.values() if isinstance(value, dict) else value))


def _counts(value: dict[str, Any]) -> bool:
    return all(type(one) is int and one >= 0 for one in value.values())


def _rows(*names: str) -> Callable[[list[Any]], bool]:
    """Whether every row is an object that has all of these."""
    return lambda rows: all(isinstance(row, dict) and all(name in row for name in names) for row in rows)


TUNABLES: Mapping[str, Tunable] = {
    # ARM
    "page": Tunable((int,), 500, "Resources on one page of a list.", least=1),
    "throttling": Tunable((bool,), True, "Whether requests beyond the limits are refused with 429."),
    "armBuckets": Tunable(
        (dict,), {}, 'ARM\'s token buckets, such as {"reads": [250, 25]}: size, and how many come back a second.',
        fits=_buckets, words='an object such as {"reads": [250, 25], "writes": [200, 10], "deletes": [200, 10]}',
    ),
    "wholeSeconds": Tunable(
        (bool,), False, "On a fast clock, whether Retry-After stands beside retry-after-ms, for clients that know no "
        "milliseconds."),
    "resourcesPerGroup": Tunable(
        (int,), 800, "Resources of one type that a group holds, unless Azure does not limit the type.", least=1),
    "visibleAfterSeconds": Tunable(NUMBER, 0.0, "How long GET answers 404 after a creation."),
    "resourceGraphLagSeconds": Tunable(NUMBER, 10.0, "How long a change stays unseen by Resource Graph."),
    "serialisedWrites": Tunable(
        (str,), "refused", "What a second write under a virtual network or NetApp account is: refused, or "
        "failed at its "
        "end.", choices=("refused", "failed")),
    "registeringSeconds": Tunable(NUMBER, 45.0, "How long registering a resource provider takes."),
    "unregisteringSeconds": Tunable(NUMBER, 30.0, "How long unregistering one takes."),
    "activityLogDelaySeconds": Tunable(NUMBER, 0.0, "How long events stay unseen in the activity log."),
    "budgetsNeedETag": Tunable((bool,), False, "Whether an update of a budget without its eTag is refused."),
    "exportsNeedETag": Tunable((bool,), False, "Whether an update of a cost export without its eTag is refused."),
    "policyEffectSeconds": Tunable(NUMBER, 0.0, "How long a policy assignment takes to work."),
    "asyncValidation": Tunable((bool,), False, "Whether validating a deployment answers 202 and a Location."),
    "deploymentQuota": Tunable((int,), 800, "Deployments that a scope keeps.", least=1),
    "deploymentAutoDeletion": Tunable((bool,), True, "Whether the oldest deployments go when the quota is near."),
    "deploymentPollSeconds": Tunable(NUMBER, 2.0, "How often a deployment asks how its resources are getting on.",
                                     least=0.1),
    "deploymentRetries": Tunable((int,), 5, "How often a deployment tries again what may go through later."),
    "deploymentRetrySeconds": Tunable(NUMBER, 15.0, "How long it waits in between."),
    # Rights
    "rights": Tunable((str,), "off", "Whether role assignments decide what a caller may do: on or off.",
                      choices=("on", "off")),
    "login": Tunable(
        (str,), "trusting", "Whether secrets and assertions are checked: strict (so where rights are on) or trusting.",
        choices=("strict", "trusting")),
    "rightsDelaySeconds": Tunable(NUMBER, 30.0, "How long a role assignment takes to work."),
    "replicationSeconds": Tunable(NUMBER, 20.0, "How long a new principal is unknown to role assignments."),
    "federationDelaySeconds": Tunable(NUMBER, 0.0, "How long a federated credential takes to work."),
    "federatedWriteSeconds": Tunable(NUMBER, 0.0, "How long a write of a federated credential keeps others away."),
    "otherTenants": Tunable((list,), [], "Tenants beside our own for which tokens are given out too.", fits=_texts,
                            words="a list of tenant ids"),
    # Compute
    "quota": Tunable((dict,), {}, "Limits of usages; `admin quota` sets them.",
                     fits=_counts, words='an object such as {"westeurope/cores": 100}'),
    "capacity": Tunable((list,), [], "How many more VMs can be had; `admin capacity` sets it.",
                        fits=_rows("vmSize", "location", "zone", "priority", "count", "refuse"),
                        words="[] to lift all limits, and use `admin capacity` to set one"),
    "restrictions": Tunable((list,), [], "Sizes that the subscription may not use; a scenario sets them.",
                            fits=_rows("vmSize", "location"),
                            words='a list such as [{"vmSize": "Standard_D2s_v5", "location": "westeurope"}]'),
    "images": Tunable((list,), [], "More marketplace images; a scenario adds them.",
                      fits=_rows("publisher", "offer", "sku", "version"),
                      words="a list of objects with publisher, offer, sku and version"),
    "imageStates": Tunable((dict,), {}, "Deprecation states of images by URN.", fits=_texts,
                           words='an object such as {"publisher:offer:sku:version": "Deprecated"}'),
    "quotaErrorCode": Tunable((str,), "OperationNotAllowed", "Code of a refusal for quota; QuotaExceeded is seen too."),
    "deallocatedTakesQuota": Tunable((bool,), False, "Whether a deallocated VM still counts its cores."),
    "evictedTakesQuota": Tunable(
        (bool,), True, "Whether an evicted VM that was not deleted still counts its cores."
    ),
    "overconstrainedFrom": Tunable((int,), 2, "With so many constraints a missing place is called overconstrained.",
                                  least=1),
    "flexibleSetDelete": Tunable((str,), "cascade", "What deleting a Flexible scale set does with its VMs.",
                                 choices=("cascade", "refused")),
    "runCommandScriptFailure": Tunable((str,), "succeeded", "How the action runCommand ends if its script fails.",
                                       choices=("succeeded", "failed")),
    "scaleSetGrowth": Tunable((str,), "partial", "What a scale set keeps if there is no room for all: partial "
        "(what found a "
                              "place) or allOrNothing.", choices=("partial", "allOrNothing")),
    "serviceHealingSeconds": Tunable((int, float, type(None)), 300.0, "After so long a crashed VM boots elsewhere."),
    "spotRestoreSeconds": Tunable(NUMBER, 300.0, "How often a scale set tries to get evicted instances back.",
                                  least=1),
    "marketplaceRefusal": Tunable((str,), "ResourcePurchaseValidationFailed", "Code where terms were not accepted."),
    "quotaRequestSeconds": Tunable(NUMBER, 180.0, "How long a quota request is looked at."),
    "quotaApprovedUpTo": Tunable((int,), 100_000, "A wish beyond this is declined."),
    # Prices
    "pricePage": Tunable((int,), 1000, "Items on one page of the price list.", least=1),
    "spotPriceShare": Tunable(NUMBER, 0.2, "What a Spot VM costs of the regular price (assumed); 0: no Spot prices."),
    # Network
    "lateFreeingSeconds": Tunable(NUMBER, 180.0, "How long a subnet stays held after a service has left it."),
    "natGatewayInUseCode": Tunable((str,), "InUseNatGatewayCannotBeDeleted", "Code where a NAT gateway in use "
        "is deleted."),
    "onPremisesAnswers": Tunable((bool,), True, "Whether gateways on premises answer."),
    # Storage
    "takenNames": Tunable((list,), [], "Names of storage accounts, vaults and MySQL servers that others have.",
                          fits=_texts, words="a list of names"),
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
