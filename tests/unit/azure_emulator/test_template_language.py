"""The expression language of templates: what can be parsed, what it evaluates to, and how it is refused."""

from __future__ import annotations

import string
import uuid

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_emulator import relaxed_json
from azure_emulator.providers.deployments.functions import FUNCTIONS, equal, text
from azure_emulator.providers.deployments.language import (
    Apply,
    ExpressionError,
    Frame,
    Literal,
    Node,
    Reach,
    evaluate,
    is_expression,
    parse,
    unescaped,
)

FRAME = Frame(FUNCTIONS)


def value(expression):
    return evaluate(parse(expression), FRAME)


def written(node: Node) -> str:
    """A node as source text."""
    match node:
        case Literal(str() as content):
            escaped = content.replace("'", "''")
            return f"'{escaped}'"
        case Literal(number):
            return str(number)
        case Apply(name, arguments):
            return f"{name}({', '.join(map(written, arguments))})"
        case Reach(target, Literal(str() as name)) if name.isidentifier() and name.isascii():
            return f"{written(target)}.{name}"
    assert isinstance(node, Reach)
    return f"{written(node.target)}[{written(node.key)}]"


names = st.text(string.ascii_letters + "_", min_size=1, max_size=8)
literals = st.builds(Literal, st.text(max_size=20) | st.integers(-(2**63), 2**63 - 1))
nodes = st.recursive(
    literals,
    lambda inner: st.builds(Apply, names, st.lists(inner, max_size=3).map(tuple)) | st.builds(Reach, inner, inner),
    max_leaves=12,
)


@given(nodes)
def test_what_is_written_is_read_again(node):
    assert parse(written(node)) == node


@given(st.text(alphabet=string.printable, max_size=60))
def test_any_text_is_parsed_or_refused(source):
    try:
        parse(source)
    except ExpressionError as error:
        assert str(error)  # noqa: PT017 (either outcome is right)


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(documents)
def test_json_that_is_strict_means_the_same_when_read_leniently(document):
    try:
        strict = orjson.dumps(document).decode()
    except (TypeError, orjson.JSONEncodeError):
        return
    assert relaxed_json.loads(strict) == orjson.loads(strict)


def test_json_as_the_command_line_sends_it():
    sent = """{"properties": {"mode": "Incremental", template:{
      // a comment with "quotes"
      "$schema": "https://schema", /* and
      another */ 'single': 'it\\'s "so"',
      "url": "http://x//y", "script": "line
next", "list": [1, 2,],
    }}}"""
    assert relaxed_json.loads(sent)["properties"]["template"] == {
        "$schema": "https://schema", "single": 'it\'s "so"', "url": "http://x//y", "script": "line\nnext",
        "list": [1, 2],
    }  # fmt: skip


@pytest.mark.parametrize("broken", ["{", "{a: }", "nonsense", "[" * 100_000, '{"a": "\\ud800"}'])
def test_json_that_is_none_is_refused(broken):
    with pytest.raises(orjson.JSONDecodeError):
        relaxed_json.loads(broken)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("[x()]", True), ("[[x()]", False), ("[x", False), ("x]", False), ("", False), (3, False), ("[]", True)],
)
def test_what_is_an_expression(raw, expected):
    assert is_expression(raw) is expected


def test_two_brackets_stand_for_one():
    assert unescaped("[[parameters('x')]") == "[parameters('x')]"
    assert unescaped("[[not closed") == "[[not closed"
    assert unescaped("plain") == "plain"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        # The wording of azure-cli#14373, microservices-reference-implementation#217 and bicep's decompiler tests.
        (" ", "Unable to parse language expression ' ': expected token 'Identifier' and actual 'EndOfData'."),
        (
            "concat('ai-', uniqueString(resourceGroup().id)",
            ("Unable to parse language expression 'concat('ai-', uniqueString(resourceGroup().id)': expected token "
            "'RightParenthesis' and actual 'EndOfData'."),
        ),
        (
            "\n{\n",
            "The language expression '\n{\n' is not valid: the string character '{' at position '1' is not expected.",
        ),
        ("createObject('a', 1).b",
         "The language expression property 'b' doesn't exist, available properties are 'a'."),
        ("createArray(1)[1]", "The language expression property array index '1' is out of bounds."),
        ("createObject('a', 1)[0]",
         "The language expression property '0' can't be evaluated, property name must be a string."),
        ("nothing()",
         "The template function 'nothing' is not valid. Please see https://aka.ms/arm-functions for usage details."),
        ("fail('because')", "because"),
    ],
)  # fmt: skip
def test_refusals(expression, message):
    with pytest.raises(ExpressionError) as refused:
        value(expression)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # Values that Azure's own engine gave for these: bicep's tests of evaluation.
        (("format('>{0}<>{1}<>{2}<>{3}<>{4}<', false(), 12948, 'hello!', createObject('a', 'b', '!c', 2), "
         "createArray(true(), 2893, 'abc'))"), ">False<>12948<>hello!<>{'a':'b','!c':2}<>[true,2893,'abc']<"),
        ("div(6, 11)", 0),
        ("sub(0, 13)", -13),
        ("mod(20, 7)", 6),
        (("map(items(createObject('defKey', 1, 'DEFKey', 2, '456Key', 3, 'ABCKey', 4, 'abcKey', 5)), "
         "lambda('i', lambdaVariables('i').key))"), ["456Key", "abcKey", "ABCKey", "defKey", "DEFKey"]),
        ("indexOf('FOOBAR', 'bar')", 3),
        ("contains('FOOBAR', 'foo')", False),
        ("indexOf(createArray('FOO', 'BAR'), 'foo')", -1),
        ("contains(createArray('FOO', 'BAR'), 'BAR')", True),
        ("sort(createArray(8, 3, 10, -13, 5), lambda('x', 'y', less(lambdaVariables('x'), lambdaVariables('y'))))",
         [-13, 3, 5, 8, 10]),
        ("reduce(range(1, 5), 1, lambda('cur', 'next', mul(lambdaVariables('cur'), lambdaVariables('next'))))", 120),
        (("reduce(createArray('abc', 'def', 'ghi'), '', lambda('cur', 'next', 'i', if(equals(mod(lambdaVariables('i'), "
         "2), 0), concat(lambdaVariables('cur'), lambdaVariables('next')), lambdaVariables('cur'))))"), "abcghi"),
        ("toObject(createArray(123, 456, 789), lambda('i', format('{0}', div(lambdaVariables('i'), 100))))",
         {"1": 123, "4": 456, "7": 789}),
        (("groupBy(createArray(createObject('t', 'a', 'v', 1), createObject('t', 'b', 'v', 2), createObject('t', 'a', "
         "'v', 3)), lambda('x', lambdaVariables('x').t), lambda('x', lambdaVariables('x').v))"),
         {"a": [1, 3], "b": [2]}),
        ("mapValues(createObject('a', 123), lambda('v', mul(lambdaVariables('v'), 2)))", {"a": 246}),
        ("shallowMerge(createArray(createObject('a', 1), createObject('b', 2)))", {"a": 1, "b": 2}),
        ("uniqueString('/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/myRg')", "js26ofeqkqeve"),
        ("uniqueString('/subscriptions/11068ed9-6c31-4a47-8183-4eca6d84bb32/resourceGroups/myRg')", "pwt7yebfrftwu"),
        # terraform-provider-azapi's test of the same function.
        ("uniqueString('/subscriptions/00000000-0000-0000-0000-000000000000', 'resource-id')", "cwvxuqg24sifi"),
        # azure-docs, template functions.
        ("parseCidr('10.144.0.0/20')", {
            "network": "10.144.0.0", "netmask": "255.255.240.0", "broadcast": "10.144.15.255",
            "firstUsable": "10.144.0.1", "lastUsable": "10.144.15.254", "cidr": 20}),
        ("parseCidr('fdad:3236:5555::/48')", {
            "network": "fdad:3236:5555::", "netmask": "ffff:ffff:ffff::", "firstUsable": "fdad:3236:5555::",
            "lastUsable": "fdad:3236:5555:ffff:ffff:ffff:ffff:ffff", "cidr": 48}),
        ("cidrSubnet('10.144.0.0/20', 24, 3)", "10.144.3.0/24"),
        ("cidrHost('10.144.3.0/24', 0)", "10.144.3.1"),
        ("dateTimeAdd('2020-04-07 14:53:14Z', 'P3Y')", "2023-04-07T14:53:14Z"),
        ("dateTimeAdd('2020-04-07 14:53:14Z', '-P9D')", "2020-03-29T14:53:14Z"),
        ("dateTimeAdd('2020-04-07 14:53:14Z', 'PT1H', 'yyyy-MM-dd')", "2020-04-07"),
        ("dateTimeAdd('2020-01-31 00:00:00Z', 'P1M')", "2020-02-29T00:00:00Z"),
        ("dateTimeToEpoch('1970-01-02T00:00:00Z')", 86400),
        ("dateTimeFromEpoch(86400)", "1970-01-02T00:00:00Z"),
        ("intersection(createObject('one', 'a', 'two', 'b'), createObject('one', 'a', 'two', 'z'))", {"one": "a"}),
        ("union(createObject('a', createObject('x', 1)), createObject('A', createObject('y', 2)))",
         {"a": {"x": 1, "y": 2}}),
        ("union(createArray('one', 'two'), createArray('two', 'three'))", ["one", "two", "three"]),
        ("split('one,two;three', createArray(',', ';'))", ["one", "two", "three"]),
        ("padLeft(7, 3, '0')", "007"),
        ("format('{0:000}-{1:D4}-{2:N0}-{3:X}-{{}}', 7, 42, 1234567, 255)", "007-0042-1,234,567-FF-{}"),
        ("substring('abcdef', 2, 3)", "cde"),
        ("base64ToJson(base64('{\"a\": [1]}'))", {"a": [1]}),
        ("dataUriToString(dataUri('Hello'))", "Hello"),
        ("uriComponentToString(uriComponent('http://x/y z'))", "http://x/y z"),
        ("uri('http://x.org/a/b.json', 'nested/c.json')", "http://x.org/a/nested/c.json"),
        ("string(createObject('a', true()))", '{"a":true}'),
        ("concat('n', 1, true())", "n1True"),
        ("concat(createArray(1), createArray(2))", [1, 2]),
        ("equals(true(), 1)", False),
        ("equals('A', 'a')", False),
        ("coalesce(null(), null(), 'x')", "x"),
        ("tryGet(createObject('a', createArray(1)), 'a', 0)", 1),
        ("tryGet(createObject('a', createArray(1)), 'b', 0)", None),
        ("tryIndexFromEnd(createArray(1, 2), 1)", 2),
        ("indexFromEnd(createArray(1, 2), 2)", 1),
        ("like('abcdef', 'a*c*')", True),
        ("like('aXaYa', 'a*b')", False),
        ("endsWith('abc', 'C')", True),
        ("first('hpc')", "h"),
        ("last(createArray(1, 2))", 2),
        ("empty(null())", True),
        ("length(createObject('a', 1, 'b', 2))", 2),
        ("min(createArray(3, 1, 2))", 1),
        ("max(3, 1, 2)", 3),
        ("int('42')", 42),
        ("bool('True')", True),
        ("json('null')", None),
        ("createObject('Key', 'v').kEY", "v"),
        ("flatten(createArray(createArray(0, 1), createArray(2)))", [0, 1, 2]),
    ],
)  # fmt: skip
def test_functions(expression, expected):
    assert equal(value(expression), expected), value(expression)


def test_guid_is_rfc_4122_version_5_in_azures_namespace():
    namespace = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
    assert value("guid('a', 'b', 'c')") == str(uuid.uuid5(namespace, "a-b-c"))


@pytest.mark.parametrize(
    "expression",
    [
        "if('yes', 1, 2)", "substring('abc', 2, 5)", "cidrSubnet('10.0.0.0/16', 8, 0)", "cidrHost('10.0.0.0/30', 9)",
        "add('1', 2)", "add(9223372036854775807, 1)", "div(1, 0)", "int('x')", "bool('x')", "json('{')",
        "range(0, 10001)",
        "concat(createArray(), 'x')", "less(1, 'x')", "createObject('a')", "base64ToString('???')",
        "dateTimeAdd('yesterday', 'P1D')", "dateTimeAdd('2020-01-01T00:00:00Z', 'P')", "format('{1}', 'x')", "min()",
        "union(createArray(), createObject())", "toLower(1)", "toLower()", "parseCidr('10.0.0.0/99')",
        "lambdaVariables('x')", "'a'.b", "createArray(1)['x']", "format('{0:Q}', 1)",
    ],
)  # fmt: skip
def test_arguments_that_functions_refuse(expression):
    with pytest.raises(ExpressionError):
        value(expression)


def test_only_the_branch_that_is_taken_is_evaluated():
    assert value("if(true(), 'x', fail('no'))") == "x"
    assert value("and(false(), equals(fail('no'), 1))") is False
    assert value("or(true(), equals(fail('no'), 1))") is True
    assert value("coalesce('x', fail('no'))") == "x"


def test_deep_nesting_is_refused_before_it_hurts():
    with pytest.raises(ExpressionError):
        parse("not(" * 200 + "true()" + ")" * 200)
    with pytest.raises(ExpressionError):
        parse("concat('" + "x" * 30_000 + "')")


def test_text_of_values():
    assert [text(one) for one in (None, True, 1, "x", [1], {"a": None})] == ["", "True", "1", "x", "[1]", '{"a":null}']
