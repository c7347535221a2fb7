"""Names and refusals that the modules of Microsoft.KeyVault share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator.errors import ArmError

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

VAULT = "Microsoft.KeyVault/vaults"
SECRET = f"{VAULT}/secrets"
KEY = f"{VAULT}/keys"
DAY = 86_400
DEFAULT_RETENTION_DAYS = 90
# What a vault's DNS name ends with. Setting `vaultDns` puts the emulator's own host there ("vault.localhost:8443"), so
# that clients which take a vault's address from Resource Manager come here.
PUBLIC_DNS = "vault.azure.net"


class VaultError(ArmError):
    """An error in the shape of Key Vault's own service, which says more in `innererror`."""

    def __init__(
        self, status: int, code: str, message: str, *, inner: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, code, message, headers=headers)
        self.inner = inner

    def error(self) -> dict[str, Any]:
        """The inner error object."""
        return super().error() | ({"innererror": {"code": self.inner}} if self.inner is not None else {})


def bad_parameter(message: str) -> VaultError:
    """What Key Vault says of anything in a request that it cannot take."""
    return VaultError(400, "BadParameter", message)


def uri(engine: Engine, name: str) -> str:
    """A vault's address."""
    return f"https://{name.lower()}.{engine.setting('vaultDns', PUBLIC_DNS)}/"


def retention_days(vault: Resource) -> int:
    """How long what was deleted is kept."""
    return int(vault.properties.get("softDeleteRetentionInDays") or DEFAULT_RETENTION_DAYS)


def recovery_level(vault: Resource) -> str:
    """How sure a deletion can be undone, in Key Vault's words."""
    custom = "Customized" if retention_days(vault) < DEFAULT_RETENTION_DAYS else ""
    purgeable = "" if vault.properties.get("enablePurgeProtection") else "+Purgeable"
    return f"{custom}Recoverable{purgeable}"
