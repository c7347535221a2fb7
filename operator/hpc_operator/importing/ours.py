"""Drafts manifests for an environment that this operator made, from what it wrote to Azure. Pure.

For whoever lost the cluster: with these manifests the operator finds everything where it was.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hpc_operator.api import ComputePartition, HPCEnvironment, StorageTier
from hpc_operator.api.policy import TAKE_OVER_ANNOTATION
from hpc_operator.blueprint.compute import SINGLE_PLACEMENT_GROUP_LIMIT, has_rdma
from hpc_operator.blueprint.names import (
    CLAIM_TAG,
    ENVIRONMENT_TAG,
    GENERATION_TAG,
    IMAGE_TAG,
    MOUNT_PATH_TAG,
    OWNER_TAG,
    OWNERSHIP_TAGS,
    PARTITION_TAG,
    PRIORITY_TAG,
    PURPOSE_TAG,
    VAULT,
    VM_SIZE_TAG,
)
from hpc_operator.graph import Owner
from hpc_operator.importing import tiers
from hpc_operator.importing.draft import Document, Draft, Wish, manifest
from hpc_operator.importing.found import Body, Found, name_of, short, tags_of, type_of, value
from hpc_operator.importing.machines import image_of
from hpc_operator.importing.origin import Recognised
from hpc_operator.slurm.configuration import SCHEDULER_HOST

_MOUNT_PATHS: Final = {"Home": "/home", "Scratch": "/scratch", "Project": "/project", "Archive": "/archive"}
_MADE_WITH: Final = ("virtualMachine", "privateEndpoint")
_PARTITION_LINE: Final = re.compile(r"^PartitionName=(\S+) .*SuspendTime=([0-9]+)$", re.MULTILINE)
_KEPT_LINE: Final = re.compile(r"^SuspendExcParts=(\S+)$", re.MULTILINE)
_UNKNOWN: Final = "nodes.max, rollout, deletionPolicy, further vmSizes, and tiers with existingNfs"
_NEXT_STEPS: Final = (
    f"Read this file. Some things do not stand in Azure ({_UNKNOWN}): write what you had.",
    "`hpc-operator plan -f FILE` prints the difference between Azure and these manifests.",
    "`kubectl apply -f FILE`, and take out policy.dryRun when status.plan shows what you expect.",
)


def draft(found: Found, recognised: Recognised, wish: Wish) -> Draft:
    """Return manifests for what was found."""
    full_name = tags_of(found.group).get(ENVIRONMENT_TAG) or _most_frequent(found)
    namespace, _, name = full_name.partition("/")
    namespace, name = wish.namespace or namespace, wish.name or name
    documents = [_environment(found, full_name, namespace, name)]
    if not wish.environment_only:
        documents += _tiers(found, namespace, name)
        documents += _partitions(found, namespace, name)
    return Draft(found, recognised, tuple(documents), tuple(_strangers(found)), _NEXT_STEPS)


def _most_frequent(found: Found) -> str:
    return Counter(tags_of(body)[ENVIRONMENT_TAG] for body in found if ENVIRONMENT_TAG in tags_of(body)).most_common(1)[
        0
    ][0]


def _strangers(found: Found) -> Iterator[str]:
    """Yield what lacks our tags although things of its type get them."""
    tagged = {type_of(body) for body in found if OWNER_TAG in tags_of(body)}
    for body in found:
        if type_of(body) in tagged and OWNER_TAG not in tags_of(body) and not _is_a_part(body):
            yield short(body)


def _is_a_part(body: Body) -> bool:
    """Whether Azure made it together with a machine or a private endpoint: a system disk, a network interface."""
    properties = value(body, "properties", default={})
    return any(item is not None for item in (body.get("managedBy"), *map(properties.get, _MADE_WITH)))


# --- The environment


def _environment(found: Found, full_name: str, namespace: str, name: str) -> Document:
    parts = _Parts(found)
    group, remarks = found.group, []
    own_group = f"{namespace}_{name}"
    spec = {
        "location": found.location,
        "resourceGroup": group["name"] if group["name"].lower() != own_group.lower() else None,
        "tags": {key: text for key, text in tags_of(group).items() if key.lower() not in OWNERSHIP_TAGS},
        "network": _network(found, parts),
        "scheduler": {"slurm": _slurm(parts)},
        "entryPoint": {"loginNodes": parts.login_nodes()},
        "sshPublicKeys": parts.keys(),
        "identities": parts.identities(),
        "monitoring": {"logAnalyticsWorkspace": parts.workspace()},
        "policy": {"dryRun": True},
        "adopt": [
            {"resource": f"{VAULT}/vault", "id": vault["id"], "manage": True} for vault in parts.owned(VAULT)[:1]
        ],
    }
    if spec["adopt"]:
        remarks.append("the vault's name was made with the uid of an object that is gone, hence its entry in adopt")
    if claim := tags_of(group).get(CLAIM_TAG):
        remarks.append(
            f"the resource group is claimed by {claim}: an operator of another cluster refuses to go on until the "
            f"annotation {TAKE_OVER_ANNOTATION} names who it takes it over from"
        )
    if (namespace, name) != tuple(full_name.split("/")):
        remarks.append(f"it was {full_name}: its tags in Azure say so, and the operator refuses what is another's")
    if servers := parts.nfs_servers():
        remarks.append(
            f"NFS servers of others were mounted: {', '.join(servers)}; write a tier with existingNfs for each"
        )
    return Document(manifest(HPCEnvironment, namespace, name, spec), tuple(remarks))


@dataclass(frozen=True)
class _Parts:
    """The environment's own resources by what they tell."""

    found: Found

    def owned(self, resource_type: str) -> list[Body]:
        """Return what belongs to the environment itself."""
        kind = HPCEnvironment.__name__
        return [
            body for body in self.found.of(resource_type) if tags_of(body).get(OWNER_TAG, "").startswith(f"{kind}/")
        ]

    def named(self, resource_type: str, name: str) -> Body | None:
        """Return one of these by its name."""
        return next((body for body in self.owned(resource_type) if name_of(body) == name), None)

    @property
    def scheduler(self) -> Body | None:
        """The scheduler's virtual machine."""
        return self.named("Microsoft.Compute/virtualMachines", SCHEDULER_HOST)

    @property
    def logins(self) -> list[Body]:
        """The login nodes' virtual machines."""
        machines = self.owned("Microsoft.Compute/virtualMachines")
        return [body for body in machines if re.fullmatch(r"login-[0-9]+", name_of(body))]

    def login_nodes(self) -> dict[str, Any]:
        sizes = [value(body, "properties", "hardwareProfile", "vmSize") for body in self.logins]
        return {"count": len(sizes), **({"vmSize": sizes[0]} if sizes else {})}

    def keys(self) -> list[str]:
        """Return the administrators' keys, without the one that stands for nobody."""
        path = ("properties", "osProfile", "linuxConfiguration", "ssh", "publicKeys")
        keys = [str(item.get("keyData", "")) for item in value(self.scheduler, *path, default=[])]
        return [key for key in keys if not key.endswith(" nobody")]

    def identities(self) -> dict[str, str]:
        """Return the identities that are not the environment's own."""
        own = {body["id"].lower() for body in self.owned("Microsoft.ManagedIdentity/userAssignedIdentities")}
        machines = {"scheduler": self.scheduler, "nodes": next(iter(self.logins), None)}
        used = {
            role: next(iter(value(body, "identity", "userAssignedIdentities", default={})), "")
            for role, body in machines.items()
        }
        return {role: item for role, item in used.items() if item and item.lower() not in own}

    def workspace(self) -> str | None:
        for body in self.found.of("Microsoft.Insights/diagnosticSettings"):
            return str(value(body, "properties", "workspaceId"))
        return None

    def rule(self, group: str, name: str) -> list[str]:
        """Return the sources of a security rule of ours."""
        body = self.named("Microsoft.Network/networkSecurityGroups", group)
        for rule in value(body, "properties", "securityRules", default=[]):
            if rule["name"] == name:
                return list(value(rule, "properties", "sourceAddressPrefixes", default=[]))
        return []

    def nfs_servers(self) -> list[str]:
        """Return the addresses that may call back, without the subnet of our own volumes."""
        return [item for item in self.rule("nsg-compute", "hpc-allow-nfs-callbacks") if "/" not in item]


def _network(found: Found, parts: _Parts) -> dict[str, Any]:
    own = parts.named("Microsoft.Network/virtualNetworks", "vnet")
    allowed = parts.rule("nsg-services", "hpc-allow-ssh-from-allowed-sources")
    access: dict[str, Any] = {"allowedSources": allowed} if allowed else {}
    if own is not None:
        if (bastion := parts.named("Microsoft.Network/bastionHosts", "bastion")) is not None:
            access["bastion"] = {"sku": value(bastion, "sku", "name", default="Standard")}
        spec = {"addressSpace": list(value(own, "properties", "addressSpace", "addressPrefixes", default=[]))}
        return {**spec, **({"access": access} if access else {})}
    return {"existing": _existing(found, parts)}


def _existing(found: Found, parts: _Parts) -> dict[str, Any]:
    interface = parts.named("Microsoft.Network/networkInterfaces", f"nic-{SCHEDULER_HOST}")
    services = value(interface, "properties", "ipConfigurations", 0, "properties", "subnet", "id", default="")
    rules = ("properties", "networkAcls", "virtualNetworkRules")
    allowed = [str(rule["id"]) for vault in parts.owned(VAULT)[:1] for rule in value(vault, *rules, default=[])]
    volumes = found.of("Microsoft.NetApp/netAppAccounts/capacityPools/volumes")
    lustre = found.of("Microsoft.StorageCache/amlFilesystems")
    subnets = {
        # The vault lets in both subnets and no other.
        "compute": next((item for item in allowed if item.lower() != services.lower()), services),
        "services": services,
        "netApp": next((value(body, "properties", "subnetId") for body in volumes), None),
        "lustre": next((value(body, "properties", "filesystemSubnet") for body in lustre), None),
    }
    spec: dict[str, Any] = {"subnets": {role: item for role, item in subnets.items() if item}}
    for group in found.of("Microsoft.Network/privateEndpoints/privateDnsZoneGroups"):
        zone = value(group, "properties", "privateDnsZoneConfigs", 0, "properties", "privateDnsZoneId")
        if zone and found.get(zone) is None:
            spec["blobDnsZone"] = zone
    return spec


# --- Slurm


@dataclass(frozen=True)
class _SlurmConf:
    """What the Run Command that wrote slurm.conf tells."""

    text: str

    @classmethod
    def of(cls, found: Found) -> _SlurmConf:
        for body in found.of("Microsoft.Compute/virtualMachines/runCommands"):
            script = str(value(body, "properties", "source", "script", default=""))
            if staged := script.partition("\nstage slurm.conf ")[2]:
                return cls(shlex.split(staged)[0])
        return cls("")

    @property
    def partitions(self) -> dict[str, str]:
        """The idle time in seconds by the partition's name in Slurm, the default partition first."""
        return dict(_PARTITION_LINE.findall(self.text))

    @property
    def kept(self) -> frozenset[str]:
        """The partitions that have nodes running all the time."""
        return frozenset(name for names in _KEPT_LINE.findall(self.text) for name in names.split(","))

    @property
    def extra(self) -> list[str]:
        """The user's own lines, which stand in the last section."""
        return [line for section in self.text.split("\n\n")[2:] for line in section.splitlines()]


def _slurm(parts: _Parts) -> dict[str, Any]:
    disk = parts.named("Microsoft.Compute/disks", "scheduler-state")
    size = value(disk, "properties", "diskSizeGB")
    spec = {
        "vmSize": value(parts.scheduler, "properties", "hardwareProfile", "vmSize"),
        "stateDiskSize": f"{size}Gi" if size else None,
        "config": _SlurmConf.of(parts.found).extra,
    }
    return {key: item for key, item in spec.items() if item}


# --- Tiers


def _by_owner(bodies: Iterable[Body], kind: type) -> dict[str, list[Body]]:
    found: dict[str, list[Body]] = defaultdict(list)
    for body in bodies:
        owner = Owner.parse(tags_of(body).get(OWNER_TAG, ""))
        if owner.kind == kind.__name__:
            found[owner.name].append(body)
    return dict(sorted(found.items()))


def _tiers(found: Found, namespace: str, environment: str) -> Iterator[Document]:
    volumes = found.of("Microsoft.NetApp/netAppAccounts/capacityPools/volumes")
    bodies = [*volumes, *found.of("Microsoft.StorageCache/amlFilesystems")]
    for name, (body, *_) in _by_owner(bodies, StorageTier).items():
        kind = tiers.file_system(body)
        if kind is None:
            continue
        tags = tags_of(body)
        purpose = tags.get(PURPOSE_TAG, "Project")
        spec = {
            "environmentRef": {"name": environment},
            "purpose": purpose,
            "mountPath": tags.get(MOUNT_PATH_TAG) or _MOUNT_PATHS[purpose],
            **kind,
            "attach": body["id"] if not _is_where_a_new_one_would_be(body, name) else None,
        }
        yield Document(manifest(StorageTier, namespace, name, spec))


def _is_where_a_new_one_would_be(body: Body, name: str) -> bool:
    new = f"netAppAccounts/netapp/capacityPools/{name}/volumes/{name}", f"amlFilesystems/{name}"
    return str(body["id"]).endswith(new)


# --- Partitions


def _partitions(found: Found, namespace: str, environment: str) -> Iterator[Document]:
    slurm = _SlurmConf.of(found)
    nodes: dict[str, list[Body]] = defaultdict(list)
    for body in found.of("Microsoft.Compute/virtualMachines"):
        if partition := tags_of(body).get(PARTITION_TAG):
            nodes[partition].append(body)
    scale_sets = _by_owner(found.of("Microsoft.Compute/virtualMachineScaleSets"), ComputePartition)
    in_slurm = _names_in_slurm(list(scale_sets), list(slurm.partitions))
    order = list(slurm.partitions)
    for name in sorted(scale_sets, key=lambda item: (order.index(in_slurm[item]) if item in in_slurm else 0, item)):
        own = nodes.get(name, [])
        scale_set = max(scale_sets[name], key=lambda body: (_count(body, own), body["id"].lower()))
        partition_name = in_slurm.get(name, name)
        yield _partition(scale_set, own, slurm, partition_name, manifest_name=(namespace, environment, name))


def _partition(
    scale_set: Body, nodes: list[Body], slurm: _SlurmConf, partition_name: str, *, manifest_name: tuple[str, str, str]
) -> Document:
    namespace, environment, name = manifest_name
    tags = tags_of(scale_set)
    current = [body for body in nodes if _count(scale_set, [body])]
    size = tags.get(VM_SIZE_TAG, "")
    count = len(nodes) if partition_name in slurm.kept else 0
    most = max(1, len(nodes))
    if has_rdma(size) and not value(scale_set, "properties", "singlePlacementGroup", default=True):
        most = max(most, SINGLE_PLACEMENT_GROUP_LIMIT + 1)
    remarks = [f"nodes.max is not known to Azure: {most} is a guess"]
    if len(nodes) > len(current):
        remarks.append(f"{len(nodes) - len(current)} of its {len(nodes)} nodes are of another generation and will go")
    idle = slurm.partitions.get(partition_name)
    spec = {
        "environmentRef": {"name": environment},
        "partitionName": partition_name if partition_name != name else None,
        "vmSizes": [size],
        "nodes": {"min": count, "max": most, **({"idleTimeout": f"{idle}s"} if idle else {})},
        "priority": tags.get(PRIORITY_TAG, "Regular"),
        "image": _image(tags, current),
    }
    return Document(manifest(ComputePartition, namespace, name, spec), tuple(remarks))


def _image(tags: Mapping[str, str], nodes: list[Body]) -> dict[str, str] | None:
    if name := tags.get(IMAGE_TAG):
        return {"galleryImage": name} if name.startswith("/") else {"urn": name}
    shown = (value(body, "properties", "storageProfile", "imageReference", default={}) for body in nodes)
    return next((image for item in shown if (image := image_of(item)) is not None), None)


def _count(scale_set: Body, nodes: list[Body]) -> int:
    generation = name_of(scale_set).rpartition("-")[2]
    return sum(tags_of(body).get(GENERATION_TAG) == generation for body in nodes)


def _names_in_slurm(names: list[str], in_slurm: list[str]) -> dict[str, str]:
    """Return the partitions' names in Slurm: mostly their own; where just one is left on both sides, these belong."""
    same = {name: name for name in names if name in in_slurm}
    rest = [name for name in names if name not in same], [name for name in in_slurm if name not in same]
    return same | (dict(zip(*rest, strict=True)) if len(rest[0]) == len(rest[1]) == 1 else {})
