"""Service tags: names that stand for address ranges of Azure's services, as rules and routes may name them.

The address ranges shown are those reserved for documentation: nothing here is to be routed to.
"""

from __future__ import annotations

from azure_emulator import errors, locations
from azure_emulator.types import Answer, Call, Function

# Tags of no service of their own (virtual-network docs, service tags).
_PLAIN = ("VirtualNetwork", "AzureLoadBalancer", "Internet")
_SERVICES = (
    "ActionGroup", "ApiManagement", "AppConfiguration", "AppService", "AppServiceManagement", "AzureActiveDirectory",
    "AzureActiveDirectoryDomainServices", "AzureAdvancedThreatProtection", "AzureAttestation", "AzureBackup",
    "AzureBotService", "AzureCloud", "AzureCognitiveSearch", "AzureConnectors", "AzureContainerRegistry",
    "AzureCosmosDB", "AzureDatabricks", "AzureDataLake", "AzureDevOps", "AzureDevSpaces", "AzureDigitalTwins",
    "AzureEventGrid", "AzureFrontDoor.Backend", "AzureFrontDoor.Frontend", "AzureFrontDoor.FirstParty",
    "AzureInformationProtection", "AzureIoTHub", "AzureKeyVault", "AzureMachineLearning", "AzureMonitor",
    "AzureOpenDatasets", "AzurePlatformDNS", "AzurePlatformIMDS", "AzurePlatformLKM", "AzureResourceManager",
    "AzureSignalR", "AzureSiteRecovery", "AzureSphere", "AzureStack", "AzureTrafficManager", "AzureUpdateDelivery",
    "AzureWebPubSub", "BatchNodeManagement", "CognitiveServicesManagement", "DataFactory", "DataFactoryManagement",
    "Dynamics365ForMarketingEmail", "EventHub", "GatewayManager", "Grafana", "GuestAndHybridManagement", "HDInsight",
    "LogicApps", "LogicAppsManagement", "M365ManagementActivityApi", "MicrosoftAzureFluidRelay",
    "MicrosoftCloudAppSecurity", "MicrosoftContainerRegistry", "MicrosoftDefenderForEndpoint", "OneDsCollector",
    "PowerBI", "PowerPlatformInfra", "PowerQueryOnline", "Scuba", "ServiceBus", "ServiceFabric", "Sql",
    "SqlManagement", "Storage", "StorageMover", "StorageSyncService", "VideoIndexer", "WindowsAdminCenter",
    "WindowsVirtualDesktop",
)  # fmt: skip
_KNOWN = frozenset(name.lower() for name in (*_PLAIN, *_SERVICES))
_CHANGE_NUMBER = "1"


def is_tag(text: str) -> bool:
    """Whether a text is a service tag, for one region (Storage.WestEurope) or for all."""
    lower = text.lower()
    if lower in _KNOWN:
        return True
    service, _, region = lower.rpartition(".")
    return service in _KNOWN and region in locations.REGIONS


def _prefix(position: int) -> str:
    """A range for documentation (RFC 5737) per tag, so that none leads anywhere."""
    return f"192.0.2.{4 * (position % 64)}/30"


def _list(call: Call) -> Answer:
    location = locations.normalise(call.path.names[0])
    if location not in locations.REGIONS:
        raise errors.bad_request("LocationNotAvailable", f"The location '{call.path.names[0]}' is not available.")
    regional = locations.REGIONS[location].replace(" ", "")
    values = [
        {
            "name": name, "id": name, "serviceTagChangeNumber": _CHANGE_NUMBER,
            "properties": {"changeNumber": _CHANGE_NUMBER, "region": region, "state": "GA",
                           "systemService": service, "networkFeatures": ["NSG", "UDR", "FW"],
                           "addressPrefixes": [_prefix(position)]},
        }
        for position, service in enumerate(_SERVICES)
        for name, region in ((service, ""), (f"{service}.{regional}", location))
    ]  # fmt: skip
    body = {
        "name": "Public", "type": "Microsoft.Network/serviceTags", "changeNumber": _CHANGE_NUMBER, "cloud": "Public",
        "id": f"/subscriptions/{call.subscription}/providers/Microsoft.Network/serviceTags/Public", "values": values,
    }  # fmt: skip
    return Answer(200, body)


FUNCTIONS: dict[tuple[str, str], Function] = {("GET", "Microsoft.Network/locations/serviceTags"): _list}
