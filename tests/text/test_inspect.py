"""The description of a store counts what is in it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from inklings.config import DataConfig
from inklings.text import inspect
from inklings.text.inspect import count_tokens, describe
from inklings.text.store import TokenStore, prepare

LINES = ["abba", "a", "cab", "bb", "caba", "aaaaaaa", "b", "ca", "ac", "bab", "cc", "aa"]


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    (tmp_path / "lines.txt").write_text("\n".join(LINES))
    return prepare(
        DataConfig(source=str(tmp_path / "lines.txt"), layout="lines"), cache=tmp_path / "cache"
    )


def texts(store: TokenStore, name: str) -> list[str]:
    split = store.split(name)  # type: ignore[arg-type]
    return [store.tokenizer.decode(split.document(index)) for index in range(split.n_documents)]


def test_counts_and_lengths_are_those_of_the_text(store: TokenStore) -> None:
    found = describe(store, frequent=2)
    train = texts(store, "train")
    expected = Counter("".join(train))
    assert [(entry["name"], entry["count"]) for entry in found["most_frequent"]] == [
        (repr(c), n) for c, n in expected.most_common(2)
    ]
    assert found["most_frequent"][0]["share"] == pytest.approx(
        expected.most_common(1)[0][1] / expected.total()
    )
    assert found["rare"]["tokens"] == sum(count < 10 for count in expected.values())
    assert found["unused"] == 0
    for name in ("train", "validation", "test"):
        documents = texts(store, name)
        facts = found["splits"][name]
        assert facts["documents"] == len(documents)
        assert facts["characters"] == sum(map(len, documents))
        assert facts["bytes"] == sum(len(text) + 1 for text in documents)
        assert facts["tokens"] == sum(len(text) + 1 for text in documents) + 1
        assert (facts["shortest"], facts["longest"]) == (
            min(map(len, documents)),
            max(map(len, documents)),
        )
        assert facts["tokens_per_byte"] == pytest.approx(facts["characters"] / facts["bytes"])
    assert sorted(
        text for name in ("train", "validation", "test") for text in texts(store, name)
    ) == sorted(LINES)


def test_documents_are_shown_and_long_ones_cut(store: TokenStore) -> None:
    shown = describe(store, shown=3, longest_shown=2)["documents"]
    train = texts(store, "train")
    assert [entry["text"] for entry in shown] == [text[:2] for text in train[:3]]
    assert [entry["length"] for entry in shown] == [len(text) for text in train[:3]]
    assert [entry["cut"] for entry in shown] == [len(text) > 2 for text in train[:3]]
    assert shown[0]["tokens"] == [repr(c) for c in train[0][:2]]


def test_it_is_plain_json(store: TokenStore) -> None:
    json.dumps(describe(store), allow_nan=False)


def test_counting_goes_by_stretches(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = count_tokens(store.split("train"), store.tokenizer.vocab_size)
    monkeypatch.setattr(inspect, "_STRETCH", 3)
    assert count_tokens(store.split("train"), store.tokenizer.vocab_size).tolist() == whole.tolist()
    assert whole[0] == store.split("train").n_documents + 1


def test_a_split_that_is_empty_is_described_as_such(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("\n".join(LINES))
    data = DataConfig(source=str(tmp_path / "lines.txt"), layout="lines", split=(0.5, 0.5, 0.0))
    found = describe(prepare(data, cache=tmp_path / "cache"))
    assert found["splits"]["test"]["documents"] == 0
    assert found["splits"]["test"]["tokens_per_byte"] is None
