"""TLS: a certificate of the emulator's own authority that clients verify in earnest."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time

import aiohttp
import pytest

from azure_emulator import Emulator


def trusting(emulator: Emulator) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=emulator.ca)
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    return context


async def greet(emulator: Emulator, name: str) -> None:
    """A handshake with that name, wherever it would resolve to."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", emulator.port, ssl=trusting(emulator), server_hostname=name
    )  # fmt: skip
    writer.close()
    await writer.wait_closed()


async def test_who_trusts_the_authority_gets_through_and_nobody_else():
    async with Emulator(tls=True) as emulator, aiohttp.ClientSession() as session:
        assert emulator.url.startswith("https://localhost:")
        url = f"{emulator.url}/metadata/endpoints?api-version=2022-09-01"
        async with session.get(url, ssl=trusting(emulator)) as response:
            assert (await response.json())["authentication"]["loginEndpoint"] == emulator.url
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(url, ssl=ssl.create_default_context())


@pytest.mark.parametrize(
    "name",
    ["localhost", "127.0.0.1", "hpc.vault.localhost", "disks.blob.core.localhost", "azure.test", "a.vault.azure.test"],
)
async def test_the_certificate_is_for_all_names_of_the_emulator(name):
    async with Emulator(tls=True, tls_names=("azure.test",)) as emulator:
        await greet(emulator, name)


async def test_it_is_for_no_other_name():
    async with Emulator(tls=True) as emulator:
        with pytest.raises(ssl.SSLCertVerificationError):
            await greet(emulator, "management.azure.com")


async def test_the_authority_survives_a_restart(tmp_path):
    async with Emulator(tls=True, state=tmp_path) as emulator:
        before = trusting(emulator)
    async with Emulator(tls=True, state=tmp_path) as emulator, aiohttp.ClientSession() as session:
        response = await session.get(f"{emulator.url}/emulator/health", ssl=before)
        assert response.status == 200


async def test_plain_http_beside_tls():
    async with Emulator(tls=True, http_port=0) as emulator, aiohttp.ClientSession() as session:
        assert emulator.http_url.startswith("http://127.0.0.1:")
        async with session.get(f"{emulator.http_url}/emulator/health") as response:
            assert response.status == 200


def test_serve_writes_the_certificate_to_trust(tmp_path):
    ca, ready = tmp_path / "ca.pem", tmp_path / "ready.json"
    command = [sys.executable, "-m", "azure_emulator.cli", "serve", "--tls", "--ca-file", str(ca), "--ready-file"]
    with subprocess.Popen([*command, str(ready)], stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                if ready.exists():
                    break
                time.sleep(0.05)
            assert json.loads(ready.read_text())["url"].startswith("https://localhost:")
            assert ssl.create_default_context(cafile=ca).get_ca_certs()[0]["subject"]
        finally:
            process.terminate()
