"""Downloads against a server on this machine: what is accepted, and what makes us build instead."""

import dataclasses
import hashlib
import http.server
import io
import tarfile
import threading

import pytest

from local_cluster import download as module
from local_cluster.download import DownloadError, download
from local_cluster.pins import PINS, Release
from local_cluster.progress import Reporter

PROGRAM = b"#!/bin/sh\nexit 0\n"


@pytest.fixture
def releases(monkeypatch):
    """What the server has by path; `url` is where it is."""

    class Releases(dict):
        url = ""

    content = Releases()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = content.get(self.path.lstrip("/"))
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    monkeypatch.setattr(module, "_unreachable", set())
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        content.url = f"http://127.0.0.1:{server.server_port}"
        yield content
        server.shutdown()
        thread.join()


def pin(url, *, checksums="SUMS", member=None):
    release = Release(url=f"{url}/tool-{{version}}-{{arch}}", checksums=f"{url}/{checksums}", member=member)
    return dataclasses.replace(PINS["etcd"], release=release)


NAME = f"tool-{PINS['etcd'].version}-amd64"


def fetch(a_pin, tmp_path):
    target = tmp_path / "etcd"
    download(a_pin, target, Reporter(lambda _: None))
    return target


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def archive(member):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as files:
        information = tarfile.TarInfo(member)
        information.size = len(PROGRAM)
        files.addfile(information, io.BytesIO(PROGRAM))
    return buffer.getvalue()


@pytest.mark.parametrize("sums", ["{sum}", "{other}  another-file\n{sum}  {name}\n", "{sum} *{name}"])
def test_a_program_whose_checksum_is_published_is_accepted(releases, tmp_path, sums):
    releases[NAME] = PROGRAM
    releases["SUMS"] = sums.format(sum=sha256(PROGRAM), other="0" * 64, name=NAME).encode()
    assert fetch(pin(releases.url), tmp_path).read_bytes() == PROGRAM


def test_a_program_is_taken_out_of_its_archive_and_nothing_else_is_left(releases, tmp_path):
    releases[NAME] = archive("linux-amd64/tool")
    releases["SUMS"] = sha256(releases[NAME]).encode()
    target = fetch(pin(releases.url, member="linux-{arch}/tool"), tmp_path)
    assert target.read_bytes() == PROGRAM
    assert list(tmp_path.iterdir()) == [target]


def test_another_checksum_is_refused_and_nothing_is_left(releases, tmp_path):
    releases[NAME] = PROGRAM + b"rm -rf /\n"
    releases["SUMS"] = sha256(PROGRAM).encode()
    with pytest.raises(DownloadError, match=f"{sha256(PROGRAM)} is published for it"):
        fetch(pin(releases.url), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_program_without_a_published_checksum_is_refused(releases, tmp_path):
    releases[NAME] = PROGRAM
    releases["SUMS"] = f"{sha256(PROGRAM)}  another-file".encode()
    with pytest.raises(DownloadError, match="holds no SHA-256"):
        fetch(pin(releases.url), tmp_path)


def test_a_missing_release_is_no_reason_to_give_the_host_up(releases, tmp_path):
    releases["SUMS"] = sha256(PROGRAM).encode()
    with pytest.raises(DownloadError, match="answers 404"):
        fetch(pin(releases.url), tmp_path)
    releases[NAME] = PROGRAM
    assert fetch(pin(releases.url), tmp_path).read_bytes() == PROGRAM


@pytest.mark.parametrize("content", [b"no archive at all", archive("linux-amd64/something-else")])
def test_an_archive_without_the_program_is_refused(releases, tmp_path, content):
    releases[NAME] = content
    releases["SUMS"] = sha256(content).encode()
    with pytest.raises(DownloadError, match="does not hold linux-amd64/tool"):
        fetch(pin(releases.url, member="linux-{arch}/tool"), tmp_path)


def test_a_host_that_does_not_answer_is_asked_once(releases, tmp_path, monkeypatch):
    # Nobody listens on port 1.
    silent = pin("http://127.0.0.1:1")
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:1 cannot be reached"):
        fetch(silent, tmp_path)
    monkeypatch.setattr(module.urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked again"))
    with pytest.raises(DownloadError, match="does not answer"):
        fetch(silent, tmp_path)


def test_a_machine_that_nobody_publishes_for_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(module.platform, "machine", lambda: "riscv64")
    with pytest.raises(DownloadError, match="no release for Linux on riscv64"):
        fetch(pin("http://127.0.0.1:1"), tmp_path)
