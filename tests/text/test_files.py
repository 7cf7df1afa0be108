"""Files of every kind give the same text; what is not text is refused with the place."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import tracemalloc
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.errors import MissingExtraError, SourceError
from inklings.text import documents as pieces_module
from inklings.text.documents import documents
from inklings.text.formats import decoding as module
from inklings.text.formats.files import content_hash, find_files, keep_stream, read_texts, text_file
from inklings.text.formats.format import COMPRESSIONS, FORMATS

TEXTS = ['Plain, "quoted"', "two\nlines \u00e9\U0001f600", "", "x" * 200_000]


def texts_of(path: Path, field: str = "text") -> list[str]:
    return ["".join(text.chunks) for text in read_texts(text_file(path), field)]


def write_records(path: Path, texts: list[str], field: str = "text") -> Path:
    if path.suffix == ".jsonl":
        path.write_text(
            "".join(json.dumps({"id": 1, field: text}) + "\n" for text in texts), encoding="utf-8"
        )
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["id", field], *([1, text] for text in texts)])
    else:
        pyarrow.parquet.write_table(pyarrow.table({"id": [1] * len(texts), field: texts}), path)
    return path


def compressed(path: Path, suffix: str) -> Path:
    made = path.with_name(path.name + suffix)
    if suffix == ".gz":
        made.write_bytes(gzip.compress(path.read_bytes()))
    else:
        with pyarrow.output_stream(str(made), compression="zstd") as stream:
            stream.write(path.read_bytes())
    return made


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_records_give_their_field(tmp_path: Path, kind: str) -> None:
    assert texts_of(write_records(tmp_path / f"records.{kind}", TEXTS)) == TEXTS
    assert texts_of(write_records(tmp_path / f"body.{kind}", TEXTS, "body"), "body") == TEXTS


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_records_are_the_same(tmp_path: Path, kind: str, suffix: str) -> None:
    assert texts_of(compressed(write_records(tmp_path / f"records.{kind}", TEXTS), suffix)) == TEXTS


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_text_is_the_same(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "book.txt"
    path.write_text("Chapter 1\n" * 200_000)
    assert texts_of(compressed(path, suffix)) == texts_of(path) == [path.read_text()]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("damage", ["cut", "junk"])
def test_a_damaged_compressed_file_is_refused(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / "book.txt"
    path.write_text("".join(f"{number}\n" for number in range(100_000)))
    whole = compressed(path, suffix)
    whole.write_bytes(whole.read_bytes()[:-100] if damage == "cut" else b"no archive at all")
    with pytest.raises(SourceError, match=rf"book.txt{suffix} (is not a whole|cannot be read)"):
        texts_of(whole)


@given(st.text("a\r\n\u00e9\ufeff", max_size=40), st.integers(1, 7))
def test_bytes_become_text_whatever_the_blocks(text: str, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        patch.setattr(module, "_opened", lambda _: io.BytesIO(text.encode("utf-8")))
        found = texts_of(Path("book.txt"))
    assert found == [text.removeprefix("\ufeff").replace("\r\n", "\n")]


def test_carriage_returns_in_records_are_dropped_too(tmp_path: Path) -> None:
    for kind in ("jsonl", "csv", "parquet"):
        assert texts_of(write_records(tmp_path / f"records.{kind}", ["a\r\nb"])) == ["a\nb"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ok \xe9t\xe9", r"byte 3 \(0xe9\) cannot be decoded.*iconv -f latin1"),
        (b"ends early \xc3", r"byte 11 \(0xc3\)"),
        (b"PX\x03\x04\x00\x00", r"is not text: byte 4 is zero"),
        ("text".encode("utf-16"), r"is UTF-16"),
    ],
)
@pytest.mark.parametrize("block", [1, 3, 2**20])
def test_what_is_not_text_is_refused_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, message: str, block: int
) -> None:
    if "UTF-16" in message and block == 1:
        message = "is not UTF-8: byte 0"
    monkeypatch.setattr(module, "BLOCK", block)
    path = tmp_path / "book.txt"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=message):
        texts_of(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "a"}\n\n{"text": \n', r"line 3 of .*a.jsonl is not JSON"),
        (
            "a.jsonl",
            '{"text": "a"}\n{"txt": "b"}\n',
            r"no field 'text' in line 2 of .*a.jsonl. Did you mean 'txt'\? It has: txt",
        ),
        ("a.jsonl", '{"text": 3}\n', r"field 'text' of line 1 of .*a.jsonl is not text: 3 \(int\)"),
        ("a.jsonl", '["text"]\n', r"record 1 of .*a.jsonl is JSON, but no object"),
        ("a.jsonl", '{"text": "\\ud800"}\n', r"line 1 of .*a.jsonl is not valid Unicode"),
        ("a.csv", "id,Text\n1,b\n", r"no field 'text' in .*a.csv.*Did you mean 'Text'\?"),
        ("a.csv", "id,text\n1,b\n2\n", r"ends in line 3 of .*a.csv has no column 'text'"),
        ("a.parquet", "no table", r"a.parquet is not a whole Parquet file"),
    ],
)
def test_bad_records_are_named_with_file_and_line(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(SourceError, match=message):
        texts_of(path)


def test_bad_parquet_columns_are_named(tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.parquet", ["x"], "content")
    with pytest.raises(SourceError, match=r"no field 'text' in .*a.parquet.*It has: id, content"):
        texts_of(path)
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", None]}), path)
    with pytest.raises(
        SourceError, match=r"field 'text' of record 2 of .*a.parquet is not text: None"
    ):
        texts_of(path)


@pytest.mark.parametrize("name", ["a.parquet", "a.txt.zst"])
def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'inklings\[hub\]'"):
        texts_of(path)


def test_a_long_line_is_read_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces_module, "PIECE", 2**18)
    monkeypatch.setattr(pieces_module, "LONGEST_PIECE", 2**20)
    path = tmp_path / "line.txt.gz"
    length = 20 * 2**20
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(length // 2**20):
            file.write(b"word" * 2**18)
    tracemalloc.start()
    read = sum(
        len(piece.text)
        for piece in documents(read_texts(text_file(path), "text"), "documents", None)
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == length
    assert peak < length / 2


def test_a_folder_gives_the_files_that_are_text_in_order(tmp_path: Path) -> None:
    for name in (
        "b.txt",
        "a/z.md",
        "a/y.jsonl.gz",
        "C.TXT",
        "skip.png",
        ".hidden.txt",
        ".git/x.txt",
        "plain",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    assert [file.path.relative_to(tmp_path).as_posix() for file in find_files(str(tmp_path))] == [
        "C.TXT",
        "a/y.jsonl.gz",
        "a/z.md",
        "b.txt",
    ]
    second = find_files(str(tmp_path))[1]
    assert second.format is FORMATS["jsonl"] and second.compression is COMPRESSIONS[".gz"]


def test_a_pattern_gives_every_file_that_it_matches(tmp_path: Path) -> None:
    for name in ("b.log", "a.log", "sub/c.log", "[1].log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert [file.path.name for file in find_files(f"{tmp_path}/?.log")] == ["a.log", "b.log"]
    assert len(find_files(f"{tmp_path}/**/*.log")) == 4
    assert [file.path.name for file in find_files(f"{tmp_path}/[1].log")] == [
        "[1].log"
    ]  # a file of that very name
    with pytest.raises(SourceError, match="no file matches the pattern"):
        find_files(f"{tmp_path}/*.txt")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "books.txt").write_text("x")
    with pytest.raises(
        SourceError, match=r"no file or folder .*bokks.txt. Did you mean 'books.txt'\?"
    ):
        find_files(str(tmp_path / "bokks.txt"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"the folder .*empty holds no text files. Read are .txt"):
        find_files(str(tmp_path / "empty"))


def test_a_compressed_parquet_is_refused() -> None:
    with pytest.raises(SourceError, match="Parquet compresses itself"):
        text_file(Path("a.parquet.gz"))


def test_a_stream_is_kept_under_its_content(tmp_path: Path) -> None:
    data = "text \u00e9\n".encode() * 300_000
    kept = keep_stream(io.BytesIO(data).read, tmp_path / "stdin")
    assert kept.read_bytes() == data
    assert kept.stem == content_hash(text_file(kept))
    assert keep_stream(io.BytesIO(data).read, tmp_path / "stdin") == kept
    assert list((tmp_path / "stdin").iterdir()) == [kept]
    with pytest.raises(SourceError, match="standard input is empty"):
        keep_stream(io.BytesIO(b"").read, tmp_path / "stdin")
    assert list((tmp_path / "stdin").iterdir()) == [kept]
