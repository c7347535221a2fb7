"""HPCEnvironment: resource group, network and access, base services and entry point of one HPC environment."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hpc_operator.api.common import (
    ARM_ID_PATTERN,
    IN_GROUP_PATTERN,
    Conditions,
    CustomResource,
    Model,
    VmSize,
    name_rules,
)
from hpc_operator.api.plan import LISTED, Deletion, DriftEntry, Plan, Wait
from hpc_operator.api.policy import Policy
from hpc_operator.api.schema import Check, KindInfo, PrinterColumn, Rule, Update, matches, setting


def _network(text: str, *, strict: bool = False) -> ipaddress.IPv4Network | None:
    """Return the address range that `text` stands for, None where it is none."""
    try:
        return ipaddress.IPv4Network(text, strict=strict) if re.search(r"/[0-9]{1,2}$", text) else None
    except ValueError:
        return None


# What is no range at all passes every rule but the first, which has the sentence for it.
_IF_CIDR = "!isCIDR(self) || "
_RESERVED = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32", "224.0.0.0/3")
_INFINIBAND = "172.16.0.0/16"


def _overlaps(*ranges: str) -> str:
    """Return CEL that tells whether `self` overlaps one of the ranges."""
    return " || ".join(f"cidr('{item}').containsCIDR(self) || cidr(self).containsCIDR('{item}')" for item in ranges)


def _overlap(text: str, *ranges: str) -> bool:
    return any(ipaddress.IPv4Network(text).overlaps(ipaddress.IPv4Network(item)) for item in ranges)


Cidr = Annotated[
    str,
    Field(max_length=32),
    Check(
        Rule(
            "isCIDR(self) && cidr(self).ip().family() == 4",
            "must be an IPv4 address range in CIDR notation: write for example 10.40.0.0/20",
        ),
        lambda text: _network(text) is not None,
    ),
    Check(
        Rule(
            f"{_IF_CIDR}cidr(self) == cidr(self).masked()",
            "must be the first address of a range and its length: write for example 10.40.0.0/20 and not 10.40.0.1/20",
        ),
        lambda text: _network(text, strict=True) is not None,
    ),
]
"""An IPv4 address range in CIDR notation: `10.40.0.0/20`."""

AddressRange = Annotated[
    Cidr,
    Check(
        Rule(
            f"{_IF_CIDR}(cidr(self).prefixLength() >= 16 && cidr(self).prefixLength() <= 24)",
            "an address range of the virtual network must be from /16 to /24 long: write for example 10.40.0.0/20",
        ),
        lambda text: 16 <= ipaddress.IPv4Network(text).prefixlen <= 24,  # noqa: PLR2004
    ),
    Check(
        Rule(
            f"{_IF_CIDR}!({_overlaps(_INFINIBAND)})",
            f"addressSpace may not overlap {_INFINIBAND}, which InfiniBand uses on Azure's HPC nodes: "
            "write for example 10.40.0.0/20",
        ),
        lambda text: not _overlap(text, _INFINIBAND),
    ),
    Check(
        Rule(
            f"{_IF_CIDR}!({_overlaps(*_RESERVED)})",
            "addressSpace may not overlap the ranges that Azure reserves (0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, "
            "168.63.129.16 and what starts at 224.0.0.0): write a private range such as 10.40.0.0/20",
        ),
        lambda text: not _overlap(text, *_RESERVED),
    ),
]
"""An address range that a virtual network may have."""

SourceRange = Annotated[
    Cidr,
    Check(
        Rule(
            f"{_IF_CIDR}cidr(self).prefixLength() >= 8",
            "allowedSources may not open the login nodes to the whole Internet: write the ranges of your site, "
            "such as 192.0.2.0/24",
        ),
        lambda text: ipaddress.IPv4Network(text).prefixlen >= 8,  # noqa: PLR2004
    ),
]
"""An address range that may reach the login nodes."""

SubnetId = Annotated[
    str,
    Field(max_length=512),
    matches(
        r"^/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/Microsoft[.]Network/virtualNetworks/[^/]+/subnets/[^/]+$",
        "must be the ARM id of a subnet: write /subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.Network"
        "/virtualNetworks/NETWORK/subnets/SUBNET, as `az network vnet subnet show --query id` prints it",
    ),
]
"""The ARM id of a subnet."""


def _same_network(field: str) -> str:
    return f"self.{field}.lowerAscii().split('/subnets/')[0] == self.compute.lowerAscii().split('/subnets/')[0]"


class ExistingSubnets(Model):
    """Subnets that the cloud administrator made: used, never changed, never deleted."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"{_same_network('services')} && (!has(self.netApp) || {_same_network('netApp')})"
            f" && (!has(self.lustre) || {_same_network('lustre')})",
            "the subnets must belong to one virtual network: write the ids of subnets of the same network",
        ),
        Rule(
            "!has(self.netApp) || (self.netApp.lowerAscii() != self.compute.lowerAscii()"
            " && self.netApp.lowerAscii() != self.services.lowerAscii())",
            "netApp must be a subnet of its own, because it is delegated to Microsoft.NetApp/volumes and takes no "
            "virtual machines: write the id of another subnet",
            ".netApp",
        ),
    )

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


BLOB_DNS_ZONE = "privatelink.blob.core.windows.net"


class ExistingNetwork(Model):
    """A virtual network that is there already and is only referenced."""

    subnets: ExistingSubnets = setting(
        update=Update.BLOCKED,
        because="a running environment cannot move to another network: create a new environment",
        description="The subnets to use, all of one virtual network.",
    )
    blob_dns_zone: (
        Annotated[
            str,
            Field(max_length=512),
            matches(
                rf"{IN_GROUP_PATTERN}Microsoft[.]Network/privateDnsZones/{BLOB_DNS_ZONE.replace('.', '[.]')}$",
                f"blobDnsZone must be the ARM id of the private DNS zone {BLOB_DNS_ZONE}: write "
                "/subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.Network/privateDnsZones/"
                f"{BLOB_DNS_ZONE}, as `az network private-dns zone show --query id` prints it",
            ),
        ]
        | None
    ) = setting(
        None,
        update=Update.BLOCKED,
        because="a running environment cannot move to another network: create a new environment",
        description=f"ARM id of the private DNS zone {BLOB_DNS_ZONE} that the network resolves names by. Where it is "
        "left out, the environment gets a zone of its own, linked to the network.",
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
    allowed_sources: tuple[SourceRange, ...] = setting(
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
            "the network must be either new or existing: write exactly one of addressSpace (a new virtual network) and "
            "existing (a network that is there already)",
        ),
        Rule(
            "!has(self.existing) || !has(self.access) || !has(self.access.bastion)",
            "access.bastion belongs to a network that the operator makes: leave it out beside existing",
        ),
    )
    address_space: tuple[AddressRange, ...] | None = setting(
        None,
        update=Update.BLOCKED,
        because="addressSpace may not change, because subnets in use cannot move: create a new environment",
        description="Address ranges of the new virtual network in CIDR notation; subnets are planned from the first. "
        "/24 has room for about 100 nodes, /20 for about 2000.",
        max_length=4,
        rules=(
            Rule("size(self) > 0", "addressSpace may not be empty: write at least one range, such as 10.40.0.0/20"),
            Rule(
                "!self.all(a, isCIDR(a)) || self.all(a, self.filter(b, cidr(a).containsCIDR(b)).size() == 1)",
                "the ranges of addressSpace may not overlap: write each range once and none that lies within another",
            ),
        ),
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


_OWN_CONFIG = r"(?i)^(NodeName|NodeSet|PartitionName|DownNodes|FrontendName)="


class Slurm(Model):
    """The Slurm controller."""

    vm_size: VmSize = setting(
        "Standard_D4s_v5",
        update=Update.IN_PLACE,
        because="Azure resizes the VM with a reboot; running jobs survive a restart of slurmctld",
        description="VM size of the scheduler.",
    )
    state_disk_size: Annotated[
        str,
        Field(max_length=16),
        matches(
            r"^([1-9]|[1-9][0-9]{1,3}|[12][0-9]{4}|3[01][0-9]{3}|32[0-6][0-9]{2}|327[0-5][0-9]|3276[0-7])Gi$",
            "stateDiskSize must be a whole number from 1 to 32767 with the unit Gi: write for example 64Gi",
        ),
    ] = setting(
        "64Gi",
        update=Update.IN_PLACE,
        because="Azure grows a data disk in place",
        description="Size of the data disk that holds Slurm's state, in Gi.",
        rules=(
            Rule(
                "!isQuantity(self) || quantity(self).compareTo(quantity(oldSelf)) >= 0",
                "a disk cannot shrink: write at least the size it has",
            ),
        ),
    )
    config: tuple[
        Annotated[
            str,
            Field(max_length=1024),
            matches(
                r"^[A-Za-z][A-Za-z0-9]*=[^\r\n]*$",
                "a line of config must have the form Name=Value and no line break: write for example MaxJobCount=50000",
            ),
            Check(
                Rule(
                    f"!self.matches(r'{_OWN_CONFIG}')",
                    "config may not define nodes or partitions, which the operator keeps in step with Azure: "
                    "write a ComputePartition instead",
                ),
                lambda line: re.search(_OWN_CONFIG, line) is None,
            ),
        ],
        ...,
    ] = setting(
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


LARGEST_LOGIN_COUNT = 20


class LoginNodes(Model):
    """Login nodes, where users submit jobs."""

    count: int = setting(
        1,
        update=Update.IN_PLACE,
        because="login nodes are added and removed one by one",
        description="Number of login nodes.",
        ge=0,
        le=LARGEST_LOGIN_COUNT,
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


class Adoption(Model):
    """One resource of the environment that exists already, under a name that the operator would not give it."""

    resource: Annotated[
        str,
        Field(max_length=256),
        matches(
            r"^[A-Za-z.]+(/[A-Za-z]+/[A-Za-z0-9_.()-]+)+$",
            "resource must be a type and names as status.plan shows them: write for example "
            "Microsoft.Network/virtualNetworks/vnet",
        ),
    ] = setting(
        update=Update.NOTHING,
        because="says which resource stands for which",
        description="The resource as the operator would make it: its id from the provider's namespace on, such as "
        "Microsoft.Network/virtualNetworks/vnet/subnets/compute. The two whose names nobody can know before are called "
        "Microsoft.Storage/storageAccounts/storage and Microsoft.KeyVault/vaults/vault.",
    )
    id: Annotated[
        str,
        Field(max_length=512),
        matches(
            ARM_ID_PATTERN,
            "id must be the ARM id of a resource: write /subscriptions/ID/resourceGroups/GROUP/providers/NAMESPACE/"
            "TYPE/NAME, as `az resource show --query id` prints it",
        ),
    ] = setting(
        update=Update.NOTHING,
        because="says which resource stands for which",
        description="ARM id of the resource that takes its place.",
    )
    manage: bool = setting(
        False,
        update=Update.NOTHING,
        because="says who looks after the resource",
        description="false: look at it and show the difference. true: take it over, give it the ownership tags, and "
        "change and delete it as if the operator had made it.",
    )


_IDENTITY = "identities may not change, because machines get theirs when they are made: create a new environment"


def _identity(of: str, may: str) -> str | None:
    return setting(  # type: ignore[no-any-return]
        None,
        update=Update.BLOCKED,
        because=_IDENTITY,
        description=f"ARM id of the identity of {of}. It gets a role of ours: {may}. Where it is left out, the "
        "environment gets an identity of its own.",
    )


IdentityId = Annotated[
    str,
    Field(max_length=512),
    matches(
        rf"{IN_GROUP_PATTERN}Microsoft[.]ManagedIdentity/userAssignedIdentities/[^/]+$",
        "must be the ARM id of a user-assigned identity: write /subscriptions/ID/resourceGroups/GROUP/providers/"
        "Microsoft.ManagedIdentity/userAssignedIdentities/NAME, as `az identity show --query id` prints it",
    ),
]
"""The ARM id of a user-assigned managed identity."""


class Identities(Model):
    """User-assigned identities that are there already: used, never changed, never deleted."""

    scheduler: IdentityId | None = _identity("the scheduler", "it writes secrets and backups")
    nodes: IdentityId | None = _identity("nodes and login nodes", "they read secrets")


class Monitoring(Model):
    """Where Azure sends what it logs about the environment's resources."""

    log_analytics_workspace: (
        Annotated[
            str,
            Field(max_length=512),
            matches(
                rf"{IN_GROUP_PATTERN}Microsoft[.]OperationalInsights/workspaces/[^/]+$",
                "logAnalyticsWorkspace must be the ARM id of a Log Analytics workspace: write /subscriptions/ID/"
                "resourceGroups/GROUP/providers/Microsoft.OperationalInsights/workspaces/NAME, as `az monitor "
                "log-analytics workspace show --query id` prints it",
            ),
        ]
        | None
    ) = setting(
        None,
        update=Update.IN_PLACE,
        because="Azure changes diagnostic settings in place",
        description="ARM id of a Log Analytics workspace that is there already: who read secrets of the vault and who "
        "came in by Bastion is logged there. Nothing is logged where it is left out.",
    )


class HPCEnvironmentSpec(Model):
    """What the owner of an environment wants."""

    location: Annotated[
        str,
        Field(max_length=64),
        matches(
            r"^[a-z][a-z0-9]*$",
            "location must be the short name of an Azure region, in lower-case letters and digits without spaces: "
            "write for example westeurope",
        ),
    ] = setting(
        update=Update.BLOCKED,
        because="location may not change, because Azure cannot move an environment: create a new one in that region",
        description="Short name of the Azure region, such as westeurope.",
    )
    tags: dict[str, Annotated[str, Field(max_length=256)]] = setting(
        {},
        update=Update.IN_PLACE,
        because="Azure changes tags in place",
        description="Tags for every Azure resource of the environment, for cost and policy.",
        max_length=15,
        rules=(
            Rule(
                "self.all(name, size(name) >= 1 && size(name) <= 512)",
                "the name of a tag must have from 1 to 512 characters: write a shorter one, such as costCenter",
            ),
            Rule(
                r"self.all(name, !name.matches(r'[<>%&\\?/]'))",
                r"the name of a tag may not have any of the characters < > % & \ ? / which Azure refuses: "
                "write for example costCenter",
            ),
            Rule(
                "self.all(name, !name.matches(r'^(?i)(microsoft|azure|windows)'))",
                "the name of a tag may not start with microsoft, azure or windows, which Azure reserves: "
                "write for example costCenter",
            ),
            Rule(
                "self.all(a, self.exists_one(b, a.lowerAscii() == b.lowerAscii()))",
                "two tags have the same name but for upper and lower case, which Azure does not tell apart: "
                "write each name once",
            ),
        ),
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
        Annotated[
            str,
            Field(max_length=2048),
            matches(
                r"^(ssh-rsa|ssh-ed25519) AAAA[A-Za-z0-9+/]+={0,2}( [^\r\n]*)?$",
                "must be one whole line of a public key file, of the type ssh-ed25519 or ssh-rsa: write for example "
                "what `cat ~/.ssh/id_ed25519.pub` prints",
            ),
        ],
        ...,
    ] = setting(
        [],
        update=Update.NEW_ONLY,
        because="Azure does not change the keys of a VM that exists",
        description="SSH public keys of the administrators, for the account hpcadmin on every VM made from now on.",
        max_length=20,
        extra={"x-kubernetes-list-type": "set"},
    )
    identities: Identities = setting(
        {},
        update=Update.IN_PLACE,
        because="see the fields",
        description="Identities that are there already, instead of ours.",
    )
    monitoring: Monitoring = setting(
        {},
        update=Update.IN_PLACE,
        because="see the fields",
        description="Where Azure sends what it logs.",
    )
    policy: Policy = setting(
        {},
        update=Update.NOTHING,
        because="says how edits are carried out",
        description="What runs by itself, what waits for approval or a maintenance window, and what happens on drift.",
    )
    resource_group: (
        Annotated[
            str,
            Field(max_length=90),
            matches(
                r"^[A-Za-z0-9_.()-]*[A-Za-z0-9_()-]$",
                "resourceGroup must be a name of a resource group: letters, digits, _ . ( ) and -, not ending in a dot",
            ),
        ]
        | None
    ) = setting(
        None,
        update=Update.BLOCKED,
        because="resourceGroup may not change, because Azure cannot rename or move an environment: create a new one",
        description="Name of the resource group; NAMESPACE_NAME where it is left out. One that exists is used only if "
        "it is free: without an owner's tag, or with that of an environment that is gone.",
    )
    adopt: tuple[Adoption, ...] = setting(
        [],
        update=Update.NOTHING,
        because="says which resource stands for which",
        description="Resources that exist already and stand for some that the operator would make; "
        "`hpc-operator import` writes this list.",
        max_length=200,
        extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["resource"]},
    )


class ManagedResource(Model):
    """One Azure resource that this environment holds."""

    id: str = Field(description="ARM id.", max_length=1024)
    owner: str = Field(description="Kind/name of the custom resource it belongs to.", max_length=320)
    state: str = Field(description="Pending, Creating, Updating, Deleting, Ready, Failed or Kept.", max_length=32)
    order: int = Field(0, description="Depth in the dependency graph: what is deeper goes first on deletion.", ge=0)
    retained: bool = Field(False, description="Whether it holds data that stays when its owner goes.")
    applied: str = Field(
        "",
        description="Hashes of the fields as they were written last: of what differs in Azure, a field that is among "
        "them was changed there, and all else is an edit.",
        max_length=4096,
    )
    needs: tuple[Annotated[str, Field(max_length=1024)], ...] = Field(
        (),
        description="For what is retained or kept: ids of what it stands upon, in lower case.",
        max_length=50,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


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
    private_ip_address: str = Field(
        "", description="Its address in the private network.", max_length=64, alias="privateIPAddress"
    )


class HPCEnvironmentStatus(Model):
    """What was observed."""

    observed_generation: int = Field(0, description="metadata.generation that was looked at.", ge=0)
    conditions: Conditions = Field((), description="Ready, one condition per step, and Reconciling or Stalled.")
    specification: str = Field(
        "", description="Hash of the specifications that were looked at, as in plan.hash.", max_length=16
    )
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
    plan: Plan | None = Field(None, description="What is between the specification and Azure; absent where nothing is.")
    drift: tuple[DriftEntry, ...] = Field(
        (),
        description="What somebody changed in Azure.",
        max_length=LISTED,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
    )
    waiting: tuple[Wait, ...] = Field(
        (),
        description="What is waited for, since when, and when it is tried again.",
        max_length=LISTED,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
    )
    tags: tuple[Annotated[str, Field(max_length=512)], ...] = Field(
        (),
        description="Names of the tags that were written, so that one taken out of the specification is taken away.",
        max_length=30,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    deletion: Deletion | None = Field(None, description="How the deletion goes.")


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
        rules=name_rules(32),
    )
    spec: HPCEnvironmentSpec
    status: HPCEnvironmentStatus = HPCEnvironmentStatus()
