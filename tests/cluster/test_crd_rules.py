"""Every CEL rule of the CRDs, with what it lets pass and what it refuses, on a real API server.

A test fails for a rule of the models that has no case here.
"""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpc_operator.api import KINDS
from hpc_operator.crds.manifest import root_schema
from hpc_operator.preview.manifests import Manifests

from .conftest import Cluster

pytestmark = pytest.mark.cluster

MANIFESTS = Path(__file__).parent / "manifests"
GOOD = {kind.__name__: yaml.safe_load((MANIFESTS / f"{kind.__name__.lower()}.yaml").read_text()) for kind in KINDS}
GONE = None  # in a patch: the field is left out

Patch = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One rule: the field that the refusal names, how its sentence begins, and patches on its kind's good manifest.

    With `before`, the object exists first in that form, and the others are edits of it.
    """

    kind: str
    at: str
    says: str
    good: list[Patch]
    bad: list[Patch]
    before: Patch | None = None


def at(path: str, value: Any) -> Patch:
    """Return the patch that sets one field, such as `spec.nodes.min`."""
    for part in reversed(path.split(".")):
        value = {part: value}
    return value


def field(kind: str, path: str, says: str, good: list[Any], bad: list[Any], *, before: Any = ...) -> Case:
    """Return the case of a rule that stands on a field, or on the items of a list (`spec.vmSizes[]`)."""

    def patch(value: Any) -> Patch:
        return at(path.removesuffix("[]"), [value] if path.endswith("[]") else value)

    return Case(kind, path, says, [*map(patch, good)], [*map(patch, bad)], None if before is ... else patch(before))


def subnet(name: str, network: str = "hub") -> str:
    return (
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/net/providers/Microsoft.Network"
        f"/virtualNetworks/{network}/subnets/{name}"
    )


def existing(**subnets: Any) -> Patch:
    """Return the patch that replaces the new network of the good environment by existing subnets."""
    ids = {"compute": subnet("compute"), "services": subnet("services"), **subnets}
    return at("spec.network", {"addressSpace": GONE, "access": GONE, "existing": {"subnets": ids}})


def lustre(throughput: int, capacity: str, **more: Any) -> Patch:
    body = {"throughputPerTiB": throughput, "capacity": capacity, **more}
    return {"spec": {"netAppFiles": GONE, "managedLustre": body}}


def nfs(server: str = "nfs.example.org", path: str = "/export/home") -> Patch:
    return {"spec": {"netAppFiles": GONE, "existingNfs": {"server": server, "exportPath": path}}}


def existing_zone(zone: str | None) -> Patch:
    """Return the patch of `existing`, with the id of a private DNS zone."""
    patch = existing()
    patch["spec"]["network"]["existing"]["blobDnsZone"] = zone
    return patch


def gallery(image: str) -> Patch:
    return at("spec.image", {"urn": GONE, "galleryImage": image})


def attached_lustre(there: str) -> Patch:
    return {"spec": {**lustre(250, "8Ti")["spec"], "attach": there}}


def adoption(name: str, says: str, good: list[str], bad: list[str]) -> Case:
    """Return the case of a rule on a field of an entry of `spec.adopt`."""
    whole = {"resource": "Microsoft.Network/virtualNetworks/vnet", "id": subnet("compute")}
    patches = ([at("spec.adopt", [{**whole, name: value}]) for value in values] for values in (good, bad))
    return Case(ENV, f"spec.adopt[].{name}", says, *patches)


def window(name: str, says: str, good: list[str], bad: list[str]) -> Case:
    """Return the case of a rule on a field of a maintenance window."""
    whole = {"schedule": "0 22 * * SAT"}
    patches = (
        [at("spec.policy.maintenanceWindows", [{**whole, name: value}]) for value in values] for values in (good, bad)
    )
    return Case(ENV, f"spec.policy.maintenanceWindows[].{name}", says, *patches)


ENV, TIER, PART = "HPCEnvironment", "StorageTier", "ComputePartition"
RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 admin@example.org"
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJc0"

BAD_NAMES = ["2climate", "climate.prod"]
BAD_VM_SIZES = ["HB176rs_v4", "standard_HB176rs_v4", "Standard HB176rs v4", "Standard_HB176rs_v4 ", "Standard_", ""]
VM_SIZES = ["Standard_HB176rs_v4", "Standard_HB176-24rs_v4", "Standard_ND96isr_H100_v5", "Standard_D4s_v5"]
BAD_DURATIONS = ["10 minutes", "10", "10min", "1.5h", "-1h", "m", "1d", "1h 30m", "30m1h", "100000h", "10m\n", ""]
DURATIONS = ["0s", "90s", "10m", "24h", "1h30m", "1h30m15s", "8760h", "86400s"]
BAD_CIDRS = [
    "10.40.0.0",
    "10.40.0/20",
    "10.40.0.256/20",
    "10.40.0.0/33",
    "fd00::/64",
    "10.40.0.0/255.255.0.0",
    "any",
    "",
]
BAD_QUANTITIES = ["4", "0", "0Ti", "4TiB", "4TB", "4T", "4 Ti", "-4Ti", "1.5Ti", "4ti", "", "lots", "1e30", "9999999Pi"]
BAD_SUBNETS = ["compute", subnet("compute") + "/", "/subscriptions/x/resourceGroups/net", subnet(""), ""]
BAD_SURGES = [-1, 1001, "25", "-5%", "101%", "2.5%", "half", ""]
_OLD = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/old/providers"
VOLUME = f"{_OLD}/Microsoft.NetApp/netAppAccounts/netapp/capacityPools/home/volumes/home"
ACCOUNT = f"{_OLD}/Microsoft.NetApp/netAppAccounts/netapp"
IDENTITY = f"{_OLD}/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"
WORKSPACE = f"{_OLD}/Microsoft.OperationalInsights/workspaces/logs"
ZONE = f"{_OLD}/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
IMAGE = f"{_OLD}/Microsoft.Compute/galleries/hpc/images/nodes"
LUSTRE = f"{_OLD}/Microsoft.StorageCache/amlFilesystems/scratch"
NESTED = "Microsoft.Network/virtualNetworks/vnet/subnets/compute"
BAD_ARM_IDS = ["vnet", f"{_OLD}/Microsoft.Network", f"{_OLD}/Microsoft.Network/virtualNetworks", _OLD, f"x{VOLUME}", ""]
SURGES = [1, 1000, "1%", "100%"]

CASES = [
    # ---------------------------------------------------------------------------------------------- HPCEnvironment
    Case(
        ENV, "", "metadata.name must have at most 32", [at("metadata.name", "a" * 32)], [at("metadata.name", "a" * 33)]
    ),
    Case(
        ENV,
        "",
        "metadata.name must start with a letter",
        [at("metadata.name", "a"), at("metadata.name", "climate-2")],
        [at("metadata.name", name) for name in BAD_NAMES],
    ),
    field(
        ENV,
        "spec.location",
        "location must be the short name",
        ["eastus2"],
        ["West Europe", "WestEurope", "west-europe", "westeurope ", ""],
    ),
    field(ENV, "spec.location", "location may not change", ["westeurope"], ["northeurope"], before="westeurope"),
    field(
        ENV,
        "spec.tags",
        "the name of a tag must have from 1 to 512",
        [{"t": ""}, {"x" * 512: "y" * 256}],
        [{"": "y"}, {"x" * 513: "y"}],
    ),
    field(
        ENV,
        "spec.tags",
        "the name of a tag may not have any of the characters",
        [{"cost center": "a/b<c>"}, {"größe": "ß"}, {"a:b.c-d_e#f": "1"}],
        [{f"cost{character}center": "1"} for character in "<>%&\\?/"],
    ),
    field(
        ENV,
        "spec.tags",
        "the name of a tag may not start with microsoft",
        [{"myazure": "1"}],
        [{"azureTeam": "1"}, {"Microsoft.x": "1"}, {"WINDOWS": "1"}],
    ),
    field(ENV, "spec.tags", "two tags have the same name", [{"team": "a", "teams": "b"}], [{"team": "a", "Team": "b"}]),
    Case(
        ENV,
        "spec.network",
        "the network must be either new or existing",
        [{}, existing()],
        [
            at("spec.network", {"addressSpace": GONE}),
            at("spec.network", {"existing": existing()["spec"]["network"]["existing"]}),
        ],
    ),
    Case(
        ENV,
        "spec.network",
        "access.bastion belongs to a network that the operator makes",
        [existing()],
        [at("spec.network", {**existing()["spec"]["network"], "access": {"bastion": {}}})],
    ),
    Case(ENV, "spec.network.addressSpace", "addressSpace may not change", [{}], [existing()], before={}),
    Case(
        ENV,
        "spec.network.existing",
        "a running environment cannot move to another network",
        [existing()],
        [at("spec.network", {"existing": GONE, "addressSpace": ["10.40.0.0/20"]})],
        before=existing(),
    ),
    field(ENV, "spec.network.addressSpace", "addressSpace may not be empty", [["10.40.0.0/20"]], [[]]),
    field(
        ENV,
        "spec.network.addressSpace",
        "the ranges of addressSpace may not overlap",
        [["10.40.0.0/20", "10.40.16.0/20", "192.168.0.0/24", "100.64.0.0/16"]],
        [
            ["10.40.0.0/20", "10.40.0.0/20"],
            ["10.40.0.0/20", "10.40.8.0/24"],
            ["10.40.8.0/24", "10.41.0.0/20", "10.40.0.0/16"],
        ],
    ),
    field(
        ENV,
        "spec.network.addressSpace",
        "addressSpace may not change",
        [["10.40.0.0/20"]],
        [["10.41.0.0/20"], ["10.40.0.0/20", "10.41.0.0/20"], ["10.40.0.0/21"]],
        before=["10.40.0.0/20"],
    ),
    field(
        ENV, "spec.network.addressSpace[]", "must be an IPv4 address range", ["10.40.0.0/16", "10.0.0.0/24"], BAD_CIDRS
    ),
    field(
        ENV,
        "spec.network.addressSpace[]",
        "must be the first address of a range",
        ["10.40.16.0/20"],
        ["10.40.0.1/20", "10.40.8.0/20", "10.40.0.128/24"],
    ),
    field(
        ENV,
        "spec.network.addressSpace[]",
        "an address range of the virtual network must be from /16 to /24",
        ["10.0.0.0/16", "10.0.0.0/24"],
        ["10.0.0.0/8", "10.0.0.0/15", "10.0.0.0/25", "10.0.0.0/32", "0.0.0.0/0"],
    ),
    field(
        ENV,
        "spec.network.addressSpace[]",
        "addressSpace may not overlap 172.16.0.0/16",
        ["172.17.0.0/16", "172.31.0.0/20"],
        ["172.16.0.0/16", "172.16.0.0/20", "172.16.255.0/24", "172.0.0.0/8"],
    ),
    field(
        ENV,
        "spec.network.addressSpace[]",
        "addressSpace may not overlap the ranges that Azure reserves",
        ["168.64.0.0/16", "100.64.0.0/20"],
        [
            "127.0.0.0/16",
            "169.254.0.0/20",
            "168.63.0.0/16",
            "168.63.129.0/24",
            "224.0.0.0/16",
            "240.0.0.0/20",
            "0.0.0.0/16",
        ],
    ),
    Case(
        ENV,
        "spec.network.existing.subnets",
        "the subnets must belong to one virtual network",
        [existing(), existing(services=subnet("services").replace("/net/", "/NET/"))],
        [
            existing(services=subnet("s", "spoke")),
            existing(netApp=subnet("n", "spoke")),
            existing(lustre=subnet("l", "x")),
        ],
    ),
    Case(
        ENV,
        "spec.network.existing.subnets.netApp",
        "netApp must be a subnet of its own",
        [existing(netApp=subnet("netapp"))],
        [existing(netApp=subnet("compute")), existing(netApp=subnet("Services"))],
    ),
    *(
        Case(
            ENV,
            f"spec.network.existing.subnets.{name}",
            "a running environment cannot move to another subnet",
            [before],
            [existing(**{name: value})],
            before=before,
        )
        for name in ("netApp", "lustre")
        for before, value in ((existing(), subnet("more")), (existing(**{name: subnet("more")}), GONE))
    ),
    *(
        Case(
            ENV,
            f"spec.network.existing.subnets.{name}",
            "must be the ARM id of a subnet",
            [existing(**{name: subnet("other")})],
            [existing(**{name: value}) for value in BAD_SUBNETS],
        )
        for name in ("compute", "services", "netApp", "lustre")
    ),
    *(
        Case(
            ENV,
            f"spec.network.existing.subnets.{name}",
            "a running environment cannot move to another subnet",
            [existing(**{name: subnet("one")})],
            [existing(**{name: subnet("two")})],
            before=existing(**{name: subnet("one")}),
        )
        for name in ("compute", "services", "netApp", "lustre")
    ),
    field(
        ENV,
        "spec.network.access.bastion.sku",
        "Azure does not downgrade a Bastion host",
        ["Standard"],
        ["Basic"],
        before="Standard",
    ),
    field(
        ENV,
        "spec.network.access.allowedSources[]",
        "must be an IPv4 address range",
        ["192.0.2.0/24", "203.0.113.7/32"],
        [*BAD_CIDRS, "203.0.113.7"],
    ),
    field(
        ENV,
        "spec.network.access.allowedSources[]",
        "must be the first address of a range",
        ["192.0.2.0/24"],
        ["192.0.2.1/24"],
    ),
    field(
        ENV,
        "spec.network.access.allowedSources[]",
        "allowedSources may not open the login nodes to the whole Internet",
        ["10.0.0.0/8"],
        ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1"],
    ),
    field(ENV, "spec.scheduler.slurm.vmSize", "must be the full name of a VM size", VM_SIZES, BAD_VM_SIZES),
    field(
        ENV,
        "spec.scheduler.slurm.stateDiskSize",
        "stateDiskSize must be a whole number",
        ["1Gi", "64Gi", "32767Gi"],
        ["64", "64GB", "1Ti", "0Gi", "32768Gi", "1.5Gi", ""],
    ),
    field(
        ENV,
        "spec.scheduler.slurm.stateDiskSize",
        "a disk cannot shrink",
        ["64Gi", "128Gi"],
        ["32Gi", "63Gi"],
        before="64Gi",
    ),
    field(
        ENV,
        "spec.scheduler.slurm.config[]",
        "a line of config must have the form Name=Value",
        ["MaxJobCount=50000", "SchedulerParameters=bf_window=2880,defer"],
        ["MaxJobCount 50000", "MaxJobCount=1\nNodeName=x", "# a comment", "include /etc/slurm/x.conf", ""],
    ),
    field(
        ENV,
        "spec.scheduler.slurm.config[]",
        "config may not define nodes or partitions",
        ["TreeWidth=100"],
        ["NodeName=n1 CPUs=4", "PARTITIONNAME=hpc Nodes=ALL", "nodeset=x"],
    ),
    field(ENV, "spec.entryPoint.loginNodes.vmSize", "must be the full name of a VM size", VM_SIZES, BAD_VM_SIZES),
    field(
        ENV,
        "spec.sshPublicKeys[]",
        "must be one whole line of a public key file",
        [RSA, ED25519],
        [
            "AAAAC3NzaC1lZDI1NTE5AAAAIJc0",
            "ecdsa-sha2-nistp256 AAAAE2Vj",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            ED25519 + "\n",
            "",
        ],
    ),
    field(
        ENV,
        "spec.resourceGroup",
        "resourceGroup must be a name of a resource group",
        ["rg-hpc_climate.prod(1)", "1", "(a)"],
        ["climate.", "my group", "a/b", "gr\u00fcn", "a\n", ""],
    ),
    Case(ENV, "spec.resourceGroup", "resourceGroup may not change", [{}], [at("spec.resourceGroup", "rg")], before={}),
    field(ENV, "spec.resourceGroup", "resourceGroup may not change", ["rg"], ["other", GONE], before="rg"),
    adoption(
        "resource",
        "resource must be a type and names",
        ["Microsoft.Network/virtualNetworks/vnet", NESTED],
        [
            "vnet",
            "Microsoft.Network",
            "Microsoft.Network/virtualNetworks",
            f"{_OLD}/Microsoft.Network/virtualNetworks/v",
            "Microsoft.Network/virtualNetworks/my vnet",
            "",
        ],
    ),
    adoption("id", "id must be the ARM id of a resource", [VOLUME, subnet("compute")], BAD_ARM_IDS),
    window(
        "schedule",
        "schedule must be five cron fields",
        ["0 22 * * SAT", "*/15 0-6 1,15 JAN-MAR 6#1", "0 0 L * *"],
        [
            "0 22 * *",
            "0 22 * * SAT 2026",
            "0  22 * * SAT",
            " 0 22 * * SAT",
            "@weekly",
            "saturday at ten",
            "0 22 * * ?",
            "",
        ],
    ),
    window("duration", "must be a duration", DURATIONS, BAD_DURATIONS),
    window(
        "timeZone",
        "timeZone must be a name of the IANA time zone database",
        ["Europe/Berlin", "Etc/GMT+1", "UTC", "America/Argentina/Buenos_Aires"],
        ["+01:00", "Europe/", "Europe Berlin", "/Berlin", "a/b/c/d", ""],
    ),
    Case(
        ENV,
        "spec.network.existing.blobDnsZone",
        "blobDnsZone must be the ARM id of the private DNS zone",
        [existing_zone(ZONE)],
        [existing_zone(value) for value in (ZONE.replace("blob", "file"), f"{ZONE}/x", "zone", "")],
    ),
    Case(
        ENV,
        "spec.network.existing.blobDnsZone",
        "a running environment cannot move to another network",
        [existing_zone(ZONE)],
        [existing_zone(ZONE.replace("/old/", "/other/")), existing_zone(GONE)],
        before=existing_zone(ZONE),
    ),
    *(
        case
        for name in ("scheduler", "nodes")
        for case in (
            field(
                ENV,
                f"spec.identities.{name}",
                "must be the ARM id of a user-assigned identity",
                [IDENTITY],
                [VOLUME, f"{IDENTITY}/x", "id-nodes", ""],
            ),
            field(
                ENV,
                f"spec.identities.{name}",
                "identities may not change",
                [IDENTITY],
                [f"{IDENTITY}-2", GONE],
                before=IDENTITY,
            ),
            Case(
                ENV,
                f"spec.identities.{name}",
                "identities may not change",
                [{}],
                [at(f"spec.identities.{name}", IDENTITY)],
                before={},
            ),
        )
    ),
    field(
        ENV,
        "spec.monitoring.logAnalyticsWorkspace",
        "logAnalyticsWorkspace must be the ARM id",
        [WORKSPACE],
        [VOLUME, f"{WORKSPACE}/tables/x", "logs", ""],
    ),
    # ------------------------------------------------------------------------------------------------- StorageTier
    Case(
        TIER, "", "metadata.name must have at most 48", [at("metadata.name", "a" * 48)], [at("metadata.name", "a" * 49)]
    ),
    Case(
        TIER,
        "",
        "metadata.name must start with a letter",
        [at("metadata.name", "home-2")],
        [at("metadata.name", name) for name in BAD_NAMES],
    ),
    Case(
        TIER,
        "spec",
        "the tier must have exactly one kind of storage",
        [{}, lustre(250, "8Ti"), nfs()],
        [
            {"spec": {"netAppFiles": GONE}},
            {"spec": {"managedLustre": {"capacity": "8Ti"}}},
            {"spec": {"existingNfs": {"server": "nfs", "exportPath": "/x"}}},
            {"spec": {"managedLustre": {"capacity": "8Ti"}, "existingNfs": {"server": "nfs", "exportPath": "/x"}}},
        ],
    ),
    Case(
        TIER,
        "spec.attach",
        "attach must be of the tier's kind",
        [at("spec.attach", VOLUME), attached_lustre(LUSTRE)],
        [at("spec.attach", LUSTRE), attached_lustre(VOLUME)],
    ),
    Case(TIER, "spec", "the kind of storage may not change", [{}], [lustre(250, "8Ti"), nfs()], before={}),
    Case(
        TIER,
        "spec",
        "the kind of storage may not change",
        [lustre(250, "8Ti")],
        [{"spec": {"managedLustre": GONE, "existingNfs": {"server": "nfs", "exportPath": "/x"}}}],
        before=lustre(250, "8Ti"),
    ),
    field(
        TIER,
        "spec.environmentRef.name",
        "environmentRef.name must be the name",
        ["genomics"],
        ["Climate", "a.b", "a b", ""],
    ),
    field(
        TIER, "spec.environmentRef.name", "environmentRef may not change", ["climate"], ["genomics"], before="climate"
    ),
    field(
        TIER,
        "spec.mountPath",
        "mountPath must be an absolute path below /",
        ["/home", "/data/project-1", "/srv/a.b/c_d"],
        [
            "home",
            "./home",
            "/",
            "//",
            "/home/",
            "/data//x",
            "/data/../etc",
            "/..",
            "/.x",
            "/my data",
            "~/home",
            "/a:b",
            "/a\n",
            "",
        ],
    ),
    field(
        TIER,
        "spec.mountPath",
        "mountPath may not cover a directory of the operating system",
        ["/opt/apps", "/usr/local", "/usr/share/data", "/etcetera", "/mnt/scratch", "/var/data"],
        ["/etc", "/etc/slurm", "/usr", "/usr/bin", "/opt", "/dev/shm", "/proc/1", "/root", "/var", "/tmp", "/run/x"],
    ),
    field(TIER, "spec.mountPath", "mountPath may not change", ["/home"], ["/data"], before="/home"),
    field(
        TIER,
        "spec.netAppFiles.serviceLevel",
        "serviceLevel may not change",
        ["Ultra"],
        ["Premium", GONE],
        before="Ultra",
    ),
    field(
        TIER,
        "spec.netAppFiles.capacity",
        "must be a whole number above 0 with the unit",
        ["1024Gi", "4Ti"],
        BAD_QUANTITIES,
    ),
    field(
        TIER,
        "spec.netAppFiles.capacity",
        "capacity of netAppFiles must be in steps of 1Ti",
        ["1Ti", "100Ti", "2048Gi"],
        ["3500Gi", "500Gi", "101Ti", "1Pi", "1.5Ti", "0"],
    ),
    field(
        TIER,
        "spec.netAppFiles.capacity",
        "capacity may only grow",
        ["4Ti", "5Ti", "4096Gi"],
        ["3Ti", "2048Gi"],
        before="4Ti",
    ),
    field(TIER, "spec.netAppFiles.protocol", "protocol may not change", ["NFSv4.1"], ["NFSv3", GONE], before="NFSv4.1"),
    Case(
        TIER,
        "spec.attach",
        "attach must be the ARM id of a NetApp volume or a Managed Lustre",
        [at("spec.attach", VOLUME), attached_lustre(LUSTRE)],
        [
            at("spec.attach", value)
            for value in (*BAD_ARM_IDS, VOLUME.rpartition("/volumes")[0], VOLUME + "/", subnet("x"))
        ],
    ),
    field(
        TIER,
        "spec.netAppFiles.account",
        "account must be the ARM id of a NetApp account",
        [ACCOUNT],
        [VOLUME, f"{ACCOUNT}/x", "netapp", ""],
    ),
    field(
        TIER,
        "spec.netAppFiles.account",
        "account may not change",
        [ACCOUNT],
        [f"{ACCOUNT}2", GONE],
        before=ACCOUNT,
    ),
    Case(
        TIER,
        "spec.netAppFiles.account",
        "account may not change",
        [{}],
        [at("spec.netAppFiles.account", ACCOUNT)],
        before={},
    ),
    Case(
        TIER,
        "spec.netAppFiles",
        "netAppFiles.account is for a volume that is made",
        [at("spec.netAppFiles.account", ACCOUNT)],
        [{"spec": {"attach": VOLUME, "netAppFiles": {"account": ACCOUNT}}}],
    ),
    Case(TIER, "spec.attach", "attach may not change", [{}], [at("spec.attach", VOLUME)], before={}),
    field(TIER, "spec.attach", "attach may not change", [VOLUME], [VOLUME + "2", GONE], before=VOLUME),
    *(
        Case(
            TIER,
            "spec.managedLustre.capacity",
            f"capacity with throughputPerTiB: {throughput} must be in steps of {step}Ti",
            [lustre(throughput, f"{step}Ti"), lustre(throughput, f"{2 * step}Ti"), lustre(throughput, f"{most}Ti")],
            [
                lustre(throughput, value)
                for value in ("5Ti", "3500Gi", "1.5Ti", "0", f"{step // 2}Ti", f"{step + 1}Ti", f"{most + step}Ti")
            ],
        )
        for throughput, step, most in ((40, 48, 768), (125, 16, 128), (250, 8, 128), (500, 4, 128))
    ),
    Case(
        TIER,
        "spec.managedLustre.throughputPerTiB",
        "throughputPerTiB may not change",
        [lustre(125, "16Ti")],
        [lustre(250, "16Ti"), at("spec.managedLustre.throughputPerTiB", GONE)],
        before=lustre(125, "16Ti"),
    ),
    Case(
        TIER,
        "spec.managedLustre.capacity",
        "must be a whole number above 0 with the unit",
        [lustre(250, "8Ti"), lustre(250, "8192Gi")],
        [lustre(250, value) for value in BAD_QUANTITIES],
    ),
    Case(
        TIER,
        "spec.managedLustre.capacity",
        "capacity of managedLustre may not change",
        [lustre(250, "16Ti")],
        [lustre(250, "8Ti"), lustre(250, "24Ti")],
        before=lustre(250, "16Ti"),
    ),
    Case(
        TIER,
        "spec.managedLustre.maintenanceWindow.timeOfDay",
        "timeOfDay must be hours and minutes",
        [lustre(250, "8Ti", maintenanceWindow={"timeOfDay": value}) for value in ("00:00", "23:59")],
        [
            lustre(250, "8Ti", maintenanceWindow={"timeOfDay": value})
            for value in ("24:00", "9:00", "23:60", "11 pm", "23:00Z")
        ],
    ),
    Case(
        TIER,
        "spec.existingNfs.server",
        "server must be a host name or an IPv4 address",
        [nfs("10.0.0.4"), nfs("nfs-1.example.org")],
        [nfs("nfs.example.org:/export"), nfs("nfs://x"), nfs("a b"), nfs("-x"), nfs("")],
    ),
    Case(
        TIER,
        "spec.existingNfs.exportPath",
        "exportPath must be an absolute path",
        [nfs(path="/"), nfs(path="/export/home")],
        [nfs(path="export"), nfs(path="/my export"), nfs(path="")],
    ),
    # --------------------------------------------------------------------------------------------- ComputePartition
    Case(
        PART, "", "metadata.name must have at most 40", [at("metadata.name", "a" * 40)], [at("metadata.name", "a" * 41)]
    ),
    Case(
        PART,
        "",
        "metadata.name must start with a letter",
        [at("metadata.name", "hpc-2")],
        [at("metadata.name", name) for name in BAD_NAMES],
    ),
    Case(
        PART,
        "",
        "metadata.name may not be default without a partitionName",
        [{"metadata": {"name": "default"}, "spec": {"partitionName": "hpc"}}, at("metadata.name", "defaults")],
        [at("metadata.name", "default")],
    ),
    Case(
        PART, "spec.partitionName", "partitionName may not change", [{}], [at("spec.partitionName", "hpc")], before={}
    ),
    field(PART, "spec.partitionName", "partitionName may not change", ["hpc"], ["debug"], before="hpc"),
    Case(
        PART,
        "spec.partitionName",
        "partitionName may not change",
        [at("spec.partitionName", "hpc")],
        [at("spec.partitionName", GONE)],
        before=at("spec.partitionName", "hpc"),
    ),
    field(
        PART,
        "spec.environmentRef.name",
        "environmentRef.name must be the name",
        ["genomics"],
        ["Climate", "a.b", "a b", ""],
    ),
    field(
        PART, "spec.environmentRef.name", "environmentRef may not change", ["climate"], ["genomics"], before="climate"
    ),
    field(
        PART,
        "spec.partitionName",
        "partitionName must start with a letter",
        ["hpc", "hpc-large-2"],
        ["HPC", "2hpc", "hpc_large", "hpc,debug", "hpc large", ""],
    ),
    field(PART, "spec.partitionName", "partitionName may not be default", ["defaults"], ["default"]),
    field(PART, "spec.vmSizes", "vmSizes may not be empty", [["Standard_HB176rs_v4"]], [[]]),
    field(
        PART,
        "spec.vmSizes",
        "vmSizes names a VM size twice",
        [VM_SIZES],
        [["Standard_HB176rs_v4", "Standard_HB176rs_v4"], ["Standard_D4s_v5", "Standard_HB176rs_v4", "Standard_D4s_v5"]],
    ),
    field(PART, "spec.vmSizes[]", "must be the full name of a VM size", VM_SIZES, BAD_VM_SIZES),
    Case(
        PART,
        "spec.nodes.min",
        "nodes.min may not be greater than nodes.max",
        [at("spec.nodes", value) for value in ({"min": 0, "max": 1}, {"min": 16, "max": 16}, {"min": GONE})],
        [at("spec.nodes", value) for value in ({"min": 17, "max": 16}, {"min": 17}, {"min": 5, "max": 4})],
    ),
    field(PART, "spec.nodes.idleTimeout", "must be a duration", DURATIONS, BAD_DURATIONS),
    Case(
        PART,
        "spec.image.galleryImage",
        "image.galleryImage must be the ARM id",
        [gallery(IMAGE), gallery(f"{IMAGE}/versions/1.2.3")],
        [gallery(value) for value in (VOLUME, f"{IMAGE}/versions", f"{IMAGE}/versions/", "nodes", "")],
    ),
    Case(
        PART,
        "spec.image",
        "the image must come from one place",
        [gallery(IMAGE), at("spec.image", {"urn": GONE})],
        [at("spec.image", {"urn": "a:b:c:latest", "galleryImage": IMAGE})],
    ),
    field(
        PART,
        "spec.image.urn",
        "image.urn must be publisher:offer:sku:version",
        ["microsoft-dsvm:ubuntu-hpc:2204:22.04.2025041101", "almalinux:almalinux-hpc:8_10-hpc-gen2:latest"],
        ["ubuntu-hpc", "a:b:c", "a:b:c:", "a:b:c:newest", "a:b:c:1.2", "/subscriptions/x/images/y", ""],
    ),
    Case(
        PART,
        "spec.rollout.maxSurge",
        "maxSurge and maxUnavailable may not both be 0",
        [
            at("spec.rollout", value)
            for value in (
                {"maxSurge": 0, "maxUnavailable": 1},
                {"maxSurge": 1, "maxUnavailable": "0%"},
                {"maxSurge": GONE},
            )
        ],
        [
            at("spec.rollout", value)
            for value in ({"maxSurge": 0}, {"maxSurge": "0%"}, {"maxSurge": 0, "maxUnavailable": "0%"})
        ],
    ),
    field(PART, "spec.rollout.maxSurge", "must be a number of nodes from 0 to 1000", SURGES, BAD_SURGES),
    field(PART, "spec.rollout.maxUnavailable", "must be a number of nodes from 0 to 1000", SURGES, BAD_SURGES),
    field(PART, "spec.rollout.drainTimeout", "must be a duration", DURATIONS, BAD_DURATIONS),
]


IDS = [f"{number}-{case.kind}-{case.at}-{case.says}" for number, case in enumerate(CASES)]


def rules(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the field that each rule below a node names, and its sentence."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path + rule.get("fieldPath", ""), rule["message"]
    for name, child in schema.get("properties", {}).items():
        yield from rules(child, f"{path}.{name}".removeprefix("."))
    if "items" in schema:
        yield from rules(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from rules(schema["additionalProperties"], f"{path}{{}}")


RULES = [(kind.__name__, path, message) for kind in KINDS for path, message in rules(root_schema(kind))]


def sentences(case: Case) -> set[str]:
    return {
        message
        for kind, path, message in RULES
        if (kind, path) == (case.kind, case.at) and message.startswith(case.says)
    }


def patched(document: Any, patch: Any) -> Any:
    """Return the document after a JSON merge patch."""
    if not isinstance(patch, dict):
        return patch
    result = copy.deepcopy(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is GONE:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), value)
    return result


def manifest(kind: str, *patches: Patch) -> str:
    document = GOOD[kind]
    for patch in patches:
        document = patched(document, patch)
    return json.dumps(document)


def test_every_rule_has_a_good_and_a_bad_case() -> None:
    covered = {
        (case.kind, case.at, sentence) for case in CASES if case.good and case.bad for sentence in sentences(case)
    }
    assert set(RULES) - covered == set()


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_every_case_means_one_rule(case: Case) -> None:
    assert len(sentences(case)) == 1


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_rule(case: Case, crd_cluster: Cluster, namespace: str) -> None:
    def apply(*args: str, text: str) -> subprocess.CompletedProcess[str]:
        return crd_cluster.kubectl("apply", "-n", namespace, "-f", "-", *args, input=text, check=False)

    (sentence,) = sentences(case)
    before = [] if case.before is None else [case.before]
    if before:
        created = apply(text=manifest(case.kind, *before))
        assert created.returncode == 0, created.stderr
    for patch in case.good:
        accepted = apply("--dry-run=server", text=manifest(case.kind, *before, patch))
        assert accepted.returncode == 0, f"{patch} was refused: {accepted.stderr}"
        assert "Warning" not in accepted.stderr
    for patch in case.bad:
        refused = apply("--dry-run=server", text=manifest(case.kind, *before, patch))
        assert refused.returncode != 0, f"{patch} was accepted"
        assert sentence in refused.stderr, f"{patch} was refused for another reason"
        for jargon in ("should match", "evaluating rule", "no such", "failed rule"):
            assert jargon not in refused.stderr


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_plan_judges_as_the_api_server_does(case: Case, tmp_path: Path) -> None:
    """`hpc-operator plan` reads manifests where there is no API server, and has to refuse what that would refuse."""
    if case.before is not None:
        pytest.skip("a rule about an edit, and a manifest has nothing before it")
    (sentence,) = sentences(case)
    file = tmp_path / "manifest.json"

    def errors(patch: Patch) -> list[str]:
        file.write_text(manifest(case.kind, patch))
        manifests = Manifests("default")
        manifests.read(str(file))
        return manifests.errors

    for patch in case.good:
        assert errors(patch) == []
    for patch in case.bad:
        found = errors(patch)
        # What is not even of the right form is refused for that, and no rule about several fields is tried then.
        assert any(sentence in error for error in found) or any("must be" in error for error in found), patch
