"""How each resource provider tells clients to follow its operations.

Header styles and Retry-After values as read from azure-cli recordings and traces; where no recording shows them, the
comment says that the value is an assumption.
"""

from __future__ import annotations

from azure_emulator.following import result_document, status_document
from azure_emulator.types import Answer, Call, Function, Protocol

# Network: Azure-AsyncOperation only, no Retry-After, a status document with nothing but the status (azure-cli
# recordings 2026-04). Deletions carry a Location too.
NETWORK = Protocol(
    name="network",
    status="providers/Microsoft.Network/locations/{location}/operations/{id}",
    result="providers/Microsoft.Network/locations/{location}/operationResults/{id}",
    result_on=frozenset({"DELETE", "POST"}),
    retry_after=None,
    terse=True,
    busy="AnotherOperationInProgress",
)

# Compute: both headers, the Location being the same URL with monitor=true; Retry-After 10 (xplat-cli#3389).
COMPUTE = Protocol(
    name="compute",
    status="providers/Microsoft.Compute/locations/{location}/operations/{id}",
    result="providers/Microsoft.Compute/locations/{location}/operations/{id}",
    retry_after=10,
    status_query="p=emulated&",
    result_query="p=emulated&monitor=true&",
    preempts=True,
)

# Storage: 202 without a body, Location only, Retry-After 17 (azure-docs, async-operations).
STORAGE = Protocol(
    name="storage",
    result="providers/Microsoft.Storage/locations/{location}/asyncoperations/{id}",
    result_query="monitor=true&",
    retry_after=17,
    busy="StorageAccountOperationInProgress",
)

NETAPP = Protocol(
    name="netapp",
    status="providers/Microsoft.NetApp/locations/{location}/operationResults/{id}",
    result="providers/Microsoft.NetApp/locations/{location}/operationResults/{id}",
    result_query="operationResultResponseType=Location&",
    retry_after=15,  # assumption
)

# Both headers are assumptions for the next two.
STORAGE_CACHE = Protocol(
    name="storage-cache",
    status="providers/Microsoft.StorageCache/locations/{location}/ascOperations/{id}",
    result="providers/Microsoft.StorageCache/locations/{location}/ascOperationResults/{id}",
    retry_after=15,
    percent=False,
)
PRIVATE_DNS = Protocol(
    name="private-dns",
    status="resourceGroups/{group}/providers/Microsoft.Network/privateDnsOperationStatuses/{id}",
    result="resourceGroups/{group}/providers/Microsoft.Network/privateDnsOperationResults/{id}",
    retry_after=15,
)
# Paths as azure-cli-extensions' recordings of dns-resolver show them; the wait is an assumption.
DNS_RESOLVER = Protocol(
    name="dns-resolver",
    status="providers/Microsoft.Network/locations/{location}/dnsResolverOperationStatuses/{id}",
    result="providers/Microsoft.Network/locations/{location}/dnsResolverOperationResults/{id}",
    retry_after=5,
)

# Resource groups: Location only; the value 15 is an assumption that most public traces agree with.
RESOURCES = Protocol(name="resources", result="operationresults/{id}", retry_after=15)

# Key Vault answers 200 and is followed by the resource's own provisioning state; only purging has a Location.
KEY_VAULT = Protocol(
    name="key-vault", result="providers/Microsoft.KeyVault/locations/{location}/operationResults/{id}",
    result_on=frozenset({"POST"}), retry_after=20,
)  # fmt: skip

# Paths as azure-cli recordings show them; they poll once a minute, which the wait explains.
MYSQL = Protocol(
    name="mysql",
    status="providers/Microsoft.DBforMySQL/locations/{location}/azureAsyncOperation/{id}",
    result="providers/Microsoft.DBforMySQL/locations/{location}/operationResults/{id}",
    retry_after=60,
    busy="ServerIsBusy",
)

# For types whose writes are done when the answer leaves.
SYNCHRONOUS = Protocol(name="synchronous", retry_after=None)


def operation_functions(*protocols: Protocol) -> dict[tuple[str, str], Function]:
    """The GET routes behind the URLs of those protocols."""
    functions: dict[tuple[str, str], Function] = {}
    for protocol in protocols:
        if protocol.result is not None:
            functions["GET", _type_of(protocol.result)] = _result
        if protocol.status is not None:
            functions["GET", _type_of(protocol.status)] = _status
        if protocol.status is not None and protocol.status == protocol.result:
            functions["GET", _type_of(protocol.status)] = _status_or_result
    return functions


def _status(call: Call) -> Answer:
    return status_document(call)


def _result(call: Call) -> Answer:
    return result_document(call)


def _status_or_result(call: Call) -> Answer:
    """One path for both: the query tells which was meant."""
    wants_result = "monitor" in call.query or "operationResultResponseType" in call.query
    return _result(call) if wants_result else _status(call)


def _type_of(template: str) -> str:
    *_, tail = template.rpartition("providers/")
    if "providers/" not in template:
        return f"Microsoft.Resources/{template.split('/', 1)[0]}"
    namespace, *pairs = tail.split("/")
    return "/".join((namespace, *pairs[0::2]))
