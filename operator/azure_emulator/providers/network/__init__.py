"""Microsoft.Network, put together: one module for each subject.

Only the list of what there is, and what other providers use of it: `addresses`, `provisioned_subnet` and `is_delegated`
for what is put into a subnet, `links` for services that hold one.
"""

from __future__ import annotations

from azure_emulator.providers.network import (
    addresses,
    bastion,
    delegations,
    dns_resolvers,
    endpoint_services,
    gateways,
    interfaces,
    links,
    load_balancers,
    nat,
    peerings,
    private_dns,
    private_endpoints,
    public_addresses,
    quota,
    routes,
    security,
    service_tags,
    subnets,
    virtual_networks,
    watchers,
)
from azure_emulator.providers.network.base import sparing_tags
from azure_emulator.providers.network.subnets import is_delegated, provisioned_subnet
from azure_emulator.providers.protocols import DNS_RESOLVER, NETWORK, PRIVATE_DNS, operation_functions
from azure_emulator.types import Provider

_TYPES = (
    virtual_networks.TYPE,
    subnets.TYPE,
    peerings.TYPE,
    *security.TYPES,
    *routes.TYPES,
    *public_addresses.TYPES,
    nat.TYPE,
    bastion.TYPE,
    interfaces.TYPE,
    *load_balancers.TYPES,
    *gateways.TYPES,
    *private_endpoints.TYPES,
    *private_dns.TYPES,
    *dns_resolvers.TYPES,
    *watchers.TYPES,
)

PROVIDER = Provider(
    namespace="Microsoft.Network",
    types=tuple(sparing_tags(kind) for kind in _TYPES),
    functions={
        **operation_functions(NETWORK, PRIVATE_DNS, DNS_RESOLVER),
        **virtual_networks.FUNCTIONS,
        **subnets.FUNCTIONS,
        **delegations.FUNCTIONS,
        **endpoint_services.FUNCTIONS,
        **security.FUNCTIONS,
        **service_tags.FUNCTIONS,
        **public_addresses.FUNCTIONS,
        **quota.FUNCTIONS,
        **interfaces.FUNCTIONS,
        **load_balancers.FUNCTIONS,
        **gateways.FUNCTIONS,
        **private_dns.FUNCTIONS,
        **dns_resolvers.FUNCTIONS,
    },
    timers=links.TIMERS,
)

__all__ = ["PROVIDER", "addresses", "is_delegated", "links", "provisioned_subnet"]
