"""StorageTier: one file system of an environment and where it is mounted."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hpc_operator.api.common import (
    IN_GROUP_PATTERN,
    Conditions,
    CustomResource,
    EnvironmentRef,
    Model,
    Quantity,
    name_rules,
)
from hpc_operator.api.schema import KindInfo, PrinterColumn, Rule, Update, matches, setting

_TEBIBYTE = 2**40


def _steps(capacity: str, step: int, most: int) -> str:
    """Return CEL that tells whether a capacity is a multiple of `step` TiB up to `most` TiB.

    What is no quantity at all passes: the check of the type has its own sentence for that, and `quantity()` would fail.
    By way of a float, which is exact here, because Kubernetes takes nothing from 100Ti on for an integer.
    """
    return (
        f"!isQuantity({capacity}) || (quantity({capacity}).compareTo(quantity('{step}Ti')) >= 0"
        f" && quantity({capacity}).compareTo(quantity('{most}Ti')) <= 0"
        f" && int(quantity({capacity}).asApproximateFloat()) % {step * _TEBIBYTE} == 0)"
    )


class NetAppFiles(Model):
    """A volume of Azure NetApp Files in a capacity pool of its own."""

    account: (
        Annotated[
            str,
            Field(max_length=512),
            matches(
                rf"{IN_GROUP_PATTERN}Microsoft[.]NetApp/netAppAccounts/[^/]+$",
                "account must be the ARM id of a NetApp account: write /subscriptions/ID/resourceGroups/GROUP/"
                "providers/Microsoft.NetApp/netAppAccounts/NAME, as `az netappfiles account show --query id` prints it",
            ),
        ]
        | None
    ) = setting(
        None,
        update=Update.BLOCKED,
        because="account may not change, because Azure cannot move a volume to another account: create a second tier "
        "and move the data",
        description="ARM id of a NetApp account that is there already: pool and volume are made in it, and it stays. "
        "Where it is left out, the environment gets an account of its own.",
    )
    service_level: Literal["Standard", "Premium", "Ultra"] = setting(
        "Premium",
        update=Update.BLOCKED,
        because="serviceLevel may not change yet: create a second tier and move the data",
        description="Service level: 16, 64 or 128 MiB/s per TiB.",
    )
    capacity: Quantity = setting(
        update=Update.IN_PLACE,
        because="Azure grows pool and volume in place, while they are mounted",
        description="Capacity in whole Ti, from 1Ti to 100Ti.",
        rules=(
            Rule(
                _steps("self", 1, 100),
                "capacity of netAppFiles must be in steps of 1Ti, from 1Ti to 100Ti: write for example 4Ti",
            ),
            Rule(
                "!isQuantity(self) || quantity(self).compareTo(quantity(oldSelf)) >= 0",
                "capacity may only grow, because data would be lost: write at least the capacity it has",
            ),
        ),
    )
    protocol: Literal["NFSv3", "NFSv4.1"] = setting(
        "NFSv3",
        update=Update.BLOCKED,
        because="protocol may not change, because Azure can only replace the volume: create a second tier and move the "
        "data",
        description="NFS version that the volume speaks.",
    )


class MaintenanceWindow(Model):
    """When Azure may maintain the file system."""

    day_of_week: Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"] = setting(
        "Saturday",
        update=Update.IN_PLACE,
        because="Azure changes the maintenance window in place",
        description="Day of the week, in UTC.",
    )
    time_of_day: Annotated[
        str,
        Field(max_length=16),
        matches(
            r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
            "timeOfDay must be hours and minutes in UTC with two digits each: write for example 23:00",
        ),
    ] = setting(
        "23:00",
        update=Update.IN_PLACE,
        because="Azure changes the maintenance window in place",
        description="Start, HH:MM in UTC.",
    )


# Steps and limits: Microsoft's "Create an Azure Managed Lustre file system". More than that takes a support request.
LUSTRE_SIZES: dict[str, tuple[int, int]] = {"40": (48, 768), "125": (16, 128), "250": (8, 128), "500": (4, 128)}
"""Throughput in MB/s per TiB → (step and minimum, maximum), both in TiB."""


class ManagedLustre(Model):
    """An Azure Managed Lustre file system."""

    rules: ClassVar[tuple[Rule, ...]] = tuple(
        Rule(
            f"self.throughputPerTiB != {throughput} || {_steps('self.capacity', step, most)}",
            f"capacity with throughputPerTiB: {throughput} must be in steps of {step}Ti, from {step}Ti to {most}Ti: "
            f"write for example {2 * step}Ti",
            ".capacity",
        )
        for throughput, (step, most) in LUSTRE_SIZES.items()
    )
    throughput_per_ti_b: Literal[40, 125, 250, 500] = setting(
        250,
        alias="throughputPerTiB",
        update=Update.BLOCKED,
        because="throughputPerTiB may not change, because Azure can only replace the file system: create a second tier "
        "and move the data",
        description="Throughput in MB/s per TiB; selects the SKU AMLFS-Durable-Premium-40, -125, -250 or -500.",
    )
    capacity: Quantity = setting(
        update=Update.BLOCKED,
        because="capacity of managedLustre may not change yet: create a second tier of the new size and move the data",
        description="Capacity in Ti: steps of 48Ti, 16Ti, 8Ti or 4Ti for throughputPerTiB 40, 125, 250 or 500.",
    )
    maintenance_window: MaintenanceWindow = setting(
        {},
        update=Update.IN_PLACE,
        because="Azure changes the maintenance window in place",
        description="When Azure may maintain the file system.",
    )


class ExistingNfs(Model):
    """An NFS export that is there already: mounted, never changed."""

    server: Annotated[
        str,
        Field(max_length=253),
        matches(
            r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
            "server must be a host name or an IPv4 address, without the export path: write for example nfs.example.org",
        ),
    ] = setting(
        update=Update.NEW_ONLY,
        because="nodes mount at boot",
        description="Host name or address of the NFS server.",
    )
    export_path: Annotated[
        str,
        Field(max_length=1024),
        matches(
            r"^/[^\s\x00-\x1f\x7f-\x9f]*$",
            "exportPath must be an absolute path without spaces and control characters: write for example /export/home",
        ),
    ] = setting(
        update=Update.NEW_ONLY,
        because="nodes mount at boot",
        description="Exported path, absolute.",
    )


# Below the first group everything belongs to the system; of the second group the directory itself, while a mount
# below it (such as /opt/apps or /usr/local) is usual at HPC sites. /opt holds the MPI libraries of the HPC images.
_SYSTEM_PATHS = (
    r"^/(bin|boot|dev|etc|lib|lib32|lib64|proc|run|sbin|sys)(/|$)|^/(opt|root|tmp|usr|usr/bin|usr/lib|var|var/lib)$"
)


class StorageTierSpec(Model):
    """What the owner of a storage tier wants."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.netAppFiles), has(self.managedLustre), has(self.existingNfs)].filter(x, x).size() == 1",
            "the tier must have exactly one kind of storage: write one of netAppFiles, managedLustre and existingNfs",
        ),
        Rule(
            "has(self.netAppFiles) == has(oldSelf.netAppFiles) && has(self.managedLustre) == has(oldSelf.managedLustre)"
            " && has(self.existingNfs) == has(oldSelf.existingNfs)",
            "the kind of storage may not change, because data would be lost: create a second tier and move the data",
        ),
        Rule(
            "!has(self.attach) || (self.attach.contains('/Microsoft.NetApp/') ? has(self.netAppFiles)"
            " : has(self.managedLustre))",
            "attach must be of the tier's kind: write the id of a volume for netAppFiles, and that of an AML file "
            "system for managedLustre",
            ".attach",
        ),
        Rule(
            "!has(self.attach) || !has(self.netAppFiles) || !has(self.netAppFiles.account)",
            "netAppFiles.account is for a volume that is made: leave it out beside attach",
            ".netAppFiles",
        ),
    )
    environment_ref: EnvironmentRef = setting(
        update=Update.BLOCKED,
        because="environmentRef may not change: delete this object and create it for the other environment",
        description="The environment that this tier belongs to.",
    )
    purpose: Literal["Home", "Scratch", "Project", "Archive"] = setting(
        update=Update.IN_PLACE,
        because="a tag in Azure",
        description="What the tier is for.",
    )
    mount_path: Annotated[
        str,
        Field(max_length=255),
        matches(
            r"^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$",
            "mountPath must be an absolute path below /, without a trailing slash, spaces or parts that start with a "
            "dot: write for example /home",
        ),
    ] = setting(
        update=Update.BLOCKED,
        because="mountPath may not change, because jobs use it: create a second tier",
        description="Where nodes mount the tier: an absolute path.",
        rules=(
            Rule(
                f"!self.matches(r'{_SYSTEM_PATHS}')",
                "mountPath may not cover a directory of the operating system: write for example /home or /scratch",
            ),
        ),
    )
    net_app_files: NetAppFiles | None = setting(
        None,
        update=Update.IN_PLACE,
        because="see the fields",
        description="A volume of Azure NetApp Files.",
    )
    managed_lustre: ManagedLustre | None = setting(
        None,
        update=Update.IN_PLACE,
        because="see the fields",
        description="An Azure Managed Lustre file system.",
    )
    existing_nfs: ExistingNfs | None = setting(
        None,
        update=Update.NEW_ONLY,
        because="nodes mount at boot",
        description="An NFS export that is there already.",
    )
    attach: (
        Annotated[
            str,
            Field(max_length=512),
            matches(
                rf"{IN_GROUP_PATTERN}(Microsoft[.]NetApp/netAppAccounts/[^/]+/capacityPools/[^/]+/volumes/[^/]+|"
                r"Microsoft[.]StorageCache/amlFilesystems/[^/]+)$",
                "attach must be the ARM id of a NetApp volume or a Managed Lustre file system: write the id that the "
                "Event DataRetained or status.deletion.kept showed",
            ),
        ]
        | None
    ) = setting(
        None,
        update=Update.BLOCKED,
        because="attach may not change, because data would be lost: create a second tier",
        description="ARM id of a file system that exists, such as one that an earlier environment left behind: it is "
        "taken over with its data instead of making an empty one.",
    )
    deletion_policy: Literal["Retain", "Delete"] = setting(
        "Retain",
        update=Update.NOTHING,
        because="says what happens later",
        description="What happens to the data when this tier or its environment is deleted: Retain keeps the file "
        "system in Azure (it goes on to cost money), Delete deletes it.",
    )


class Mount(Model):
    """How a node mounts the tier."""

    source: str = Field("", description="What is mounted, such as 10.40.0.36:/climate-home.", max_length=1024)
    type: str = Field("", description="File system type, such as nfs or lustre.", max_length=32)
    options: str = Field("", description="Mount options.", max_length=512)


class StorageTierStatus(Model):
    """What was observed."""

    observed_generation: int = Field(0, description="metadata.generation that was looked at.", ge=0)
    conditions: Conditions = Field((), description="Ready, and Reconciling or Stalled.")
    capacity: str = Field("", description="Capacity that the file system has now.", max_length=16)
    mount: Mount | None = Field(None, description="How a node mounts the tier, once the file system is there.")


class StorageTier(CustomResource):
    """One file system of an HPC environment."""

    info: ClassVar[KindInfo] = KindInfo(
        plural="storagetiers",
        singular="storagetier",
        short_names=("hpcst",),
        columns=(
            PrinterColumn("Environment", ".spec.environmentRef.name"),
            PrinterColumn("Purpose", ".spec.purpose"),
            PrinterColumn("Path", ".spec.mountPath"),
            PrinterColumn("Capacity", ".status.capacity"),
            PrinterColumn("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            PrinterColumn("Age", ".metadata.creationTimestamp", type="date"),
            PrinterColumn("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1),
        ),
        rules=name_rules(48),
        selectable=(".spec.environmentRef.name",),
    )
    spec: StorageTierSpec
    status: StorageTierStatus = StorageTierStatus()
