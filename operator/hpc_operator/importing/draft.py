"""Manifests for an environment that runs already, and how they are printed. Pure; knows no origin.

What is drafted is compared with what was found by way of the blueprint, so that nobody has to guess what would happen.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import yaml

from hpc_operator.api import GROUP, VERSION, ComputePartition, HPCEnvironment, StorageTier
from hpc_operator.blueprint import Blueprint, Inputs, build
from hpc_operator.importing.found import Found
from hpc_operator.importing.origin import Recognised

_WIDTH: Final = 118
_NAMES_SHOWN: Final = 20

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Wish:
    """What the manifests shall be like.

    Parameters
    ----------
    namespace, name
        Of the environment; what Azure tells, or what can be made from the group's name, where they are None.
    environment_only
        Whether tiers and partitions are left out.
    """

    namespace: str | None = None
    name: str | None = None
    environment_only: bool = False


@dataclass(frozen=True)
class Document:
    """One manifest, and what has to be said about it."""

    manifest: Manifest
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draft:
    """What an import comes to.

    Parameters
    ----------
    found
        What is in the resource group.
    recognised
        Who made it.
    documents
        The environment, then its tiers, then its partitions.
    no_place
        What has no place in the three kinds, one line each.
    next_steps
        What to do next.
    """

    found: Found
    recognised: Recognised
    documents: tuple[Document, ...]
    no_place: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = field(default=())

    @cached_property
    def blueprint(self) -> Blueprint:
        """What Azure should hold if these manifests were applied."""
        environment, *others = (document.manifest for document in self.documents)
        partitions = [
            ComputePartition.model_validate(item) for item in others if item["kind"] == ComputePartition.__name__
        ]
        return build(
            Inputs(
                subscription_id=self.found.subscription_id,
                environment=HPCEnvironment.model_validate(environment),
                tiers=tuple(
                    StorageTier.model_validate(item) for item in others if item["kind"] == StorageTier.__name__
                ),
                partitions=tuple(partitions),
                image_versions={item.metadata.name: item.spec.image.version for item in partitions},
            )
        )

    def text(self) -> str:
        """Return the manifests as YAML with comments."""
        return "---\n".join(
            _document(self._header() if number == 0 else (), item) for number, item in enumerate(self.documents)
        )

    def _header(self) -> Iterable[str]:
        yield f"Resource group {self.found.group['name']}, made by {self.recognised.origin}, as is told by:"
        yield from _bullets(self.recognised.evidence)
        if self.no_place:
            yield ""
            yield "What has no place in these manifests, and is left alone:"
            yield from _bullets(self.no_place)
        yield ""
        yield "What to do next:"
        yield from (f"{number}. {step}" for number, step in enumerate(self.next_steps, start=1))

    def report(self) -> str:
        """Return what was recognised, and how it compares, in a few lines."""
        wanted = [item for item in self.blueprint.graph if item.id.lower() != self.blueprint.resource_group_id.lower()]
        there = [item for item in wanted if self.found.get(item.id) is not None]
        missing = [item.id.rpartition("/providers/")[2] for item in wanted if item not in there and not item.referenced]
        kinds = [document.manifest["kind"] for document in self.documents]
        lines = [
            f"{self.found.group['name']}: {len(self.found.bodies)} resources, made by {self.recognised.origin}",
            f"{kinds.count(StorageTier.__name__)} storage tiers, {kinds.count(ComputePartition.__name__)} partitions",
            f"{len(there)} of the {len(wanted)} resources that these manifests speak of are in the group",
            *_few("would be made", missing),
            *_few("has no place", self.no_place),
        ]
        return "".join(f"{line}\n" for line in lines)


def _few(what: str, names: Sequence[str]) -> list[str]:
    more = [f"  and {len(names) - _NAMES_SHOWN} more"] if len(names) > _NAMES_SHOWN else []
    return [f"{what}:", *(f"  {name}" for name in names[:_NAMES_SHOWN]), *more] if names else []


def _bullets(items: Iterable[str]) -> Iterable[str]:
    return (f"- {item}" for item in items)


def _document(header: Iterable[str], document: Document) -> str:
    comments = list(header)
    if document.remarks:
        comments += [
            *([""] if comments else []),
            f"{document.manifest['kind']} {document.manifest['metadata']['name']}:",
        ]
        comments += _bullets(document.remarks)
    return "".join(_comment(line) for line in comments) + yaml.safe_dump(
        document.manifest, sort_keys=False, allow_unicode=True, width=_WIDTH
    )


def _comment(line: str) -> str:
    wrapped = textwrap.wrap(line, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {part}\n" for part in wrapped) or "#\n"


def manifest(kind: type, namespace: str, name: str, spec: Manifest) -> Manifest:
    """Return a manifest whose spec holds only what is set."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind.__name__,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {key: item for key, item in _without_none(spec).items() if item not in ({}, [])},
    }


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
