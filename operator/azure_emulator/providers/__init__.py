"""The resource providers, one module each. `PROVIDERS` is all the engine gets to know of them."""

from azure_emulator.providers import (
    authorization,
    compute,
    deployments,
    identity,
    key_vault,
    limits,
    locks,
    management_groups,
    marketplace,
    netapp,
    network,
    policy,
    quota_requests,
    resources,
    storage,
    storage_cache,
)

PROVIDERS = (
    *resources.PROVIDERS,
    deployments.PROVIDER,
    network.PROVIDER,
    storage.PROVIDER,
    identity.PROVIDER,
    authorization.PROVIDER,
    locks.PROVIDER,
    policy.PROVIDER,
    management_groups.PROVIDER,
    key_vault.PROVIDER,
    compute.PROVIDER,
    marketplace.PROVIDER,
    quota_requests.PROVIDER,
    netapp.PROVIDER,
    storage_cache.PROVIDER,
    *limits.PROVIDERS,
)

__all__ = ["PROVIDERS"]
