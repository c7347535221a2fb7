"""environment() of templates: the addresses that accounts and vaults of this emulator show, whichever cloud it is."""

from __future__ import annotations

from typing import Any

from azure_emulator.providers.deployments.environment import environment

TENANT = "00000000-0000-0000-0000-00000000a2ed"


class Settings:
    """As much of an engine as is asked for."""

    tenant = TENANT

    def __init__(self, own: dict[str, Any] | None = None, **chosen: Any) -> None:
        self.own_settings = own or {}
        self._chosen = chosen

    def setting(self, name: str, default: Any = None) -> Any:
        return self._chosen.get(name, self.own_settings.get(name, default))


def test_without_tls_it_is_azure():
    shown = environment(Settings())
    assert shown["resourceManager"] == "https://management.azure.com/"
    assert shown["suffixes"]["storage"] == "core.windows.net"
    assert shown["suffixes"]["keyvaultDns"] == ".vault.azure.net"


def test_suffixes_are_those_that_were_set():
    shown = environment(Settings(storageSuffix="core.example.net", vaultDns="vault.example.net"))
    assert (shown["suffixes"]["storage"], shown["suffixes"]["keyvaultDns"]) == (
        "core.example.net",
        ".vault.example.net",
    )
    # Nothing is left of the other.
    assert environment(Settings())["suffixes"]["storage"] == "core.windows.net"


def test_a_cloud_of_its_own_has_its_own_addresses():
    host = "localhost:8443"
    own = {"address": f"https://{host}", "vaultDns": f"vault.{host}", "storageSuffix": f"core.{host}"}
    shown = environment(Settings(own))
    assert shown["name"] == "AzureEmulated"
    assert shown["resourceManager"] == f"https://{host}/"
    assert shown["authentication"]["tenant"] == TENANT
    assert shown["suffixes"]["keyvaultDns"] == f".vault.{host}"
    assert shown["suffixes"]["storage"] == f"core.{host}"
    assert shown["suffixes"]["sqlServerHostname"] == f".database.{host}"
