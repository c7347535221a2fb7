"""No template, however malformed, is more than refused: a property-based test over broken templates."""

from __future__ import annotations

import copy

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from azure_emulator import SUBSCRIPTION, Emulator
from azure_emulator.arm_path import parse
from azure_emulator.errors import ArmError
from azure_emulator.types import ANYONE, Answer, Call

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
NETWORK = {"apiVersion": "2024-05-01", "location": "westeurope"}
WHOLE = {
    "properties": {"mode": "Incremental", "parameters": {"p": {"value": "x"}, "o": {"value": {"a": 1}}}, "template": {
        "$schema": "s", "contentVersion": "1", "languageVersion": "2.0",
        "definitions": {"d": {"type": "object", "properties": {"a": {"type": "int"}},
                              "additionalProperties": {"type": "string"}}},
        "functions": [{"namespace": "n", "members": {"f": {
            "parameters": [{"name": "x", "type": "string"}],
            "output": {"type": "string", "value": "[parameters('x')]"}}}}],
        "parameters": {"p": {"type": "string", "allowedValues": ["x"], "defaultValue": "x", "minLength": 1},
                       "o": {"$ref": "#/definitions/d"},
                       "q": {"type": "array", "items": {"type": "int"}, "defaultValue": [1]}},
        "variables": {"v": "[n.f('a')]", "copy": [{"name": "l", "count": 2, "input": "[copyIndex('l')]"}]},
        "resources": {
            "rules": {**NETWORK, "type": "Microsoft.Network/networkSecurityGroups",
             "name": "[format('r{0}', copyIndex())]",
                      "copy": {"name": "c", "count": 2, "mode": "serial", "batchSize": 1}, "condition": True,
                      "tags": {"x": "[variables('v')]"}, "dependsOn": ["net"],
                      "properties": {"copy": [{"name": "securityRules", "count": 0, "input": {"q": 1}}]}},
            "net": {**NETWORK, "type": "Microsoft.Network/virtualNetworks", "name": "net", "scope": None,
                    "existing": False, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}},
            "inner": {"type": "Microsoft.Resources/deployments", "apiVersion": "2024-05-01", "name": "inner",
                      "resourceGroup": "rg", "properties": {
                          "mode": "Incremental", "expressionEvaluationOptions": {"scope": "inner"},
                          "parameters": {"k": {"value": "[reference('net').provisioningState]"}},
                          "template": {"$schema": "s", "contentVersion": "1", "parameters": {"k": {"type": "string"}},
                                       "resources": [], "outputs": {
                                           "k": {"type": "string", "value": "[parameters('k')]"}}}}},
        },
        "outputs": {"o": {"type": "string", "value": "[reference('inner').outputs.k.value]"},
                    "l": {"type": "array", "copy": {"count": 2, "input": "[copyIndex()]"}}},
    }},
}  # fmt: skip
VALUES = st.sampled_from([
    None, True, 0, -1, 1.5, "", "x", "[", "[x", "[parameters('p')]", "[variables('v')]", "[reference('net')]",
    "[copyIndex()]", "/", "a/b", "//", "/subscriptions/x", "Microsoft.Network/virtualNetworks",
    "Microsoft.Resources/deployments", [], {}, [1], ["x"], {"a": 1}, {"copy": []}, {"copy": {}}, [[[]]],
    {"$ref": "#/definitions/d"}, {"type": "int"}, "[n.f()]", "[[x]", "\x00", "é",
])  # fmt: skip


def places(document, path=()):
    """All paths of a document."""
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inside:
        yield (*path, key)
        yield from places(value, (*path, key))


PLACES = list(places(WHOLE))


def changed(document, path, value, *, removed):
    """A copy with one place changed, if an earlier change left it."""
    document = copy.deepcopy(document)
    target = document
    for key in path[:-1]:
        if not isinstance(target, dict | list) or (isinstance(target, dict) and key not in target) or (
            isinstance(target, list) and not (isinstance(key, int) and key < len(target))
        ):  # fmt: skip
            return document
        target = target[key]
    if isinstance(target, dict) and removed:
        target.pop(path[-1], None)
    elif isinstance(target, dict) and isinstance(path[-1], str):
        target[path[-1]] = value
    return document


changes = st.lists(st.tuples(st.sampled_from(PLACES), VALUES, st.booleans()), min_size=1, max_size=3)


@settings(max_examples=120, deadline=None)
@given(changes)
def test_a_broken_template_is_refused_or_deployed(made):
    body = WHOLE
    for path, value, removed in made:
        body = changed(body, path, value, removed=removed)
    emulator = Emulator(speed=0, seed=1)
    engine = emulator.engine
    engine.request(ANYONE, "PUT", GROUP, {"location": "westeurope"}, api_version="2024-01-01")
    deployment = f"{GROUP}/providers/Microsoft.Resources/deployments/main"

    def ask(method, path, sent=None):
        call = Call(
            engine=engine, method=method, path=parse(path), query={}, headers={}, body=copy.deepcopy(sent),
            base_url="http://x", api_version="2024-01-01",
        )  # fmt: skip
        try:
            answer = engine.handle(call)
        except ArmError as error:
            answer = Answer(error.status, error.body())
        assert answer.status < 500, answer.body
        orjson.dumps(answer.body)
        return answer.body if answer.status < 300 else None

    ask("POST", f"{deployment}/validate", body)
    ask("POST", f"{deployment}/whatIf", body)
    accepted = ask("PUT", deployment, body)
    emulator.clock.advance(3600)
    engine.settle()
    shown = ask("GET", deployment)
    ask("GET", f"{deployment}/operations")
    if accepted is not None:
        assert shown["properties"]["provisioningState"] in ("Succeeded", "Failed")
