"""Asks a subscription all that a preflight needs to know, at the same time, and lets every check judge.

The only module of this room that does I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from hpc_operator.arm import AzureError
from hpc_operator.preflight import images, limits, names, network, providers, quota, rights, sizes, storage
from hpc_operator.preflight.findings import Check, Finding
from hpc_operator.preflight.surroundings import Surroundings
from hpc_operator.subscription import Subscription

_COMPUTE: Final = "Microsoft.Compute"
_ORDER: Final = tuple(Check)
_EVERY: Final = frozenset(Check)

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Inspection:
    """What a preflight came to.

    Parameters
    ----------
    findings
        In a stable order: by check, and within one in the order of deployment.
    unknown
        Why a check could not be made, or not all of it. What is not known holds nothing up.
    """

    findings: tuple[Finding, ...]
    unknown: Mapping[Check, str]

    @property
    def is_urgent(self) -> bool:
        """Whether to look again soon: something is held up, or nobody knows."""
        return bool(self.unknown) or any(finding.blocks for finding in self.findings)


@dataclass(frozen=True)
class _Answers(Generic[_Answer]):
    """What became of questions, by what they were about."""

    found: Mapping[str, _Answer]
    errors: Mapping[str, AzureError]


async def _ask(questions: Mapping[str, Awaitable[_Answer]]) -> _Answers[_Answer]:
    outcomes = dict(zip(questions, await asyncio.gather(*map(_outcome, questions.values())), strict=True))
    return _Answers(
        {key: outcome for key, outcome in outcomes.items() if not isinstance(outcome, AzureError)},
        {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, AzureError)},
    )


async def _outcome(question: Awaitable[_Answer]) -> _Answer | AzureError:
    try:
        return await question
    except AzureError as error:
        return error


async def inspect(subscription: Subscription, site: Surroundings, only: Collection[Check] | None = None) -> Inspection:
    """Return everything that would go wrong, as far as Azure answers.

    Parameters
    ----------
    subscription
        Whom to ask.
    site
        The environment.
    only
        The checks to make, all where it is left out. Nothing is asked that none of them needs.
    """
    checks = _EVERY if only is None else frozenset(only)
    location, needs = site.location, rights.needed(site) if Check.RIGHTS in checks else {}
    whole = "/".join(site.blueprint.resource_group_id.split("/")[:3])
    scopes = dict.fromkeys([*([whole] if Check.PROVIDERS in checks else []), *needs])
    async with asyncio.TaskGroup() as group:
        asking_sizes = group.create_task(
            _ask({location: subscription.vm_sizes(location)} if checks & {Check.SIZES, Check.QUOTA} else {})
        )
        asking_usages = group.create_task(
            _ask({item: subscription.usages(item, location) for item in _counted(site, checks)})
        )
        asking_images = group.create_task(
            _ask({urn: subscription.image(location, urn) for urn in images.needed(site) if Check.IMAGES in checks})
        )
        asking_names = group.create_task(
            _ask({item.id: subscription.name_taken(item.id) for item in names.needed(site) if Check.NAMES in checks})
        )
        asking_registrations = group.create_task(
            _ask({whole: subscription.registrations()} if Check.PROVIDERS in checks else {})
        )
        asking_rights = group.create_task(_ask({scope: subscription.permissions(scope) for scope in scopes}))
    offered, usages, found = asking_sizes.result(), asking_usages.result(), asking_images.result()
    taken, registered, allowed = asking_names.result(), asking_registrations.result(), asking_rights.result()

    findings = [*network.check(site)]
    if (vm_sizes := offered.found.get(location)) is not None:
        findings += sizes.check(site, vm_sizes)
        if (cores := usages.found.get(_COMPUTE)) is not None:
            findings += quota.check(site, cores, vm_sizes)
    findings += limits.check(site, usages.found)
    findings += storage.check(site, usages.found)
    findings += images.check(site, found.found)
    findings += names.check(site, taken.found)
    if whole in registered.found and whole in allowed.found:
        findings += providers.check(site, registered.found[whole], allowed.found[whole])
    findings += rights.check(site, needs, allowed.found)

    unanswered = [
        *((check, error) for check in (Check.SIZES, Check.QUOTA) for error in offered.errors.values()),
        *((limits.CHECKS.get(item, Check.QUOTA), error) for item, error in usages.errors.items()),
        *((Check.IMAGES, error) for error in found.errors.values()),
        *((Check.NAMES, error) for error in taken.errors.values()),
        *((Check.PROVIDERS, error) for error in registered.errors.values()),
        *((Check.PROVIDERS, error) for scope, error in allowed.errors.items() if scope == whole),
        *((Check.RIGHTS, error) for scope, error in allowed.errors.items() if scope in needs),
    ]
    return Inspection(
        tuple(sorted((item for item in findings if item.check in checks), key=lambda item: _ORDER.index(item.check))),
        # Of several errors the first is told.
        {check: f"Azure did not answer ({error})" for check, error in reversed(unanswered) if check in checks},
    )


def _counted(site: Surroundings, checks: Collection[Check]) -> list[str]:
    """Return the namespaces whose usages are needed."""
    cores = [_COMPUTE] if Check.QUOTA in checks else []
    others = [*limits.needed(site), *storage.needed(site)]
    return [*cores, *dict.fromkeys(item for item in others if limits.CHECKS[item] in checks)]
