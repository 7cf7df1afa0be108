"""A store holds the text it was made from, appears whole or not at all.

And notices when it is damaged.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers

from inklings import durable
from inklings.config import DataConfig
from inklings.errors import DiskError, RunError, SourceError, TokenizerError
from inklings.events import Event, OnEvent
from inklings.text import documents, store
from inklings.text.batches import streams, windows
from inklings.text.building import build as building
from inklings.text.building import encoding, reader, split_writer
from inklings.text.building.build import build
from inklings.text.chunks import chunks
from inklings.text.documents import Source, Text, TextPiece
from inklings.text.splits import SPLITS
from inklings.text.store import TokenStore, prepare
from inklings.text.tokenizers import Tokenizer, Tokens
from inklings.text.vocabularies import make_tokenizer

LINES = [
    f"{word} {number}"
    for number, word in enumerate(["anna", "bob", "carla", "dora", "emil", "fritz"] * 5)
]
ALPHABET = [
    "a",
    "the",
    " ",
    "  ",
    "\n",
    "\n\n",
    "!",
    "'s",
    "7",
    "é",
    "日",
    "<|endoftext|>",
    "word ",
]
PROSE = "the a's word 7 !\n\né日 the the word's word 77 !!\n"
BPE = make_tokenizer("bpe:290", lambda: iter([(PROSE * 3, True)]))
BYTE = make_tokenizer("byte", lambda: iter(()))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(LINES))
    return path


def events() -> tuple[list[Event], OnEvent]:
    seen: list[Event] = []
    return seen, seen.append


def texts(opened: TokenStore) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for name, facts in opened.manifest["splits"].items():
        result[name] = []
        if facts["documents"]:
            split = opened.split(name)
            result[name] = [
                opened.tokenizer.decode(split.document(index)) for index in range(split.n_documents)
            ]
    return result


def source_of(
    texts: list[str], *, remote: bool = False, readings: list[int] | None = None
) -> Source:
    """A source whose documents come in small pieces where `documents.PIECE` is small."""

    def read() -> Iterator[TextPiece]:
        if readings is not None:
            readings.append(1)
        return documents.documents((Text([text], "test") for text in texts), "documents", None)

    return Source("test", "test", "0", "documents", read, remote=remote)


def built(folder: Path, source: Source, given: Tokenizer | None, **data: Any) -> TokenStore:
    folder.mkdir()
    build(folder, source, DataConfig(**data), given, lambda event: None)
    return TokenStore(folder)


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe:270"])
def test_a_store_holds_the_text(source: Path, tmp_path: Path, tokenizer: str) -> None:
    opened = prepare(
        DataConfig(source=str(source), layout="lines", tokenizer=tokenizer),
        cache=tmp_path / "cache",
    )
    found = texts(opened)
    assert sorted(text for part in found.values() for text in part) == sorted(LINES)
    assert [len(part) for part in found.values()] == [24, 3, 3]
    for name, part in found.items():
        split = opened.split(name)  # type: ignore[arg-type]
        assert split.tokens.dtype == np.uint16
        assert np.flatnonzero(split.tokens == split.boundary).tolist() == split.offsets.tolist()
        assert split.offsets[-1] == len(split.tokens) - 1 == split.n_targets
        assert split.document_bytes.tolist() == [len(text.encode()) + 1 for text in part]
        assert split.n_bytes == opened.manifest["splits"][name]["bytes"]


def test_the_end_of_a_document_counts_a_byte_where_it_is_no_newline_too(tmp_path: Path) -> None:
    opened = built(tmp_path / "store", source_of(["é" * 30] * 10), BYTE)
    assert opened.split("train").document_bytes.tolist() == [61] * 8
    assert opened.n_bytes("train") == 8 * 61


# now and then a blank before a letter, so that a piece of 120 characters always has a place where
# it may end
TEXTS = st.lists(
    st.lists(st.sampled_from(ALPHABET), max_size=6).map(lambda part: "".join(part) + " word"),
    min_size=2,
    max_size=12,
).map("".join)


@settings(max_examples=20)
@given(st.lists(TEXTS, min_size=10, max_size=12), st.integers(5, 60))
def test_the_tokens_of_a_document_in_pieces_are_those_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, given_texts: list[str], size: int
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "PIECE", size)
        patch.setattr(documents, "LONGEST_PIECE", 120)
        patch.setattr(encoding, "BATCH", 3 * size)
        patch.setattr(chunks, "__defaults__", (size // 2,))
        opened = built(folder / "store", source_of(given_texts), BPE)
    expected = {text: BPE.encode(text).tolist() for text in given_texts}
    found = []
    for name in SPLITS:
        split = opened.split(name)
        found += [
            (BPE.decode(split.document(i)), split.document(i).tolist())
            for i in range(split.n_documents)
        ]
    assert sorted(text for text, _ in found) == sorted(given_texts)
    assert all(tokens == expected[text] for text, tokens in found)


def test_a_tokenizer_that_minds_cuts_gets_whole_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "PIECE", 10)
    monkeypatch.setattr(documents, "LONGEST_PIECE", 20)
    assert len(list(source_of(["0 the word's word " * 5]).pieces())) > 3
    minding = Tokenizer(BPE.backend, kind="file", boundary=0)
    minding.__dict__["cuts_at_words"] = False
    given_texts = [f"{number} the word's word " * 5 for number in range(10)]
    seen: list[str] = []
    encode_batch = Tokenizer.encode_batch

    def listening(self: Tokenizer, texts: Sequence[str]) -> list[Tokens]:
        seen.extend(texts)
        return encode_batch(self, texts)

    monkeypatch.setattr(Tokenizer, "encode_batch", listening)
    built(tmp_path / "store", source_of(given_texts), minding)
    assert sorted(seen) == sorted(given_texts)


def test_a_single_document_is_cut_into_parts_that_do_not_overlap(tmp_path: Path) -> None:
    text = "".join(f"sentence number {number}. " for number in range(400))
    (tmp_path / "book.txt").write_text(text)
    opened = prepare(
        DataConfig(source=str(tmp_path / "book.txt"), tokenizer="byte"), cache=tmp_path / "cache"
    )
    assert "".join("".join(part) for part in texts(opened).values()) == text
    assert opened.split("train").n_documents == 1


def test_large_vocabularies_take_four_bytes_a_token(tmp_path: Path) -> None:
    vocabulary = {"<eos>": 0, "[UNK]": 1, **{f"w{number}": number + 2 for number in range(2**16)}}
    backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = Tokenizer(backend, kind="file", boundary=0, unknown="replace", unknown_token=1)
    split = built(tmp_path / "store", source_of(["w65535 w0 w65534"] * 10), tokenizer).split(
        "train"
    )
    assert split.tokens.dtype == np.uint32
    assert split.document(0).tolist() == [65537, 2, 65536]


def test_a_remote_text_is_read_once(tmp_path: Path) -> None:
    readings: list[int] = []
    given_texts = [
        f"text {number}, with a character of its own: {chr(0x4E00 + number)}"
        for number in range(40)
    ]
    opened = built(
        tmp_path / "store",
        source_of(given_texts, remote=True, readings=readings),
        None,
        tokenizer="char",
    )
    assert len(readings) == 1
    assert opened.tokenizer.unknown == "replace"
    assert len(texts(opened)["train"]) == opened.manifest["splits"]["train"]["documents"]
    assert not list((tmp_path / "store").glob("pieces*"))


def test_the_second_time_it_comes_from_the_cache(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataConfig(source=str(source), layout="lines", tokenizer="char")
    first = prepare(data, cache=tmp_path / "cache")
    monkeypatch.setattr(store, "build", None)  # building again would fail
    seen, on_event = events()
    assert prepare(data, cache=tmp_path / "cache", on_event=on_event).path == first.path
    assert seen[-1]["event"] == "prepare" and seen[-1]["stage"] == "done"
    shutil.copy(source, tmp_path / "copy.txt")
    copy = DataConfig(source=str(tmp_path / "copy.txt"), layout="lines", tokenizer="char")
    assert prepare(copy, cache=tmp_path / "cache").path == first.path


def test_what_gives_other_tokens_gives_another_store(source: Path, tmp_path: Path) -> None:
    data = DataConfig(source=str(source), layout="lines", tokenizer="char")
    variants: list[dict[str, Any]] = [
        {},
        {"tokenizer": "byte"},
        {"split_seed": 1},
        {"split": (0.5, 0.25, 0.25)},
        {"unknown": "replace"},
        {"layout": "documents"},
    ]
    paths = [
        prepare(replace(data, **variant), cache=tmp_path / "cache").path for variant in variants
    ]
    paths.append(prepare(data, tokenizer=BPE, cache=tmp_path / "cache").path)
    BYTE.save(tmp_path / "mine.json")
    paths.append(
        prepare(
            replace(data, tokenizer=str(tmp_path / "mine.json")),
            cache=tmp_path / "cache",
        ).path
    )
    BPE.save(tmp_path / "mine.json")
    paths.append(
        prepare(
            replace(data, tokenizer=str(tmp_path / "mine.json")),
            cache=tmp_path / "cache",
        ).path
    )
    source.write_text("\n".join([*LINES, "one more 7"]))
    paths.append(prepare(data, cache=tmp_path / "cache").path)
    assert len(set(paths)) == len(paths)


def test_the_words_that_are_skipped_are_noted(tmp_path: Path) -> None:
    seen, on_event = events()
    (tmp_path / "store").mkdir()
    build(
        tmp_path / "store",
        source_of(["a a", "a b"] * 10),
        DataConfig(tokenizer="word:1", unknown="skip"),
        None,
        on_event,
    )
    unknown = [
        facts["unknown"] for facts in TokenStore(tmp_path / "store").manifest["splits"].values()
    ]
    assert sum(unknown) == 10
    assert f"{unknown[0]} in train" in next(
        event["text"]
        for event in seen
        if event["event"] == "note" and "tokens were" in event["text"]
    )


def test_a_given_tokenizer_is_used(source: Path, tmp_path: Path) -> None:
    opened = prepare(
        DataConfig(source=str(source), layout="lines", tokenizer="char"),
        tokenizer=BPE,
        cache=tmp_path / "cache",
    )
    assert opened.tokenizer.hash == BPE.hash
    assert sorted(text for part in texts(opened).values() for text in part) == sorted(LINES)


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "tokenizer.json",
        "train.tokens.bin",
        "validation.offsets.npy",
        "test.bytes.npy",
    ],
)
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_store_is_built_again_with_a_note(
    source: Path, tmp_path: Path, name: str, damage: str
) -> None:
    data = DataConfig(source=str(source), layout="lines", tokenizer="char")
    opened = prepare(data, cache=tmp_path / "cache")
    good = {path.name: path.read_bytes() for path in opened.path.iterdir()}
    path = opened.path / name
    if damage == "remove":
        path.unlink()
    else:
        content = good[name]
        middle = next(
            place
            for place in range(len(content) // 2, len(content))
            if not content[place : place + 1].isspace()
        )
        path.write_bytes(
            content[:-1]
            if damage == "cut" and name != "manifest.json"
            else content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        )
    with pytest.raises(RunError, match=name):
        TokenStore(opened.path)
    seen, on_event = events()
    again = prepare(data, cache=tmp_path / "cache", on_event=on_event)
    assert [event["event"] for event in seen].count("note") == 1
    assert {path.name: path.read_bytes() for path in again.path.iterdir()} == good
    assert len(list(again.path.parent.iterdir())) == 1


def test_large_files_are_checked_where_they_are_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CHECKED_AT_ONCE", 0)
    monkeypatch.setattr(durable, "BLOCK", 64)
    data = DataConfig(source=str(source), layout="lines", tokenizer="char")
    path = prepare(data, cache=tmp_path / "cache").path
    whole = prepare(data, cache=tmp_path / "cache").split("train").read(0, 10**6)
    file = path / "train.tokens.bin"
    content = bytearray(file.read_bytes())
    content[3 * 64 + 1] ^= 1
    file.write_bytes(content)
    split = TokenStore(path).split("train")
    assert split.read(0, 96).tolist() == whole[:96].tolist()
    assert split.read(128, len(whole)).tolist() == whole[128:].tolist()
    with pytest.raises(RunError, match="block 3"):
        split.read(96, 97)
    with pytest.raises(RunError, match="block 3"):
        split.read(0, len(whole))
    for made in (windows(split, batch_size=4, length=16), streams(split, 2, 16)):
        with pytest.raises(RunError, match="block 3"):
            for step in range(made.steps_per_epoch):
                made.batch(step)


def test_an_interrupted_build_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataConfig(source=str(source), layout="lines", tokenizer="char")
    with monkeypatch.context() as patch:
        patch.setattr(building, "_facts", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(data, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*"))
    assert prepare(data, cache=tmp_path / "cache").split("train").n_documents == 24


def test_what_a_killed_build_left_is_never_opened_and_removed_in_time(
    source: Path, tmp_path: Path
) -> None:
    data = DataConfig(source=str(source), layout="lines", tokenizer="char")
    path = prepare(data, cache=tmp_path / "cache").path
    old, young = (path.with_name(f".{path.name}.{name}.tmp") for name in ("old", "young"))
    for folder in (old, young):
        shutil.copytree(path, folder)
        (folder / "manifest.json").unlink()
    past = time.time() - 3 * 24 * 3600
    for file in (*old.iterdir(), old):
        os.utime(file, (past, past))
    shutil.rmtree(path)
    assert prepare(data, cache=tmp_path / "cache").split("train").n_documents == 24
    assert not old.exists()
    assert young.exists()


def test_two_at_once_get_the_same_store(source: Path, tmp_path: Path) -> None:
    data = DataConfig(source=str(source), layout="lines", tokenizer="bpe:270")
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: prepare(data, cache=tmp_path / "cache"), range(4)))
    assert len({opened.path for opened in stores}) == 1
    assert len(list(stores[0].path.parent.iterdir())) == 1
    assert all(texts(opened) == texts(stores[0]) for opened in stores)


def test_a_store_from_a_newer_version_is_refused(source: Path, tmp_path: Path) -> None:
    opened = prepare(DataConfig(source=str(source), layout="lines"), cache=tmp_path / "cache")
    manifest = opened.path / "manifest.json"
    manifest.write_text(json.dumps({**opened.manifest, "format_version": 99}))
    with pytest.raises(RunError, match="Upgrade"):
        TokenStore(opened.path)


def test_an_empty_split_says_where_the_text_is(source: Path, tmp_path: Path) -> None:
    opened = prepare(
        DataConfig(source=str(source), layout="lines", split=(0.9, 0.1, 0.0)),
        cache=tmp_path / "cache",
    )
    with pytest.raises(SourceError, match=r"no test split.*train and validation only.*data\.split"):
        opened.split("test")


def test_a_source_that_trains_nothing_is_refused(tmp_path: Path) -> None:
    def read() -> Iterator[TextPiece]:
        return iter([TextPiece(text, True, True, "test") for text in LINES])

    held_out = Source("held out", "held out", "0", "documents", read, fixed_splits=True)
    with pytest.raises(SourceError, match="held out leaves nothing to train on"):
        built(tmp_path / "store", held_out, BYTE)


def test_unknown_characters_of_held_out_text_are_noted(tmp_path: Path) -> None:
    given_texts = [f"text {chr(0x4E00 + number)}" for number in range(20)]
    seen, on_event = events()
    (tmp_path / "store").mkdir()
    build(tmp_path / "store", source_of(given_texts), DataConfig(tokenizer="char"), None, on_event)
    opened = TokenStore(tmp_path / "store")
    notes = [event["text"] for event in seen if event["event"] == "note"]
    assert len(notes) == 1
    assert "2 in validation, 2 in test" in notes[0]
    assert opened.lossless("train")
    assert not opened.lossless("test")
    with pytest.raises(TokenizerError, match="lacks"):
        built(tmp_path / "other", source_of(given_texts), None, tokenizer="char", unknown="error")
    skipping = built(
        tmp_path / "skipping", source_of(given_texts), None, tokenizer="char", unknown="skip"
    )
    assert [facts["unknown"] for facts in skipping.manifest["splits"].values()] == [0, 2, 2]


def test_the_manifest_tells_what_it_was_made_from(source: Path, tmp_path: Path) -> None:
    opened = prepare(
        DataConfig(source=str(source), layout="lines", tokenizer="char"), cache=tmp_path / "cache"
    )
    manifest = opened.manifest
    assert manifest["source"]["layout"] == "lines"
    assert manifest["data"]["source"] == str(source)
    assert manifest["split"]["method"] == "documents"
    assert set(manifest["split"]["overlap"]) == {"validation", "test"}
    assert manifest["tokenizer"]["hash"] == opened.tokenizer.hash
    assert set(manifest["files"]) == {path.name for path in opened.path.iterdir()} - {
        "manifest.json"
    }


def test_events_tell_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_REPORTED", 100)
    seen, on_event = events()
    (tmp_path / "store").mkdir()
    build(
        tmp_path / "store",
        source_of(["word " * 20] * 30),
        DataConfig(tokenizer="bpe:260"),
        None,
        on_event,
    )
    told = [event for event in seen if event["event"] == "prepare"]
    assert told == seen
    stages = [event["stage"] for event in told]
    assert list(dict.fromkeys(stages)) == ["reading", "learning a vocabulary", "encoding"]
    encoding = [event for event in told if event["stage"] == "encoding"]
    assert [event["done"] for event in encoding] == list(range(0, 3000, 100))
    assert {event["total"] for event in encoding} == {3000}


def test_a_cache_that_may_not_be_written_is_a_clear_error(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DiskError, match="no permission"):
        prepare(DataConfig(source=str(source), layout="lines"), cache=tmp_path / "cache")


def test_a_file_in_the_place_of_the_cache_is_a_clear_error(source: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(DiskError, match="a file is in the way"):
        prepare(DataConfig(source=str(source), layout="lines"), cache=tmp_path / "cache")


def test_a_full_disk_is_a_clear_error(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(split_writer.SplitWriter, "flush", full)
    with pytest.raises(DiskError, match="disk is full"):
        prepare(DataConfig(source=str(source), layout="lines"), cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*"))


def test_the_names_of_the_lectures(corpora: Path, tmp_path: Path) -> None:
    opened = prepare(
        DataConfig(source=str(corpora / "names" / "names.txt")), cache=tmp_path / "cache"
    )
    assert opened.tokenizer.vocab_size == 27
    assert [opened.split(name).n_documents for name in ("train", "validation", "test")] == [
        25626,
        3203,
        3204,
    ]
    assert (
        opened.split("train").n_targets == opened.split("train").n_bytes
    )  # an end mark where the file has a newline
