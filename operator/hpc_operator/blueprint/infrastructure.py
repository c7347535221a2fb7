"""Step 1 of the migration guide: resource group, network, ways in and out, and a private storage account.

Pure; knows tiers only as far as they need subnets and rules. A network that exists already is referenced, and never
changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Any, Final

from hpc_operator.api import StorageTier
from hpc_operator.api.hpc_environment import BLOB_DNS_ZONE, ExistingSubnets
from hpc_operator.blueprint import security_rules
from hpc_operator.blueprint.names import CLAIM_TAG, STORAGE_ACCOUNT, Site
from hpc_operator.blueprint.security_rules import Peers, SecurityRule
from hpc_operator.blueprint.subnets import AddressPlan, plan
from hpc_operator.graph import Resource, Step, Text, parent_id

_STEP: Final = Step.INFRASTRUCTURE
_STATIC_STANDARD: Final[dict[str, Any]] = {
    "sku": {"name": "Standard"},
    "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"},
}


@dataclass(frozen=True)
class Network:
    """The subnets to work with.

    Parameters
    ----------
    resources
        Everything that makes up the network.
    virtual_network
        The network itself.
    compute, services
        The subnets for nodes, and for scheduler, login nodes and private endpoints.
    net_app, lustre
        The subnets for these kinds of storage; None where no tier needs one.
    clients
        The address ranges that may mount a file system, joined by commas.
    """

    resources: tuple[Resource, ...]
    virtual_network: Resource
    compute: Resource
    services: Resource
    net_app: Resource | None
    lustre: Resource | None
    clients: Text


@dataclass(frozen=True)
class Infrastructure:
    """What the later steps build upon."""

    resources: tuple[Resource, ...]
    network: Network
    storage_account: Resource


def build(site: Site, tiers: Sequence[StorageTier]) -> Infrastructure:
    """Return the resources of this step."""
    group = Resource(
        id=site.resource_group_id,
        step=_STEP,
        owner=site.owner,
        body={"location": site.environment.spec.location, "tags": site.tags() | _claim(site)},
    )
    existing = site.environment.spec.network.existing
    network = _existing_network(site, existing.subnets, tiers) if existing else _new_network(site, tiers)
    account = _storage_account(site)
    return Infrastructure(
        resources=(group, *network.resources, account, *_private_endpoint(site, network, account)),
        network=network,
        storage_account=account,
    )


def _claim(site: Site) -> dict[str, str]:
    return {CLAIM_TAG: site.claim} if site.claim else {}


def _existing_network(site: Site, subnets: ExistingSubnets, tiers: Sequence[StorageTier]) -> Network:
    compute, services = site.referenced(subnets.compute, _STEP), site.referenced(subnets.services, _STEP)
    net_app = site.referenced(subnets.net_app, _STEP) if subnets.net_app and _any_net_app(tiers) else None
    lustre = site.referenced(subnets.lustre, _STEP) if subnets.lustre and _any_lustre(tiers) else None
    virtual_network = site.referenced(str(parent_id(compute.id)), _STEP)
    # One subnet may have several roles.
    distinct = {item.id.lower(): item for item in (virtual_network, compute, services, net_app, lustre) if item}
    prefix = ("properties", "addressPrefix")
    clients: tuple[Any, ...] = (compute.ref(*prefix),)
    if services.id.lower() != compute.id.lower():
        clients = (*clients, ",", services.ref(*prefix))
    return Network(tuple(distinct.values()), virtual_network, compute, services, net_app, lustre, Text(clients))


def _new_network(site: Site, tiers: Sequence[StorageTier]) -> Network:
    spec = site.environment.spec.network
    address_space = spec.address_space or ()
    addresses = plan(IPv4Network(address_space[0]))
    peers = _peers(addresses, site, tiers)

    virtual_network = site.resource(
        "Microsoft.Network/virtualNetworks",
        "vnet",
        step=_STEP,
        properties={"addressSpace": {"addressPrefixes": list(address_space)}},
    )
    nat = _nat_gateway(site)
    compute_group = _security_group(site, "nsg-compute", security_rules.compute_rules(peers))
    services_group = _security_group(site, "nsg-services", security_rules.services_rules(peers))
    outbound = {"defaultOutboundAccess": False, "natGateway": {"id": nat[-1].ref()}}
    # The vault lets in these two subnets, by service endpoint.
    machines = {**outbound, "serviceEndpoints": [{"service": "Microsoft.KeyVault"}]}
    compute = _subnet(site, "compute", addresses.compute, networkSecurityGroup={"id": compute_group.ref()}, **machines)
    services = _subnet(
        site,
        "services",
        addresses.services,
        networkSecurityGroup={"id": services_group.ref()},
        privateEndpointNetworkPolicies="Disabled",
        **machines,
    )
    resources = [virtual_network, *nat, compute_group, services_group, compute, services]

    net_app = lustre = None
    if _any_net_app(tiers):
        delegation = {"name": "netapp", "properties": {"serviceName": "Microsoft.NetApp/volumes"}}
        net_app = _subnet(site, "netapp", addresses.net_app, defaultOutboundAccess=False, delegations=[delegation])
        resources.append(net_app)
    if _any_lustre(tiers) and addresses.lustre:
        lustre_group = _security_group(site, "nsg-lustre", security_rules.lustre_rules(peers))
        # Managed Lustre calls Azure's own services, so it needs a way out ("… file system prerequisites").
        lustre = _subnet(site, "lustre", addresses.lustre, networkSecurityGroup={"id": lustre_group.ref()}, **outbound)
        resources += [lustre_group, lustre]
    if spec.access.bastion:
        resources += _bastion(site, addresses, spec.access.bastion.sku)
    return Network(
        tuple(resources), virtual_network, compute, services, net_app, lustre, Text((",".join(address_space),))
    )


def _any_net_app(tiers: Sequence[StorageTier]) -> bool:
    """Whether a volume has to be made; one that is attached stays in its own subnet."""
    return any(tier.spec.net_app_files and tier.spec.attach is None for tier in tiers)


def _any_lustre(tiers: Sequence[StorageTier]) -> bool:
    return any(tier.spec.managed_lustre and tier.spec.attach is None for tier in tiers)


def _peers(addresses: AddressPlan, site: Site, tiers: Sequence[StorageTier]) -> Peers:
    access = site.environment.spec.network.access
    nfs_servers = {str(addresses.net_app)} if _any_net_app(tiers) else set()
    nfs_servers |= {tier.spec.existing_nfs.server for tier in tiers if tier.spec.existing_nfs}
    return Peers(
        compute=str(addresses.compute),
        services=str(addresses.services),
        bastion=str(addresses.bastion) if access.bastion else None,
        lustre=str(addresses.lustre) if _any_lustre(tiers) and addresses.lustre else None,
        allowed_sources=tuple(sorted(set(access.allowed_sources))),
        nfs_servers=tuple(sorted(filter(_is_address, nfs_servers))),
    )


def _is_address(text: str) -> bool:
    """Tell whether a rule can name it: Azure's rules know no host names."""
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _security_group(site: Site, name: str, rules: Sequence[SecurityRule]) -> Resource:
    return site.resource(
        "Microsoft.Network/networkSecurityGroups",
        name,
        step=_STEP,
        properties={"securityRules": [rule.body() for rule in rules]},
    )


def _subnet(site: Site, name: str, prefix: IPv4Network, **properties: Any) -> Resource:
    """Return a subnet; the body is complete, because Azure detaches whatever a PUT leaves out."""
    return Resource(
        id=site.id("Microsoft.Network/virtualNetworks/subnets", "vnet", name),
        step=_STEP,
        owner=site.owner,
        body={"properties": {"addressPrefix": str(prefix), **properties}},
    )


def _nat_gateway(site: Site) -> tuple[Resource, Resource]:
    address = site.resource("Microsoft.Network/publicIPAddresses", "pip-nat", step=_STEP, **_STATIC_STANDARD)
    gateway = site.resource(
        "Microsoft.Network/natGateways",
        "nat",
        step=_STEP,
        sku={"name": "Standard"},
        properties={"publicIpAddresses": [{"id": address.ref()}]},
    )
    return address, gateway


def _bastion(site: Site, addresses: AddressPlan, sku: str) -> list[Resource]:
    group = _security_group(site, "nsg-bastion", security_rules.bastion_rules())
    subnet = _subnet(site, "AzureBastionSubnet", addresses.bastion, networkSecurityGroup={"id": group.ref()})
    address = site.resource("Microsoft.Network/publicIPAddresses", "pip-bastion", step=_STEP, **_STATIC_STANDARD)
    configuration = {
        "name": "ipconfig",
        "properties": {
            "subnet": {"id": subnet.ref()},
            "publicIPAddress": {"id": address.ref()},
            "privateIPAllocationMethod": "Dynamic",
        },
    }
    host = site.resource(
        "Microsoft.Network/bastionHosts",
        "bastion",
        step=_STEP,
        sku={"name": sku},
        properties={
            "ipConfigurations": [configuration],
            # Native SSH clients; Basic does not know the word.
            **({"enableTunneling": True} if sku == "Standard" else {}),
        },
    )
    return [group, subnet, address, host]


def _storage_account(site: Site) -> Resource:
    """Return the account for logs, backups and configuration files: reached privately and with identities only."""
    return site.resource(
        STORAGE_ACCOUNT,
        site.storage_account_name,
        step=_STEP,
        kind="StorageV2",
        sku={"name": "Standard_LRS"},
        properties={
            "minimumTlsVersion": "TLS1_2",
            "supportsHttpsTrafficOnly": True,
            "allowSharedKeyAccess": False,
            "allowBlobPublicAccess": False,
            "publicNetworkAccess": "Disabled",
            "networkAcls": {"defaultAction": "Deny", "bypass": "None"},
        },
    )


def _private_endpoint(site: Site, network: Network, account: Resource) -> list[Resource]:
    zone, *links = _blob_zone(site, network)
    connection = {
        "name": "blob",
        "properties": {"privateLinkServiceId": account.ref(), "groupIds": ["blob"]},
    }
    endpoint = site.resource(
        "Microsoft.Network/privateEndpoints",
        "pe-storage",
        step=_STEP,
        properties={"subnet": {"id": network.services.ref()}, "privateLinkServiceConnections": [connection]},
    )
    zone_group = Resource(
        id=site.id("Microsoft.Network/privateEndpoints/privateDnsZoneGroups", "pe-storage", "default"),
        step=_STEP,
        owner=site.owner,
        body={
            "properties": {"privateDnsZoneConfigs": [{"name": "blob", "properties": {"privateDnsZoneId": zone.ref()}}]}
        },
    )
    return [zone, *links, endpoint, zone_group]


def _blob_zone(site: Site, network: Network) -> list[Resource]:
    """Return the private DNS zone for storage accounts, and its link to the network where the zone is ours."""
    existing = site.environment.spec.network.existing
    if existing is not None and existing.blob_dns_zone is not None:
        return [site.referenced(existing.blob_dns_zone, _STEP)]
    zone = site.resource("Microsoft.Network/privateDnsZones", BLOB_DNS_ZONE, step=_STEP, location="global")
    link = site.resource(
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
        BLOB_DNS_ZONE,
        "vnet",
        step=_STEP,
        location="global",
        properties={"virtualNetwork": {"id": network.virtual_network.ref()}, "registrationEnabled": False},
    )
    return [zone, link]
