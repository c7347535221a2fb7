"""Microsoft.KeyVault, put together: vaults, their secrets and keys, and the service that each vault is.

Only the list of what there is; the behaviour is in the module of each.
"""

from __future__ import annotations

from azure_emulator.providers import private_links
from azure_emulator.providers.key_vault import data_plane, keys, names, secrets, vaults
from azure_emulator.providers.protocols import KEY_VAULT, operation_functions
from azure_emulator.types import Provider

PROVIDER = Provider(
    namespace="Microsoft.KeyVault",
    types=(vaults.TYPE, secrets.TYPE, keys.TYPE),
    functions={
        ("GET", "Microsoft.KeyVault/deletedVaults"): vaults.list_deleted,
        ("GET", "Microsoft.KeyVault/deletedManagedHSMs"): vaults.list_deleted_modules,
        ("GET", "Microsoft.KeyVault/locations/deletedVaults"): vaults.get_deleted,
        ("POST", "Microsoft.KeyVault/locations/deletedVaults/purge"): vaults.purge,
        ("POST", "Microsoft.KeyVault/checkNameAvailability"): vaults.check_name,
        ("PUT", f"{names.VAULT}/accessPolicies"): vaults.update_policies,
        ("GET", f"{names.KEY}/versions"): keys.read_versions,
        **private_links.functions(names.VAULT),
        **operation_functions(KEY_VAULT),
    },
    data_planes={"vault": data_plane.serve},
)
