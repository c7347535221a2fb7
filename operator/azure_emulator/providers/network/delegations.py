"""The services that a subnet can be delegated to, and what each may do with it (availableDelegations)."""

from __future__ import annotations

from azure_emulator import locations
from azure_emulator.types import Answer, Call, Function

_JOIN = "Microsoft.Network/virtualNetworks/subnets/join/action"
_INTERFACES = "Microsoft.Network/networkinterfaces/*"
_ACTION = "Microsoft.Network/virtualNetworks/subnets/action"
_PREPARE = "Microsoft.Network/virtualNetworks/subnets/prepareNetworkPolicies/action"
_UNPREPARE = "Microsoft.Network/virtualNetworks/subnets/unprepareNetworkPolicies/action"

# As the service shows them; a part of Azure's list, with all that HPC environments use.
SERVICES: dict[str, list[str]] = {
    "Microsoft.NetApp/volumes": [_INTERFACES, _JOIN],
    "Microsoft.NetApp/scaleVolumes": [_INTERFACES, _JOIN],
    "Microsoft.DBforMySQL/flexibleServers": [_JOIN],
    "Microsoft.DBforPostgreSQL/flexibleServers": [_JOIN],
    "Microsoft.Network/dnsResolvers": [_JOIN],
    "Microsoft.Network/applicationGateways": [_JOIN],
    "Microsoft.Web/serverFarms": [_ACTION],
    "Microsoft.Web/hostingEnvironments": [_ACTION],
    "Microsoft.App/environments": [_JOIN],
    "Microsoft.ContainerInstance/containerGroups": [_ACTION],
    "Microsoft.ContainerService/managedClusters": [_JOIN],
    "Microsoft.Databricks/workspaces": [_JOIN, _PREPARE, _UNPREPARE],
    "Microsoft.Sql/managedInstances": [_JOIN, _PREPARE, _UNPREPARE],
    "Microsoft.BareMetal/AzureVMware": [_INTERFACES, _JOIN],
    "Microsoft.BareMetal/CrayServers": [_INTERFACES, _JOIN],
    "Microsoft.HardwareSecurityModules/dedicatedHSMs": [_INTERFACES, _JOIN],
    "Microsoft.StoragePool/diskPools": ["Microsoft.Network/virtualNetworks/read"],
    "Microsoft.ServiceNetworking/trafficControllers": [_JOIN],
    "Microsoft.DevOpsInfrastructure/pools": [_JOIN],
    "Microsoft.CloudTest/pools": [_JOIN],
    "GitHub.Network/networkSettings": [_JOIN],
    "Oracle.Database/networkAttachments": [_INTERFACES, _JOIN],
}

ACTIONS = {service.lower(): actions for service, actions in SERVICES.items()}


def _list(call: Call) -> Answer:
    location = locations.normalise(call.path.names[0])
    head = f"/subscriptions/{call.subscription}/providers/Microsoft.Network/availableDelegations"
    value = [
        {
            "name": service.replace("/", "."), "id": f"{head}/{service.replace('/', '.')}",
            "type": "Microsoft.Network/availableDelegations", "serviceName": service, "actions": actions,
        }
        for service, actions in SERVICES.items()
    ] if location in locations.REGIONS else []  # fmt: skip
    return Answer(200, {"value": value})


FUNCTIONS: dict[tuple[str, str], Function] = {("GET", "Microsoft.Network/locations/availableDelegations"): _list}
