"""Files from the network, kept in the cache: whole, checked, and fetched once."""

from __future__ import annotations

import http
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from inklings.durable import file_sha256, read_bytes, write_bytes
from inklings.errors import DownloadError
from inklings.text.sources.part_file import PartFile, part_file

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

    A download that stops is gone on with the next time, where the server still has the same file
    and gives parts of it; else it begins anew.

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
    """Download beside `path`, check it, rename it to `path`; return its hash."""
    by_hand = f"Or get the file in another way and save it as {path}."
    with part_file(path, url) as part:
        for block in _blocks(url, timeout, by_hand, part):
            part.write(block)
        found = part.hexdigest
        if sha256 is not None and found != sha256:
            part.begin(None)
            raise DownloadError(
                f"{url} is not the file that Inklings knows: its SHA-256 is {found}, expected"
                f" was {sha256}. It was changed at its source, or something on the way (a"
                f" proxy, a login page) answered instead. Try again later. {by_hand}"
            )
        part.finish()
    return found


def _blocks(url: str, timeout: float, by_hand: str, part: PartFile) -> Iterator[bytes]:
    """Yield what the server sends behind what is there, all of it or an error."""
    host = urlsplit(url).netloc
    try:
        with _answer(url, timeout, part) as response:
            announced = response.headers.get("Content-Length")
            first, received = part.length, 0
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
        then = "; it goes on from there" if part.resumable else ""
        raise DownloadError(
            f"the download of {url} broke off after {first + received:,} of"
            f" {first + int(announced):,} bytes. Run the same command again{then}."
        )


def _answer(url: str, timeout: float, part: PartFile) -> http.client.HTTPResponse:
    """Ask for what lacks of a file; begin it anew where the server gives all of it."""
    response = _rest(url, timeout, part) if part.length else None
    if response is not None and response.status == http.HTTPStatus.PARTIAL_CONTENT:
        return response
    if response is None:
        response = urllib.request.urlopen(url, timeout=timeout)
    part.begin(_validator(response))
    return response


def _rest(url: str, timeout: float, part: PartFile) -> http.client.HTTPResponse | None:
    """Ask for what is behind what is there; return None for an answer that does not fit it.

    A server whose file is another one than before, or that gives no parts, answers with all.
    """
    asked = {"Range": f"bytes={part.length}-", "If-Range": part.validator or ""}
    response: http.client.HTTPResponse
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=asked), timeout=timeout
        )
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        return None
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {part.length}-")
        if not begins or _validator(response) not in (None, part.validator):
            response.close()
            return None
    return response


def _validator(response: http.client.HTTPResponse) -> str | None:
    """Return what tells a state of a file from another; None where the server does not say."""
    tag = response.headers.get("ETag")
    # a weak one (W/"...") may be that of two files that mean the same
    return tag if tag and tag.startswith('"') else response.headers.get("Last-Modified")
