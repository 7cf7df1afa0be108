"""Well-known corpora, by name.

They are fetched from where their authors keep them, and checked against pinned hashes.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inklings.durable import file_sha256, sha256, write_bytes
from inklings.text.documents import Layout, Source, SplitName, Text
from inklings.text.formats.files import read_texts, text_file
from inklings.text.sources.downloads import download
from inklings.text.sources.reading import choose_layout, make_source
from inklings.text.sources.scheme import HOST, SourceRequest, SourceScheme


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file at a host, and its hash."""

    path: str
    """Its path at the host; it names a commit, so that the file cannot change under its name."""
    sha256: str
    split: SplitName | None = None
    convert: Callable[[str], str] | None = None
    """Makes plain text of it."""
    converted_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A well-known text: its files, and how the field reads and splits it."""

    about: str
    licence: str
    files: tuple[RemoteFile, ...]
    layout: Layout
    default_split: tuple[float, float, float] | None = None
    opening: str | None = None
    """The lines that documents begin with, as a regular expression; None where a file is one
    document.
    """


def fortune_lines(text: str) -> str:
    """Put each fortune on one line, without the attribution that begins with `--`."""
    quotations = []
    for record in re.split(r"^%\s*$", text, flags=re.MULTILINE):
        first, *others = record.strip().split("\n")
        attribution = next(
            (place for place, line in enumerate(others) if line.lstrip().startswith("--")),
            len(others),
        )
        quotations.append(" ".join(" ".join((first, *others[:attribution])).split()))
    return "".join(f"{quotation}\n" for quotation in quotations if quotation)


_WIKITEXT = (
    "pytorch/examples/77f55b912142e11fcfdf5b530231fb9c52f181e8/word_language_model/data/wikitext-2"
)

CORPORA: dict[str, Corpus] = {
    "names": Corpus(
        about="32,033 first names, one a line, split as in the makemore lectures",
        licence="MIT; from public-domain statistics",
        files=(
            RemoteFile(
                path="karpathy/makemore/988aa59e4d8fefa526d06f3b453ad116258398d4/names.txt",
                sha256="0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
            ),
        ),
        layout="lines",
        default_split=(0.8, 0.1, 0.1),
    ),
    "tinyshakespeare": Corpus(
        about=(
            "40,000 lines of Shakespeare's plays as one document; the last tenth is the validation"
            " part, as in nanoGPT"
        ),
        licence="public domain",
        files=(
            RemoteFile(
                path="karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
                sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        ),
        layout="documents",
        default_split=(0.9, 0.1, 0.0),
    ),
    "wikitext-2": Corpus(
        about=(
            "2 million words of Wikipedia articles (Merity et al., 2016), rare words replaced by"
            " <unk>, in its three files"
        ),
        licence="CC BY-SA",
        files=(
            RemoteFile(
                path=f"{_WIKITEXT}/train.txt",
                sha256="9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
                split="train",
            ),
            RemoteFile(
                path=f"{_WIKITEXT}/valid.txt",
                sha256="f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
                split="validation",
            ),
            RemoteFile(
                path=f"{_WIKITEXT}/test.txt",
                sha256="d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
                split="test",
            ),
        ),
        layout="documents",
        opening=r" = [^=].* = ",
    ),
    "fortunes": Corpus(
        about="5,437 quotations, one a line",
        licence="none stated: a collection of short quotations",
        files=(
            RemoteFile(
                path="ruanyf/fortunes/000fb01261e4d119e4e988ce82f49fb8b139fe3c/data/fortunes",
                sha256="9814754bc4047ba2cb8c2a1969691e84bce6cb14fd3ad4092176265b68221d6f",
                convert=fortune_lines,
                converted_sha256="28bfd991658f36ea02327a9a7427d71fc343ef949626bca961be86a23fe63a3f",
            ),
        ),
        layout="lines",
    ),
}


def obtain(file: RemoteFile, folder: Path, *, host: str = HOST) -> Path:
    """Return the file on this machine, downloaded and converted if it is not there yet.

    Args:
        file: which file.
        folder: where it is kept.
        host: where it comes from.

    Raises:
        DownloadError: it cannot be fetched, or is not the one that is known.
        DiskError: there is no room for it.
    """
    name = Path(file.path).name
    if file.convert is None:
        return download(f"{host}/{file.path}", folder / name, sha256=file.sha256)
    converted = folder / f"{Path(name).stem}.txt"
    if not converted.is_file() or file_sha256(converted) != file.converted_sha256:
        raw = download(f"{host}/{file.path}", folder / f"{name}.raw", sha256=file.sha256)
        data = file.convert(raw.read_text(encoding="utf-8")).encode()
        assert sha256(data) == file.converted_sha256, (
            f"the conversion of {name} is not what was pinned"
        )
        write_bytes(converted, data)
    return converted


def _open(request: SourceRequest) -> Source:
    data, folder = request.data, request.cache / "downloads" / request.name
    if Path(request.name).exists():
        warnings.warn(
            f"{request.name!r} is taken for the well-known text; to read the local one, write"
            f" ./{request.name}.",
            stacklevel=2,
        )
    corpus = CORPORA[data.source]
    files = [
        (text_file(obtain(file, folder, host=request.host), where=data.source), file.split)
        for file in corpus.files
    ]
    source = make_source(
        data,
        data.source,
        choose_layout(data, corpus.layout),
        lambda wanted: (
            Text(text.chunks, text.where, split)
            for file, split in files
            for text in read_texts(file, wanted)
        ),
        [file.converted_sha256 or file.sha256 for file in corpus.files],
        opening=corpus.opening,
    )
    fixed = all(split is not None for _, split in files)
    return dataclasses.replace(source, default_split=corpus.default_split, fixed_splits=fixed)


SCHEME = SourceScheme(
    name="well-known",
    form="a well-known name",
    takes=lambda name: name in CORPORA,
    open=_open,
    known=lambda: {name: (corpus.about, corpus.licence) for name, corpus in CORPORA.items()},
)
