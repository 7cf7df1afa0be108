"""Files that are either whole or absent.

Written to a temporary name, synced, renamed; and checked when read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import math
import os
import shutil
import stat
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from inklings.errors import DiskError, RunError

OUT_OF_REACH = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Errors of a disk that is full, locked or broken: never a fault of ours."""
BLOCK = 4 * 1024 * 1024
"""Large files are hashed in blocks of this many bytes, so that they can be checked as they are
touched.
"""


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about `path` into one clear `DiskError`."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError):
            raise  # nothing that the system says about a file
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> DiskError:
    """Make the error that says why writing `path` failed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError(f"the disk is full: could not write {path}.", "Free some space")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DiskError(
            f"no permission to write {path}.", "Change the permissions or choose another place"
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return DiskError(
            f"cannot write {path}: a file is in the way of a folder.",
            "Move it or choose another place",
        )
    if error.errno == errno.ENOENT and not path.parent.exists():
        return DiskError(
            f"cannot write {path}: there is no folder {path.parent}.",
            "Make it or choose another place",
        )
    about = "" if error.filename in (None, str(path)) else f" ({error.filename})"
    return DiskError(
        f"could not write {path}: {error.strerror}{about}.", "See what is wrong with the disk"
    )


@contextlib.contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says when `path` is read into one clear `RunError`."""
    try:
        yield
    except FileNotFoundError:
        raise RunError(f"{path} is missing.") from None
    except MemoryError:
        raise RunError(
            f"{path} cannot be read: it is larger than the memory that is left."
        ) from None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}.") from None


def is_file(path: Path) -> bool:
    """Return whether there is a file; False where the operating system does not let us look."""
    try:
        return path.is_file()
    except OSError:
        return False


def check_regular(path: Path) -> None:
    """Make sure that something is a file whose bytes can be read.

    No folder, pipe, device or socket.

    Raises:
        RunError: it is missing, is something else, or the operating system does not let us see.
    """
    with read_errors(path):
        mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe, a device or a socket"
        raise RunError(f"{path} cannot be read: it is {what} and no file.")


def read_bytes(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        RunError: it is missing, is no file, or cannot be read.
    """
    check_regular(path)
    with read_errors(path):
        return path.read_bytes()


def parse_json(text: bytes | str, where: object) -> Any:
    """Parse a JSON document, with finite numbers only; `where` is its name in messages.

    Raises:
        RunError: it is damaged: not JSON, nested too deep, with numbers that JSON lacks, or with a
            name twice in one object.
    """
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        return json.loads(
            decoded,
            object_pairs_hook=named_once,
            parse_constant=_no_number,
            parse_float=_finite,
        )
    except RecursionError:
        raise RunError(f"{where} is damaged: its JSON is nested too deep.") from None
    except MemoryError:
        raise RunError(
            f"{where} cannot be read: it is larger than the memory that is left."
        ) from None
    except ValueError as error:
        raise RunError(
            f"{where} is damaged: {error}. `inklings doctor` checks a whole run."
        ) from None


def named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object of its names and values: an `object_pairs_hook` of JSON's reader.

    Raises:
        ValueError: a name stands there twice. The reader by itself keeps the last value.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(name for name, _ in pairs)
        twice = next(name for name, count in times.items() if count > 1)
        raise ValueError(f"{twice[:40]!a} is given twice in one object")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def refuse_links_out(folder: Path, name: str = "") -> None:
    """Make sure that what is written below a folder stays there.

    A folder that came from somebody else may hold links, and what is written or removed through
    them is elsewhere. The folder itself may be a link.

    Args:
        folder: what is written to; nothing has to be there.
        name: of the one entry that is written to; else all that is in the folder is looked at.

    Raises:
        DiskError: something there is a link that leads out of the folder.
    """
    root = Path(os.path.realpath(folder))  # which, unlike `resolve`, takes a loop of links
    start = root / name
    below = (
        Path(place, entry)
        for place, folders, files in os.walk(start)
        for entry in (*folders, *files)
    )
    for path in itertools.chain((start,), below):
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        if not target.is_relative_to(root):
            raise DiskError(
                f"nothing is written to {folder}: {path.relative_to(root)} in it is a link out of"
                f" it, to {target}.",
                "Put a file or folder in its place (the whole folder may be a link)",
            )


def sync_directory(path: Path) -> None:
    """Make a rename inside `path` durable.

    Does nothing where directories cannot be opened, as on Windows.
    """
    if os.name != "nt":
        _sync(path)


def _sync(path: Path) -> None:
    """Wait until the disk holds what was written to a file or directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file that appears at `path`, synced, only when the block ends well.

    A reader sees the old file or the new one, never a part.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with new_file(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically.

    Numbers that JSON lacks (NaN, infinity) are an error.
    """
    write_bytes(
        path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    )


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Make a directory that appears at `path` only when the block ends well.

    The block is given a temporary directory beside `path`; its files are synced before the rename.
    If `path` appeared meanwhile (another process built the same thing), that one stays and ours is
    dropped.
    """
    with _temporary_directory(path) as temporary:
        yield temporary
        appear(temporary, path)


def appear(temporary: Path, path: Path) -> None:
    """Rename a directory to `path` after its files are synced; one that is there stays."""
    for file in temporary.rglob("*"):
        if file.is_file():
            _sync(file)
    try:
        temporary.rename(path)
    except OSError:
        if not path.is_dir():
            raise
    sync_directory(path.parent)


@contextlib.contextmanager
def new_files(path: Path) -> Iterator[Path]:
    """Give a temporary directory for `path` and files beside it: they appear if all ends well.

    They are synced first, and `path` appears last: what belongs to it is there before it.
    """
    with _temporary_directory(path) as temporary:
        yield temporary
        files = sorted(temporary.iterdir(), key=lambda file: file.name == path.name)
        for file in files:
            _sync(file)
        for file in files:
            file.replace(path.with_name(file.name))
        sync_directory(path.parent)


@contextlib.contextmanager
def _temporary_directory(path: Path) -> Iterator[Path]:
    """Make a directory beside `path`, and the folders above it; all that is left of them goes."""
    with disk_errors(path), folders_above(path):
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            temporary.mkdir()
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def folders_above(path: Path) -> Iterator[None]:
    """Make the folders above `path`; those that are empty after the block go again."""
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with contextlib.suppress(OSError):  # all are empty, or the first is not
            for folder in made:
                folder.rmdir()


def read_json(path: Path, *, format_version: int | None = None) -> Any:
    """Read a JSON file; with `format_version`, refuse one written by a newer format.

    Raises:
        RunError: the file is missing, cannot be read, is not JSON, or is from a newer format.
    """
    value = parse_json(read_bytes(path), path)
    if format_version is not None:
        found = value.get("format_version") if isinstance(value, dict) else None
        if not isinstance(found, int) or isinstance(found, bool):
            raise RunError(f"{path} has no format_version: it was not written by Inklings.")
        if found > format_version:
            raise RunError(
                f"{path} is of format {found}; this version of Inklings reads up to"
                f" {format_version}. Upgrade Inklings to open it."
            )
    return value


def write_checked_json(path: Path, content: Mapping[str, Any], *, format_version: int = 1) -> None:
    """Write plain values with `format_version` and their hash, atomically, in the order given.

    Args:
        path: the file.
        content: what is written.
        format_version: the version of this kind of file.
    """
    plain = json.loads(json.dumps({"format_version": format_version, **content}, allow_nan=False))
    write_json(path, {**plain, "sha256": sha256(canonical(plain))})


def read_checked_json(
    path: Path,
    *,
    format_version: int = 1,
    unhashed: bool = False,
    remedy: str = "Settings are given on the command line, for a new run.",
) -> dict[str, Any]:
    """Read what `write_checked_json` wrote, without the hash.

    Args:
        path: the file.
        format_version: the newest that is read.
        unhashed: whether a file without a hash is taken, from when its kind had none.
        remedy: what to do about damage, in a sentence.

    Raises:
        RunError: the file is missing, damaged, changed since it was written, or from a newer
            format.
    """
    value = read_json(path, format_version=format_version)
    found = value.pop("sha256", None)
    if (found is not None or not unhashed) and found != _hash_of(value):
        raise RunError(f"{path} is damaged or was edited: its hash does not fit. {remedy}")
    return dict(value)


def canonical(value: Any) -> bytes:
    """Return the bytes that a JSON value is hashed by: equal for equal values."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":")
    ).encode()


def _hash_of(value: Any) -> str | None:
    """Return the hash of a JSON value; None if it has none."""
    try:
        return sha256(canonical(value))
    except RecursionError:
        return None


def sha256(data: bytes | bytearray | memoryview) -> str:
    """Return the hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a whole file, read in blocks. Errors as `read_bytes`."""
    check_regular(path)
    with read_errors(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def block_hashes(path: Path) -> list[str]:
    """Return the SHA-256 of each block of `BLOCK` bytes of a file, in order.

    Errors as `read_bytes`.
    """
    check_regular(path)
    with read_errors(path), open(path, "rb") as file:
        return [sha256(block) for block in iter(lambda: file.read(BLOCK), b"")]
