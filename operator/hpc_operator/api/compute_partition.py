"""ComputePartition: one scheduler partition of an environment; editing its VM sizes is what this project is for."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hpc_operator.api.common import Conditions, CustomResource, Duration, EnvironmentRef, Model
from hpc_operator.api.hpc_environment import VmSize
from hpc_operator.api.schema import KindInfo, PrinterColumn, Rule, Scale, Update, setting

DEFAULT_IMAGE = "microsoft-dsvm:ubuntu-hpc:2204:latest"
IntOrPercent = Annotated[
    int | Annotated[str, Field(pattern=r"^(100|[1-9]?[0-9])%$", max_length=4)],
    Field(json_schema_extra={"x-kubernetes-int-or-string": True}),
]
"""A number of nodes, or a percentage of `nodes.min` such as 25%, rounded up."""


class Nodes(Model):
    """How many nodes there may be."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.min <= self.max", "nodes.min must not be greater than nodes.max: raise max or lower min", ".min"),
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

    urn: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9._-]+:[A-Za-z0-9._-]+:[A-Za-z0-9._-]+:[A-Za-z0-9._-]+$", max_length=256)
    ] = setting(
        DEFAULT_IMAGE,
        update=Update.ROLL,
        because="the system disk of a node is made from its image",
        description="Marketplace image as publisher:offer:sku:version. `latest` is resolved once and stands in status; "
        "write a version to roll out another one.",
    )


class Rollout(Model):
    """How an edit that needs new nodes is carried out."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(string(self.maxSurge) in ['0', '0%'] && string(self.maxUnavailable) in ['0', '0%'])",
            "maxSurge and maxUnavailable may not both be 0, else no node could ever be replaced: write maxSurge: 25%",
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
    partition_name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=32)] | None = setting(
        None,
        update=Update.BLOCKED,
        because="partitionName may not change, because job scripts use it: create a second partition",
        description="Name that users give to sbatch --partition; metadata.name where it is left out.",
    )
    vm_sizes: tuple[VmSize, ...] = setting(
        update=Update.ROLL,
        because="a node of another VM size is another VM",
        description="VM sizes in order of preference; the first is used.",
        min_length=1,
        max_length=10,
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

    urn: str = Field(description="The URN that was resolved.", max_length=256)
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
            Rule(
                "size(self.metadata.name) <= 40",
                "metadata.name must have at most 40 characters, because the names of nodes are made from it",
            ),
        ),
        scale=Scale(".spec.nodes.min", ".status.nodes.ready", ".status.selector"),
    )
    spec: ComputePartitionSpec
    status: ComputePartitionStatus = ComputePartitionStatus()

    @property
    def partition_name(self) -> str:
        """The partition's name in Slurm."""
        return self.spec.partition_name or self.metadata.name
