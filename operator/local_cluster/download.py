"""Fetches a program from its project's own releases and checks it against the checksum published beside it.

Must not know where programs are kept, nor what is done when there is no way to the internet.
"""

import hashlib
import http.client
import platform
import re
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from local_cluster.pins import Pin
from local_cluster.progress import Reporter, elapsed

# Enough for a slow line; a machine without a way out should go on to the build soon.
TIMEOUT_SECONDS = 10.0
_CHUNK = 1 << 18
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# Hosts that did not answer this process: five programs must not wait five times.
_unreachable: set[str] = set()


class DownloadError(Exception):
    """A release could not be fetched, or is not what its checksum says."""


def download(pin: Pin, target: Path, report: Reporter) -> None:
    """Write the pinned release of the program to `target`.

    Raises
    ------
    DownloadError
        If there is none for this machine, it cannot be reached, or its checksum differs.
    """
    architecture = _ARCHITECTURES.get(platform.machine())
    if platform.system() != "Linux" or architecture is None:
        raise DownloadError(f"there is no release for {platform.system()} on {platform.machine()}")
    names = {"version": pin.version, "arch": architecture}
    url = pin.release.url.format(**names)
    member = pin.release.member.format(**names) if pin.release.member else None
    fetched = target.with_name(f"{target.name}.download")
    try:
        expected = _checksum(url, pin.release.checksums.format(**names))
        actual = _fetch(url, fetched, f"{pin.name} {pin.version}", report)
        if actual != expected:
            raise DownloadError(f"{url} has the SHA-256 {actual}, but {expected} is published for it")
        if member is None:
            fetched.rename(target)
        else:
            _extract(fetched, member, target)
    finally:
        fetched.unlink(missing_ok=True)


def _open(url: str) -> IO[bytes]:
    host = urlsplit(url).netloc
    if host in _unreachable:
        raise DownloadError(f"{host} does not answer")
    try:
        answer: IO[bytes] = urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS)  # noqa: S310 - pinned https URLs
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{url} answers {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        _unreachable.add(host)
        raise DownloadError(f"{host} cannot be reached ({getattr(error, 'reason', error)})") from error
    return answer


def _checksum(url: str, checksums_url: str) -> str:
    with _open(checksums_url) as answer:
        text = answer.read(1 << 20).decode("ascii", errors="replace")
    file_name = url.rsplit("/", 1)[1]
    for line in text.splitlines():
        # Either `<sha256>` alone, or `<sha256>  <file>` for each of several files.
        found = re.fullmatch(r"([0-9a-f]{64})(?:\s+\*?(\S+))?", line.strip())
        if found and found[2] in (None, file_name):
            return found[1]
    raise DownloadError(f"{checksums_url} holds no SHA-256 of {file_name}")


def _fetch(url: str, target: Path, what: str, report: Reporter) -> str:
    began = time.monotonic()
    digest = hashlib.sha256()
    size = 0
    with _open(url) as answer, target.open("wb") as file:
        try:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                report.state(f"{what}: downloading, {size >> 20} MB, {elapsed(began)}")
        except (OSError, http.client.HTTPException) as error:
            raise DownloadError(f"{url} broke off after {size >> 20} MB") from error
    return digest.hexdigest()


def _extract(archive: Path, member: str, target: Path) -> None:
    try:
        with tarfile.open(archive) as files:
            content = files.extractfile(member)
            if content is None:
                raise DownloadError(f"{member} is no file in {archive.name}")
            with target.open("wb") as file:
                while chunk := content.read(_CHUNK):
                    file.write(chunk)
    except (KeyError, tarfile.TarError) as error:
        raise DownloadError(f"{archive.name} does not hold {member}") from error
