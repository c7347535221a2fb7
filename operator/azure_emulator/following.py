"""How a client follows an operation: the headers that start it off, and the documents behind their URLs.

Reads operations and never changes them; the style of each provider is data (types.Protocol).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from azure_emulator import errors
from azure_emulator.arm_path import RESOURCE_GROUP, parse
from azure_emulator.errors import ArmError
from azure_emulator.store import Operation
from azure_emulator.types import Answer, Call, ResourceType

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

# What stands in for Retry-After on a scaled clock where Azure sends none: SDKs would wait 30 real seconds otherwise.
RETRY_WHERE_NONE_IS_SENT = 10
RETRY_WHEN_STOPPED = 0.05


def follow(
    engine: Engine, base_url: str, api_version: str, kind: ResourceType, operation: Operation, method: str
) -> dict[str, str]:
    """Headers that tell a client how to follow an operation, in the style of its resource provider."""
    protocol = kind.protocol
    path = parse(operation.resource)
    headers: dict[str, str] = {}

    def url(template: str, extra: str) -> str:
        filled = template.format(
            namespace=kind.namespace, location=operation.location or "global", id=operation.id,
            group=path.resource_group or "", resource=operation.resource,
        )  # fmt: skip
        root = "" if filled.startswith("/") else f"/subscriptions/{path.subscription}/"
        return f"{base_url}{root}{filled}?{extra}api-version={api_version}"

    if protocol.status is not None:
        headers["Azure-AsyncOperation"] = url(protocol.status, protocol.status_query)
        headers["Azure-AsyncNotification"] = "Enabled"
    if protocol.result is not None and method in protocol.result_on:
        headers["Location"] = url(protocol.result, protocol.result_query)
    # Without either URL a client polls the resource itself, at its own pace.
    headers.update(retry_after(engine, protocol.retry_after if headers else None))
    return headers


def retry_after(engine: Engine, seconds: int | None) -> dict[str, str]:
    """`Retry-After` in real seconds for a wait in emulated ones; exact in milliseconds when time is scaled.

    azure-core takes `Retry-After` before `retry-after-ms`, and it must be a whole number. So a wait of less than a
    second is told in milliseconds only, unless the setting `wholeSeconds` asks for both (for clients that know no
    milliseconds, such as Go's). A clock that stands still is moved by hand: clients had better ask often.
    """
    speed = engine.clock.speed
    if speed == 1:
        return {} if seconds is None else {"Retry-After": str(seconds)}
    scaled = (seconds or RETRY_WHERE_NONE_IS_SENT) / speed if speed > 0 else RETRY_WHEN_STOPPED
    headers = {"retry-after-ms": str(max(1, round(scaled * 1000)))}
    if scaled >= 1 or engine.setting("wholeSeconds", default=False):
        headers["Retry-After"] = str(max(1, round(scaled)))
    return headers


def status_document(call: Call) -> Answer:
    """What an Azure-AsyncOperation URL answers."""
    engine, operation = call.engine, _operation(call)
    protocol = engine.types[operation.type.lower()].protocol
    document: dict[str, Any] = {"status": operation.status}
    if not protocol.terse:
        document.update(id=call.path.text, name=operation.id, startTime=engine.clock.iso(operation.start))
        if not operation.running:
            document["endTime"] = engine.clock.iso(operation.end)
        if protocol.percent:
            span = operation.end - operation.start
            share = min(1.0, (engine.now - operation.start) / span) if operation.running else 1.0
            document["percentComplete"] = round(100 * share, 1)
    if operation.status in ("Failed", "Canceled") and operation.failure is not None:
        document["error"] = {key: value for key, value in operation.failure.items() if key != "status"}
    elif operation.output is not None and not operation.running:
        document["properties"] = {"output": operation.output}
    headers = retry_after(engine, protocol.retry_after) if operation.running else {}
    return Answer(200, document, headers)


def result_document(call: Call) -> Answer:
    """What a Location URL answers: 202 while it runs, then what a synchronous request would have answered."""
    engine, operation = call.engine, _operation(call)
    kind = engine.types[operation.type.lower()]
    if operation.running:
        headers = retry_after(engine, kind.protocol.retry_after)
        query = urlencode(call.query)
        headers["Location"] = f"{call.base_url}{call.path.text}?{query}"
        return Answer(202, None, headers)
    if operation.status != "Succeeded":
        failure = operation.failure or {"code": "OperationCanceled", "message": "The operation was canceled."}
        inner = {key: value for key, value in failure.items() if key != "status"}
        return Answer(int(failure.get("status", errors.CONFLICT)), {"error": inner})
    if operation.verb == "DELETE":
        return Answer(200 if kind.name == RESOURCE_GROUP else 204)
    if operation.output is not None:
        return Answer(200, operation.output)
    resource = engine.store.get(operation.resource)
    if operation.verb in ("PUT", "PATCH") and resource is not None:
        return Answer(200, engine.view(resource))
    return Answer(200)


def _operation(call: Call) -> Operation:
    operation = call.engine.store.operations.get(call.path.name.lower())
    if operation is None:
        message = f"The operation '{call.path.name}' was not found."
        raise ArmError(errors.NOT_FOUND, "OperationNotFound", message)
    return operation
