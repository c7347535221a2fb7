"""Drafts manifests for an environment that somebody else made: az-hop, Workspace for Slurm, or hands. Pure.

What can be referred to is referred to, and what matches something that we would make stands in `adopt` to be looked at.
Nodes, schedulers and login nodes are what their software makes of them: ours are made beside them, in a resource group
of their own, where no name is taken.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from hpc_operator.api import ComputePartition, HPCEnvironment, StorageTier
from hpc_operator.blueprint.names import STORAGE_ACCOUNT, VAULT
from hpc_operator.importing import network, tiers
from hpc_operator.importing.draft import Document, Draft, Manifest, Wish, manifest
from hpc_operator.importing.found import Body, Found, short, tags_of, type_of, value
from hpc_operator.importing.machines import Machine, Roles, image_of, roles_of
from hpc_operator.importing.origin import Origin, Recognised

_VM_SIZE: Final = re.compile(r"(Standard|Basic)_[A-Z][A-Za-z0-9_-]*")
_MOST_TAGS: Final = 15
_MOST_LOGIN_NODES: Final = 20
_MOST_NODES: Final = 1000
_MOST_SIZES: Final = 10
_LONGEST: Final[dict[type, int]] = {
    HPCEnvironment: 32,
    StorageTier: 48,
    ComputePartition: 40,
}  # as the kinds' rules say
_LONGEST_PARTITION_NAME: Final = 32

# Where Azure/cyclecloud-slurm-workspace (bicep/ccw.bicep) and Azure/az-hop (config.tpl.yml) mount what they make.
_PATHS: Final = {
    Origin.WORKSPACE: {"sched": "/sched", "home": "/shared", "additional": "/data", "ccw-lustre": "/data"},
    Origin.AZ_HOP: {"home": "/anfhome"},
}
_SYSTEM: Final = frozenset(
    "bin boot dev etc lib lib32 lib64 opt proc root run sbin sys tmp usr var".split()  # noqa: SIM905 - easier to read
)

# What is part of something else that the manifests speak of, and needs no line of its own; and so is every child.
_COVERED: Final = frozenset(
    item.lower()
    for item in (
        "Microsoft.Resources/resourceGroups",
        "Microsoft.Authorization/roleAssignments",
        "Microsoft.Compute/disks",
        "Microsoft.Compute/virtualMachineScaleSets",
        "Microsoft.Insights/diagnosticSettings",
        "Microsoft.NetApp/netAppAccounts",
    )
)


def draft(found: Found, recognised: Recognised, wish: Wish) -> Draft:
    """Return manifests for what was found."""
    roles, namespace = roles_of(found), wish.namespace or "default"
    name = wish.name or _label(str(found.group["name"]), _LONGEST[HPCEnvironment])
    placed: set[str] = set()
    documents = [_environment(found, roles, namespace, name, placed)]
    if not wish.environment_only:
        documents += _tiers(found, recognised.origin, namespace, name, placed)
        documents += _partitions(roles, namespace, name, placed)
    return Draft(found, recognised, tuple(documents), tuple(_no_place(found, roles, placed)), _NEXT_STEPS)


_NEXT_STEPS: Final = (
    "Read this file. Names, mount paths and numbers of nodes are guesses: write what is right for you.",
    "`hpc-operator plan -f FILE` prints the difference between Azure and what the operator would build.",
    "`kubectl apply -f FILE` shows the same in status.plan. Azure is left alone as long as policy.dryRun is true.",
    "Take out policy.dryRun when what is new may be made, and tiers with attach may be taken over.",
    "What stands in adopt is only looked at: write manage: true for what the operator shall look after, one by one.",
)


def _environment(found: Found, roles: Roles, namespace: str, name: str, placed: set[str]) -> Document:
    network_spec, remarks = network.spec_of(found, roles)
    schedulers, logins = _known(roles.schedulers), _known(roles.logins)
    slurm = {"vmSize": schedulers[0].size} if schedulers else {}
    login_nodes: dict[str, Any] = {"count": min(max(1, len(logins)), _MOST_LOGIN_NODES)}
    login_nodes |= {"vmSize": logins[0].size} if logins else {}
    workspaces = found.of("Microsoft.OperationalInsights/workspaces")
    if len(workspaces) == 1:
        placed.add(workspaces[0]["id"].lower())
    adopt = list(_adopt(found))
    placed |= {entry["id"].lower() for entry in adopt}
    spec = {
        "location": found.location,
        "tags": _tags(found.group),
        "network": network_spec,
        "scheduler": {"slurm": slurm},
        "entryPoint": {"loginNodes": login_nodes},
        "monitoring": {"logAnalyticsWorkspace": workspaces[0]["id"]} if len(workspaces) == 1 else {},
        "policy": {"dryRun": True},
        "adopt": adopt,
    }
    return Document(manifest(HPCEnvironment, namespace, name, spec), tuple(remarks))


def _adopt(found: Found) -> Iterator[dict[str, Any]]:
    """Yield what stands for something that we would make: a storage account, its private endpoint, a vault."""
    accounts = [body for body in found.of(STORAGE_ACCOUNT) if body.get("kind") == "StorageV2"]
    endpoints = [(body, target) for body in found.of("Microsoft.Network/privateEndpoints") for target in _blobs(body)]
    private = [body for body in accounts if any(target == body["id"].lower() for _, target in endpoints)]
    chosen = private[0] if len(private) == 1 else accounts[0] if len(accounts) == 1 else None
    if chosen is not None:
        yield _look_at(f"{STORAGE_ACCOUNT}/storage", chosen)
        for body, target in endpoints:
            # The zone group is a part of it: without one, there would be nothing to look at.
            if target == chosen["id"].lower() and found.get(f"{body['id']}/privateDnsZoneGroups/default"):
                yield _look_at("Microsoft.Network/privateEndpoints/pe-storage", body)
                break
    vaults = found.of(VAULT)
    if len(vaults) == 1:
        yield _look_at(f"{VAULT}/vault", vaults[0])


def _look_at(resource: str, body: Body) -> dict[str, Any]:
    return {"resource": resource, "id": body["id"], "manage": False}


def _blobs(endpoint: Body) -> Iterator[str]:
    for connection in value(endpoint, "properties", "privateLinkServiceConnections", default=[]):
        properties = connection.get("properties", {})
        if "blob" in properties.get("groupIds", []):
            yield str(properties.get("privateLinkServiceId", "")).lower()


def _tags(group: Body) -> dict[str, str]:
    """Return those tags of the group that a spec may have."""
    fit = {
        key: text
        for key, text in sorted(tags_of(group).items())
        if not re.search(r"[<>%&\\?/]|^(?i:microsoft|azure|windows|hidden-)", key)
    }
    return dict(list(fit.items())[:_MOST_TAGS])


# --- Tiers


def _tiers(found: Found, origin: Origin, namespace: str, environment: str, placed: set[str]) -> Iterator[Document]:
    names: Counter[str] = Counter()
    paths: Counter[str] = Counter()
    volumes = found.of("Microsoft.NetApp/netAppAccounts/capacityPools/volumes")
    for body in [*volumes, *found.of("Microsoft.StorageCache/amlFilesystems")]:
        kind, exported = tiers.file_system(body), tiers.export(body)
        if kind is None and exported is None:
            continue
        placed.add(body["id"].lower())
        word = tiers.word_for(body)
        name = _unique(names, _label(f"{environment}-{word}", _LONGEST[StorageTier]))
        path = _unique(
            paths, _PATHS.get(origin, {}).get(word) or (f"/storage/{word}" if word in _SYSTEM else f"/{word}")
        )
        spec = {
            "environmentRef": {"name": environment},
            "purpose": tiers.purpose_of(word),
            "mountPath": path,
            **(kind or exported or {}),
            "attach": body["id"] if kind else None,
        }
        remarks = [f"from {short(body)}; that it is mounted at {path} is a guess"]
        if kind is None:
            remarks.append(
                "it has a size, a service level or a protocol that netAppFiles has no words for: it is mounted"
            )
        elif exported is not None:
            server, export = exported["existingNfs"]["server"], exported["existingNfs"]["exportPath"]
            remarks.append(
                "to mount it without taking it over, write instead of netAppFiles and attach: "
                f"existingNfs: {{server: {server}, exportPath: {export}}}"
            )
        yield Document(manifest(StorageTier, namespace, name, spec), tuple(remarks))


# --- Partitions


def _partitions(roles: Roles, namespace: str, environment: str, placed: set[str]) -> Iterator[Document]:
    names: Counter[str] = Counter()
    for key, machines in sorted(roles.nodes.items()):
        known = _known(machines)
        if not known:
            continue
        placed |= {machine.body["id"].lower() for machine in known}
        yield _partition(key, known, namespace, environment, names)


def _partition(
    key: str, machines: Sequence[Machine], namespace: str, environment: str, names: Counter[str]
) -> Document:
    count = sum(machine.count for machine in machines)
    sizes = Counter(machine.size for machine in machines)
    images = Counter(
        tuple(image.items()) for machine in machines if (image := image_of(machine.image)) is not None
    ).most_common(1)
    spot = sum(machine.priority == "Spot" for machine in machines)
    name = _unique(names, _label(f"{environment}-{key}", _LONGEST[ComputePartition]))
    spec: Manifest = {
        "environmentRef": {"name": environment},
        "partitionName": _label(key, _LONGEST_PARTITION_NAME),
        "vmSizes": [size for size, _ in sizes.most_common(_MOST_SIZES)],
        "nodes": {"min": 0, "max": min(max(1, count), _MOST_NODES)},
        "priority": "Spot" if spot * 2 > len(machines) else "Regular",
        "image": dict(images[0][0]) if images else None,
    }
    remarks = [f"nodes that are there now: {count}; none is taken over, and new ones are made when nodes.min says so"]
    if not images:
        remarks.append(
            "their image has no name that a partition could have: nodes would be made from the default image"
        )
    if len(sizes) > 1:
        remarks.append("vmSizes names the most frequent one first")
    return Document(manifest(ComputePartition, namespace, name, spec), tuple(remarks))


def _known(machines: Iterable[Machine]) -> list[Machine]:
    return [machine for machine in machines if _VM_SIZE.fullmatch(machine.size)]


# --- What is left


def _no_place(found: Found, roles: Roles, placed: set[str]) -> Iterator[str]:
    made_anew = {
        machine.body["id"].lower(): what
        for machines, what in ((roles.schedulers, "scheduler"), (roles.logins, "login node"))
        for machine in machines
    }
    for body in found:
        key, kind = body["id"].lower(), type_of(body)
        if key in made_anew:
            yield f"{short(body)}: a {made_anew[key]}; it stays as it is, and another one is made beside it"
        elif kind == "Microsoft.ManagedIdentity/userAssignedIdentities":
            yield f"{short(body)}: spec.identities could name it"
        elif key not in placed and not _is_covered(kind):
            yield short(body)


def _is_covered(kind: str) -> bool:
    return kind.count("/") > 1 or kind.lower() in _COVERED or kind.startswith("Microsoft.Network/")


# --- Names


def _label(text: str, longest: int) -> str:
    """Return a text as a name that Kubernetes and our kinds take."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = name if re.match(r"[a-z]", name) else f"n{name}"
    name = name[:longest].strip("-")
    return f"{name}-1" if name == "default" else name


def _unique(taken: Counter[str], text: str) -> str:
    taken[text] += 1
    return text if taken[text] == 1 else f"{text}-{taken[text]}"
