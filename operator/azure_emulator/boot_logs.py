"""The addresses that boot diagnostics hand out: a machine's serial console log, to whoever has the signed address.

On Azure these are blobs of a storage account that the platform keeps; az reads them without a bearer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from azure_emulator.providers.compute import boot_diagnostics

if TYPE_CHECKING:
    from azure_emulator.emulator import Emulator


class BootLogs:
    """Handlers of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def routes(self) -> list[web.RouteDef]:
        """Logs only: there is no screen to take a picture of."""
        return [web.get(f"{boot_diagnostics.PREFIX}/{{vm}}/{boot_diagnostics.LOG}", self.read)]

    async def read(self, request: web.Request) -> web.Response:
        """The log, or a storage service's kind of refusal."""
        engine = self._emulator.engine
        text = boot_diagnostics.console_log(engine, request.match_info["vm"], request.query.get("sig", ""))
        if text is None:
            refusal = "<Error><Code>AuthenticationFailed</Code><Message>The signature is not valid.</Message></Error>"
            return web.Response(status=403, text=refusal, content_type="application/xml")
        return web.Response(text=text, headers={"x-ms-blob-type": "AppendBlob"})
