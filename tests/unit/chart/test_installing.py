"""What docs/installing.md asks of the cloud administrator is what the operator needs."""

import fnmatch
import json
import re
from pathlib import Path

from hpc_operator.azure.table import TABLE

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
(ROLE,) = [
    json.loads(block) for block in re.findall(r"<<EOF\n(\{.*?\})\nEOF", TEXT, re.DOTALL) if "AssignableScopes" in block
]
# Named by specs, and never made.
ONLY_READ = ("Microsoft.Compute/galleries/images/versions", "Microsoft.OperationalInsights/workspaces")
# Given by the other assignment, with a condition.
ROLE_ASSIGNMENTS = "microsoft.authorization/roleassignments"


def _allows(action):
    return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in ROLE["Actions"])


def test_the_custom_role_covers_every_type_that_the_operator_can_send():
    types = {
        row.type.replace("Microsoft.Resources/resource", "Microsoft.Resources/subscriptions/resource")
        for row in TABLE.values()
    }
    actions = {f"{type_}/{verb}" for type_ in types for verb in ("read", "write", "delete")}
    actions -= {f"{type_}/{verb}" for type_ in ONLY_READ for verb in ("write", "delete")}
    assert {a for a in actions if not _allows(a) and not a.lower().startswith(ROLE_ASSIGNMENTS)} == set()


def test_the_custom_role_covers_what_is_looked_at():
    """As Azure calls the actions; tests/component/azure has the emulator refuse what a role does not have."""
    looks = (
        "ResourceGraph/resources/read",
        "Compute/skus/read",
        "Compute/locations/usages/read",
        "NetApp/locations/quotaLimits/read",
        "MarketplaceOrdering/offertypes/publishers/offers/plans/agreements/read",
        "Resources/subscriptions/providers/read",
        "Storage/checkNameAvailability/read",
        "KeyVault/checkNameAvailability/read",
        "KeyVault/deletedVaults/read",
        "Authorization/permissions/read",
        "Authorization/locks/read",
        "Insights/eventtypes/values/read",
    )
    assert [action for action in looks if not _allows(f"Microsoft.{action}")] == []


def test_the_custom_role_gives_no_right_to_give_rights():
    assert not _allows("Microsoft.Authorization/roleAssignments/write")
    assert not _allows("Microsoft.Authorization/roleDefinitions/write")


def test_every_resource_provider_is_registered():
    (providers,) = re.findall(r"for provider in ([A-Za-z ]+); do", TEXT)
    needed = {row.type.split("/")[0].removeprefix("Microsoft.") for row in TABLE.values()}
    # These two are always registered.
    assert set(providers.split()) == needed - {"Resources", "Authorization"}


def test_every_setting_of_the_process_is_described():
    settings = (ROOT / "operator" / "hpc_operator" / "settings.py").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(HPC_\w+)`", TEXT, re.MULTILINE)) == set(re.findall(r"HPC_[A-Z_]*[A-Z]", settings))
