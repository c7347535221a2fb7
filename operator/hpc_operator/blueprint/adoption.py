"""Resources that exist already and stand for some of an environment's: where they are, and whose they are.

Pure. A part of such a resource, as a subnet is of its network, goes with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hpc_operator.api import StorageTier
from hpc_operator.blueprint import storage
from hpc_operator.blueprint.names import CLAIM_TAG, Site
from hpc_operator.blueprint.validation import Problem
from hpc_operator.graph import ArmId, Graph, Owner, Resource, Step, group_id, lineage, moved

_NAMES_SHOWN: Final = 3


@dataclass(frozen=True)
class Adopted:
    """Resources that are not where we would put them.

    Parameters
    ----------
    places
        Their ids, by the lower-case ids that we would give them.
    managed
        Of those that stand for some of ours their lower-case ids, and whether they were handed over to us.
    groups
        ARM ids of the resource groups that these are in.
    claim
        Which operator they are handed over to; empty where nothing shall be written.
    """

    places: Mapping[str, str]
    managed: Mapping[str, bool]
    groups: tuple[str, ...]
    claim: str

    def mark(self, resource: Resource) -> Resource:
        """Return a resource of the graph with the marks of one that is adopted or only observed, where it is."""
        for whole in lineage(resource.id):
            managed = self.managed.get(whole.lower())
            if managed is not None:
                marked = replace(resource, adopted=managed, observed_only=not managed, referenced=not managed)
                return self._claimed(marked) if managed else marked
        return resource

    def _claimed(self, resource: Resource) -> Resource:
        """Return a resource that says itself which operator has it: its group is somebody else's, or nobody's."""
        if not self.claim or "tags" not in resource.body:
            return resource
        return replace(resource, body={**resource.body, "tags": {**resource.body["tags"], CLAIM_TAG: self.claim}})

    def other_groups(self, site: Site) -> Iterator[Resource]:
        """Yield the resource groups beside ours, so that the claims on these are seen."""
        groups = {group.lower(): group for group in self.groups}
        groups.pop(site.resource_group_id.lower(), None)
        return (site.referenced(group, Step.INFRASTRUCTURE) for group in groups.values())


def find(site: Site, tiers: Sequence[StorageTier]) -> Adopted:
    """Return what `spec.adopt` and the tiers' `attach` and `account` name.

    Parameters
    ----------
    site
        The environment, with everything where we would put it.
    tiers
        Its tiers.
    """
    entries = site.environment.spec.adopt
    adopted = {site.expected_id(entry.resource).lower(): entry.id for entry in entries}
    managed = {entry.id.lower(): entry.manage for entry in entries}
    attached = storage.attached(site, tiers)
    stand_ins = adopted | attached
    return Adopted(
        places=storage.in_other_accounts(site, tiers) | stand_ins,
        managed=managed | {item.lower(): True for item in attached.values()},
        groups=tuple(filter(None, map(group_id, stand_ins.values()))),
        claim=site.claim,
    )


def find_problems(site: Site, expected: Graph) -> list[Problem]:
    """Return what is wrong with `spec.adopt`, in the order of its entries.

    Parameters
    ----------
    site
        The environment, with everything where we would put it.
    expected
        What Azure should hold if nothing were adopted.
    """
    prefix = f"{site.resource_group_id}/providers/"
    names = sorted(resource.id.removeprefix(prefix) for resource in expected if resource.id.startswith(prefix))
    problems = []
    places: dict[str, str] = {}
    for entry in site.environment.spec.adopt:
        ours = site.expected_id(entry.resource)
        type_of_ours, type_of_theirs = ArmId.parse(ours).type, ArmId.parse(entry.id).type
        if ours not in expected:
            few = difflib.get_close_matches(entry.resource, names, n=_NAMES_SHOWN, cutoff=0.0)
            message = (
                f"adopt names {entry.resource}, which is no resource of this environment: write one that is, such as "
                + ", ".join(few)
            )
            problems.append(Problem(site.owner, "AdoptionUnknown", message))
        elif type_of_ours.lower() != type_of_theirs.lower():
            message = (
                f"adopt gives {entry.resource} the id {entry.id}, which is a {type_of_theirs}: write the id of a "
                f"{type_of_ours}"
            )
            problems.append(Problem(site.owner, "AdoptionMismatch", message))
        else:
            places[ours.lower()] = entry.id
    return problems or list(_twice(site.owner, (resource.id for resource in expected), places))


def _twice(owner: Owner, ids: Iterable[str], places: Mapping[str, str]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for ours in sorted(ids):
        there = moved(ours, places)
        other = first.setdefault(there.lower(), ours)
        if other is not ours:
            message = f"adopt lets {there} stand for two resources, {_short(other)} and {_short(ours)}: leave one out"
            yield Problem(owner, "AdoptedTwice", message)


def _short(resource_id: str) -> str:
    return resource_id.rpartition("/providers/")[2]
