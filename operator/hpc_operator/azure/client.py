"""`AzureClient`: what the engine asks of Azure (`arm.Azure`), sent with the SDK's own asynchronous clients.

One pipeline, one connection pool and one token for all of them. Bodies are plain JSON both ways: what the SDK's models
do not know is neither lost nor changed. Knows no resource type but through `table`.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import jwt
from azure.core.exceptions import AzureError as SdkError
from azure.core.exceptions import ClientAuthenticationError
from azure.core.rest import HttpRequest

from hpc_operator.arm import AzureError, ErrorClass, Handle, Outcome, Started, TypeInfo, is_final, provisioning_state
from hpc_operator.azure import locks, operations, table
from hpc_operator.azure.errors import LONG_RUNNING, azure_error
from hpc_operator.azure.operations import Answer, Operations
from hpc_operator.azure.survey import PAGE, Surveys, used_up
from hpc_operator.azure.throttle import QUERY_PATH, Throttle
from hpc_operator.azure.transport import POLL, Answered, Endpoint, pipeline
from hpc_operator.graph import ArmId

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from azure.core.credentials_async import AsyncTokenCredential

MISCONFIGURED: Final = frozenset({"SubscriptionNotFound", "InvalidSubscriptionId", "InvalidResourceType"})
"""Codes of a 404 that does not tell that the resource is absent."""

_FAILED_STATE = re.compile(r"ProvisioningState/failed/(?P<code>\w+)", re.IGNORECASE)
_UNREGISTERED = re.compile(r"namespace '(?P<namespace>[\w.]+)'")


class AzureClient:
    """Azure Resource Manager.

    Parameters
    ----------
    endpoint
        Such as `https://management.azure.com`; plain http only on this machine.
    subscription_id
        The subscription for what names none itself.
    credential
        Who we are; it stays the caller's to close. By default `DefaultAzureCredential`: workload identity in a cluster,
        managed identity, environment variables, or who is logged in with `az`.
    throttle
        The request limits.
    poll_interval
        Seconds between two questions for an operation where Azure does not say.
    fence
        Asked right before a write is sent, after all waiting for its turn: where it says no, the write is not sent and
        ends in an `AzureError` with the code `NotLeading`. Reads go on.

    Raises
    ------
    ValueError
        If a token would go over plain http to another machine.
    """

    def __init__(
        self,
        endpoint: str,
        subscription_id: str,
        credential: AsyncTokenCredential | None = None,
        *,
        throttle: Throttle | None = None,
        poll_interval: float = operations.DEFAULT_INTERVAL,
        fence: Callable[[], bool] | None = None,
    ) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        """Requests by (read, write, delete or poll) and (2xx, 3xx, 4xx, 429, 5xx, or none where no answer came)."""
        self._endpoint = Endpoint(endpoint)
        self._subscription_id = subscription_id
        self._credential: AsyncTokenCredential = credential or _default_credential()
        self._owns_credential = credential is None
        self._throttle = throttle or Throttle()
        self._pipeline = pipeline(self._endpoint, self._credential, self._throttle, self.requests, fence)
        self._clients: dict[tuple[table.Sdk, str], Any] = {}
        self._registered: set[tuple[str, str]] = set()
        self._operations = Operations(
            ask=self._ask, get=self.get, require=self._endpoint.require, interval=poll_interval
        )
        self._surveys = Surveys(self._query)

    async def __aenter__(self) -> Self:
        await self._pipeline.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop following operations and close every connection."""
        await self._operations.close()
        await self._surveys.close()
        await self._pipeline.__aexit__()
        if self._owns_credential:
            await self._credential.close()

    async def load(self) -> None:
        """Import every SDK package now, which takes most of a second, and not within the first pass."""
        for sdk in {table.RESOURCE_GRAPH, *(row.sdk for row in table.TABLE.values())}:
            await asyncio.to_thread(importlib.import_module, sdk.module)

    # --- arm.Azure ---------------------------------------------------------------------------------------------------

    def type_info(self, resource_type: str) -> TypeInfo:
        """Return the row of a resource type; see `arm.Azure`."""
        return _row(resource_type).info

    async def get(self, resource_id: str) -> Mapping[str, Any] | None:
        """Return the body of a resource, None if there is none."""
        arm_id = ArmId.parse(resource_id)
        row = _row(arm_id.type)
        try:
            options = {**row.options, **row.get_options}
            answer = await self._call(arm_id, row.sdk, row.group, row.get, *row.arguments(arm_id), **options)
        except AzureError as error:
            if _is_absent(error):
                return None
            raise
        return _required(answer)

    async def survey(self, resource_group_id: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the bodies of everything in a resource group; see `arm.Azure`."""
        return await self._surveys.of(resource_group_id)

    async def put(self, resource_id: str, body: Mapping[str, Any]) -> Started:
        """Create or replace a resource."""
        arm_id = ArmId.parse(resource_id)
        row = _row(arm_id.type)
        return await self._write(arm_id, row, row.put, body)

    async def patch(self, resource_id: str, body: Mapping[str, Any]) -> Started:
        """Change a resource.

        Raises
        ------
        ValueError
            If this type is updated with PUT: a bug in the engine.
        """
        arm_id = ArmId.parse(resource_id)
        row = _row(arm_id.type)
        if row.patch is None:
            msg = f"{row.type} is updated with PUT, not with PATCH"
            raise ValueError(msg)
        return await self._write(arm_id, row, row.patch, body)

    async def delete(self, resource_id: str) -> Started:
        """Delete a resource; it is no error if there is none."""
        arm_id = ArmId.parse(resource_id)
        row = _row(arm_id.type)
        try:
            return await self._write(arm_id, row, row.delete, None)
        except AzureError as error:
            if _is_absent(error):
                return Started()
            raise

    async def list_virtual_machines(self, resource_group_id: str) -> list[Mapping[str, Any]]:
        """Return the bodies of all virtual machines of a resource group, an empty list if there is no such group."""
        return await self._in_group(resource_group_id, table.COMPUTE, "virtual_machines", "list")

    async def list_resources(self, resource_group_id: str) -> list[Mapping[str, Any]]:
        """Return id and tags of everything in a resource group; see `arm.Azure`."""
        return await self._in_group(resource_group_id, table.RESOURCES, "resources", "list_by_resource_group")

    async def _in_group(
        self, resource_group_id: str, sdk: table.Sdk, group: str, operation: str
    ) -> list[Mapping[str, Any]]:
        arm_id = ArmId.parse(resource_group_id)
        try:
            pages = await self._pages(arm_id.scope, sdk, group, operation, arm_id.resource_group)
        except AzureError as error:
            if _is_absent(error):
                return []
            raise
        return [item for page in pages for item in page.get("value", [])]

    async def virtual_machine_error(self, resource_id: str) -> AzureError:
        """Return why a virtual machine is in the state Failed."""
        arm_id = ArmId.parse(resource_id)
        answer = await self._call(
            arm_id, table.COMPUTE, "virtual_machines", "instance_view", arm_id.resource_group, arm_id.name
        )
        for status in _required(answer).get("statuses", []):
            if found := _FAILED_STATE.match(str(status.get("code", ""))):
                message = status.get("message") or status.get("displayStatus") or ""
                return azure_error(LONG_RUNNING, {"code": found["code"], "message": message})
        return azure_error(LONG_RUNNING, None)

    async def latest_image_version(self, location: str, reference: str) -> str:
        """Return the newest version of an image in a region; see `arm.Azure`.

        Raises
        ------
        ValueError
            If the text is neither a URN nor an ARM id: a bug, for the API server refuses such a spec.
        """
        if reference.startswith("/"):
            return await self._latest_of_gallery(location, ArmId.parse(reference))
        return await self._latest_of_marketplace(location, reference)

    async def _latest_of_gallery(self, location: str, definition: ArmId) -> str:
        """Return what Azure itself takes for the newest: the highest number of those that are there for everybody."""
        names = (definition.resource_group, *definition.names)
        pages = await self._pages(
            definition.scope, table.COMPUTE, "gallery_image_versions", "list_by_gallery_image", *names
        )
        found = [
            tuple(map(int, image["name"].split(".")))
            for page in pages
            for image in page.get("value", [])
            if _is_offered(image["properties"].get("publishingProfile") or {}, location)
        ]
        if not found:
            msg = f"The gallery image {'/'.join(definition.names)} has no version in {location}."
            raise AzureError(msg, code="ImageNotFound", status=404, error_class=ErrorClass.PERMANENT)
        return ".".join(map(str, max(found)))

    async def _latest_of_marketplace(self, location: str, urn: str) -> str:
        publisher, offer, sku, version = urn.split(":")
        if version != "latest":
            return version
        scope = ArmId(f"/subscriptions/{self._subscription_id}", "Microsoft.Compute/locations", (location,))
        names = (location, publisher, offer, sku)
        try:
            answer = await self._call(
                scope, table.COMPUTE, "virtual_machine_images", "list", *names, top=1, orderby="name desc"
            )
        except AzureError as error:
            if not _is_absent(error):
                raise
            images: Any = None
        else:
            images = answer.body
        if not isinstance(images, Sequence) or not images:
            msg = f"There is no image {urn} in {location}; `az vm image list --all --location {location}` shows them."
            raise AzureError(msg, code="ImageNotFound", status=404, error_class=ErrorClass.PERMANENT)
        return str(images[0]["name"])

    def follow(self, handle: Handle, done: Callable[[Outcome], None], *, retry_after: float | None = None) -> None:
        """Ask for an operation until it ends, then call `done` once; see `arm.Azure`."""
        self._operations.follow(handle, done, retry_after)

    def forget(self, resource_id: str) -> None:
        """Stop following what is known of a resource."""
        self._operations.forget(resource_id)

    # --- for the other modules of azure/ -----------------------------------------------------------------------------

    async def read(
        self, scope: str, sdk: table.Sdk, group: str, operation: str, *arguments: Any, **options: Any
    ) -> Any:
        """Call an operation of the SDK that changes nothing, and return the body of Azure's answer.

        Other than a write it never registers a resource provider: who only looks leaves no trace.

        Parameters
        ----------
        scope
            Any ARM id in the subscription to ask in; empty for our own.

        Raises
        ------
        AzureError
            If there is no answer, or it is a refusal.
        """
        method = getattr(await self._group(sdk, scope, group), operation)
        return (await self._answer(method(*arguments, **options))).body

    async def read_all(
        self, scope: str, sdk: table.Sdk, group: str, operation: str, *arguments: Any, **options: Any
    ) -> list[Mapping[str, Any]]:
        """Call a list operation of the SDK and return the items of all pages; see `read`."""
        pages = await self._pages(scope, sdk, group, operation, *arguments, **options)
        return [item for page in pages for item in page.get("value", [])]

    async def read_path(self, path: str) -> Mapping[str, Any]:
        """Return the body that is at a path of Azure Resource Manager, where the SDK has no operation for it."""
        url = f"{self._endpoint.url}{path}"
        return _required(await self._answer(self._pipeline.run(HttpRequest("GET", url))))

    async def principals(self) -> frozenset[str]:
        """Return the names, in lower case, that Azure may give us; none where our token does not tell."""
        try:
            token = await self._credential.get_token(self._endpoint.scope)
        except SdkError as error:
            raise _no_token(error) from error
        try:
            claims = jwt.decode(token.token, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return frozenset()
        return frozenset(str(claims[name]).lower() for name in ("oid", "appid", "upn", "unique_name") if name in claims)

    # --- sending -----------------------------------------------------------------------------------------------------

    async def _write(self, arm_id: ArmId, row: table.Row, operation: str, body: Mapping[str, Any] | None) -> Started:
        # Bytes, because the SDK sends them as they are; the older packages would run a dict through their models.
        payload = () if body is None else (json.dumps(body).encode(),)
        arguments = (*row.arguments(arm_id), *payload)
        answer = await self._call(arm_id, row.sdk, row.group, operation, *arguments, **row.options)
        found = _mapping(answer)
        if not operation.startswith("begin_"):
            return Started(found)
        url = answer.headers.get("Azure-AsyncOperation") or answer.headers.get("Location")
        if url:
            self._endpoint.require(url)
        elif answer.status == HTTPStatus.ACCEPTED or not is_final(provisioning_state(found)):
            url = ""
        return Started(found, url, operations.retry_after(answer.headers))

    async def _call(
        self, arm_id: ArmId, sdk: table.Sdk, group: str, operation: str, *arguments: Any, **options: Any
    ) -> Answer:
        """Call an operation of the SDK and return Azure's own answer.

        Raises
        ------
        AzureError
            If there is no answer, or it is a refusal.
        """
        method = getattr(await self._group(sdk, arm_id.scope, group), operation)
        try:
            return await self._answer(method(*arguments, **options))
        except AzureError as error:
            if error.code == "MissingSubscriptionRegistration":
                await self._register(arm_id, error)
            if error.code == "ScopeLocked":
                raise await self._naming_locks(arm_id, error) from error
            raise

    async def _pages(
        self, scope: str, sdk: table.Sdk, group: str, operation: str, *arguments: Any, **options: Any
    ) -> list[Mapping[str, Any]]:
        """Call a list operation of the SDK and return all pages as Azure sent them."""
        method = getattr(await self._group(sdk, scope, group), operation)
        pages = [_required(await self._answer(anext(method(*arguments, **options).by_page())))]
        while following := pages[-1].get("nextLink"):
            pages.append(_required(await self._answer(self._pipeline.run(HttpRequest("GET", following)))))
        return pages

    async def _ask(self, url: str) -> Answer:
        return await self._answer(self._pipeline.run(HttpRequest("GET", url), **{POLL: True}))

    async def _query(self, subscription: str, query: str, skip_token: str | None) -> Mapping[str, Any]:
        """Ask Resource Graph for a page of rows."""
        options = {"$top": PAGE, "resultFormat": "objectArray"} | ({"$skipToken": skip_token} if skip_token else {})
        body = {"subscriptions": [subscription], "query": query, "options": options}
        client = await self._client(table.RESOURCE_GRAPH, subscription)
        answer = await self._answer(client.resources(json.dumps(body).encode()))
        if seconds := used_up(answer.headers):
            self._throttle.pause("POST", QUERY_PATH, "", seconds)
        return _required(answer)

    async def _answer(self, sending: Awaitable[Any]) -> Answer:
        """Return Azure's answer to a request.

        Raises
        ------
        AzureError
            If there is no answer, or it is a refusal, or it is not Azure's.
        """
        try:
            await sending
        except Answered as answered:
            response = answered.response
        except ClientAuthenticationError as error:
            raise _no_token(error) from error
        except SdkError as error:
            raise _unreachable(self._endpoint, error) from error
        else:
            msg = "the SDK returned without having sent anything"
            raise RuntimeError(msg)
        status, headers, text = response.status_code, response.headers, _text(response)
        body = _decoded(text)
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES and (body is not None or not text.strip()):
            return Answer(status, body, headers)
        seconds = operations.retry_after(headers)
        refusal = azure_error(status, body, text=text, retry_after=seconds)
        if status == HTTPStatus.TOO_MANY_REQUESTS and "Retryable" not in refusal.code:
            request = response.request
            self._throttle.pause(request.method, request.url, refusal.code, seconds or operations.DEFAULT_INTERVAL)
        raise refusal

    async def _group(self, sdk: table.Sdk, scope: str, group: str) -> Any:
        """Return an operation group of the client for the subscription that an id names."""
        parts = scope.strip("/").split("/")
        subscription = parts[1] if parts[0].lower() == "subscriptions" and len(parts) > 1 else self._subscription_id
        return getattr(await self._client(sdk, subscription), group)

    async def _client(self, sdk: table.Sdk, subscription: str) -> Any:
        """Return an SDK package's client; one that is for no subscription is the same for all."""
        key = (sdk, subscription if sdk.per_subscription else "")
        client = self._clients.get(key)
        if client is None:
            # Some packages take a second to import: not in the event loop.
            module = await asyncio.to_thread(importlib.import_module, sdk.module)
            client = self._clients[key] = getattr(module, sdk.client)(
                self._credential,
                *([subscription] if sdk.per_subscription else []),
                base_url=self._endpoint.url,
                credential_scopes=[self._endpoint.scope],
                pipeline=self._pipeline,
                policies=[],
            )
        return client

    async def _naming_locks(self, arm_id: ArmId, refusal: AzureError) -> AzureError:
        """Return the refusal with the locks that are behind it, for whoever must ask their owners."""
        try:
            found = await locks.read(self, arm_id.scope)
        except AzureError as error:
            return locks.named(refusal, [], f"The locks could not be read ({error.code}).")
        return locks.named(refusal, found)

    async def _register(self, arm_id: ArmId, refusal: AzureError) -> None:
        """Ask once to register the resource provider; it takes minutes, so whoever was refused comes again later."""
        found = _UNREGISTERED.search(refusal.message)
        namespace = found["namespace"] if found else arm_id.type.partition("/")[0]
        parts = arm_id.scope.strip("/").split("/")
        key = (parts[1] if len(parts) > 1 else self._subscription_id, namespace.lower())
        if key in self._registered:
            return
        self._registered.add(key)
        try:
            await self._call(arm_id, table.RESOURCES, "providers", "register", namespace)
        except AzureError as error:
            self._registered.discard(key)
            msg = (
                f"{refusal.message} Registering it was refused ({error.code}): "
                f"let someone with rights on the subscription run `az provider register --namespace {namespace}`."
            )
            raise AzureError(msg, code=refusal.code, status=refusal.status, error_class=error.error_class) from error


def _row(resource_type: str) -> table.Row:
    return table.TABLE[resource_type.lower()]


def _is_offered(profile: Mapping[str, Any], location: str) -> bool:
    """Whether a version of a gallery image is in a region, and may be taken by who names none."""
    regions = {str(item.get("name", "")).replace(" ", "").lower() for item in profile.get("targetRegions") or []}
    return location in regions and not profile.get("excludeFromLatest")


def _is_absent(error: AzureError) -> bool:
    """Whether a 404 tells that the resource is not there; a proxy's or gateway's 404 does not."""
    return (
        error.status == HTTPStatus.NOT_FOUND
        and error.code not in MISCONFIGURED
        and error.error_class is ErrorClass.ORDERING
    )


def _unreachable(endpoint: Endpoint, error: SdkError) -> AzureError:
    return AzureError(
        f"No answer from {endpoint.url}: {_first_line(error)}",
        code="Unreachable",
        status=0,
        error_class=ErrorClass.TRANSIENT,
    )


def _no_token(error: SdkError) -> AzureError:
    return AzureError(
        f"No token for Azure could be had ({_first_line(error)}). In a cluster, give the operator's service account a "
        "workload identity (label azure.workload.identity/use and annotation azure.workload.identity/client-id); "
        "elsewhere run `az login`, or set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET.",
        code="NoCredentials",
        status=0,
        error_class=ErrorClass.CREDENTIALS,
    )


def _first_line(error: SdkError) -> str:
    text = (error.message or str(error) or type(error).__name__).strip()
    return text.splitlines()[0][:300]


def _default_credential() -> AsyncTokenCredential:
    # Imported here: it takes a third of a second, and tests bring a credential of their own.
    from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415

    return DefaultAzureCredential()


def _text(response: Any) -> str:
    """Return the body of an answer of the SDK's newer or older transport."""
    content = response.content if hasattr(response, "content") else response.body()
    return bytes(content or b"").decode("utf-8", errors="replace")


def _decoded(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _mapping(answer: Answer) -> Mapping[str, Any] | None:
    return answer.body if isinstance(answer.body, Mapping) else None


def _required(answer: Answer) -> Mapping[str, Any]:
    """Return the body of an answer that must have one: without it nobody can say what Azure holds."""
    body = _mapping(answer)
    if body is None:
        raise azure_error(answer.status, None)
    return body
