"""Network watchers and service endpoint policies: what tools create beside a network; kept, not acted upon."""

from __future__ import annotations

from dataclasses import replace

from azure_emulator.providers.network.base import BASE, CHILD, bad_format, in_use, put, refusal, with_guid
from azure_emulator.providers.network.names import ENDPOINT_POLICY, SUBNET, WATCHER
from azure_emulator.types import Change, Verb

DEFINITION = f"{ENDPOINT_POLICY}/serviceEndpointPolicyDefinitions"
# Assumption: only one watcher per region and subscription is documented, its refusal is named after others.
SECOND_WATCHER = "NetworkWatcherCountLimitReached"
POLICY_IN_USE = "InUseServiceEndpointPolicyCannotBeDeleted"


def _check_watcher(change: Change) -> None:
    location = str(change.body["location"])
    for other in change.engine.store.in_region(WATCHER, change.subscription, location):
        if other.key != change.path.key:
            raise refusal(
                SECOND_WATCHER,
                f"Cannot create more than 1 network watchers for this subscription in this region: {other.id}.",
            )


def _check_definition(change: Change) -> None:
    if not change.properties.get("service"):
        raise bad_format(f"Service endpoint policy definition {change.id} needs a service.", target="service")


TYPES = (
    replace(
        BASE,
        name=WATCHER,
        put=Verb(),
        delete=Verb(seconds=5),
        delete_first=90,
        check=_check_watcher,
        depth="one per region; without the tools that watch",
    ),
    replace(
        BASE,
        name=ENDPOINT_POLICY,
        put=put(4),
        embedded={"serviceEndpointPolicyDefinitions": DEFINITION},
        read_only=("properties.resourceGuid", "properties.subnets"),
        serialised=ENDPOINT_POLICY,
        linked_action="join/action",
        holds=in_use("Service endpoint policy", POLICY_IN_USE, SUBNET),
        delete_first=80,
        check=with_guid,
        depth="definitions inline and as children, refuses deletion in use",
    ),
    replace(
        CHILD,
        name=DEFINITION,
        put=put(4),
        serialised=ENDPOINT_POLICY,
        check=_check_definition,
        depth="kept",
    ),
)
