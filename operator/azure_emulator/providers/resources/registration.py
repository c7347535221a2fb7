"""Resource providers as ARM lists them: registration, and each type with its regions, zones and api-versions.

Types come from the engine; which api-versions there are stands here, because the emulator itself takes any. The lists
hold what today's SDKs, az and Terraform send, newest first, and are not complete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import errors, locations
from azure_emulator.types import Answer, Call, Provider, ResourceType

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation

SETTING = "registrations"
# Registering takes "a few minutes" at most, as a rule less than one; tunable as settings registeringSeconds and
# unregisteringSeconds.
REGISTERING_SECONDS, UNREGISTERING_SECONDS = 45.0, 30.0

# By namespace, or by type where it differs.
API_VERSIONS: dict[str, tuple[str, ...]] = {
    "Microsoft.AlertsManagement": ("2023-03-01", "2021-08-08", "2019-06-01"),
    "Microsoft.AlertsManagement/actionRules": ("2021-08-08", "2019-05-05-preview"),
    "Microsoft.Authorization": ("2022-04-01", "2020-10-01", "2018-07-01", "2015-07-01"),
    "Microsoft.Authorization/locks": ("2020-05-01", "2017-04-01", "2016-09-01"),
    "Microsoft.Authorization/policyAssignments": ("2026-06-01", "2025-03-01", "2023-04-01", "2022-06-01"),
    "Microsoft.Authorization/policyDefinitions": ("2026-06-01", "2025-03-01", "2023-04-01", "2021-06-01"),
    "Microsoft.Authorization/policySetDefinitions": ("2026-06-01", "2025-03-01", "2023-04-01", "2021-06-01"),
    "Microsoft.Authorization/policyExemptions": ("2022-07-01-preview",),
    "Microsoft.Compute": ("2026-04-01", "2025-04-01", "2024-11-01", "2024-07-01", "2024-03-01", "2023-09-01"),
    "Microsoft.Compute/disks": ("2026-03-02", "2025-01-02", "2024-03-02", "2023-10-02", "2023-04-02"),
    "Microsoft.Compute/snapshots": ("2026-03-02", "2025-01-02", "2024-03-02", "2023-10-02", "2023-04-02"),
    "Microsoft.Compute/galleries": ("2026-03-03", "2025-03-03", "2024-03-03", "2023-07-03", "2022-08-03"),
    "Microsoft.Compute/galleries/images": ("2026-03-03", "2025-03-03", "2024-03-03", "2023-07-03", "2022-08-03"),
    "Microsoft.Compute/galleries/images/versions": ("2026-03-03", "2025-03-03", "2024-03-03", "2023-07-03"),
    "Microsoft.Consumption": ("2024-08-01", "2023-11-01", "2019-10-01"),
    "Microsoft.CostManagement": ("2025-03-01", "2023-11-01", "2022-10-01"),
    "Microsoft.Dashboard": ("2025-08-01", "2024-10-01", "2023-09-01"),
    "Microsoft.DBforMySQL": ("2024-12-30", "2023-12-30", "2023-06-30", "2021-05-01"),
    "Microsoft.Insights": ("2023-03-11", "2022-06-01", "2021-04-01", "2018-03-01"),
    "Microsoft.Insights/actionGroups": ("2023-01-01", "2022-06-01", "2019-06-01"),
    "Microsoft.Insights/activityLogAlerts": ("2020-10-01", "2017-04-01"),
    "Microsoft.Insights/autoscaleSettings": ("2022-10-01", "2015-04-01"),
    "Microsoft.Insights/components": ("2020-02-02", "2015-05-01"),
    "Microsoft.Insights/diagnosticSettings": ("2021-05-01-preview", "2017-05-01-preview"),
    "Microsoft.Insights/metricAlerts": ("2018-03-01",),
    "Microsoft.Insights/scheduledQueryRules": ("2023-12-01", "2022-06-15", "2021-08-01"),
    "Microsoft.KeyVault": ("2026-05-15", "2024-11-01", "2023-07-01", "2023-02-01", "2022-07-01"),
    "Microsoft.ManagedIdentity": ("2024-11-30", "2023-01-31", "2018-11-30"),
    "Microsoft.Management": ("2023-04-01", "2021-04-01", "2020-05-01"),
    "Microsoft.MarketplaceOrdering": ("2021-01-01", "2015-06-01"),
    "Microsoft.Monitor": ("2023-04-03",),
    "Microsoft.NetApp": ("2026-08-01", "2025-12-01", "2025-01-01", "2024-09-01", "2024-03-01", "2023-11-01"),
    "Microsoft.Network": ("2026-03-01", "2025-05-01", "2025-01-01", "2024-07-01", "2024-05-01", "2024-03-01",
                          "2023-11-01", "2018-10-01"),
    "Microsoft.Network/privateDnsZones": ("2024-06-01", "2020-06-01", "2018-09-01"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": ("2024-06-01", "2020-06-01", "2018-09-01"),
    "Microsoft.Network/dnsResolvers": ("2025-05-01", "2023-07-01-preview", "2022-07-01"),
    "Microsoft.Network/dnsForwardingRulesets": ("2025-05-01", "2023-07-01-preview", "2022-07-01"),
    "Microsoft.OperationalInsights": ("2025-07-01", "2025-02-01", "2023-09-01", "2022-10-01", "2020-08-01"),
    "Microsoft.OperationsManagement": ("2015-11-01-preview",),
    "Microsoft.Quota": ("2025-09-01", "2025-03-01", "2023-02-01"),
    "Microsoft.ResourceGraph": ("2024-04-01", "2022-10-01", "2021-03-01"),
    "Microsoft.Resources": ("2025-04-01", "2024-11-01", "2024-03-01", "2022-09-01", "2021-04-01", "2020-06-01"),
    "Microsoft.Resources/deployments": ("2026-06-01", "2025-04-01", "2024-11-01", "2022-09-01", "2021-04-01"),
    "Microsoft.Storage": ("2026-09-01", "2025-06-01", "2024-01-01", "2023-05-01", "2023-01-01", "2022-09-01"),
    "Microsoft.StorageCache": ("2026-08-01", "2026-01-01", "2024-07-01", "2024-03-01", "2023-05-01"),
    "Microsoft.Subscription": ("2021-10-01", "2020-09-01"),
}  # fmt: skip
# A namespace that the table leaves out has the version that was asked for.
ALWAYS_REGISTERED = frozenset({"microsoft.authorization", "microsoft.resources", "microsoft.management",
                               "microsoft.consumption", "microsoft.costmanagement", "microsoft.resourcegraph",
                               "microsoft.marketplaceordering", "microsoft.subscription"})  # fmt: skip
# Types that are placed in availability zones.
ZONAL = frozenset(
    name.lower()
    for name in (
        "Microsoft.Compute/virtualMachines", "Microsoft.Compute/virtualMachineScaleSets", "Microsoft.Compute/disks",
        "Microsoft.Compute/capacityReservationGroups", "Microsoft.Compute/proximityPlacementGroups",
        "Microsoft.Network/publicIPAddresses", "Microsoft.Network/publicIPPrefixes", "Microsoft.Network/natGateways",
        "Microsoft.Network/bastionHosts", "Microsoft.Network/loadBalancers", "Microsoft.Network/virtualNetworkGateways",
        "Microsoft.NetApp/netAppAccounts/capacityPools/volumes", "Microsoft.StorageCache/amlFilesystems",
        "Microsoft.DBforMySQL/flexibleServers", "Microsoft.Dashboard/grafana",
    )
)  # fmt: skip
# Namespaces that clients expect every Azure to have, Terraform's among them, and of which nothing is emulated: they
# are listed and can be registered, and their types are refused as unknown.
OTHERS = (
    "Microsoft.AAD", "Microsoft.Advisor", "Microsoft.ApiManagement", "Microsoft.AppConfiguration",
    "Microsoft.AppPlatform", "Microsoft.Automation", "Microsoft.AVS", "Microsoft.Billing", "Microsoft.BotService",
    "Microsoft.Cache", "Microsoft.Cdn", "Microsoft.CognitiveServices", "Microsoft.ContainerInstance",
    "Microsoft.ContainerRegistry", "Microsoft.ContainerService", "Microsoft.DataFactory", "Microsoft.DataLakeStore",
    "Microsoft.DataMigration", "Microsoft.DataProtection", "Microsoft.Databricks", "Microsoft.DBforPostgreSQL",
    "Microsoft.DesktopVirtualization", "Microsoft.Devices", "Microsoft.DevTestLab", "Microsoft.DocumentDB",
    "Microsoft.EventGrid", "Microsoft.EventHub", "Microsoft.GuestConfiguration", "Microsoft.HDInsight",
    "Microsoft.HealthcareApis", "Microsoft.Logic", "Microsoft.MachineLearningServices", "Microsoft.Maintenance",
    "Microsoft.ManagedServices", "Microsoft.Maps", "Microsoft.NotificationHubs", "Microsoft.PolicyInsights",
    "Microsoft.PowerBIDedicated", "Microsoft.RecoveryServices", "Microsoft.Relay", "Microsoft.Search",
    "Microsoft.Security", "Microsoft.SecurityInsights", "Microsoft.ServiceBus", "Microsoft.ServiceFabric",
    "Microsoft.SignalRService", "Microsoft.Sql", "Microsoft.StreamAnalytics", "Microsoft.Web",
)  # fmt: skip


def api_versions(type_name: str) -> tuple[str, ...]:
    """The api-versions of a type, newest first; empty where none are known."""
    parts = type_name.split("/")
    for count in range(len(parts), 0, -1):
        found = _VERSIONS.get("/".join(parts[:count]).lower())
        if found is not None:
            return found
    return ()


def default_api_version(type_name: str, otherwise: str = "2024-01-01") -> str:
    """The newest api-version of a type that is no preview, if it has one."""
    versions = api_versions(type_name)
    return next((one for one in versions if "preview" not in one), versions[0] if versions else otherwise)


_VERSIONS = {name.lower(): versions for name, versions in API_VERSIONS.items()}


# -- lists -----------------------------------------------------------------------------------------------------------


def _providers(call: Call) -> Answer:
    if call.path.is_resource:
        return Answer(200, _document(call, _known(call, call.path.name)))
    known = {**{name.lower(): Provider(name) for name in OTHERS}, **call.engine.providers}
    return Answer(200, {"value": [_document(call, known[name]) for name in sorted(known)]})


def _resource_types(call: Call) -> Answer:
    return Answer(200, {"value": _types(call, _known(call, call.path.namespace))})


def _known(call: Call, namespace: str) -> Provider:
    provider = call.engine.providers.get(namespace.lower())
    other = next((name for name in OTHERS if name.lower() == namespace.lower()), None)
    if provider is None and other is None:
        message = f"The resource namespace '{namespace}' is invalid."
        raise errors.ArmError(errors.NOT_FOUND, "InvalidResourceNamespace", message)
    return provider or Provider(str(other))


def _document(call: Call, provider: Provider) -> dict[str, Any]:
    always = provider.namespace.lower() in ALWAYS_REGISTERED
    shown: dict[str, Any] = {
        "namespace": provider.namespace,
        "registrationPolicy": "RegistrationFree" if always else "RegistrationRequired",
        "resourceTypes": _types(call, provider),
    }
    if call.subscription:
        shown["id"] = f"/subscriptions/{call.subscription}/providers/{provider.namespace}"
        shown["registrationState"] = state_of(call.engine, provider.namespace)
    return shown


def _types(call: Call, provider: Provider) -> list[dict[str, Any]]:
    """The types, and after them the documents that are no resources, such as locations/usages."""
    shown = [_type(call, kind) for kind in provider.types]
    prefix = f"{provider.namespace.lower()}/"
    names = {kind.key for kind in provider.types}
    documents = {name.split("/", 1)[1] for _, name in provider.functions
                 if name.lower().startswith(prefix) and name.lower() not in names}  # fmt: skip
    for name in sorted(documents):
        versions = api_versions(provider.namespace) or (call.api_version,)
        shown.append({"resourceType": name, "locations": [], "apiVersions": list(versions), "capabilities": "None"})
    return shown


def _type(call: Call, kind: ResourceType) -> dict[str, Any]:
    versions = api_versions(kind.name) or (call.api_version,)
    capabilities = []
    if kind.location is not None and kind.parent is None:
        capabilities += ["CrossResourceGroupResourceMove", "CrossSubscriptionResourceMove"]
    capabilities += ["SupportsTags"] if kind.tags else []
    capabilities += ["SupportsLocation"] if kind.location is not None else []
    capabilities += ["SupportsExtension"] if kind.extension else []
    regions = (
        [] if kind.location is None else ["global"] if kind.location == "global" else [*locations.REGIONS.values()]
    )
    shown: dict[str, Any] = {
        "resourceType": kind.name.split("/", 1)[1],
        "locations": regions,
        "apiVersions": list(versions),
        "defaultApiVersion": default_api_version(kind.name, call.api_version),
        "capabilities": ", ".join(capabilities) or "None",
    }
    if kind.key in ZONAL:
        shown["zoneMappings"] = [
            {"location": display, "zones": locations.zones(name)}
            for name, display in locations.REGIONS.items()
            if locations.zones(name)
        ]
    return shown


# -- registration ----------------------------------------------------------------------------------------------------


def state_of(engine: Engine, namespace: str) -> str:
    """Registered, Registering, Unregistering or NotRegistered."""
    return str(engine.setting(SETTING, {}).get(namespace.lower(), "Registered"))


def _register(call: Call) -> Answer:
    """POST …/providers/{namespace}/register and /unregister: the end of it comes later."""
    engine, provider = call.engine, _known(call, call.path.namespace)
    registers = call.path.types[-1].lower() == "register"
    wanted, meanwhile = ("Registered", "Registering") if registers else ("NotRegistered", "Unregistering")
    namespace = provider.namespace.lower()
    if not registers and namespace in ALWAYS_REGISTERED:
        raise errors.conflict(
            "CannotUnregisterRegistrationFreeResourceProvider",
            f"Cannot unregister registration free resource provider '{provider.namespace}'.",
        )
    if state_of(engine, namespace) not in (wanted, meanwhile):
        _keep(engine, namespace, meanwhile)
        name = "registeringSeconds" if registers else "unregisteringSeconds"
        seconds = float(engine.setting(name, REGISTERING_SECONDS if registers else UNREGISTERING_SECONDS))
        scope = f"/subscriptions/{call.subscription or next(iter(engine.subscriptions.values()))}"
        engine.later("registration", engine.jittered(seconds, namespace, wanted),
                     f"{scope}/providers/{provider.namespace}", namespace=namespace, state=wanted)  # fmt: skip
    return Answer(200, _document(call, provider))


def _registered(engine: Engine, operation: Operation) -> None:
    _keep(engine, operation.arguments["namespace"], operation.arguments["state"])


def _keep(engine: Engine, namespace: str, state: str) -> None:
    engine.store.set(SETTING, {**engine.setting(SETTING, {}), namespace: state})


PROVIDER = Provider(
    namespace="Microsoft.Resources",
    functions={
        ("GET", "Microsoft.Resources/providers"): _providers,
        ("GET", "*/resourceTypes"): _resource_types,
        ("POST", "*/register"): _register,
        ("POST", "*/unregister"): _register,
    },
    timers={"registration": _registered},
)
