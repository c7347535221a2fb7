"""Microsoft.Resources without deployments: groups, lists, tags, subscriptions, providers, moves and exports."""

from azure_emulator.providers.protocols import RESOURCES, operation_functions
from azure_emulator.providers.resources import counts, export, lists, moves, registration, subscriptions, tags
from azure_emulator.providers.resources.groups import GROUP
from azure_emulator.types import Provider

_GROUPS = Provider(
    namespace="Microsoft.Resources",
    types=(GROUP,),
    functions={
        ("GET", "Microsoft.Resources/resources"): lists.resources,
        ("GET", "Microsoft.Resources/resourceGroups/resources"): lists.resources,
        ("POST", "Microsoft.Resources/resourceGroups/exportTemplate"): export.export,
        ("POST", "Microsoft.Resources/resourceGroups/moveResources"): moves.move,
        ("POST", "Microsoft.Resources/resourceGroups/validateMoveResources"): moves.validate,
        **operation_functions(RESOURCES),
    },
    gates=(counts.refuse_too_many,),
)
PROVIDERS = (_GROUPS, subscriptions.PROVIDER, registration.PROVIDER, tags.PROVIDER, subscriptions.RENAMING)
