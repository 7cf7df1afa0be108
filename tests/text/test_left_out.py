"""What of a source is not read, or could be read better, is said.

A text has the name by which it was asked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inklings.config import DataConfig
from inklings.errors import SourceError
from inklings.events import Event
from inklings.text.inspect import describe
from inklings.text.store import TokenStore, prepare

LINES = "".join(f"a line, number {number}\n" for number in range(40))


def prepared(tmp_path: Path, source: Path | str, **settings: Any) -> tuple[TokenStore, list[str]]:
    said: list[str] = []

    def listen(event: Event) -> None:
        if event["event"] == "note":
            said.append(event["text"])

    data = DataConfig(source=str(source), tokenizer="byte", **settings)
    return prepare(data, cache=tmp_path / "cache", on_event=listen), said


def test_one_file_of_a_folder_that_cannot_be_read_is_left_out_by_a_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.md", "b.md", "deep/c.md", "d.txt"):
        (folder / name).write_text(LINES)
    for place in range(4):  # more than of any other kind, and a pattern of theirs would read n.csv
        (folder / f"m{place}.csv").write_text("text\na line\n")
    (folder / "n.csv").write_text("id,name\n1,x\n")
    with pytest.raises(SourceError) as caught:
        prepared(tmp_path, folder)
    assert "n.csv" in str(caught.value)
    assert f"'{folder}/**/*.md' reads 3 of the 9 files" in str(caught.value)
    prepared(tmp_path, f"{folder}/**/*.md")


def test_a_folder_tells_what_it_leaves_out(tmp_path: Path) -> None:
    for name in (
        "a.txt",
        "b.PDF",
        "c/d.pdf",
        "e.json",
        "README",
        "x.png.gz",
        ".git/x.pdf",
        "empty.txt",
    ):
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name == "empty.txt" else LINES)
    for _ in range(2):  # made, and from the cache
        store, said = prepared(tmp_path, tmp_path / "folder")
        assert describe(store)["left_out"] == {
            "files": {"": 1, ".json": 1, ".pdf": 2, ".png": 1},
            "records": {"empty": 1},
        }
        assert any("1 without a suffix, 1 .json, 2 .pdf, 1 .png" in text for text in said)
    (tmp_path / "folder" / "b.PDF").unlink()  # the text is the same, what lies beside it is not
    store, _ = prepared(tmp_path, tmp_path / "folder")
    assert store.manifest["source"]["left_out"]["files"][".pdf"] == 1
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.json").write_text("[]")
    with pytest.raises(
        SourceError, match=r"holds no text files.*give the file or a pattern. It holds 1 .json"
    ):
        prepared(tmp_path, tmp_path / "none")


def test_the_same_bytes_under_another_name_have_that_name(tmp_path: Path) -> None:
    for name in ("first.txt", "second.txt"):
        (tmp_path / name).write_text(LINES)
    first, _ = prepared(tmp_path, tmp_path / "first.txt")
    second, _ = prepared(tmp_path, tmp_path / "second.txt")
    assert first.path == second.path
    assert describe(second)["source"] == str(tmp_path / "second.txt")
    assert second.manifest["source"]["address"] == str(tmp_path / "second.txt")


def test_a_token_between_documents_is_noted_with_the_flag_that_cuts_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("<|endoftext|>".join(f"Document {number}." for number in range(30)))
    _, said = prepared(tmp_path, path)
    assert any("--data.document-separator '<|endoftext|>'" in text for text in said)
    store, said = prepared(tmp_path, path, document_separator="<|endoftext|>")
    assert (said, sum(split["documents"] for split in store.manifest["splits"].values())) == (
        [],
        30,
    )


def test_a_token_that_a_text_is_about_cuts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "about.txt"
    path.write_text("\n\n".join(f'Number {n}: `<|endoftext|>`, or "<eos>".' for n in range(30)))
    _, said = prepared(tmp_path, path)
    assert not any("separator" in text for text in said)
    path.write_text(path.read_text() + "\n`<|endoftext|>")
    _, said = prepared(tmp_path, path)
    assert any("--data.document-separator '<|endoftext|>'" in text for text in said)


def test_carriage_returns_are_noted_with_the_flag_that_cuts_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\r".join(f"line {number}".encode() for number in range(30)))
    _, said = prepared(tmp_path, path)
    assert any("--data.document-separator $'\\r'" in text for text in said)
    store, said = prepared(tmp_path, path, document_separator="\r")
    assert (said, sum(split["documents"] for split in store.manifest["splits"].values())) == (
        [],
        30,
    )


RECORDS = [{"text": f"text {number}"} for number in range(30)]


@pytest.mark.parametrize(
    "form",
    [
        "\n".join(map(json.dumps, RECORDS)),
        json.dumps(RECORDS),
        json.dumps({"data": RECORDS}, indent=1),
    ],
)
def test_records_that_are_read_as_text_are_noted(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(form)
    _, said = prepared(tmp_path, path)
    assert any(".jsonl" in text and "--data.field" in text for text in said)
    path.write_text(LINES)
    with pytest.warns(UserWarning, match="skip_bad is ignored"):
        _, said = prepared(tmp_path, path, skip_bad=True)
    assert said == []
