"""Where requests and tokens may go, and when they may not."""

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hpc_operator.arm import AzureError, ErrorClass
from hpc_operator.azure import AzureClient
from hpc_operator.azure.throttle import QUERY_PATH
from hpc_operator.azure.transport import Endpoint, _FencedConnector


@pytest.mark.parametrize(
    "url", ["https://management.azure.com", "https://arm.local:8443/", "http://127.0.0.1:80", "http://localhost:1",
            "http://[::1]:8080", "http://127.9.9.9"],
)  # fmt: skip
def test_endpoints_that_may_be(url):
    assert Endpoint(url).owns(f"{url}/subscriptions/s")


@pytest.mark.parametrize(
    "url", ["http://management.azure.com", "http://10.0.0.1", "http://127.0.0.1.example.com", "http://localhost.example",
            "ftp://127.0.0.1", "management.azure.com", "", "https://"],
)  # fmt: skip
def test_endpoints_that_may_not_be(url):
    with pytest.raises(ValueError, match="https"):
        Endpoint(url)
    with pytest.raises(ValueError, match="https"):
        AzureClient(url, "s", object())


def test_default_ports_count_as_written():
    assert Endpoint("https://management.azure.com").owns("https://MANAGEMENT.azure.com:443/x")


@pytest.mark.parametrize(
    "url", ["http://management.azure.com/x", "https://management.azure.com:8443/x", "https://evil.example/x",
            "https://management.azure.com.evil.example/x", "https://management.azure.com@evil.example/x", "/x", "",
            "https://management.azure.com:port/"],
)  # fmt: skip
def test_foreign_urls_are_refused(url):
    endpoint = Endpoint("https://management.azure.com")
    assert not endpoint.owns(url)
    with pytest.raises(AzureError) as refused:
        endpoint.require(url)
    assert (refused.value.code, refused.value.error_class) == ("ForeignUrl", ErrorClass.PERMANENT)
    # Operation URLs are signed: no part of the path or query is told.
    assert "/x" not in refused.value.message


def test_tokens_are_for_the_endpoint():
    assert Endpoint("https://management.azure.com/").scope == "https://management.azure.com/.default"


@pytest.mark.parametrize(
    ("method", "path", "reads"),
    [("GET", "/x", True), ("HEAD", "/x", True), ("POST", f"{QUERY_PATH}?api-version=1", True), ("PUT", "/x", False),
     ("PATCH", "/x", False), ("DELETE", "/x", False), ("POST", "/subscriptions/s/providers/X/register", False)],
)  # fmt: skip
async def test_the_fence_stops_what_writes(method, path, reads):
    sent = []

    async def answer(request):
        sent.append(request.method)
        return web.Response()

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(application) as server:
        for leads in (True, False):
            async with aiohttp.ClientSession(connector=_FencedConnector(lambda leads=leads: leads)) as session:
                if leads or reads:
                    await session.request(method, server.make_url(path))
                    continue
                with pytest.raises(AzureError) as refused:
                    await session.request(method, server.make_url(path))
                assert (refused.value.code, refused.value.status) == ("NotLeading", 0)
    assert len(sent) == 1 + reads
