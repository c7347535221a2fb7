"""Templates: parameters and their types, loops, conditions, dependencies, scopes, and how a bad one is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from azure_emulator.errors import ArmError
from azure_emulator.providers.deployments.scope import Place, Scope
from azure_emulator.providers.deployments.template import Source, Template, check_shape, parameter_values

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg"
NETS = f"{GROUP}/providers/Microsoft.Network/virtualNetworks"


def place(scope=GROUP):
    group = {"id": GROUP, "name": "rg", "location": "westeurope", "tags": {"a": "b"}} if scope == GROUP else None
    return Place(
        scope=scope, subscription={"id": SUBSCRIPTION, "subscriptionId": SUBSCRIPTION.split("/")[2]},
        resource_group=group, deployment={"name": "main"}, tenant="t", deployer={"objectId": "o"},
        moment=datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC), new_guid=lambda: "new-guid",
        provider=lambda namespace: {"namespace": namespace, "resourceTypes": [
            {"resourceType": "virtualNetworks", "apiVersions": ["2024-05-01"]}]},
    )  # fmt: skip


def template(document=None, given=None, *, scope=GROUP, **parts):
    document = {"$schema": "s", "contentVersion": "1.0.0.0", "resources": [], **(document or {}), **parts}
    source = Source({"properties": {"template": document}}, ("properties", "template"))
    where = place(scope)
    given = {name: {"value": value} for name, value in (given or {}).items()}
    values = parameter_values(check_shape(document, source), given, where, source, lambda _: "from the vault")
    made = Template(document, values, where, source)
    made.check_variables()
    return made


def net(name, **parts):
    return {"type": "Microsoft.Network/virtualNetworks", "apiVersion": "2024-05-01", "name": name, **parts}


def refusal(*arguments, **parts):
    with pytest.raises(ArmError) as refused:
        template(*arguments, **parts)
    return refused.value


def value(expression, **parts):
    return template(**parts).scope.value(expression)


# -- parameters --------------------------------------------------------------------------------------------------------


def test_defaults_may_refer_to_other_parameters_in_any_order():
    made = template({"parameters": {
        "b": {"type": "string", "defaultValue": "[concat(parameters('a'), '!')]"},
        "a": {"type": "string", "defaultValue": "[toUpper(parameters('c'))]"},
        "c": {"type": "string"},
        "when": {"type": "string", "defaultValue": "[utcNow('yyyy-MM-dd')]"},
        "now": {"type": "string", "defaultValue": "[utcNow()]"},
        "id": {"type": "string", "defaultValue": "[newGuid()]"},
    }}, {"c": "x"})  # fmt: skip
    assert made.parameters == {
        "b": "X!", "a": "X", "c": "x", "when": "2026-05-06", "now": "20260506T070809Z", "id": "new-guid",
    }  # fmt: skip
    assert list(made.parameters) == ["b", "a", "c", "when", "now", "id"]


def test_a_missing_parameter_is_told_with_its_place():
    error = refusal({"parameters": {"repositoryUrl": {"type": "string"}}})
    assert error.status == 400
    assert error.code == "InvalidTemplate"
    sent = '{"properties": {"template": {"$schema": "s", "contentVersion": "1.0.0.0", "resources": [], "parameters": {'
    column = len(sent + '"repositoryUrl": {')
    assert error.message == (
        f"Deployment template validation failed: 'The value for the template parameter 'repositoryUrl' at line '1' and "
        f"column '{column}' is not provided. Please see https://aka.ms/arm-create-parameter-file for usage details.'."
    )
    assert error.additional == [{
        "type": "TemplateViolation",
        "info": {"lineNumber": 1, "linePosition": column, "path": "properties.template.parameters.repositoryUrl"},
    }]  # fmt: skip


@pytest.mark.parametrize(
    ("declaration", "sent", "message"),
    [
        ({"type": "object"}, "x", "Expected a value of type 'Object', but received a value of type 'String'."),
        ({"type": "int"}, True, "Expected a value of type 'Integer', but received a value of type 'Boolean'."),
        ({"type": "string", "allowedValues": ["a", "b"]}, "c",
         "The value 'c' is not part of the allowed value(s): 'a,b'."),
        ({"type": "string", "minLength": 3}, "x", "Length of the value should be greater than or equal to '3'."),
        ({"type": "array", "maxLength": 1}, [1, 2], "Length of the value should be less than or equal to '1'."),
        ({"type": "int", "maxValue": 3}, 4, "The value should be less than or equal to '3'."),
        ({"$ref": "#/definitions/node"}, {"size": "small"}, "The property 'count' is required, but was not provided."),
        ({"$ref": "#/definitions/node"}, {"size": "x", "count": 1},
         "The value 'x' is not part of the allowed value(s): 'small,big'. (at 'size')"),
        ({"$ref": "#/definitions/node"}, {"size": "big", "count": 1, "more": 1},
         "The following properties are not permitted: 'more'."),
        ({"$ref": "#/definitions/nodes"}, [{"size": "big", "count": 0}],
         "The value should be greater than or equal to '1'. (at '[0].count')"),
        ({"$ref": "#/definitions/pair"}, ["a", 1, 2], "The array holds more items than the '2' that are declared."),
        ({"$ref": "#/definitions/shape"}, {"kind": "circle", "radius": "1"},
         "Expected a value of type 'Integer', but received a value of type 'String'. (at 'radius')"),
        ({"$ref": "#/definitions/shape"}, {"kind": "star"},
         "The property 'kind' must be one of 'circle, square'; it is 'star'."),
        ({"$ref": "#/definitions/nowhere"}, 1, "The type reference '#/definitions/nowhere' could not be resolved."),
        ({"$ref": "#/definitions/loop"}, 1, "The type references form a circle."),
    ],
)  # fmt: skip
def test_values_that_are_not_as_declared(declaration, sent, message):
    error = refusal({"parameters": {"p": declaration}, "definitions": DEFINITIONS}, {"p": sent})
    start = "Deployment template validation failed: 'The provided value for the template parameter 'p' is not valid."
    assert (
        error.message == f"{start} {message} Please see https://aka.ms/arm-create-parameter-file for usage details.'."
    )


DEFINITIONS = {
    "node": {"type": "object", "additionalProperties": False, "properties": {
        "size": {"type": "string", "allowedValues": ["small", "big"]},
        "count": {"$ref": "#/definitions/positive"},
        "note": {"type": "string", "nullable": True},
    }},
    "positive": {"type": "int", "minValue": 1},
    "nodes": {"type": "array", "items": {"$ref": "#/definitions/node"}},
    "count": {"$ref": "#/definitions/node/properties/count"},
    "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "int"}], "items": False},
    "map": {"type": "object", "additionalProperties": {"type": "int"}},
    "shape": {"type": "object", "discriminator": {"propertyName": "kind", "mapping": {
        "circle": {"type": "object", "properties": {"radius": {"type": "int"}}}, "square": {"type": "object"}}}},
    "loop": {"$ref": "#/definitions/loop"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("declaration", "sent"),
    [
        ({"$ref": "#/definitions/nodes"}, [{"size": "small", "count": 2, "note": None}]),
        ({"$ref": "#/definitions/count"}, 3),
        ({"$ref": "#/definitions/pair"}, ["a", 1]),
        ({"$ref": "#/definitions/map"}, {"a": 1}),
        ({"$ref": "#/definitions/shape"}, {"kind": "circle", "radius": 1}),
        ({"type": "array", "allowedValues": ["a", "b"]}, ["b"]),
        ({"type": "string", "allowedValues": ["Yes"]}, "yes"),
    ],
)
def test_values_that_are_as_declared(declaration, sent):
    made = template({"parameters": {"p": declaration}, "definitions": DEFINITIONS}, {"p": sent})
    assert made.parameters == {"p": sent}


def test_null_takes_the_default_or_is_a_value_where_it_may_be():
    declared = {"parameters": {"p": {"type": "string", "defaultValue": "x"}, "q": {"type": "int", "nullable": True}}}
    assert template(declared, {"p": None}).parameters == {"p": "x", "q": None}


def test_unknown_parameters_are_named():
    error = refusal({"parameters": {"a": {"type": "string", "defaultValue": ""}}}, {"Suffix": "x"})
    assert "The template parameters 'Suffix' in the parameters file are not valid" in error.message
    assert "The only supported parameters for this template are 'a'." in error.message


def test_secrets_come_from_a_vault():
    document = {"$schema": "s", "contentVersion": "1", "resources": [], "parameters": {"p": {"type": "secureString"}}}
    source = Source({"properties": {"template": document}}, ("properties", "template"))
    values = parameter_values(document, {"p": {"reference": {"secretName": "n"}}}, place(), source, lambda _: "found")
    assert values == {"p": "found"}


@pytest.mark.parametrize("function", ["utcNow()", "newGuid()", "reference('x')", "variables('v')"])
def test_functions_stay_where_they_belong(function):
    if function.startswith(("utc", "new")):
        error = refusal({"variables": {"v": f"[{function}]"}})
        where = "template variable 'v'"
    else:
        error = refusal({"parameters": {"p": {"type": "string", "defaultValue": f"[{function}]"}}})
        where = "template parameter 'p'"
    assert error.code == "InvalidTemplate"
    assert f"The {where} is not valid" in error.message


# -- values ------------------------------------------------------------------------------------------------------------


def test_variables_and_their_loops():
    made = template({
        "parameters": {"n": {"type": "int", "defaultValue": 2}},
        "variables": {
            "plain": "[concat('a', variables('later'))]",
            "later": "b",
            "copy": [{"name": "loop", "count": "[parameters('n')]", "input": "[format('{0}{1}', variables('later'), "
                      "copyIndex('loop'))]"}],
            "inside": {"copy": [{"name": "list", "count": 2, "input": {"i": "[copyIndex('list', 1)]"}}], "keep": "x"},
        },
    })  # fmt: skip
    assert made.scope.variable("plain") == "ab"
    assert made.scope.variable("LOOP") == ["b0", "b1"]
    assert made.scope.variable("inside") == {"list": [{"i": 1}, {"i": 2}], "keep": "x"}


def test_a_variable_that_refers_to_itself():
    assert "refers to itself" in refusal({"variables": {"a": "[variables('b')]", "b": "[variables('a')]"}}).message


def test_a_variable_that_is_wrong_is_named():
    error = refusal({"variables": {"sizes": {"a": 1}, "size": "[variables('sizes')['Standard_A1']]"}})
    assert error.message == (
        "Deployment template validation failed: 'The template variable 'size' is not valid: The language expression "
        "property 'Standard_A1' doesn't exist, available properties are 'a'..'."
    )


def test_user_functions_call_one_another():
    functions = [{"namespace": "__bicep", "members": {
        "join": {"parameters": [{"type": "array", "name": "values", "items": {"type": "string"}}],
                 "output": {"type": "string", "value": "[join(parameters('values'), ' ')]"}},
        "greet": {"parameters": [{"type": "array", "name": "names"}],
                  "output": {"type": "string", "value": "[format('Hi, {0}!', __bicep.join(parameters('names')))]"}},
        "loop": {"parameters": [], "output": {"type": "string", "value": "[__bicep.loop()]"}},
    }}]  # fmt: skip
    assert value("[__bicep.greet(createArray('Anthony', 'Martin'))]", functions=functions) == "Hi, Anthony Martin!"
    with pytest.raises(Exception, match="calls itself"):
        value("[__bicep.loop()]", functions=functions)
    with pytest.raises(Exception, match="Expected a value of type 'String'"):
        value("[__bicep.join(createArray(1))]", functions=functions)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("resourceId('My.Rp/parent/child', 'p', 'c')", f"{GROUP}/providers/My.Rp/parent/p/child/c"),
        ("resourceId('other', 'My.Rp/parent', 'p')", f"{SUBSCRIPTION}/resourceGroups/other/providers/My.Rp/parent/p"),
        ("resourceId('2e518a80-f860-4467-a00e-d81aaf1ff42e', 'other', 'My.Rp/parent', 'p')",
         "/subscriptions/2e518a80-f860-4467-a00e-d81aaf1ff42e/resourceGroups/other/providers/My.Rp/parent/p"),
        ("subscriptionResourceId('My.Rp/parent', 'p')", f"{SUBSCRIPTION}/providers/My.Rp/parent/p"),
        ("subscriptionResourceId('Microsoft.Resources/resourceGroups', 'g')", f"{SUBSCRIPTION}/resourceGroups/g"),
        ("tenantResourceId('My.Rp/parent', 'p')", "/providers/My.Rp/parent/p"),
        ("extensionResourceId(resourceGroup().id, 'My.Ext/parent', 'p')", f"{GROUP}/providers/My.Ext/parent/p"),
        ("managementGroupResourceId('My.Rp/parent', 'p')",
         "/providers/Microsoft.Management/managementGroups/t/providers/My.Rp/parent/p"),
        ("resourceGroup().tags.a", "b"),
        ("deployment().name", "main"),
        ("providers('Microsoft.Network', 'virtualNetworks').apiVersions[0]", "2024-05-01"),
        ("pickZones('Microsoft.Network', 'publicIPAddresses', 'westeurope', 2)", ["1", "2"]),
        ("pickZones('Microsoft.Network', 'publicIPAddresses', 'westus')", []),
        ("deployer().objectId", "o"),
    ],
)  # fmt: skip
def test_where_it_is_deployed(expression, expected):
    assert value(f"[{expression}]") == expected


def test_an_id_needs_as_many_names_as_its_type():
    error = refusal({"variables": {"id": "[resourceId('My.Rp/parent/child', 'p')]"}})
    assert "the type 'My.Rp/parent/child' requires '2' resource name argument(s)" in error.message


# -- resources ---------------------------------------------------------------------------------------------------------


def depends(made):
    return {item.key: item.depends for item in made.items}


def test_loops_over_resources():
    made = template({"resources": [
        net("[format('v{0}', copyIndex(5))]", copy={"name": "nets", "count": 2}, condition="[equals(copyIndex(), 1)]"),
        net("last", dependsOn=["nets"]),
    ]})  # fmt: skip
    first, second, last = made.items
    assert [first.id, second.id] == [f"{NETS}/v5", f"{NETS}/v6"]
    assert [first.deployed, second.deployed] == [False, True]
    assert last.depends == [first.key, second.key]


def test_serial_loops_wait_for_the_batch_before():
    made = template({"resources": [
        net("[concat('v', copyIndex())]", copy={"name": "nets", "count": 5, "mode": "Serial", "batchSize": 2}),
    ]})  # fmt: skip
    keys = [item.key for item in made.items]
    assert list(depends(made).values()) == [[], [], keys[:2], keys[:2], keys[2:4]]


def test_what_a_dependency_may_be():
    made = template({"resources": [
        net("a"),
        net("b", dependsOn=["a"]),
        net("c", dependsOn=["Microsoft.Network/virtualNetworks/A"]),
        net("d", dependsOn=["[resourceId('Microsoft.Network/virtualNetworks', 'a')]"]),
        net("e", properties={"x": "[reference('a').y]", "z": "[reference(resourceId('Microsoft.Network/virtualNetworks'"
                                  ", 'b')).y]"}),
        net("f", properties={"x": "[reference(resourceId('Microsoft.Network/virtualNetworks', 'a'), '2024-05-01').y]"}),
        net("g", properties={"x": "[listKeys('b', '2024-05-01').keys]"}),
    ]})  # fmt: skip
    keys = {item.name: item.key for item in made.items}
    found = {item.name: item.depends for item in made.items}
    assert found == {
        "a": [], "b": [keys["a"]], "c": [keys["a"]], "d": [keys["a"]], "e": [keys["a"], keys["b"]],
        # An id with an api-version says nothing of an order, as in Azure.
        "f": [], "g": [keys["b"]],
    }  # fmt: skip


def test_symbolic_names():
    made = template({"languageVersion": "2.0", "resources": {
        "old": net("old", existing=True),
        "nets": net("[format('v{0}', copyIndex())]", copy={"name": "nets", "count": 2}, dependsOn=["old"]),
        "one": net("one", properties={"x": "[reference('nets[1]').y]"}),
        "all": net("all", dependsOn=["nets"]),
    }})  # fmt: skip
    assert depends(made) == {
        "old": [], "nets[0]": ["old"], "nets[1]": ["old"], "one": ["nets[1]"], "all": ["nets[0]", "nets[1]"],
    }  # fmt: skip
    assert [item.deployed for item in made.items] == [False, True, True, True, True]
    assert made.scope.value("[resourceInfo('one').id]") == f"{NETS}/one"


def test_children_inside_of_their_parents():
    child = {"type": "subnets", "apiVersion": "2024-05-01", "name": "[concat('s', '1')]"}
    lock = {"type": "providers/locks", "apiVersion": "2020-05-01", "name": "Microsoft.Authorization/l"}
    first, subnet, locked = template({"resources": [net("[toLower('V')]", resources=[child, lock])]}).items
    assert subnet.id == f"{first.id}/subnets/s1"
    assert subnet.type == "Microsoft.Network/virtualNetworks/subnets"
    assert locked.id == f"{first.id}/providers/Microsoft.Authorization/locks/l"
    assert locked.type == "Microsoft.Authorization/locks"
    assert subnet.depends == []  # documented: nesting alone is no dependency


def test_scopes():
    rg = {"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2024-03-01", "name": "new", "location": "x"}
    nested = {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2025-04-01",
        "name": "n",
        "resourceGroup": "new",
        "properties": {},
        "dependsOn": ["[subscriptionResourceId('Microsoft.Resources/resourceGroups', 'new')]"],
    }
    role = {"type": "Microsoft.Authorization/roleAssignments", "apiVersion": "2022-04-01", "name": "r"}
    made = template({"resources": [rg, nested, role]}, scope=SUBSCRIPTION)
    assert [item.id for item in made.items] == [
        f"{SUBSCRIPTION}/resourceGroups/new",
        f"{SUBSCRIPTION}/resourceGroups/new/providers/Microsoft.Resources/deployments/n",
        f"{SUBSCRIPTION}/providers/Microsoft.Authorization/roleAssignments/r",
    ]
    assert made.items[1].depends == [made.items[0].key]
    scoped = {**role, "scope": "Microsoft.Network/virtualNetworks/v"}
    assert template({"resources": [net("v"), scoped]}).items[1].id == (
        f"{NETS}/v/providers/Microsoft.Authorization/roleAssignments/r"
    )
    # As `az vm create --scope` writes it.
    old = {**role, "type": "Microsoft.Network/virtualNetworks/providers/roleAssignments",
           "name": "v/Microsoft.Authorization/r"}  # fmt: skip
    assert (
        template({"resources": [net("v"), old]})
        .items[1]
        .id.endswith("/v/providers/Microsoft.Authorization/roleAssignments/r")
    )


def test_bodies_hold_what_resource_providers_get():
    made = template({
        "parameters": {"zones": {"type": "array", "defaultValue": ["1"]}},
        "resources": [net(
            "v", location="[resourceGroup().location]", tags=None, zones="[parameters('zones')]", comments="x",
            condition=True, dependsOn=[], properties={
                "[format('{0}', 'key')]": "[[literal]", "copy": [
                    {"name": "list", "count": 2, "input": "[format('{0}', copyIndex('list'))]"}],
                "none": None,
            },
        )],
    })  # fmt: skip
    assert made.body(made.items[0], made.scope) == {
        "location": "westeurope", "zones": ["1"],
        "properties": {"key": "[literal]", "list": ["0", "1"], "none": None},
    }  # fmt: skip


def test_nested_templates_are_evaluated_by_whom_they_ask_for():
    inner = {"resources": [], "outputs": {"o": {"type": "string", "value": "[parameters('p')]"}}}
    nested = {"type": "Microsoft.Resources/deployments", "apiVersion": "2025-04-01", "name": "n",
              "properties": {"mode": "Incremental", "template": inner}}  # fmt: skip
    document = {"parameters": {"p": {"type": "string", "defaultValue": "[[x]"}}, "resources": [nested]}
    outer = template(document)
    body = outer.body(outer.items[0], outer.scope)
    # What came of an expression is not evaluated once more.
    assert body["properties"]["template"]["outputs"]["o"]["value"] == "[[x]"
    nested["properties"]["expressionEvaluationOptions"] = {"scope": "Inner"}
    own = template(document)
    assert own.body(own.items[0], own.scope)["properties"]["template"] == inner


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([net("a/b")], "The template resource 'a/b' for type 'Microsoft.Network/virtualNetworks' at line '1' and"),
        ([net("a/")], "has incorrect segment lengths. A nested resource type must have identical number of segments"),
        ([net("a", dependsOn=["b"])], "The resource 'b' is not defined in the template."),
        ([net("a", dependsOn=["b"]), net("b", dependsOn=["a"])],
         f"Circular dependency detected on resource: '{NETS}/a'."),
        ([net("a"), net("A")], f"The resource '{NETS}/A' at line '1' and column"),
        ([net("[copyIndex()]")], "The template function 'copyIndex' is not expected at this location."),
        ([net("[reference('x').name]")], "The template reference 'x' is not valid: could not find template resource"),
        ([net("b"), net("[reference('b').name]")], "could not find template resource"),
        ([net("a", copy={"name": "l", "count": "x"})], "The copy count is expected to be a number."),
        ([net("a", copy={"name": "l", "count": 801})], "must be between '0' and '800'"),
        ([net("a", condition="yes")], "must be a boolean"),
        ([net("a", properties={"x": "[concat('a']"})], "Unable to parse language expression"),
        (["x"], "must be an object"),
        ([net("a", dependsOn="b")], "must be an array of strings"),
    ],
)  # fmt: skip
def test_resources_that_are_refused(resources, message):
    error = refusal({"resources": resources})
    assert error.code == "InvalidTemplate"
    assert message in error.message


@pytest.mark.parametrize("missing", ["$schema", "contentVersion", "resources"])
def test_what_is_no_template(missing):
    document = {"$schema": "s", "contentVersion": "1", "resources": []}
    document.pop(missing)
    with pytest.raises(ArmError) as refused:
        check_shape(document, Source(document))
    assert refused.value.code == "InvalidRequestContent"
    assert f"Required property '{missing}' not found in JSON" in refused.value.message


def test_limits():
    many = {f"p{index}": {"type": "int", "defaultValue": 1} for index in range(257)}
    assert "Limit: '256' and actual: '257'" in refusal({"parameters": many}).message


# -- outputs -----------------------------------------------------------------------------------------------------------


class Answers:
    """Answers reference() and list*() from a dictionary."""

    def read(self, resource_id, api_version):
        return {"id": resource_id, "location": "westeurope", "properties": {"read": api_version}}

    def act(self, resource_id, action, api_version, body):
        return {"keys": [resource_id, action, api_version, body]}


def outputs(resources, **declared):
    made = template({"resources": resources, "outputs": declared})
    return made.outputs(made.with_runtime(Answers()))


def test_outputs():
    shown, secrets, wrong = outputs(
        [net("v")],
        text={"type": "string", "value": "[reference('v').read]"},
        full={"type": "object", "value": "[reference('v', '2020-01-01', 'Full')]"},
        keys={"type": "array", "value": "[listKeys('v', '2021-01-01', createObject('a', 1)).keys]"},
        secret={"type": "secureString", "value": "hidden"},
        never={"type": "string", "condition": False, "value": "[fail('no')]"},
        loop={"type": "array", "copy": {"count": 2, "input": "[copyIndex(1)]"}},
        number={"type": "int", "value": 1},
    )
    assert wrong == []
    assert secrets == {"secret": "hidden"}
    assert shown["text"] == {"type": "String", "value": "2024-05-01"}
    assert shown["full"]["value"] | {"apiVersion": "2020-01-01", "resourceId": "Microsoft.Network/virtualNetworks/v",
                                     "location": "westeurope"} == shown["full"]["value"]  # fmt: skip
    assert shown["keys"]["value"] == [f"{NETS}/v", "listKeys", "2021-01-01", {"a": 1}]
    assert shown["secret"] == {"type": "SecureString"}
    assert shown["loop"]["value"] == [1, 2]
    assert shown["number"] == {"type": "Int", "value": 1}
    assert "never" not in shown


def test_outputs_that_are_wrong():
    _, _, wrong = outputs(
        [],
        index={"type": "string", "value": "[createArray('a')[1]]"},
        kind={"type": "string", "value": "[null()]"},
        unknown={"type": "string", "value": "[reference('x').y]"},
        version={"type": "string", "value": "[reference(resourceId('My.Rp/x', 'y')).z]"},
    )
    assert [each["target"] for each in wrong] == ["index", "kind", "unknown", "version"]
    assert wrong[0]["message"] == (
        "The template output 'index' is not valid: The language expression property array index '1' is out of bounds.."
    )
    assert "Expected 'String'. Actual 'Null'" in wrong[1]["message"]
    assert "requires an API version" in wrong[3]["message"]


def test_a_scope_without_a_group_has_no_resource_group_function():
    with pytest.raises(Exception, match="The template function 'resourceGroup' is not expected at this location"):
        Scope({}, {}, place(SUBSCRIPTION)).value("[resourceGroup().id]")
