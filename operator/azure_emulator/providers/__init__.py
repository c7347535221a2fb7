"""The resource providers, one module each. `PROVIDERS` is all the engine gets to know of them."""

from azure_emulator.providers import (
    authorization,
    compute,
    deployments,
    identity,
    key_vault,
    limits,
    locks,
    marketplace,
    netapp,
    network,
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
    key_vault.PROVIDER,
    compute.PROVIDER,
    marketplace.PROVIDER,
    quota_requests.PROVIDER,
    netapp.PROVIDER,
    storage_cache.PROVIDER,
    *limits.PROVIDERS,
)

__all__ = ["PROVIDERS"]
