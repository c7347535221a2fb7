"""Reads manifests from files as `kubectl apply` would, and says of everything that is wrong where it stands.

Knows no cluster and no Azure.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from hpc_operator.api import GROUP, KINDS, VERSION, ComputePartition, CustomResource, HPCEnvironment, StorageTier
from hpc_operator.preview.rules import broken
from hpc_operator.reconcile.ports import Key, Snapshot

_MODELS: Final = {kind.__name__: kind for kind in KINDS}
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})  # what kubectl reads of a folder
_TIMESTAMP: Final = "tag:yaml.org,2002:timestamp"
_NUMBERS: Final = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
_LIST: Final = "List"  # what `kubectl get -o yaml` prints


class Manifests:
    """What stands in the files that were read.

    Parameters
    ----------
    namespace
        Namespace of what names none.
    """

    def __init__(self, namespace: str) -> None:
        self.errors: list[str] = []
        """One line for everything that is wrong: `file: Kind/name: path: sentence`."""
        self.ignored: list[str] = []
        """One line for every object of another kind."""
        self._namespace = namespace
        self._resources: dict[tuple[str, str, str], CustomResource] = {}
        self._places: dict[tuple[str, str, str], str] = {}

    def read(self, path: str) -> None:
        """Read a file, the files of a folder that end in .yaml, .yml or .json, or standard input for `-`."""
        for place, text in self._texts(path):
            try:
                documents = list(yaml.load_all(text, Loader=_KubernetesLoader))
            except yaml.YAMLError as error:
                self.errors.append(f"{place}: {_one_line(str(error))}")
                continue
            for document in documents:
                self._take(place, document)

    def snapshots(self) -> list[Snapshot]:
        """Return each environment with what belongs to it, as a cluster that held nothing else would have them."""
        # In the order that a cluster gives them, so that what is made from several comes out the same.
        everything = [self._resources[key] for key in sorted(self._resources)]
        environments = [item for item in everything if isinstance(item, HPCEnvironment)]
        found = []
        for environment in environments:
            key = _environment_of(environment)
            members = [item for item in everything if _environment_of(item) == key]
            found.append(
                Snapshot(
                    key=key,
                    environment=environment,
                    tiers=tuple(item for item in members if isinstance(item, StorageTier)),
                    partitions=tuple(item for item in members if isinstance(item, ComputePartition)),
                    others=tuple(item for item in environments if item is not environment),
                )
            )
        return found

    def check_references(self) -> None:
        """Add an error for everything whose environment was not read: without it there is nothing to plan."""
        for key, item in self._resources.items():
            wanted = _environment_of(item)
            if (HPCEnvironment.__name__, *wanted) not in self._resources:
                self.errors.append(
                    f"{self._places[key]}: {key[0]}/{key[2]}: spec.environmentRef.name: HPCEnvironment {wanted.name} "
                    f"of namespace {wanted.namespace} is in none of the files: name that file too"
                )

    # One file, one document

    def _texts(self, path: str) -> Iterator[tuple[str, str]]:
        if path == "-":
            yield "standard input", sys.stdin.read()
            return
        try:
            files = sorted(item for item in Path(path).iterdir() if item.suffix in _SUFFIXES)
        except NotADirectoryError:
            files = [Path(path)]
        except OSError as error:
            self.errors.append(f"{path}: {error.strerror}")
            return
        if not files:
            self.errors.append(f"{path}: has no file that ends in .yaml, .yml or .json")
        for file in files:
            try:
                yield str(file), file.read_text(encoding="utf-8")
            except OSError as error:
                self.errors.append(f"{file}: {error.strerror}")
            except UnicodeDecodeError:
                self.errors.append(f"{file}: is no text in UTF-8")

    def _take(self, place: str, document: Any) -> None:
        if document is None:
            return
        if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
            self.errors.append(f"{place}: holds something that is no Kubernetes object: it has no kind")
            return
        kind, version = document["kind"], str(document.get("apiVersion", ""))
        if kind == _LIST and version == "v1":
            for item in document.get("items") or ():
                self._take(place, item)
            return
        metadata = document.get("metadata")
        name = metadata.get("name", "?") if isinstance(metadata, dict) else "?"
        title = f"{place}: {kind}/{name}"
        group = version.rpartition("/")[0]
        if group != GROUP:
            self.ignored.append(f"{title}: is of {version or 'no apiVersion'}, and left out of the plan")
        elif kind not in _MODELS or version != f"{GROUP}/{VERSION}":
            kinds = ", ".join(_MODELS)
            self.errors.append(f"{title}: there is no {kind} in {version}: write one of {kinds} of {GROUP}/{VERSION}")
        else:
            # By way of JSON, as kubectl sends it: every key becomes a text.
            sent = json.loads(json.dumps(document, default=str))
            self._take_ours(place, title, _MODELS[kind], _without_nulls(sent))

    def _take_ours(self, place: str, title: str, model: type[CustomResource], document: dict[str, Any]) -> None:
        try:
            resource = model.model_validate(document)
        except ValidationError as error:
            self.errors += [f"{title}: {line}" for line in _sentences(error)]
            return
        known = resource.model_dump(mode="json", by_alias=True)
        wrong = [*_misread(document["spec"], known["spec"]), *broken(resource)]
        self.errors += [f"{title}: {line}" for line in wrong]
        if "namespace" not in document["metadata"]:
            metadata = resource.metadata.model_copy(update={"namespace": self._namespace})
            resource = resource.model_copy(update={"metadata": metadata})
        key = (model.__name__, resource.metadata.namespace, resource.metadata.name)
        if key in self._resources:
            self.errors.append(f"{title}: stands in {self._places[key]} already: write it once")
            return
        self._resources[key] = resource
        self._places[key] = place


def _environment_of(resource: CustomResource) -> Key:
    if isinstance(resource, StorageTier | ComputePartition):
        return Key(resource.metadata.namespace, resource.spec.environment_ref.name)
    return Key(resource.metadata.namespace, resource.metadata.name)


def _without_nulls(value: Any) -> Any:
    """Return a document as the API server takes it: a field without a value is not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _misread(written: Any, known: Any, path: str = "spec") -> Iterator[str]:
    """Yield `path: sentence` for what a model passes over or reads as something else, and the API server refuses."""
    if isinstance(written, dict) and isinstance(known, Mapping):
        for key, value in written.items():
            if key in known:
                yield from _misread(value, known[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: there is no such field"
    elif isinstance(written, list):
        for number, (value, item) in enumerate(zip(written, known, strict=True)):
            yield from _misread(value, item, f"{path}[{number}]")
    elif type(written) is not type(known):
        yield f"{path}: {json.dumps(written)} is not of the right type: write {json.dumps(known)}"


def _sentences(error: ValidationError) -> Iterator[str]:
    """Yield `path: sentence` for everything that a model refused, one for each path."""
    seen = set()
    for item in error.errors(include_url=False, include_context=False):
        # pydantic adds which arm of a union it tried: a field of ours never has such a name.
        loc = item["loc"][:-1] if item["loc"][-1:] in {("int",), ("str",)} else item["loc"]
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")
        if path not in seen:
            seen.add(path)
            yield f"{path}: {item['msg'].removeprefix('Value error, ')}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


class _KubernetesLoader(yaml.SafeLoader):
    """Reads plain scalars as Kubernetes does: 23:00 and 2026-01-01 are texts, not 1380 and a date."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        if kind is yaml.ScalarNode and (tag == _TIMESTAMP or (tag in _NUMBERS and ":" in value)):
            return self.DEFAULT_SCALAR_TAG
        return tag
