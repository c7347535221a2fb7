"""The status page in headless Chromium: what it shows, that it follows changes by itself, and that text stays text."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import aiohttp
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian's package chromium)"),
]
LOCATION = {"location": "westeurope"}
VNET = "rg/Microsoft.Network/virtualNetworks/net"
VNET_BODY = {
    **LOCATION, "properties": {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [{"name": "compute", "properties": {"addressPrefix": "10.0.1.0/24"}}],
    },
}  # fmt: skip


class Browser:
    """One page in a headless browser, driven by its debugging protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._count = 0

    async def send(self, method, **parameters):
        self._count += 1
        await self._socket.send_json({"id": self._count, "method": method, "params": parameters})
        async for message in self._socket:
            answer = message.json()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
        return None

    async def evaluate(self, expression):
        result = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, expression, wanted, seconds=15):
        found = None
        for _ in range(int(seconds / 0.1)):
            found = await self.evaluate(expression)
            if found == wanted:
                return
            await asyncio.sleep(0.1)
        pytest.fail(f"{expression} is {found!r}, not {wanted!r}")


@pytest.fixture
async def browser(http, tmp_path):
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
        "--window-size=1500,900", f"--user-data-dir={tmp_path}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = await _port(tmp_path / "DevToolsActivePort")
        async with http.session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            targets = await answer.json(content_type=None)
        url = next(target for target in targets if target["type"] == "page")["webSocketDebuggerUrl"]
        async with http.session.ws_connect(url, max_msg_size=0) as socket:
            page = Browser(socket)
            await page.send("Page.enable")
            await page.send("Page.navigate", url=f"{http.emulator.url}/")
            yield page
    finally:
        process.terminate()
        await process.wait()


async def _port(path: Path) -> str:
    for _ in range(300):
        if written := _text(path):
            return written.split("\n")[0]
        await asyncio.sleep(0.1)
    pytest.fail("Chromium did not start")


def _text(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


STATES = "[...document.querySelectorAll('#resources td:last-child')].map((cell) => cell.textContent).join()"
NAMES = "[...document.querySelectorAll('#resources td:first-child')].map((cell) => cell.textContent).join()"


async def test_the_page_shows_what_goes_on_and_follows_it(http, browser):
    await browser.until("document.querySelector('#groups button')?.textContent.startsWith('rg')", wanted=True)
    assert "stands still" in await browser.evaluate("document.querySelector('#clock').textContent")
    await http.put(VNET, VNET_BODY)
    await browser.until(NAMES, "net,compute")
    await browser.until(STATES, "Updating,Updating")
    await browser.until("document.querySelectorAll('#operations li').length", 1)
    assert await browser.evaluate("document.querySelector('#operations progress').value") == 0
    # The subnet stands on the network: two boxes, one line.
    assert await browser.evaluate("document.querySelectorAll('#graph rect').length") == 2
    assert await browser.evaluate("document.querySelectorAll('#graph path').length") == 1
    http.advance(60)
    await browser.until(STATES, "Succeeded,Succeeded")
    await browser.until("document.querySelector('#no-operations').hidden", wanted=False)
    assert "PUT" in await browser.evaluate("document.querySelector('#requests').textContent")


async def test_another_group_is_chosen_by_its_button(http, browser):
    await http.call("PUT", "other", LOCATION)
    await http.call("PUT", "other/Microsoft.ManagedIdentity/userAssignedIdentities/me", LOCATION)
    await browser.until("document.querySelectorAll('#groups button').length", 2)
    await browser.evaluate("[...document.querySelectorAll('#groups button')].at(-1).click()")
    await browser.until(NAMES, "me")
    assert await browser.evaluate("document.querySelector('#title').textContent") == "other"


async def test_what_clients_wrote_is_never_markup(http, browser):
    await http.call("GET", "/subscriptions/<img src=x onerror=document.title='bad'>")
    await browser.until("document.querySelector('#requests')?.textContent.includes('onerror')", wanted=True)
    assert await browser.evaluate("document.querySelectorAll('#requests img').length") == 0
    assert await browser.evaluate("document.title") == "Azure emulator"


async def test_only_a_browser_gets_the_page(http):
    async with http.session.get(f"{http.emulator.url}/", headers=http.headers) as answer:
        assert (await answer.json())["error"]["code"]
    async with http.session.get(f"{http.emulator.url}/emulator/page/nonsense.js") as answer:
        assert answer.status == 404


async def test_a_large_group_is_cut(http):
    engine = http.emulator.engine
    path = f"{http.subscription}/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
    for number in range(450):
        engine.create(f"{path}/id{number}", LOCATION)
    async with http.session.get(f"{http.emulator.url}/emulator/overview?group=rg") as answer:
        overview = await answer.json()
    assert (len(overview["resources"]), overview["resourcesInGroup"]) == (400, 450)
