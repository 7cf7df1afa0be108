"""Text from files: plain, JSONL, CSV or Parquet, compressed or not, read as a stream.

Memory does not grow with the files.
"""

from __future__ import annotations

import glob
import hashlib
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from inklings.durable import disk_errors
from inklings.errors import SourceError, nearest
from inklings.text.documents import Text
from inklings.text.formats.decoding import BLOCK, file_errors, read_chunks
from inklings.text.formats.format import COMPRESSIONS, FORMATS, Compression, TextFile, list_known
from inklings.text.formats.records import Wanted


def text_file(path: Path, where: str | None = None) -> TextFile:
    """Return how a file is read, by its suffixes.

    One without a known suffix is read as plain text.
    """
    inner, compression = _suffixes(path)
    plain = FORMATS["text"]
    form = next((form for form in FORMATS if inner in form.suffixes), plain)
    if compression and not form.compressible:
        name = form.name.capitalize()
        raise SourceError(
            f"{path} is a compressed {name} file. {name} compresses itself: give the file without"
            f" {compression.name}."
        )
    return TextFile(path, form, compression, where or str(path))


def find_files(given: str) -> list[TextFile]:
    """Return the files that a path, a folder or a pattern names, in the order of their names.

    A folder gives all files in it, at any depth, of a format that is read from folders; hidden ones
    are left out. A pattern (`*`, `?`, `[...]`, `**`) gives every file that it matches.

    Raises:
        SourceError: there is no such file, or none that can be read.
    """
    path = Path(given).expanduser()
    try:
        path.exists()
    except OSError as error:
        raise SourceError(f"{given} cannot be read: {error.strerror}.") from None
    if path.is_file():
        return [text_file(path)]
    if path.is_dir():
        shown = _shown(path)
        files = [found for found in shown if _is_in_folders(found)]
        if not files:
            others = f" It holds {list_suffixes(left_out_of(given))}." if shown else ""
            read = list_known(in_folders=True)
            what = f"Read are {read}; for others, give the file or a pattern."
            raise SourceError(f"the folder {given} holds no text files. {what}{others}")
        return [text_file(found) for found in files]
    if glob.has_magic(given):
        matched = [
            found
            for name in sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # absolute patterns
            if (found := Path(name)).is_file()
        ]
        if not matched:
            raise SourceError(f"no file matches the pattern {given}.")
        return [text_file(found) for found in matched]
    if path.exists():
        raise SourceError(
            f"{given} is neither a file nor a folder; pipe it into `-` to read it as a stream."
        )
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = nearest(path.name, siblings) if siblings else ""
    raise SourceError(f"there is no file or folder {given}.{hint}")


def left_out_of(given: str) -> dict[str, int]:
    """Count the files of a folder that `find_files` leaves out, by suffix.

    A path that is no folder gives none.
    """
    path = Path(given).expanduser()
    shown = _shown(path) if path.is_dir() else []
    suffixes = Counter(_suffixes(found)[0] for found in shown if not _is_in_folders(found))
    return dict(sorted(suffixes.items()))


def list_suffixes(counts: Mapping[str, int]) -> str:
    """Say counts by suffix in words."""
    return ", ".join(
        f"{count:,} {suffix or 'without a suffix'}" for suffix, count in counts.items()
    )


def _shown(folder: Path) -> list[Path]:
    """Return all files in a folder that are not hidden, at any depth, by name."""
    inside = [(found.relative_to(folder), found) for found in folder.rglob("*") if found.is_file()]
    return [
        f
        for _, f in sorted(
            (name.as_posix(), f)
            for name, f in inside
            if not any(part.startswith(".") for part in name.parts)
        )
    ]


def read_texts(file: TextFile, field: str | Wanted) -> Iterator[Text]:
    """Iterate over the texts in a file: the file itself, or the field of each of its records.

    Raises:
        SourceError: the file cannot be read, is not UTF-8 text, or a record has no such field; the
            message says where.
        MissingExtraError: it needs pyarrow.
    """
    return file.format.read(file, Wanted(field) if isinstance(field, str) else field)


def sample(file: TextFile) -> str:
    """Return the beginning of a plain text file: about a megabyte, or less."""
    return next(read_chunks(file), "")


def content_hash(file: TextFile) -> str:
    """Return the hexadecimal SHA-256 of the bytes of a file on the disk."""
    with file_errors(file), open(file.path, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def keep_stream(read: Callable[[int], bytes], folder: Path) -> Path:
    """Copy a stream that can be read only once into a file named by its content.

    The stream is given by its `read`; the file is returned.

    Raises:
        SourceError: the stream has no bytes.
        DiskError: there is no room for it.
    """
    temporary = folder / f".{uuid.uuid4().hex[:8]}.tmp"
    digest = hashlib.sha256()
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                while block := read(BLOCK):
                    digest.update(block)
                    file.write(block)
                if file.tell() == 0:
                    raise SourceError("standard input is empty: pipe a text into it.")
                file.flush()
                os.fsync(file.fileno())
            kept = folder / f"{digest.hexdigest()}.txt"
            temporary.replace(kept)
        finally:
            temporary.unlink(missing_ok=True)
    return kept


def _suffixes(path: Path) -> tuple[str, Compression | None]:
    """Return the suffix of a file's name, and the compression that is named behind it."""
    name = path.name.lower()
    compression = next((c for c in COMPRESSIONS if c.name == Path(name).suffix), None)
    return Path(name.removesuffix(compression.name) if compression else name).suffix, compression


def _is_in_folders(path: Path) -> bool:
    suffix, _ = _suffixes(path)
    return any(suffix in form.suffixes for form in FORMATS if form.in_folders)
