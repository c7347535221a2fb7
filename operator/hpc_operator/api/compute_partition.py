"""ComputePartition: one scheduler partition of an environment; editing its VM sizes is what this project is for."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hpc_operator.api.common import (
    IN_GROUP_PATTERN,
    Conditions,
    CustomResource,
    Duration,
    EnvironmentRef,
    Model,
    VmSize,
    name_rules,
)
from hpc_operator.api.schema import Check, KindInfo, PrinterColumn, Rule, Scale, Update, matches, setting

DEFAULT_IMAGE = "microsoft-dsvm:ubuntu-hpc:2204:latest"
"""Not a default of the CRD: what the API server writes stays when a user adds galleryImage later, and both are refused.
Another one here would replace the nodes of every partition that names none."""
_PERCENT = r"^(100|[1-9]?[0-9])%$"
IntOrPercent = Annotated[
    int | str,
    Field(json_schema_extra={"x-kubernetes-int-or-string": True, "maxLength": 16}),
    Check(
        Rule(
            f"type(self) == int ? self >= 0 && self <= 1000 : self.matches(r'{_PERCENT}')",
            "must be a number of nodes from 0 to 1000 or a percentage from 0% to 100%: write for example 2 or 25%",
        ),
        lambda value: 0 <= value <= 1000 if isinstance(value, int) else re.fullmatch(_PERCENT, value) is not None,  # noqa: PLR2004
    ),
]
"""A number of nodes, or a percentage of the wanted nodes such as 25%."""


class Nodes(Model):
    """How many nodes there may be."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.min <= self.max", "nodes.min may not be greater than nodes.max: raise max or lower min", ".min"),
    )
    min: int = setting(
        0,
        update=Update.IN_PLACE,
        because="nodes are added and removed one by one",
        description="Number of nodes that are kept running. `kubectl scale` sets it.",
        ge=0,
        le=1000,
    )
    max: int = setting(
        update=Update.IN_PLACE,
        because="it is a limit",
        description="Most nodes that the partition may have.",
        ge=1,
        le=1000,
    )
    idle_timeout: Duration = setting(
        "10m",
        update=Update.IN_PLACE,
        because="Slurm reads its configuration anew while jobs run",
        description="How long a node beyond min stays idle before it goes.",
    )


class Image(Model):
    """The image of a node."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.urn) || !has(self.galleryImage)",
            "the image must come from one place: write either urn (an image of the marketplace) or galleryImage (one "
            "of a gallery of yours)",
        ),
    )
    urn: (
        Annotated[
            str,
            Field(max_length=256),
            matches(
                r"^[A-Za-z0-9._-]+:[A-Za-z0-9._-]+:[A-Za-z0-9._-]+:([0-9]+[.][0-9]+[.][0-9]+|latest)$",
                "image.urn must be publisher:offer:sku:version with a version such as 22.04.2025041101 or latest: "
                f"write for example {DEFAULT_IMAGE}",
            ),
        ]
        | None
    ) = setting(
        None,
        update=Update.ROLL,
        because="the system disk of a node is made from its image",
        description="Marketplace image as publisher:offer:sku:version. `latest` is resolved once and stands in status; "
        f"write a version to roll out another one. {DEFAULT_IMAGE} where neither this nor galleryImage is written.",
    )
    gallery_image: (
        Annotated[
            str,
            Field(max_length=512),
            matches(
                rf"{IN_GROUP_PATTERN}Microsoft[.]Compute/galleries/[^/]+/images/[^/]+(/versions/[^/]+)?$",
                "image.galleryImage must be the ARM id of an image version or an image definition of a gallery: write "
                "/subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.Compute/galleries/GALLERY/images/IMAGE/"
                "versions/VERSION, as `az sig image-version show --query id` prints it",
            ),
        ]
        | None
    ) = setting(
        None,
        update=Update.ROLL,
        because="the system disk of a node is made from its image",
        description="ARM id of an image version of a Compute Gallery. That of an image definition means its newest "
        "version: it is resolved once and stands in status.",
    )

    @property
    def reference(self) -> str:
        """The URN or the ARM id."""
        return self.gallery_image or self.urn or DEFAULT_IMAGE

    @property
    def version(self) -> str:
        """The version that is named; `latest` where the newest is meant."""
        separator = "/versions/" if self.gallery_image else ":"
        _, found, version = self.reference.rpartition(separator)
        return version if found else "latest"


class Rollout(Model):
    """How an edit that needs new nodes is carried out."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(string(self.maxSurge) in ['0', '0%'] && string(self.maxUnavailable) in ['0', '0%'])",
            "maxSurge and maxUnavailable may not both be 0, else no node could ever be replaced: write maxSurge: 25%",
            ".maxSurge",
        ),
    )
    max_surge: IntOrPercent = setting(
        "25%",
        update=Update.NOTHING,
        because="says how the next edit is carried out",
        description="How many nodes more than wanted there may be meanwhile: a number, or a percentage of the wanted "
        "nodes, rounded up.",
    )
    max_unavailable: IntOrPercent = setting(
        0,
        update=Update.NOTHING,
        because="says how the next edit is carried out",
        description="How many nodes fewer than wanted there may be meanwhile: a number, or a percentage of the wanted "
        "nodes, rounded down.",
    )
    drain_timeout: Duration = setting(
        "24h",
        update=Update.NOTHING,
        because="says how the next edit is carried out",
        description="How long a drained node may go on with its jobs.",
    )
    on_drain_timeout: Literal["Wait", "Requeue", "Cancel"] = setting(
        "Wait",
        update=Update.NOTHING,
        because="says how the next edit is carried out",
        description="What happens to jobs on a node that is still busy after drainTimeout.",
    )


class ComputePartitionSpec(Model):
    """What the owner of a partition wants."""

    environment_ref: EnvironmentRef = setting(
        update=Update.BLOCKED,
        because="environmentRef may not change: delete this object and create it for the other environment",
        description="The environment that this partition belongs to.",
    )
    partition_name: (
        Annotated[
            str,
            Field(max_length=32),
            matches(
                r"^[a-z][a-z0-9-]*$",
                "partitionName must start with a letter and have only lower-case letters, digits and hyphens: "
                "write for example hpc",
            ),
        ]
        | None
    ) = setting(
        None,
        update=Update.BLOCKED,
        because="partitionName may not change, because job scripts use it: create a second partition",
        description="Name that users give to sbatch --partition; metadata.name where it is left out.",
        rules=(
            Rule(
                "self != 'default'",
                "partitionName may not be default, which Slurm reserves: write for example hpc",
            ),
        ),
    )
    vm_sizes: tuple[VmSize, ...] = setting(
        update=Update.ROLL,
        because="a node of another VM size is another VM",
        description="Names of VM sizes in order of preference: where Azure has no room for one, the next is taken.",
        max_length=10,
        rules=(
            Rule("size(self) > 0", "vmSizes may not be empty: write at least one, such as Standard_HB176rs_v4"),
            Rule("self.all(a, self.exists_one(b, a == b))", "vmSizes names a VM size twice: write each one once"),
        ),
        extra={"x-kubernetes-list-type": "atomic"},
    )
    nodes: Nodes = setting(
        update=Update.IN_PLACE,
        because="see the fields",
        description="How many nodes there may be.",
    )
    priority: Literal["Regular", "Spot"] = setting(
        "Regular",
        update=Update.ROLL,
        because="Azure fixes the priority of a VM when it is made",
        description="Regular, or Spot for spare capacity that Azure may take back with 30 seconds' notice.",
    )
    image: Image = setting(
        {},
        update=Update.ROLL,
        because="the system disk of a node is made from its image",
        description="The image of a node.",
    )
    rollout: Rollout = setting(
        {},
        update=Update.NOTHING,
        because="says how the next edit is carried out",
        description="How an edit that needs new nodes is carried out.",
    )


class ResolvedImage(Model):
    """The image version that nodes are made from."""

    urn: str = Field(description="The URN or ARM id that was resolved.", max_length=512)
    version: str = Field(description="The version that `latest` meant when it was resolved.", max_length=64)


class NodeCounts(Model):
    """Nodes by what they are doing."""

    desired: int = Field(0, description="Nodes that ought to run.", ge=0)
    ready: int = Field(0, description="Nodes whose VM runs.", ge=0)
    updated: int = Field(0, description="Ready nodes of the present generation.", ge=0)
    creating: int = Field(0, description="Nodes on their way up.", ge=0)
    deleting: int = Field(0, description="Nodes on their way down.", ge=0)
    failed: int = Field(0, description="Nodes whose VM Azure could not make.", ge=0)


class ComputePartitionStatus(Model):
    """What was observed."""

    observed_generation: int = Field(0, description="metadata.generation that was looked at.", ge=0)
    conditions: Conditions = Field((), description="Ready, and Reconciling or Stalled.")
    image: ResolvedImage | None = Field(None, description="The image version that nodes are made from.")
    node_generation: str = Field("", description="Name of the present generation of nodes.", max_length=64)
    vm_size: str = Field("", description="VM size of the present generation.", max_length=64)
    rolling_to: str = Field(
        "", description="The generation that nodes are being replaced by; empty where none are.", max_length=64
    )
    node_tags: str = Field("", description="Hash of the tags that nodes were given last.", max_length=16)
    nodes: NodeCounts | None = Field(None, description="Nodes by what they are doing.")
    selector: str = Field("", description="Label selector for the scale subresource.", max_length=256)


class ComputePartition(CustomResource):
    """One scheduler partition of an HPC environment."""

    info: ClassVar[KindInfo] = KindInfo(
        plural="computepartitions",
        singular="computepartition",
        short_names=("hpcpart",),
        columns=(
            PrinterColumn("Environment", ".spec.environmentRef.name"),
            PrinterColumn("VM size", ".status.vmSize"),
            PrinterColumn("Desired", ".status.nodes.desired", type="integer"),
            PrinterColumn("Nodes", ".status.nodes.ready", type="integer"),
            PrinterColumn("Updated", ".status.nodes.updated", type="integer"),
            PrinterColumn("Max", ".spec.nodes.max", type="integer"),
            PrinterColumn("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            PrinterColumn("Age", ".metadata.creationTimestamp", type="date"),
            PrinterColumn("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1),
        ),
        rules=(
            *name_rules(40),
            Rule(
                "has(self.spec.partitionName) || self.metadata.name != 'default'",
                "metadata.name may not be default without a partitionName, because Slurm reserves that name: "
                "write another name, or partitionName: hpc",
            ),
        ),
        scale=Scale(".spec.nodes.min", ".status.nodes.ready", ".status.selector"),
        selectable=(".spec.environmentRef.name",),
    )
    spec: ComputePartitionSpec
    status: ComputePartitionStatus = ComputePartitionStatus()

    @property
    def partition_name(self) -> str:
        """The partition's name in Slurm."""
        return self.spec.partition_name or self.metadata.name
