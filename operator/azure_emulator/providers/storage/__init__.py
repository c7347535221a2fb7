"""Microsoft.Storage: storage accounts with their blob, file, queue and table services.

`PROVIDER` is all that the emulator gets to know; each part is a module of its own.
"""

from __future__ import annotations

from azure_emulator.providers import private_links, usages
from azure_emulator.providers.global_names import is_taken
from azure_emulator.providers.protocols import STORAGE, operation_functions
from azure_emulator.providers.storage import accounts, blobs, files, others, skus
from azure_emulator.providers.storage.names import ACCOUNT, CONTAINER, invalid_account_name
from azure_emulator.types import Answer, Call, Provider


def _check_name(call: Call) -> Answer:
    name = str((call.body or {}).get("name", "") if isinstance(call.body, dict) else "")
    message = invalid_account_name(name)
    if message is not None:
        return Answer(200, {"nameAvailable": False, "reason": "AccountNameInvalid", "message": message})
    if is_taken(call.engine, ACCOUNT, name):
        message = f"The storage account named {name} is already taken."
        return Answer(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": message})
    return Answer(200, {"nameAvailable": True})


def _list_usages(call: Call) -> Answer:
    location = usages.location_of(call)
    count = len(call.engine.store.in_region(ACCOUNT, call.subscription, location))
    allowed = usages.limit(call.engine, location, accounts.USAGE, accounts.ACCOUNTS_PER_REGION)
    return Answer(200, {"value": [usages.row(accounts.USAGE, "Storage Accounts", count, allowed)]})


def _list_deleted(call: Call) -> Answer:
    mine = f"/subscriptions/{call.subscription.lower()}/"
    return Answer(200, {"value": [
        {
            "id": f"/subscriptions/{call.subscription}/providers/Microsoft.Storage/locations/{row['location']}/"
            f"deletedAccounts/{row['id'].rsplit('/', 1)[-1]}",
            "name": row["id"].rsplit("/", 1)[-1],
            "type": "Microsoft.Storage/deletedAccounts",
            "properties": {
                "storageAccountResourceId": row["id"], "location": row["location"], "creationTime": row["created"],
                "deletionTime": call.engine.clock.iso(row["deleted"]),
            },
        }
        for row in accounts.deleted_accounts(call.engine) if row["id"].lower().startswith(mine)
    ]})  # fmt: skip


PROVIDER = Provider(
    namespace="Microsoft.Storage",
    types=(accounts.TYPE, *blobs.TYPES, *files.TYPES, *others.TYPES),
    functions={
        ("POST", "Microsoft.Storage/checkNameAvailability"): _check_name,
        ("GET", "Microsoft.Storage/skus"): skus.list_skus,
        ("GET", "Microsoft.Storage/locations/usages"): _list_usages,
        ("GET", "Microsoft.Storage/deletedAccounts"): _list_deleted,
        **private_links.functions(ACCOUNT),
        **blobs.FUNCTIONS,
        **files.FUNCTIONS,
        **others.FUNCTIONS,
        **operation_functions(STORAGE),
    },
)

__all__ = ["ACCOUNT", "CONTAINER", "PROVIDER"]
