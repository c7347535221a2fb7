"""What a user does with kubectl, straight to the API server: the operator's proxy is not asked."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml

API = "/apis/azurehpc.io/v1alpha1"
PLURALS = {
    "HPCEnvironment": "hpcenvironments",
    "StorageTier": "storagetiers",
    "ComputePartition": "computepartitions",
}
Objects = dict[tuple[str, str], dict[str, Any]]


class Kube:
    """One namespace of an API server.

    Parameters
    ----------
    kubeconfig
        With all rights, and certificates in it.
    """

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.url = str(cluster["server"])
        self.namespace = namespace
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.tls = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(
                b"".join(base64.b64decode(user[f"client-{part}-data"]) + b"\n" for part in ("certificate", "key"))
            )
            pair.flush()
            self.tls.load_cert_chain(pair.name)

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(self.url, connector=aiohttp.TCPConnector(ssl=self.tls))
        with contextlib.suppress(aiohttp.ClientResponseError):  # it is there already
            await self._ask("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})

    async def close(self) -> None:
        await self._session.close()

    async def objects(self) -> Objects:
        """Return all our objects of the namespace, by kind and name."""
        found: Objects = {}
        lists = await asyncio.gather(*(self._ask("GET", self._path(kind)) for kind in PLURALS))
        for kind, answer in zip(PLURALS, lists, strict=True):
            found |= {(kind, item["metadata"]["name"]): item for item in answer["items"]}
        return found

    async def create(self, manifest: Mapping[str, Any]) -> None:
        await self._ask("POST", self._path(manifest["kind"]), manifest)

    async def patch(self, kind: str, name: str, change: Mapping[str, Any]) -> None:
        await self._ask("PATCH", self._path(kind, name), change, "application/merge-patch+json")

    async def delete(self, kind: str, name: str) -> None:
        await self._ask("DELETE", self._path(kind, name))

    async def wipe(self) -> None:
        """Remove every object, whatever the operator thinks of it."""
        for kind, name in await self.objects():
            with contextlib.suppress(aiohttp.ClientResponseError):
                await self.patch(kind, name, {"metadata": {"finalizers": None}})
                await self.delete(kind, name)

    def _path(self, kind: str, name: str = "") -> str:
        return f"{API}/namespaces/{self.namespace}/{PLURALS[kind]}" + (f"/{name}" if name else "")

    async def _ask(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        for attempt in range(40):
            try:
                async with self._session.request(
                    method, path, json=body, headers={"Content-Type": content_type}, raise_for_status=True
                ) as answer:
                    return await answer.json()
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
                if attempt == 39:
                    raise
                await asyncio.sleep(0.25)  # an API server that was restarted takes its time
            except aiohttp.ClientResponseError as error:
                if (error.status < 500 and error.status != 429) or attempt == 39:
                    raise
                await asyncio.sleep(0.25)
        raise AssertionError
