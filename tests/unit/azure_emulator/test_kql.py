"""The query language of Resource Graph on rows in memory."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_emulator.providers.resource_graph.query import Query, Table
from azure_emulator.providers.resource_graph.scalars import QueryError

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ROWS = [
    {"id": "/1", "name": "Alpha", "type": "vm", "size": 4, "zones": ["1", "2"], "tags": {"team": "Ocean", "a b": "x"},
     "properties": {"hw": {"vmSize": "Standard_HB120rs_v3"}, "made": "2026-11-24T11:00:00Z"}},
    {"id": "/2", "name": "beta", "type": "vm", "size": 10, "zones": None, "tags": None,
     "properties": {"hw": {"vmSize": "Standard_D2s_v5"}, "made": "2026-11-20T00:00:00Z"}},
    {"id": "/3", "name": "gamma-one", "type": "disk", "size": None, "zones": ["3"], "tags": {"team": "ice"},
     "properties": {}},
]  # fmt: skip
OWNERS = [{"type": "vm", "name": "ops"}, {"type": "nic", "name": "net"}]
TABLES = {
    "resources": Table(["id", "name", "type", "size", "zones", "tags", "properties"], ROWS),
    "owners": Table(["type", "name"], OWNERS),
}


def table(name: str) -> Table:
    if name not in TABLES:
        raise QueryError("DisallowedLogicalTableName", name)
    return TABLES[name]


def run(text: str) -> Table:
    return Query(table, NOW).run(text)


def names(text: str) -> list[str]:
    return [row["name"] for row in run(text).rows]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("type == 'vm'", ["Alpha", "beta"]),
        ("type == 'VM'", []),
        ("type =~ 'VM'", ["Alpha", "beta"]),
        ("type != 'vm'", ["gamma-one"]),
        ("name contains 'A'", ["Alpha", "beta", "gamma-one"]),
        ("name contains_cs 'A'", ["Alpha"]),
        ("name has 'one'", ["gamma-one"]),
        ("name has 'gam'", []),
        ("name hasprefix 'gam'", ["gamma-one"]),
        ("name !startswith 'al'", ["beta", "gamma-one"]),
        ("name matches regex '^[a-z]+$'", ["beta"]),
        ("name in ('beta', 'Alpha')", ["Alpha", "beta"]),
        ("name in~ ('ALPHA')", ["Alpha"]),
        ("name !in ('beta')", ["Alpha", "gamma-one"]),
        ("size > 4", ["beta"]),
        ("size between (4 .. 9)", ["Alpha"]),
        ("size + 1 == 5 or size * 2 == 20", ["Alpha", "beta"]),
        ("isnull(size)", ["gamma-one"]),
        ("isempty(tags.team)", ["beta"]),
        ("tags['a b'] == 'x'", ["Alpha"]),
        ("tags.team =~ 'ocean' and not(type == 'disk')", ["Alpha"]),
        ("properties.hw.vmSize startswith 'Standard_HB'", ["Alpha"]),
        ("properties['hw'].vmSize has 'D2s'", ["beta"]),
        ("todatetime(properties.made) > ago(2h)", ["Alpha"]),
        ("array_length(zones) == 2", ["Alpha"]),
        ("zones[0] == '3'", ["gamma-one"]),
        ("name == @'beta' // said so", ["beta"]),
        ('name == "beta"', ["beta"]),
    ],
)
def test_where(condition, expected):
    assert names(f"Resources | where {condition}") == expected


def test_project_names_columns_as_kusto_does():
    table = run("resources | project name, properties.hw.vmSize, tostring(tags.team), big=size > 5, tolower(name)")
    assert table.columns == ["name", "properties_hw_vmSize", "tags_team", "big", "Column5"]
    assert table.rows[0] == {
        "name": "Alpha", "properties_hw_vmSize": "Standard_HB120rs_v3", "tags_team": "Ocean", "big": False,
        "Column5": "alpha",
    }  # fmt: skip


def test_extend_may_use_what_it_has_just_made():
    rows = run("resources | extend n = strlen(name), m = n * 2 | project n, m | take 1").rows
    assert rows == [{"n": 5, "m": 10}]


def test_project_away_keep_and_rename():
    assert run("resources | project-away *s, size").columns == ["id", "name", "type"]
    assert run("resources | project-keep n*, type").columns == ["name", "type"]
    assert run("resources | project-rename title=name | where title == 'beta'").rows[0]["id"] == "/2"


def test_summarize():
    rows = run("resources | summarize count(), total=sum(size), make_set(name) by type | order by type asc").rows
    assert rows == [
        {"type": "disk", "count_": 1, "total": 0, "set_name": ["gamma-one"]},
        {"type": "vm", "count_": 2, "total": 14, "set_name": ["Alpha", "beta"]},
    ]
    assert run("resources | where name == 'none' | summarize count()").rows == [{"count_": 0}]
    assert run("resources | where name == 'none' | summarize count() by type").rows == []
    assert run("resources | summarize arg_max(size, name)").rows == [{"size": 10, "name": "beta"}]
    assert run("resources | summarize dcount(type), countif(size > 5), max(size), avg(size)").rows == [
        {"dcount_type": 2, "countif_": 1, "max_size": 10, "avg_size": 7.0}
    ]


def test_order_puts_nulls_where_kusto_does():
    assert names("resources | order by size") == ["beta", "Alpha", "gamma-one"]
    assert names("resources | order by size asc") == ["gamma-one", "Alpha", "beta"]
    assert names("resources | sort by size asc nulls last") == ["Alpha", "beta", "gamma-one"]
    assert names("resources | top 1 by size") == ["beta"]
    assert names("resources | order by type asc, name desc") == ["gamma-one", "beta", "Alpha"]


def test_distinct_count_mv_expand_union():
    assert run("resources | distinct type").rows == [{"type": "vm"}, {"type": "disk"}]
    assert run("resources | count").rows == [{"Count": 3}]
    assert [row["zones"] for row in run("resources | mv-expand zones").rows] == ["1", "2", None, "3"]
    assert names("resources | union (owners | project name) | project name")[-2:] == ["ops", "net"]


def test_joins():
    table = run("resources | join kind=leftouter owners on type | project name, name1, type1")
    assert [row["name1"] for row in table.rows] == ["ops", "ops", None]
    assert names("resources | join kind=inner (owners | project kind=type) on $left.type == $right.kind") == [
        "Alpha", "beta"]  # fmt: skip
    assert names("resources | join owners on type") == ["Alpha"]  # innerunique keeps one row a key
    assert len(run("resources | join kind=fullouter owners on type").rows) == 4


def test_let_and_literals():
    assert names("let wanted = dynamic(['beta']); resources | where name in (wanted)") == ["beta"]
    assert run("resources | take 1 | project a=iff(size>3,'y','n'), b=case(size>9,1,size>3,2,3), c=-1+2.5").rows == [
        {"a": "y", "b": 2, "c": 1.5}
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("resources | wher name == 'x'", "ParserFailure"),
        ("resources | where", "ParserFailure"),
        ("resources | where name ==", "ParserFailure"),
        ("| where name == 'x'", "ParserFailure"),
        ("resources | where nonsense == 1", "UnresolvedName"),
        ("resources | where name == 'none' | where nonsense == 1", "UnresolvedName"),
        ("resources | project frobnicate(name)", "UnknownFunction"),
        ("resources | summarize frobnicate(name)", "UnknownFunction"),
        ("resources | summarize name", "InvalidAggregation"),
        ("resources | project split(name)", "InvalidArguments"),
        ("resources | join kind=sideways owners on type", "UnsupportedJoinFlavor"),
        ("resources | where name matches regex '('", "InvalidRegex"),
    ],
)
def test_what_cannot_be_understood_is_an_error(text, code):
    with pytest.raises(QueryError) as caught:
        run(text)
    assert caught.value.code == code


def test_a_parser_failure_says_where():
    with pytest.raises(QueryError) as caught:
        run("resources\n| where name === 'x'")
    assert (caught.value.details["line"], caught.value.details["characterPositionInLine"]) == (2, 16)


WORDS = [
    "resources", "|", "where", "name", "==", "'x'", "(", ")", "project", ",", "summarize", "count()", "by", "join",
    "on", "extend", "=", "[", "1", "..", "order", "zones", "tags", ".", "in", "has", "not", "-", "mv-expand", "iff",
    "ago",
]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_any_text_is_a_query_or_a_query_error(words):
    with contextlib.suppress(QueryError):
        run(" ".join(words))
