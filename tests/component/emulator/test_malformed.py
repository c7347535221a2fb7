"""Nothing that a client sends makes the emulator answer 500, or with anything that is no ARM error."""

from __future__ import annotations

import asyncio
import io
import json
import random

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azure_emulator import SUBSCRIPTION, Emulator, bodies

LOCATION = "westeurope"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"


def known_types():
    with_parents = []
    for kind in Emulator().engine.types.values():
        segments = kind.name.split("/")
        names = "/".join(f"{segment}/x" for segment in segments[1:])
        with_parents.append(f"{GROUP}/providers/{segments[0]}/{names}")
    return sorted(with_parents)


TYPES = known_types()
names = st.text(min_size=1, max_size=12)
segments = st.one_of(
    st.sampled_from(["subscriptions", SUBSCRIPTION, "resourceGroups", "rg", "providers", "Microsoft.Compute", "..", ".",
                     "virtualMachines", "locations", "default", "operations", "usages", "%2e%2e", "$metadata"]),
    names,
)  # fmt: skip
paths = st.one_of(
    st.lists(segments, max_size=10).map(lambda parts: "/" + "/".join(parts)),
    st.sampled_from(TYPES),
    st.sampled_from(TYPES).map(lambda path: path.rsplit("/", 1)[0]),
    st.sampled_from(TYPES).map(lambda path: f"{path}/{'start'}"),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8),
              st.sampled_from([LOCATION, GROUP, f"{GROUP}/providers/Microsoft.Network/virtualNetworks/v/subnets/s"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)  # fmt: skip
sent_bodies = st.one_of(
    st.none(),
    st.binary(max_size=30),
    values.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"location": st.just(LOCATION)},
        optional=dict.fromkeys(("properties", "tags", "sku", "identity", "zones", "plan", "kind", "id"), values),
    ).map(lambda value: json.dumps(value).encode()),
)
queries = st.dictionaries(
    st.sampled_from(["api-version", "Api-Version", "$filter", "$top", "$skiptoken", "$expand", "x"]),
    st.one_of(
        st.sampled_from(["2024-01-01", "2099-01-01", "9999-99-99", "-1", "name eq 'x'", "("]), st.text(max_size=9)
    ),
    max_size=3,
)
headers = st.dictionaries(
    st.sampled_from(["Content-Type", "If-Match", "If-None-Match", "x-ms-client-request-id", "Accept-Language"]),
    st.sampled_from(["application/json", "text/plain", "application/json; charset=nonsense", "*", '"1"', "x" * 3000]),
    max_size=3,
)
methods = st.sampled_from(["GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND"])


async def ask(emulator, session, method, path, query, sent_headers, body):
    full = {"Authorization": "Bearer opaque", **sent_headers}
    url = f"{emulator.url}/"
    async with session.request(
        method, aiohttp.client.URL(url).with_path(path) if path else url, params=query, headers=full, data=body,
    ) as response:  # fmt: skip
        text = await response.text()
        return response.status, text


def is_arm(method, status, text):
    if status < 400 or method == "HEAD":
        return True
    document = json.loads(text)
    return isinstance(document["error"]["code"], str) and isinstance(document["error"]["message"], str)


class Server:
    """One emulator and client for all examples; hypothesis runs synchronously."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.emulator = Emulator(speed=0)
        self.emulator.store.set("throttling", False)
        self.run(self.emulator.start())
        self.session = self.run(self._session())
        self.ask("PUT", GROUP, {"api-version": "2024-01-01"}, {}, json.dumps({"location": LOCATION}).encode())

    async def _session(self):
        return aiohttp.ClientSession()

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def ask(self, method, path, query, sent_headers, body):
        return self.run(ask(self.emulator, self.session, method, path, query, sent_headers, body))

    def close(self):
        self.run(self.session.close())
        self.run(self.emulator.stop())
        self.loop.close()


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.close()


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(method=methods, path=paths, query=queries, sent=headers, body=sent_bodies)
def test_nothing_malformed_is_answered_500(server, method, path, query, sent, body):
    if "\x00" in path or method in ("GET", "HEAD"):
        body = None
    query = {"api-version": "2024-01-01", **query}
    status, text = server.ask(method, path, query, sent, body)
    assert status < 500, (method, path, query, body, text)
    assert is_arm(method, status, text), (method, path, status, text)


def wrong_bodies(kind, seed):
    """Bodies of plausible shape with one wrong value in each place that the type knows of."""
    places = {
        *kind.required,
        *kind.defaults,
        *kind.immutable,
        *kind.read_only,
        *(f"properties.{p}" for p in kind.embedded),
    }
    places |= {place for place in (kind.patch.allowed or ()) if "." in place} if kind.patch is not None else set()
    chance = random.Random(seed)
    for place in sorted(places | {"sku", "identity", "zones", "tags", "properties", "location", "kind", "plan"}):
        for wrong in ("text", -1, 0, True, [], [{}], {}, {"x": 1}, [None], None, GROUP, {"name": 7}, "2**31" * 40):
            body = {"location": LOCATION}
            for other in kind.required:
                bodies.put(body, other, chance.choice(["text", 1, {}, [], GROUP]))
            bodies.put(body, place, wrong)
            yield body


def test_wrong_values_in_every_known_place_are_refused_or_taken(server):
    for kind in sorted(server.emulator.engine.types.values(), key=lambda one: one.name):
        segments = kind.name.split("/")
        path = f"{GROUP}/providers/{segments[0]}/" + "/".join(f"{segment}/x" for segment in segments[1:])
        if kind.name.startswith("Microsoft.Resources/resourceGroups"):
            path = GROUP + "x"
        for body in wrong_bodies(kind, kind.name):
            for method in ("PUT", "PATCH"):
                status, text = server.ask(method, path, {"api-version": "2025-01-01"}, {}, json.dumps(body).encode())
                assert status < 500, (method, path, body, text)
                assert is_arm(method, status, text)


async def test_sizes_depths_types_and_tricks(http):
    url = f"{http.emulator.url}{http.subscription}/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v"

    async def put(data, path=url, **more):
        sent = {**http.headers, "Content-Type": "application/json", **more}
        async with http.session.put(
            aiohttp.client.URL(f"{path}?api-version=2024-01-01", encoded=True), data=io.BytesIO(data), headers=sent
        ) as response:
            return response.status, (await response.json())["error"]["code"]

    assert await put(b'"' + b"x" * (5 * 2**20) + b'"') == (413, "RequestContentTooLarge")
    assert await put(b"[" * 5000) == (400, "InvalidRequestContent")
    assert await put(b"[" * 500 + b"]" * 500) == (400, "InvalidRequestContent")
    assert await put(b"{") == (400, "InvalidRequestContent")
    assert await put(b"\xff\xfe") == (400, "InvalidRequestContent")
    assert await put(b'{"location": NaN}') == (400, "InvalidRequestContent")
    assert await put(b"{}", **{"Content-Type": "text/plain"}) == (415, "UnsupportedMediaType")
    assert await put(b"{}", path=url + "%2f..%2fother") == (400, "InvalidRequestUri")
    assert await put(b"{}", path=url + "%00") == (400, "InvalidRequestUri")
    assert await http.code("GET", "rg", version="2031-01-01") == (400, "InvalidApiVersionParameter")
    assert await http.code("GET", "rg", version="2024-13-41") == (400, "InvalidApiVersionParameter")
    assert await http.code("GET", "rg", version="") == (400, "MissingApiVersionParameter")
