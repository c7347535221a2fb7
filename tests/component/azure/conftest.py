"""A client, and two things to point it at: a server that says what a test tells it to, and the emulator."""

import asyncio
import json
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from aiohttp import web
from azure.core.credentials import AccessToken

from hpc_operator.arm import Handle
from hpc_operator.azure import AzureClient

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
TOKEN = "very-secret"


class Credential:
    """Knows one token."""

    def __init__(self):
        self.scopes = []
        self.closed = False

    async def get_token(self, *scopes, **options):
        self.scopes.append(scopes)
        return AccessToken(TOKEN, int(time.time()) + 3600)

    async def close(self):
        self.closed = True


class Arm:
    """Answers with what a test queued for a method and path; the last one stays."""

    def __init__(self):
        self.answers = defaultdict(list)
        self.requests = []
        self.url = ""

    def on(self, method, path, status=200, body=None, headers=None, text=None):
        self.answers[method, path.lower()].append((status, body, headers or {}, text))

    async def handle(self, request):
        content = await request.read()
        self.requests.append((request.method, request.raw_path, dict(request.headers), content))
        queued = self.answers.get((request.method, request.path.lower()))
        if queued is None:
            return web.json_response({"error": {"code": "NotQueued", "message": request.raw_path}}, status=418)
        status, body, headers, text = queued.pop(0) if len(queued) > 1 else queued[0]
        if status is None:
            request.transport.abort()
            return web.Response()
        headers = {name: value.replace("{url}", self.url) for name, value in headers.items()}
        if body is not None:
            text, headers = json.dumps(body), {"Content-Type": "application/json"} | headers
        return web.Response(status=status, text=text, headers=headers)

    @property
    def asked(self):
        return [f"{method} {path.partition('?')[0]}" for method, path, _, _ in self.requests]


@pytest.fixture
async def stack():
    async with AsyncExitStack() as stack:
        yield stack


async def serve(stack, handle):
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture
async def arm(stack):
    arm = Arm()
    arm.url = await serve(stack, arm.handle)
    return arm


@pytest.fixture
def credential():
    return Credential()


@pytest.fixture
async def client(stack, arm, credential):
    return await stack.enter_async_context(AzureClient(arm.url, SUBSCRIPTION, credential, poll_interval=0.01))


def handle_of(resource_id, verb, started):
    return Handle(resource_id, verb, started.operation_url or "", datetime.now(UTC).isoformat())


async def outcome(client, handle, retry_after=None):
    """Follow an operation to its end."""
    ended = asyncio.get_running_loop().create_future()
    client.follow(handle, ended.set_result, retry_after=retry_after)
    return await asyncio.wait_for(ended, 120)
