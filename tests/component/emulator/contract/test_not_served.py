"""What the installed azure-mgmt clients offer and the emulator does not serve: listed with reasons, and refused."""

from __future__ import annotations

from pathlib import Path

from contract import filled_url, is_meant, is_served, key_of, not_served, parent_served
from sdk_reading import operations

from azure_emulator import SUBSCRIPTION

LIST = Path(__file__).parent / "not_served.yaml"
REFUSALS = {
    (404, "InvalidResourceType"), (404, "InvalidResourceNamespace"), (405, "HttpMethodNotSupported"),
}  # fmt: skip


def test_what_is_not_served_of_a_served_type_has_a_reason():
    entries = [entry for entry, _ in not_served(LIST)]
    assert len(entries) == len(set(entries))
    for operation in operations():
        meant = [entry for entry in entries if is_meant(entry, operation)]
        where = f"{key_of(operation)}: {operation.verb} {operation.type_name}"
        if is_served(operation):
            assert not meant, f"{where} is served, and {meant} says that it is not"
        elif parent_served(operation):
            assert meant, f"{where} is not served, and no entry says why"


def test_the_list_names_nothing_that_no_client_has():
    found = {entry: any(is_meant(entry, operation) for operation in operations()) for entry, _ in not_served(LIST)}
    assert [entry for entry, known in found.items() if not known] == []


async def test_what_is_not_served_is_refused_as_an_unknown_type(http):
    """No made-up success and no failure, whatever the path: ARM knows the type or says that it does not."""
    wrong, asked = [], set()
    for operation in operations():
        path = filled_url(operation, SUBSCRIPTION)
        if is_served(operation) or (operation.verb, path) in asked:
            continue
        asked.add((operation.verb, path))
        http.advance(1)  # not to be throttled
        body = {} if operation.verb in ("PUT", "PATCH", "POST") else None
        status, document, _ = await http.call(operation.verb, path, body)
        code = document["error"]["code"] if document else None
        if (status, code) not in REFUSALS:
            wrong.append(f"{key_of(operation)} ({operation.verb} {path}): {status} {code}")
    assert wrong == []
    assert len(asked) > 1000
