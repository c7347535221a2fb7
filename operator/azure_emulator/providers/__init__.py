"""The resource providers, one module each. `PROVIDERS` is all the engine gets to know of them."""

from azure_emulator.providers import (
    authorization,
    compute,
    identity,
    key_vault,
    limits,
    marketplace,
    netapp,
    network,
    quota_requests,
    resources,
    storage,
    storage_cache,
)

PROVIDERS = (
    resources.PROVIDER,
    network.PROVIDER,
    storage.PROVIDER,
    identity.PROVIDER,
    authorization.PROVIDER,
    key_vault.PROVIDER,
    compute.PROVIDER,
    marketplace.PROVIDER,
    quota_requests.PROVIDER,
    netapp.PROVIDER,
    storage_cache.PROVIDER,
    *limits.PROVIDERS,
)

__all__ = ["PROVIDERS"]
