"""The query language of Resource Graph on rows in memory."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_emulator.providers.resource_graph.query import Limits, Query, Table
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


def table(name: str, _: Limits) -> Table:
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


def narrowed(name: str, limits: Limits) -> Table:
    """Leaves out all that the limits let it leave out."""
    whole = table(name, {})
    rows = [
        row for row in whole.rows
        if all(str(row.get(column) or "").lower() in texts for column, texts in limits.items())
    ]  # fmt: skip
    return Table(whole.columns, rows)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resources | where type =~ 'VM'", [{"type": {"vm"}}]),
        ("resources | where type in ('vm', 'Disk') and size > 4 | where name == 'a'",
         [{"type": {"vm", "disk"}, "name": {"a"}}]),
        ("resources | where type in~ ('a', 'b') | where type in~ ('B', 'c')", [{"type": {"b"}}]),
        ("resources | union (owners | where type == 'vm' | extend name = 'x') | where name in~ ('A') | order by id",
         [{"name": {"a"}}, {"type": {"vm"}}]),
        ("resources | where type == 'vm' or name == 'a'", [{}]),
        ("resources | where type !in ('vm')", [{}]),
        ("resources | where not(type == 'vm')", [{}]),
        ("resources | where type == name", [{}]),
        ("resources | where size == 4", [{}]),
        ("resources | take 1 | where type == 'vm'", [{}]),
        ("resources | project-rename old=type, type=name | where type == 'vm'", [{}]),
        ("resources | summarize name=count() by type | where type == 'vm'", [{}]),
        ("resources | join kind=leftouter owners on type | where name1 == 'ops'", [{}, {}]),
    ],
)  # fmt: skip
def test_a_table_hears_which_rows_may_count(text, expected):
    seen = []

    def listening(name: str, limits: Limits) -> Table:
        seen.append(limits)
        return table(name, limits)

    Query(listening, NOW).run(text)
    assert seen == expected


STEPS = [
    "where type == 'vm'", "where type =~ 'DISK'", "where name in~ ('beta', 'ops', 'GAMMA-ONE')",
    "where name in ('beta') and type == 'vm'", "where type == '' or size > 4", "where type == ''", "extend type = name",
    "extend size = strlen(name)", "extend owner = type, name = 'beta'", "project-rename type = name, name = type",
    "union owners", "union (owners | where type == 'vm')", "union (owners | extend type = name, size = 1)",
    "union (resources | where name == 'beta' | take 1)", "union (owners | project name)", "order by name asc", "take 2",
    "top 1 by name", "distinct type, name, size", "project name, type, size", "mv-expand type = zones",
    "join kind=leftouter (owners | project type, other=name) on type", "summarize size = count() by type, name",
]  # fmt: skip


@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=6))
def test_rows_that_may_be_left_out_change_nothing(steps):
    text = " | ".join(["resources", *steps])
    try:
        whole = run(text)
    except QueryError:
        return
    found = Query(narrowed, NOW).run(text)
    assert (found.columns, found.rows) == (whole.columns, whole.rows)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("size in (4, '10')", ["Alpha", "beta"]),
        ("size !in ('4')", ["beta", "gamma-one"]),
        ("size in~ ('4')", ["Alpha"]),
        ("tags.team in ('')", ["beta"]),
        ("name in (dynamic(['beta', 3]), 'Alpha')", ["Alpha", "beta"]),
        ("name in (id, 'beta')", ["beta"]),
        ("type in (name, type)", ["Alpha", "beta", "gamma-one"]),
        ("name !in~ ('ALPHA', 'beta')", ["gamma-one"]),
    ],
)
def test_members_of_a_list(condition, expected):
    assert names(f"Resources | where {condition}") == expected


WORDS = [
    "resources", "|", "where", "name", "==", "'x'", "(", ")", "project", ",", "summarize", "count()", "by", "join",
    "on", "extend", "=", "[", "1", "..", "order", "zones", "tags", ".", "in", "has", "not", "-", "mv-expand", "iff",
    "ago",
]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_any_text_is_a_query_or_a_query_error(words):
    with contextlib.suppress(QueryError):
        run(" ".join(words))
