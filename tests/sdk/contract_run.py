"""A table of the contract carried out: which call comes when, and what must come back.

Knows neither sync nor async: it hands out calls one by one and is told what came of each.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

from azure.core.exceptions import AzureError
from contract import READS, Example, NoExampleError, Step, Table, is_kept, key_of
from sdk_clients import Sdk, afinish, finish, problems
from sdk_reading import SdkOperation, type_of

Call = Callable[[], Any]
Steps = Generator[Call, Any, None]
# How often what is refused for the time being is asked for again; on the fast clock that is days.
TRIES = 1000


class Run:
    """The calls of one table: what it needs is created, read, changed and deleted, in this order."""

    def __init__(self, table: Table, sdk: Sdk) -> None:
        self.table, self.sdk = table, sdk
        self.called: set[str] = set()
        self.failures: list[str] = []
        self.beyond: set[str] = set()  # what of the table's list of that name was met

    def sync(self) -> None:
        """Carry it out with sync clients."""
        steps = self._steps()
        call = next(steps, None)
        while call is not None:
            try:
                outcome = finish(call())
            except AzureError as error:
                call = _thrown(steps, error)
            else:
                call = _sent(steps, outcome)

    async def aio(self) -> None:
        """Carry it out with aio clients."""
        steps = self._steps()
        call = next(steps, None)
        while call is not None:
            try:
                outcome = await afinish(call())
            except AzureError as error:
                call = _thrown(steps, error)
            else:
                call = _sent(steps, outcome)

    # -- the order ---------------------------------------------------------------------------------------------------

    def _steps(self) -> Steps:
        table = self.table
        groups = self.sdk.client("resource.resources").resource_groups
        name = table.values["groupname"]
        yield lambda: groups.create_or_update(name, {"location": table.values["location"]})
        for example, operation in table.creations():
            yield from self._one(operation, example)
        own = table.operations()
        alone = [one for one in own if key_of(one) not in {*table.calls, *table.after}]
        for verbs in (READS, ("PATCH", "PUT", "POST")):
            for operation in alone:
                if operation.verb in verbs and key_of(operation) not in self.called:
                    yield from self._one(operation)
        yield from self._listed(table.calls)
        yield from self._deletions([one for one in alone if one.verb == "DELETE"])
        yield from self._listed(table.after)
        yield lambda: groups.begin_delete(name)

    def _listed(self, calls: dict[str, Any]) -> Steps:
        own = {key_of(one): one for one in self.table.operations()}
        for key in calls:
            if key not in own:
                self.failures.append(f"{self.table.name}: {key} is no served operation")
            elif key not in self.called:
                yield from self._one(own[key])

    def _deletions(self, operations: list[SdkOperation]) -> Steps:
        creations = {example.label: operation for example, operation in self.table.creations()}
        for example in reversed(self.table.examples):
            if not example.delete:
                continue
            fitting = self.table.own("DELETE", example)
            todo = [one for one in fitting if one in operations and key_of(one) not in self.called] or fitting[:1]
            for place, operation in enumerate(todo):
                if place > 0:
                    yield from self._one(creations[example.label], example)
                yield from self._one(operation, example)
        for operation in operations:
            if key_of(operation) not in self.called:
                yield from self._one(operation)

    # -- one call ----------------------------------------------------------------------------------------------------

    def _one(self, operation: SdkOperation, example: Example | None = None) -> Steps:
        method = self.sdk.method(operation.package, operation.group, operation.name)
        try:
            step = self.table.step(operation, method, example)
        except NoExampleError as error:
            self.failures.append(str(error))
            return
        self.called.add(step.key)
        for tries_left in reversed(range(TRIES)):
            try:
                result = yield lambda: method(**step.arguments, raw_response_hook=self._seen)
            except AzureError as error:
                if tries_left and step.example is not None and step.example.again_while in _codes(error):
                    continue
                self._refused(step, error)
            else:
                self._answered(step, result)
            return

    def _refused(self, step: Step, error: AzureError) -> None:
        if step.refused is None or str(step.refused) not in _codes(error):
            self.failures.append(f"{self.table.name}: {step.key} {_shown(step)}: {type(error).__name__}: {error}")

    def _answered(self, step: Step, result: Any) -> None:
        try:
            assert step.refused is None, f"not refused with {step.refused}"
            self._check(step, result)
        except (AzureError, AssertionError, LookupError, AttributeError) as error:
            self.failures.append(f"{self.table.name}: {step.key} {_shown(step)}: {error!r} {error.__cause__!r}")

    def _seen(self, response: Any) -> None:
        headers = response.http_response.headers
        for name in ("Azure-AsyncOperation", "Location"):
            if name in headers:
                self.table.values["operation"] = headers[name].split("?", 1)[0].rsplit("/", 1)[-1]
                return

    def _check(self, step: Step, result: Any) -> None:
        for name, path in step.take.items():
            self.table.values[name] = str(_value(result, path))
        if step.status_document:
            return
        found = list(problems(result))
        self.beyond |= {problem.what for problem in found} & self.table.beyond
        found = [problem for problem in found if problem.what not in self.table.beyond]
        assert not found, "; ".join(map(str, found[:12]))
        operation = step.operation
        if operation.verb in ("GET", "PUT", "PATCH") and step.resource is not None and result is not None:
            for key, expected in _expected(step.resource):
                if _has(result, key) and (is_kept(step.resource) or getattr(result, key) is not None):
                    got = str(getattr(result, key))
                    assert _same(key, got, expected), f"{key} is {got} and not {expected}"
            state = _state(result)
            assert state in (None, "Succeeded"), f"provisioningState is {state}"


def _codes(error: Any) -> tuple[str, ...]:
    """An ARM error's code; the status where there is no body, as in the answer to a HEAD."""
    code = getattr(getattr(error, "error", None), "code", None)
    return (str(getattr(error, "status_code", "")),) if code is None else (str(code),)


def _same(key: str, got: str, expected: str) -> bool:
    """Names of some types (NetApp's, instances of scale sets) begin with the parents'."""
    got, expected = got.lower(), expected.lower()
    return got == expected or (key == "name" and got.endswith((f"/{expected}", f"_{expected}")))


def _expected(resource: str) -> Iterator[tuple[str, str]]:
    yield "id", resource
    yield "name", resource.rsplit("/", 1)[-1]
    yield "type", type_of(resource)


def _has(model: Any, name: str) -> bool:
    return name in getattr(type(model), "_attribute_map", {}) or name in getattr(model, "_attr_to_rest_field", {})


def _state(model: Any) -> Any:
    own = getattr(model, "provisioning_state", None)
    return own if own is not None else getattr(getattr(model, "properties", None), "provisioning_state", None)


def _value(result: Any, path: str) -> Any:
    for part in path.split("."):
        result = result[int(part)] if part.isdigit() else getattr(result, part)
    return result


def _shown(step: Step) -> str:
    return f"({step.operation.verb} {step.operation.type_name})"


def _sent(steps: Steps, outcome: Any) -> Call | None:
    try:
        return steps.send(outcome)
    except StopIteration:
        return None


def _thrown(steps: Steps, error: AzureError) -> Call | None:
    try:
        return steps.throw(error)
    except StopIteration:
        return None
