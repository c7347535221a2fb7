"""The resource providers, one module each. `PROVIDERS` is all the engine gets to know of them."""

from azure_emulator.providers import identity, network, resources, storage

PROVIDERS = (resources.PROVIDER, network.PROVIDER, storage.PROVIDER, identity.PROVIDER)

__all__ = ["PROVIDERS"]
