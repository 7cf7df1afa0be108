"""One grammar names every text; what cannot be read is refused before anything is built."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from inklings.config import DataConfig
from inklings.errors import ConfigError, SourceError
from inklings.text.cache import cache_directory
from inklings.text.documents import Source
from inklings.text.sources.grammar import open_source

NAMES = "".join(f"name{number}\n" for number in range(20))


def opened(source: str | Path, cache: Path | None = None, **settings: str) -> Source:
    return open_source(DataConfig(source=str(source), **settings), cache=cache)  # type: ignore[arg-type]


def texts(source: Source) -> list[str]:
    return [piece.text for piece in source.pieces()]


def test_a_list_of_names_is_read_by_lines_and_a_book_whole(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text(NAMES)
    (tmp_path / "book.txt").write_text("A line.\n\nAnother.\n" * 20)
    names, book = opened(tmp_path / "names.txt"), opened(tmp_path / "book.txt")
    assert (names.layout, texts(names)) == ("lines", NAMES.split())
    assert (book.layout, texts(book)) == ("documents", ["A line.\n\nAnother.\n" * 20])
    assert texts(opened(tmp_path / "names.txt", layout="documents")) == [NAMES]
    assert texts(opened(tmp_path / "book.txt", layout="lines")) == ["A line.", "Another."] * 20


@pytest.mark.parametrize("name", ["names.md", "names.md.gz"])
def test_marked_up_text_is_never_taken_for_a_list(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(
        gzip.compress(NAMES.encode()) if name.endswith("gz") else NAMES.encode()
    )
    assert opened(tmp_path / name).layout == "documents"


def test_a_file_of_a_folder_is_a_document(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.txt").write_text(f"Text {name}")
    (tmp_path / "empty.txt").write_text("")
    assert texts(opened(tmp_path)) == ["Text a", "Text b", "Text c"]
    assert texts(opened(f"{tmp_path}/[bc].txt")) == ["Text b", "Text c"]


def test_a_record_is_a_document(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"body": f"short {number}"}) + "\n" for number in range(20)))
    source = opened(path, field="body")
    assert source.layout == "documents"
    assert texts(source) == [f"short {number}" for number in range(20)]


def test_a_separator_cuts_documents(tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text("one\n<|end|>\ntwo<|end|>\n")
    source = opened(tmp_path / "all.txt", document_separator="<|end|>")
    assert (source.layout, texts(source)) == ("documents", ["one\n", "\ntwo"])
    with pytest.raises(ConfigError, match="layout is 'lines' and document_separator is given"):
        opened(tmp_path / "all.txt", document_separator="x", layout="lines")
    with pytest.raises(ConfigError, match="document_separator is empty"):
        opened(tmp_path / "all.txt", document_separator="")


def test_the_fingerprint_is_that_of_the_content_and_of_how_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(NAMES)
    (tmp_path / "b.txt").write_text(NAMES)
    first = opened(tmp_path / "a.txt").fingerprint
    assert opened(tmp_path / "b.txt").fingerprint == first
    assert opened(tmp_path / "a.txt", layout="lines").fingerprint == first  # as `auto` decides
    others = {
        opened(tmp_path / "a.txt", layout="documents").fingerprint,
        opened(tmp_path / "a.txt", document_separator="name1").fingerprint,
        opened(tmp_path).fingerprint,
    }
    (tmp_path / "a.txt").write_text(NAMES + "one more\n")
    others.add(opened(tmp_path / "a.txt").fingerprint)
    assert len(others | {first}) == 5


def test_the_address_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text(NAMES)
    monkeypatch.chdir(tmp_path)
    source = opened("a.txt")
    assert (source.name, source.address) == ("a.txt", str(tmp_path / "a.txt"))


def test_stdin_is_kept_and_read_as_often_as_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "stdin", SimpleNamespace(buffer=io.BytesIO(NAMES.encode()), isatty=lambda: False)
    )
    source = opened("-", cache=tmp_path)
    assert texts(source) == texts(source) == NAMES.split()
    assert texts(opened("-", cache=tmp_path)) == NAMES.split()
    assert opened(source.address).fingerprint == source.fingerprint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "standard input is empty"),
        (b"\n \n", "standard input holds no text"),
        (b"\xff\x00", "standard input is not"),
    ],
)
def test_bad_stdin_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, message: str
) -> None:
    monkeypatch.setattr(
        sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False)
    )
    with pytest.raises(SourceError, match=message):
        opened("-", cache=tmp_path)


def test_a_terminal_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(SourceError, match="nothing is piped in"):
        opened("-", cache=tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "the source is empty"),
        (
            "tinyshakespear",
            r"no file or folder tinyshakespear.*Did you mean 'tinyshakespeare'\? They are: builtin",
        ),
        ("python-docs", r"Did you mean 'builtin:python-docs'\?"),
        ("nowhere/at-all.txt", r"no file or folder nowhere/at-all.txt\.$"),
        ("https://example.org/book.txt", "is an address, not a source. Download it"),
        ("*.nothing", "no file matches the pattern"),
    ],
)
def test_a_source_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=message):
        opened(given)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a.txt holds no text"),
        (b" \n\n\t", r"a.txt holds no text"),
        (b"\x00\x01", "is not text"),
        (b"caf\xe9 au lait", "is not UTF-8: byte 3"),
    ],
)
def test_a_file_without_text_is_refused_when_it_is_opened(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(SourceError, match=message):
        opened(tmp_path / "a.txt")


@pytest.mark.parametrize("content", ["\n", "\ntext\na line\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_table_without_names_of_columns_is_refused(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match=f"the first line of .*{name} is empty"):
        opened(tmp_path / name)


def test_a_field_for_plain_text_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(NAMES)
    with pytest.warns(UserWarning, match="field 'body' is ignored"):
        opened(tmp_path / "a.txt", field="body")


def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INKLINGS_CACHE", str(tmp_path / "mine"))
    assert cache_directory() == tmp_path / "mine"
    monkeypatch.delenv("INKLINGS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "inklings"


def test_reading_text_loads_nothing_heavy() -> None:
    code = "import sys, inklings.text.sources.grammar, inklings.text.splits; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "datasets", "pyarrow", "huggingface_hub", "pydoc_data.topics"} & set(
        loaded
    )


def test_a_line_that_fits_the_opening_begins_a_document(tmp_path: Path) -> None:
    text = " \n = One = \n \n first\n = = Part = = \n more\n = Two = \nlast"
    (tmp_path / "all.txt").write_text(text)
    source = opened(tmp_path / "all.txt", document_opening=" = [^=].* = ")
    assert texts(source) == [" = One = \n \n first\n = = Part = = \n more\n", " = Two = \nlast"]
    assert (
        opened(tmp_path / "all.txt", document_opening=" = T.* = ").fingerprint != source.fingerprint
    )
    with pytest.raises(ConfigError, match="not a regular expression"):
        opened(tmp_path / "all.txt", document_opening="(")
    with pytest.raises(ConfigError, match="both given"):
        opened(tmp_path / "all.txt", document_opening="x", document_separator="y")
    with pytest.raises(ConfigError, match="layout is 'lines' and document_opening is given"):
        opened(tmp_path / "all.txt", document_opening="x", layout="lines")


@pytest.mark.parametrize("suffix", ["txt", "csv"])
def test_all_files_of_a_folder_that_are_not_utf8_are_named_at_once(
    tmp_path: Path, suffix: str
) -> None:
    bad = [f"b{number}.{suffix}" for number in range(7)]
    late = f"z.{suffix}"
    for number in range(20):
        (tmp_path / f"a{number:02}.{suffix}").write_text(f"text\nw\u00f6rd {number}\n", "utf-8")
    for name in bad:
        (tmp_path / name).write_bytes("text\nw\u00f6rd\n".encode("latin1"))
    (tmp_path / late).write_bytes(b"text\n" + b"word\n" * 2**18 + b"\xf6\n")
    with pytest.raises(SourceError) as refused:
        for _ in opened(tmp_path).pieces():
            pass
    said = str(refused.value)
    assert f"b0.{suffix} is not UTF-8" in said and "iconv" in said
    assert "Nor are 7 of the other 27 files UTF-8 text" in said
    assert all(name in said for name in bad[:6]) and "and 2 more" in said
    assert "a00" not in said
    for name in bad[1:]:
        (tmp_path / name).unlink()
    (tmp_path / late).unlink()
    with pytest.raises(SourceError) as refused:
        list(opened(tmp_path).pieces())
    assert "Nor are" not in str(refused.value)


def test_a_table_without_a_byte_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    with pytest.raises(SourceError, match=r"a\.csv holds no text: it is empty"):
        opened(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("text\nred\n")
    source = opened(tmp_path)
    assert [piece.text for piece in source.pieces()] == ["red"]
    assert source.left_out["empty"] == 1
