"""Files from the network, kept in the cache: whole, checked, and fetched once."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from inklings.durable import file_sha256, new_file, read_bytes, write_bytes
from inklings.errors import DownloadError

BLOCK = 2**18
"""Bytes read at a time."""
TIMEOUT = 30.0
"""Seconds to wait for an answer."""


def download(url: str, path: Path, *, sha256: str | None = None, timeout: float = TIMEOUT) -> Path:
    """Make sure that `path` holds the file at `url`, and return it.

    A file that is there and whole is not fetched again.

    Args:
        url: http or https.
        path: where it goes; its folder is made.
        sha256: the hexadecimal hash that the file must have. Without one, the hash of the first
            download is written to `path` + `.sha256` and holds from then on.
        timeout: seconds without an answer after which the download is given up.

    A download that breaks off leaves nothing behind and starts from the beginning the next time.

    Raises:
        DownloadError: the server cannot be reached, does not have the file, or sends another one.
        DiskError: the disk is full or may not be written to.
    """
    record = path.with_name(path.name + ".sha256")
    if sha256 is None and record.is_file():
        sha256 = read_bytes(record).decode("ascii", errors="replace").strip()
    found = file_sha256(path) if path.is_file() else None
    if found is None or found != (sha256 or found):
        found = _fetch(url, path, sha256, timeout)
    if sha256 is None:
        write_bytes(record, found.encode("ascii") + b"\n")
    return path


def _fetch(url: str, path: Path, sha256: str | None, timeout: float) -> str:
    """Download to a temporary file, check it, rename it to `path`; return its hash."""
    by_hand = f"Or get the file in another way and save it as {path}."
    digest = hashlib.sha256()
    with new_file(path) as file:
        for block in _blocks(url, timeout, by_hand):
            digest.update(block)
            file.write(block)
        found = digest.hexdigest()
        if sha256 is not None and found != sha256:
            raise DownloadError(
                f"{url} is not the file that Inklings knows: its SHA-256 is {found}, expected"
                f" was {sha256}. It was changed at its source, or something on the way (a"
                f" proxy, a login page) answered instead. Try again later. {by_hand}"
            )
    return found


def _blocks(url: str, timeout: float, by_hand: str) -> Iterator[bytes]:
    """Yield what the server sends, all of it or an error."""
    host = urlsplit(url).netloc
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            announced = response.headers.get("Content-Length")
            received = 0
            while block := response.read(BLOCK):
                received += len(block)
                yield block
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(
            f"{host} answered {error.code} ({error.reason}) for {url}. Try again later. {by_hand}"
        ) from error
    except (
        urllib.error.URLError,
        TimeoutError,
        ConnectionError,
        http.client.HTTPException,
    ) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"{url} could not be downloaded: {reason}. Is this machine connected to the network?"
            f" {by_hand}"
        ) from error
    if announced is not None and received != int(announced):
        raise DownloadError(
            f"the download of {url} broke off after {received:,} of {int(announced):,} bytes. Run"
            " the same command again."
        )
