"""HPCEnvironment: resource group, network and access, base services and entry point of one HPC environment."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hpc_operator.api.common import Conditions, CustomResource, Model
from hpc_operator.api.schema import KindInfo, PrinterColumn, Rule, Update, setting

_CIDR = r"^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])/([0-9]|[12][0-9]|3[0-2])$"
_VM_SIZE = r"^(Standard|Basic)_[A-Za-z0-9_-]+$"
_SUBNET_ID = (
    r"^/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+$"
)
Cidr = Annotated[str, Field(pattern=_CIDR, max_length=18)]
VmSize = Annotated[str, Field(pattern=_VM_SIZE, max_length=64)]
SubnetId = Annotated[str, Field(pattern=_SUBNET_ID, max_length=512)]


class ExistingSubnets(Model):
    """Subnets that the cloud administrator made: used, never changed, never deleted."""

    compute: SubnetId = setting(
        update=Update.BLOCKED,
        because="a running environment cannot move to another subnet: create a new environment",
        description="ARM id of the subnet for compute nodes.",
    )
    services: SubnetId = setting(
        update=Update.BLOCKED,
        because="a running environment cannot move to another subnet: create a new environment",
        description="ARM id of the subnet for scheduler, login nodes and private endpoints.",
    )
    net_app: SubnetId | None = setting(
        None,
        update=Update.BLOCKED,
        because="a running environment cannot move to another subnet: create a new environment",
        description="ARM id of a subnet delegated to Microsoft.NetApp/volumes; needed for netAppFiles tiers.",
    )
    lustre: SubnetId | None = setting(
        None,
        update=Update.BLOCKED,
        because="a running environment cannot move to another subnet: create a new environment",
        description="ARM id of a subnet for managedLustre tiers.",
    )


class ExistingNetwork(Model):
    """A virtual network that is there already and is only referenced."""

    subnets: ExistingSubnets = setting(
        update=Update.BLOCKED,
        because="a running environment cannot move to another network: create a new environment",
        description="The subnets to use, all of one virtual network.",
    )


class Bastion(Model):
    """An Azure Bastion host in the virtual network."""

    sku: Literal["Basic", "Standard"] = setting(
        "Standard",
        update=Update.IN_PLACE,
        because="Azure upgrades a Bastion host in place",
        description="Bastion SKU. Standard is needed for native SSH clients (tunnelling).",
        rules=(
            Rule(
                "!(oldSelf == 'Standard' && self == 'Basic')",
                "Azure does not downgrade a Bastion host: leave sku: Standard",
            ),
        ),
    )


class Access(Model):
    """How people get into the private network."""

    bastion: Bastion | None = setting(
        None,
        update=Update.IN_PLACE,
        because="a Bastion host is made or removed beside everything else",
        description="Make an Azure Bastion host. Leave it out where a VPN or ExpressRoute leads into the network.",
    )
    allowed_sources: tuple[Cidr, ...] = setting(
        [],
        update=Update.IN_PLACE,
        because="security rules change in place",
        description="Address ranges, such as those of the site's own network, that may reach login nodes by SSH.",
        max_length=32,
        extra={"x-kubernetes-list-type": "set"},
    )


class Network(Model):
    """The environment's network: a new one planned from `addressSpace`, or an existing one."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.addressSpace) != has(self.existing)",
            "write exactly one of addressSpace (a new virtual network) and existing (a network that is there already)",
        ),
        Rule(
            "has(self.addressSpace) == has(oldSelf.addressSpace) && has(self.existing) == has(oldSelf.existing)",
            "a running environment cannot move to another network: create a new environment",
        ),
        Rule(
            "!has(self.existing) || !has(self.access) || !has(self.access.bastion)",
            "access.bastion belongs to a network that the operator makes: leave it out beside existing",
        ),
    )
    address_space: tuple[Cidr, ...] | None = setting(
        None,
        update=Update.BLOCKED,
        because="addressSpace may not change, because subnets in use cannot move: create a new environment",
        description="Address ranges of the new virtual network in CIDR notation; subnets are planned from the first. "
        "/24 has room for about 100 nodes, /20 for about 2000.",
        min_length=1,
        max_length=4,
        extra={"x-kubernetes-list-type": "atomic"},
    )
    existing: ExistingNetwork | None = setting(
        None,
        update=Update.BLOCKED,
        because="a running environment cannot move to another network: create a new environment",
        description="Use a virtual network that is there already; it is never changed.",
    )
    access: Access = setting(
        {},
        update=Update.IN_PLACE,
        because="access is added and removed beside everything else",
        description="How people get into the private network.",
    )


class Slurm(Model):
    """The Slurm controller."""

    vm_size: VmSize = setting(
        "Standard_D4s_v5",
        update=Update.IN_PLACE,
        because="Azure resizes the VM with a reboot; running jobs survive a restart of slurmctld",
        description="VM size of the scheduler.",
    )
    state_disk_size: Annotated[str, Field(pattern=r"^[1-9][0-9]*Gi$", max_length=8)] = setting(
        "64Gi",
        update=Update.IN_PLACE,
        because="Azure grows a data disk in place",
        description="Size of the data disk that holds Slurm's state, in Gi.",
        rules=(
            Rule(
                "quantity(self).compareTo(quantity(oldSelf)) >= 0",
                "a disk cannot shrink: write at least the size it has",
            ),
        ),
    )
    config: tuple[Annotated[str, Field(max_length=1024)], ...] = setting(
        [],
        update=Update.IN_PLACE,
        because="slurmctld reads its configuration anew while jobs run",
        description="Extra lines of slurm.conf, such as `MaxJobCount=50000`.",
        max_length=200,
        extra={"x-kubernetes-list-type": "atomic"},
    )


class Scheduler(Model):
    """The job scheduler."""

    slurm: Slurm = setting(
        update=Update.IN_PLACE,
        because="see the fields",
        description="Run Slurm; write `slurm: {}` for the defaults.",
    )


class LoginNodes(Model):
    """Login nodes, where users submit jobs."""

    count: int = setting(
        1,
        update=Update.IN_PLACE,
        because="login nodes are added and removed one by one",
        description="Number of login nodes.",
        ge=0,
        le=20,
    )
    vm_size: VmSize = setting(
        "Standard_D4s_v5",
        update=Update.IN_PLACE,
        because="Azure resizes the VM with a reboot",
        description="VM size of a login node.",
    )


class EntryPoint(Model):
    """Where end users come in."""

    login_nodes: LoginNodes = setting(
        {},
        update=Update.IN_PLACE,
        because="see the fields",
        description="Login nodes for SSH.",
    )


class HPCEnvironmentSpec(Model):
    """What the owner of an environment wants."""

    location: Annotated[str, Field(pattern=r"^[a-z0-9]+$", max_length=64)] = setting(
        update=Update.BLOCKED,
        because="location may not change, because Azure cannot move an environment: create a new one in the other region",
        description="Short name of the Azure region, such as westeurope.",
    )
    tags: dict[str, Annotated[str, Field(max_length=256)]] = setting(
        {},
        update=Update.IN_PLACE,
        because="Azure changes tags in place",
        description="Tags for every Azure resource of the environment, for cost and policy.",
        max_length=15,
    )
    network: Network = setting(
        update=Update.IN_PLACE,
        because="see the fields",
        description="The private network and the ways into it.",
    )
    scheduler: Scheduler = setting(
        update=Update.IN_PLACE,
        because="see the fields",
        description="The job scheduler.",
    )
    entry_point: EntryPoint = setting(
        {},
        update=Update.IN_PLACE,
        because="see the fields",
        description="Where end users come in.",
    )
    ssh_public_keys: tuple[
        Annotated[str, Field(pattern=r"^(ssh-rsa|ssh-ed25519) [A-Za-z0-9+/=]+", max_length=2048)], ...
    ] = setting(
        [],
        update=Update.NEW_ONLY,
        because="Azure does not change the keys of a VM that exists",
        description="SSH public keys of the administrators, for the account hpcadmin on every VM made from now on.",
        max_length=20,
        extra={"x-kubernetes-list-type": "set"},
    )


class ManagedResource(Model):
    """One Azure resource that this environment holds."""

    id: str = Field(description="ARM id.", max_length=1024)
    owner: str = Field(description="Kind/name of the custom resource it belongs to.", max_length=320)
    state: str = Field(description="Pending, Creating, Updating, Deleting, Ready, Failed or Kept.", max_length=32)
    order: int = Field(0, description="Depth in the dependency graph: what is deeper goes first on deletion.", ge=0)


class Operation(Model):
    """One long-running operation of Azure that is being followed."""

    id: str = Field(description="ARM id of the resource.", max_length=1024)
    verb: Literal["PUT", "PATCH", "DELETE"] = Field(description="The request that started it.")
    url: str = Field("", description="Operation URL that Azure gave; empty when Azure gave none.", max_length=8192)
    start_time: str = Field(description="When it was started.", json_schema_extra={"format": "date-time"})


class Summary(Model):
    """Short texts for `kubectl get`."""

    resources: str = Field("", description="Resources that are ready / all.", max_length=32)
    nodes: str = Field("", description="Nodes that are ready / most that the partitions may have.", max_length=32)
    jobs: int | None = Field(None, description="Running jobs, where the scheduler can be asked.", ge=0)
    cost_per_hour: str = Field(
        "", description="List price per hour of what runs now, in the currency of the price list.", max_length=32
    )


class LoginAddress(Model):
    """Where one login node is reached."""

    name: str = Field(description="Name of the login node.", max_length=64)
    private_ip_address: str = Field("", description="Its address in the private network.", max_length=64)


class HPCEnvironmentStatus(Model):
    """What was observed."""

    observed_generation: int = Field(0, description="metadata.generation that was looked at.", ge=0)
    conditions: Conditions = Field((), description="Ready, one condition per step, and Reconciling or Stalled.")
    step: str = Field("", description="The step that is being worked on; - when all are done.", max_length=32)
    summary: Summary | None = Field(None, description="Short texts for kubectl get.")
    resource_group_id: str = Field(
        "", description="ARM id of the resource group.", max_length=512, alias="resourceGroupID"
    )
    login_nodes: tuple[LoginAddress, ...] = Field(
        (),
        description="Login nodes and their addresses.",
        max_length=20,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    resources: tuple[ManagedResource, ...] = Field(
        (),
        description="Every Azure resource that the environment holds, nodes of partitions apart.",
        max_length=2000,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
    )
    operations: tuple[Operation, ...] = Field(
        (),
        description="Long-running operations in flight, so that a restarted operator goes on and repeats nothing.",
        max_length=500,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
    )


class HPCEnvironment(CustomResource):
    """One HPC environment on Azure: resource group, network, base services and entry point."""

    info: ClassVar[KindInfo] = KindInfo(
        plural="hpcenvironments",
        singular="hpcenvironment",
        short_names=("hpcenv",),
        columns=(
            PrinterColumn("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            PrinterColumn("Step", ".status.step"),
            PrinterColumn("Resources", ".status.summary.resources"),
            PrinterColumn("Nodes", ".status.summary.nodes"),
            PrinterColumn("Jobs", ".status.summary.jobs", type="integer"),
            PrinterColumn("Cost/h", ".status.summary.costPerHour"),
            PrinterColumn("Age", ".metadata.creationTimestamp", type="date"),
            PrinterColumn("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1),
        ),
        rules=(
            Rule(
                "size(self.metadata.name) <= 32",
                "metadata.name must have at most 32 characters, because the names of Azure resources are made from it",
            ),
        ),
    )
    spec: HPCEnvironmentSpec
    status: HPCEnvironmentStatus = HPCEnvironmentStatus()
