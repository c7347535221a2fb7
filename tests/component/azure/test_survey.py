"""Surveys against a server that says what the test tells it to: who shares a query, pages, refusals, limits."""

import asyncio

import pytest
from aiohttp import web

from hpc_operator.arm import AzureError, ErrorClass
from hpc_operator.azure import AzureClient
from hpc_operator.azure.survey import GROUPS
from hpc_operator.azure.throttle import QUERY_PATH

from .conftest import SUBSCRIPTION, serve

OTHER = "00000000-0000-0000-0000-000000000002"


def group_id(name, subscription=SUBSCRIPTION):
    return f"/subscriptions/{subscription}/resourceGroups/{name}"


def row(resource_id, **more):
    return {"id": resource_id, "name": resource_id.rpartition("/")[2], "type": "lower", "kind": "", "tags": None} | more


class Graph:
    """Resource Graph: keeps the queries, and answers them with pages that a test queued or with nothing."""

    def __init__(self):
        self.queries = []
        self.pages = []
        self.status = 200
        self.headers = {}
        self.asked, self.free = asyncio.Event(), asyncio.Event()
        self.free.set()

    async def handle(self, request):
        assert (request.method, request.path) == ("POST", QUERY_PATH)
        self.queries.append(await request.json())
        self.asked.set()
        await self.free.wait()
        page = self.pages.pop(0) if self.pages else {"data": []}
        return web.json_response(page, status=self.status, headers=self.headers)


@pytest.fixture
def graph():
    return Graph()


@pytest.fixture
async def client(stack, graph, credential):
    url = await serve(stack, graph.handle)
    return await stack.enter_async_context(AzureClient(url, SUBSCRIPTION, credential))


async def test_who_asks_at_the_same_time_shares_a_query(graph, client):
    vnet = group_id("one") + "/providers/Microsoft.Network/virtualNetworks/v"
    graph.pages = [{"data": [row(vnet, properties={"a": 1}), row(group_id("two"))]}]
    one, two, three = await asyncio.gather(*(client.survey(group_id(name)) for name in ("one", "Two", "three")))
    assert len(graph.queries) == 1
    assert one == {
        vnet.lower(): {"id": vnet, "name": "v", "type": "Microsoft.Network/virtualNetworks", "properties": {"a": 1}}
    }
    assert two[group_id("two").lower()]["type"] == "Microsoft.Resources/resourceGroups"
    assert three == {}
    assert graph.queries[0]["subscriptions"] == [SUBSCRIPTION]
    assert "in~ ('one', 'three', 'two')" in graph.queries[0]["query"]
    # A POST, but it reads.
    assert client.requests == {("read", "2xx"): 1}


async def test_who_asks_while_a_query_is_under_way_shares_the_next(graph, client):
    graph.free.clear()
    first = asyncio.create_task(client.survey(group_id("one")))
    await graph.asked.wait()
    # The same group again: what the first query saw may be older than this question.
    later = [asyncio.create_task(client.survey(group_id(name))) for name in ("one", "two", "three")]
    await asyncio.sleep(0.1)
    assert len(graph.queries) == 1
    graph.free.set()
    await asyncio.gather(first, *later)
    assert len(graph.queries) == 2
    assert "('one', 'three', 'two')" in graph.queries[1]["query"]


async def test_a_query_does_not_grow_without_bounds(graph, client):
    names = [f"group{number}" for number in range(2 * GROUPS + 1)]
    await asyncio.gather(*(client.survey(group_id(name)) for name in names))
    assert [sum(name.strip("')(,") in names for name in query["query"].split()) for query in graph.queries] == [
        GROUPS, GROUPS, 1
    ]  # fmt: skip


async def test_every_subscription_has_a_query_of_its_own(graph, client):
    await asyncio.gather(client.survey(group_id("one")), client.survey(group_id("one", OTHER)))
    assert sorted(query["subscriptions"][0] for query in graph.queries) == [SUBSCRIPTION, OTHER]


async def test_pages(graph, client):
    graph.pages = [{"data": [row(group_id("one"))], "$skipToken": "next"}, {"data": [row(group_id("two"))]}]
    one, two = await asyncio.gather(client.survey(group_id("one")), client.survey(group_id("two")))
    assert (len(one), len(two)) == (1, 1)
    assert [query["options"].get("$skipToken") for query in graph.queries] == [None, "next"]
    assert {query["options"]["$top"] for query in graph.queries} == {1000}


async def test_what_fails_fails_for_all_who_wait_and_for_nobody_later(graph, client):
    graph.status, graph.pages = 503, [{"error": {"code": "ServiceUnavailable", "message": "Down."}}]
    failed = await asyncio.gather(*(client.survey(group_id(name)) for name in ("one", "two")), return_exceptions=True)
    assert [(type(error), error.code, error.error_class) for error in failed] == [
        (AzureError, "ServiceUnavailable", ErrorClass.TRANSIENT)
    ] * 2
    graph.status = 200
    assert await client.survey(group_id("one")) == {}


async def test_who_goes_away_does_not_take_the_answer_from_the_others(graph, client):
    gone = asyncio.create_task(client.survey(group_id("one")))
    stays = asyncio.create_task(client.survey(group_id("one")))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == {}
    assert len(graph.queries) == 1


async def test_names_cannot_leave_their_quotes(graph, client):
    await client.survey(group_id("a') | take 1"))
    assert r"in~ ('a\') | take 1')" in graph.queries[0]["query"]


async def test_the_last_query_of_a_window_is_the_last(graph, client):
    graph.headers = {"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": "00:01:30"}
    await client.survey(group_id("one"))
    with pytest.raises(AzureError) as refused:
        await client.survey(group_id("one"))
    assert refused.value.retry_after == pytest.approx(90, abs=2)
    assert len(graph.queries) == 1


async def test_a_429_stops_queries_and_nothing_else(graph, client):
    graph.status, graph.headers = 429, {"Retry-After": "60"}
    graph.pages = [{"error": {"code": "RateLimiting", "message": "Please slow down."}}]
    for code in ("RateLimiting", "TooManyRequests"):
        with pytest.raises(AzureError) as refused:
            await client.survey(group_id("one"))
        assert (refused.value.code, refused.value.error_class) == (code, ErrorClass.TRANSIENT)
        assert refused.value.retry_after == pytest.approx(60, abs=1)
    assert len(graph.queries) == 1
    await client._throttle.turn("GET", group_id("one"))
