"""The resource providers, one module each. `PROVIDERS` is all the engine gets to know of them."""

from azure_emulator.providers import (
    authorization,
    compute,
    identity,
    key_vault,
    limits,
    netapp,
    network,
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
    netapp.PROVIDER,
    storage_cache.PROVIDER,
    *limits.PROVIDERS,
)

__all__ = ["PROVIDERS"]
