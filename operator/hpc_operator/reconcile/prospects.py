"""What the subscription says of an environment: sizes and prices for its plan, and what the preflight found."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from hpc_operator.arm import AzureError
from hpc_operator.preflight import Check, Finding, Surroundings, inspect
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.plan import vm_size_of
from hpc_operator.reconcile.rollout import Node
from hpc_operator.reconcile.scope import Scope
from hpc_operator.subscription import Offer, Subscription

logger = logging.getLogger(__name__)

FINDING_SECONDS = 120.0
"""Between two looks while something is held up or could not be read: whoever mends it wants to see that."""

PERIODS = 3
"""How many drift periods pass between two looks while nothing is found: only quota changes by itself."""


class Prospects:
    """Asks the subscription, no more often than it has to.

    Parameters
    ----------
    subscription
        What can be asked.
    period
        Seconds between two looks while nothing is found.
    """

    def __init__(self, subscription: Subscription, period: float) -> None:
        self._subscription = subscription
        self._period = period

    async def offer(self, scope: Scope, nodes: Iterable[Node]) -> Offer:
        """Return the VM sizes and prices of the environment's region, as far as they can be had."""
        location = scope.environment.spec.location
        names = {size for item in scope.full.graph if isinstance(size := vm_size_of(item.body), str)}
        names |= {node.vm_size for node in nodes if node.vm_size}
        names |= {size for partition in scope.snapshot.partitions for size in partition.spec.vm_sizes}
        try:
            sizes = await self._subscription.vm_sizes(location)
            prices = await self._subscription.prices(location, names)
        except AzureError as error:
            logger.info("VM sizes of %s cannot be read: %s", location, error)
            return Offer()
        return Offer(sizes, prices)

    async def blocks(self, scope: Scope, memory: Memory, nodes: Iterable[Node]) -> Mapping[str, Finding]:
        """Return what must not be written now and why, by lower-case id; look anew where it is time to."""
        if scope.wanted is None:
            memory.inspection, memory.inspect_at = None, math.inf
            return {}
        now = memory.now()
        key = _facts(scope, memory)
        # A process before this one found nothing against the same specifications, as status says.
        was_passed = memory.inspection is None and memory.passed == scope.specification
        is_new = memory.inspected != key and not was_passed
        if is_new or memory.inspection is None or now >= memory.inspect_at:
            known = memory.inspection.findings if memory.inspection is not None else ()
            blocks = any(finding.blocks for finding in known)
            only = None if is_new or blocks or not _is_made(scope, memory) else _CHANGES_BY_ITSELF
            surroundings = Surroundings(
                blueprint=scope.wanted,
                environment=scope.environment,
                partitions=[item for item in scope.snapshot.partitions if not item.deleting],
                observed=memory.observed,
                nodes=_by_partition(nodes),
            )
            inspection = await inspect(self._subscription, surroundings, only)
            if only is not None:
                others = tuple(finding for finding in known if finding.check not in only)
                inspection = replace(inspection, findings=(*inspection.findings, *others))
            memory.inspection = inspection
            memory.inspected = key
            periods = 1 if inspection.findings else PERIODS
            # What is not urgent is done with the look at Azure that is nearest, and makes none necessary.
            memory.inspect_at = now + (FINDING_SECONDS if inspection.is_urgent else (periods - 0.5) * self._period)
        return {key: finding for finding in memory.inspection.findings for key in finding.blocks}


_CHANGES_BY_ITSELF = frozenset({Check.QUOTA})


def _facts(scope: Scope, memory: Memory) -> str:
    """Return what a new look is due for: other specifications, or something of others that came or went."""
    there = (item.id for item in scope.graph if item.referenced and memory.observed.get(item.id.lower()) is not None)
    return " ".join([scope.specification, *there])


def _by_partition(nodes: Iterable[Node]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for node in nodes:
        found.setdefault(node.partition, []).append((node.vm_size, node.priority))
    return found


def _is_made(scope: Scope, memory: Memory) -> bool:
    return all(memory.observed.get(item.id.lower()) is not None for item in scope.owned)
