"""What rules may say here. That every rule of the CRDs is judged as the API server does is tested in tests/cluster."""

import pytest
from lark.exceptions import LarkError

from hpc_operator.preview.cel import compile_rule


@pytest.mark.parametrize(
    ("rule", "names", "holds"),
    [
        ("!has(self.a) || self.a == 'x'", {"self": {}}, True),
        ("!has(self.a) || self.a == 'x'", {"self": {"a": "y"}}, False),
        ("self.all(a, self.exists_one(b, a == b))", {"self": ["x", "y"]}, True),
        ("self.all(a, self.exists_one(b, a == b))", {"self": ["x", "x"]}, False),
        ("[has(self.a), has(self.b)].filter(x, x).size() == 1", {"self": {"a": 1, "b": 1}}, False),
        ("type(self) == int ? self >= 0 : self.matches(r'^[0-9]+%$')", {"self": 5, "int": int}, True),
        ("type(self) == int ? self >= 0 : self.matches(r'^[0-9]+%$')", {"self": "5%\n", "int": int}, False),
        ("!self.matches(r'^(?i)(azure|windows)')", {"self": "Azure"}, False),
        ("cidr(self).containsCIDR('10.0.1.0/24') && cidr(self).ip().family() == 4", {"self": "10.0.0.0/16"}, True),
        ("isCIDR(self)", {"self": "10.0.0.0"}, False),
        ("int(quantity(self).asApproximateFloat()) % 1024 == 0", {"self": "4Ti"}, True),
    ],
)
def test_rules(rule, names, holds):
    assert compile_rule(rule)(names) is holds


@pytest.mark.parametrize("rule", ["self.startsWith('a')", "url(self)", "has(self)", "has('a')"])
def test_an_unknown_function_is_no_rule_that_holds(rule):
    with pytest.raises(ValueError, match="does not know yet"):
        compile_rule(rule)


@pytest.mark.parametrize("rule", ["self + 1 == 2", "self ==", "self.?a.orValue(true)", "self.map(x, x)"])
def test_unknown_syntax_is_no_rule_that_holds(rule):
    with pytest.raises((ValueError, LarkError)):
        compile_rule(rule)
