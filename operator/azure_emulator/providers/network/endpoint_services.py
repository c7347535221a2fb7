"""The services that a subnet can have a service endpoint to."""

from __future__ import annotations

from azure_emulator import locations
from azure_emulator.types import Answer, Call, Function

# As the service lists them (virtual-network docs, service endpoints).
SERVICES = (
    "Microsoft.Storage", "Microsoft.Storage.Global", "Microsoft.Sql", "Microsoft.AzureCosmosDB", "Microsoft.KeyVault",
    "Microsoft.EventHub", "Microsoft.ServiceBus", "Microsoft.Web", "Microsoft.CognitiveServices",
    "Microsoft.ContainerRegistry", "Microsoft.AzureActiveDirectory",
)  # fmt: skip


def _list(call: Call) -> Answer:
    known = locations.normalise(call.path.names[0]) in locations.REGIONS
    head = f"/subscriptions/{call.subscription}/providers/Microsoft.Network/virtualNetworkEndpointServices"
    value = [
        {"name": name, "id": f"{head}/{name}", "type": "Microsoft.Network/virtualNetworkEndpointServices"}
        for name in (SERVICES if known else ())
    ]
    return Answer(200, {"value": value})


FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", "Microsoft.Network/locations/virtualNetworkAvailableEndpointServices"): _list,
}
