"""The rules keep exactly the documents that a plain filter keeps, move none, count all.

And say which of them left nothing.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import models

from inklings import durable
from inklings.config import DataConfig
from inklings.errors import ConfigError
from inklings.events import Event
from inklings.text import documents, store
from inklings.text.building.build import build, manifest_hash
from inklings.text.characters import UnknownChoice
from inklings.text.documents import Source, SplitName, Text, TextPiece
from inklings.text.inspect import describe
from inklings.text.rules import RULES, notes
from inklings.text.sources.grammar import open_source
from inklings.text.splits import SPLITS, plan_splits
from inklings.text.store import TokenStore, prepare
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import make_tokenizer
from inklings.values import from_mapping

KNOWN = "a a a bb bb ccc"
"""What the vocabularies below are learned from: three words, and four characters with the blank."""
MAKERS: list[tuple[str, UnknownChoice]] = [
    ("word:3:spaced", "replace"),
    ("word:3:spaced", "skip"),
    ("char", "replace"),
    ("char", "skip"),
    ("bpe:260", "auto"),
]
TOKENIZERS = [
    make_tokenizer(spec, lambda: iter([(KNOWN, True)]), unknown=unknown) for spec, unknown in MAKERS
]
WORD, SKIPPING = TOKENIZERS[:2]
WORDS = st.lists(st.sampled_from(["a", "a", "bb", "ccc", "zz", "é"]), min_size=1, max_size=9).map(
    " ".join
)
SHARES = (0.5, 0.25, 0.25)


def source_of(texts: list[str], *, fixed: list[SplitName] | None = None) -> Source:
    """A source whose documents come in small pieces where `documents.PIECE` is small."""

    def read() -> Iterator[TextPiece]:
        splits: Sequence[SplitName | None] = fixed or [None] * len(texts)
        return documents.documents(
            (Text([text], "test", split) for text, split in zip(texts, splits, strict=True)),
            "documents",
            None,
        )

    return Source("test", "test", "0", "documents", read, fixed_splits=fixed is not None)


def built(folder: Path, source: Source, encoder: Tokenizer | None, **data: Any) -> TokenStore:
    folder.mkdir()
    build(folder, source, DataConfig(**data), encoder, lambda event: None)
    return TokenStore(folder)


def units(tokenizer: Tokenizer, text: str) -> list[bool]:
    """Whether the vocabulary has it, for each unit of a text: what a reader would count by hand."""
    if tokenizer.kind == "word":
        return [word in ("a", "bb", "ccc") for word in text.split()]
    return (
        [c in KNOWN for c in text]
        if tokenizer.kind == "char"
        else [True] * len(tokenizer.encode(text))
    )


def broken(tokenizer: Tokenizer, text: str, data: DataConfig) -> str | None:
    """The rule that a document breaks, found the plain way."""
    known = units(tokenizer, text)
    length = sum(known) if tokenizer.unknown == "skip" else len(known)
    if data.max_length is not None and length > data.max_length:
        return "max_length"
    if length < data.min_length:
        return "min_length"
    return "min_known" if Fraction(sum(known), len(known)) < Fraction(str(data.min_known)) else None


def dealt(source: Source) -> dict[SplitName, list[str]]:
    """The documents of each split, before any rule."""
    found: dict[SplitName, list[str]] = {name: [] for name in SPLITS}
    for piece in plan_splits(source, shares=SHARES).pieces():
        assert piece.split is not None
        found[piece.split] += [""] if piece.first else []
        found[piece.split][-1] += piece.text
    return found


@given(
    st.lists(WORDS, min_size=16, max_size=40),
    st.sampled_from(TOKENIZERS),
    st.integers(0, 4),
    st.none() | st.integers(5, 20),
    st.sampled_from([0.0, 0.2, 0.5, 0.75, 0.8, 1.0]),
)
@example(["a bb zz", "a zz", "zz zz a", "ccc"] * 6, SKIPPING, 0, None, 0.5)
@example(["a bb zz", "a zz", "zz zz a", "ccc"] * 6, WORD, 2, 2, 0.5)
def test_what_is_kept_is_what_a_plain_filter_keeps(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    tokenizer: Tokenizer,
    shortest: int,
    longest: int | None,
    share: float,
) -> None:
    data = DataConfig(split=SHARES, min_length=shortest, max_length=longest, min_known=share)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "PIECE", 4)
        patch.setattr(documents, "LONGEST_PIECE", 8)
        source = source_of(texts)
        before = dealt(source)
        fates = {
            name: [(text, broken(tokenizer, text, data)) for text in part]
            for name, part in before.items()
        }
        kept = {name: [text for text, fate in part if fate is None] for name, part in fates.items()}
        folder = tmp_path_factory.mktemp("rules")
        if not all(kept.values()):
            with pytest.raises(ConfigError, match="document is left"):
                build(folder, source, data, tokenizer, lambda event: None)
            return
        build(folder, source, data, tokenizer, lambda event: None)
    opened = TokenStore(folder)
    for name in SPLITS:
        split, facts = opened.split(name), opened.manifest["splits"][name]
        assert [split.document(i).tolist() for i in range(split.n_documents)] == [
            tokenizer.encode(text).tolist() for text in kept[name]
        ]
        # one byte more for the end of each
        assert split.document_bytes.tolist() == [len(text.encode()) + 1 for text in kept[name]]
        assert facts["dropped"] == {
            rule: sum(fate == rule for _, fate in fates[name]) for rule in RULES
        }
        assert facts["documents"] + sum(facts["dropped"].values()) == len(before[name])
        assert facts["unknown"] == sum(units(tokenizer, text).count(False) for text in kept[name])
        assert facts["characters"] == sum(map(len, kept[name]))
        if name != "train":
            assert opened.manifest["split"]["overlap"][name] == np.mean(
                [text in kept["train"] for text in kept[name]]
            )


@given(st.lists(WORDS, max_size=3), st.sampled_from(TOKENIZERS))
def test_unknown_tokens_are_counted_whether_marked_or_skipped(
    texts: list[str], tokenizer: Tokenizer
) -> None:
    for text in texts:
        assert tokenizer.count_unknown(text, tokenizer.encode(text)) == units(
            tokenizer, text
        ).count(False)


@pytest.mark.parametrize(
    ("rule", "value", "texts"),
    [
        ("max_length", 1, ["a bb", "a bb a", "a bb a a"] * 10),
        ("min_length", 9, ["a bb", "a bb a", "a bb a a"] * 10),
        ("min_known", 0.9, ["a zz", "a bb zz", "a bb a zz"] * 10),
        ("min_known", 1.0, ["é zz a zz"] * 30),
    ],
)
def test_a_rule_that_leaves_nothing_is_named_with_a_value_that_keeps_half(
    tmp_path: Path, rule: str, value: float, texts: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        built(tmp_path / "none", source_of(texts), WORD, **{rule: value})
    assert f"no training document is left of 24: data.{rule} {value} drops 24." in str(
        refused.value
    )
    assert [other for other in RULES if other in str(refused.value)] == [rule]
    advised = re.search(rf"Try data\.{rule} ([0-9.]+)", str(refused.value))
    assert advised is not None
    better = from_mapping(DataConfig, {rule: json.loads(advised[1])}, where="advice")
    opened = built(tmp_path / "half", source_of(texts), WORD, **{rule: getattr(better, rule)})
    assert opened.split("train").n_documents >= 12
    closer = {"max_length": -1, "min_length": 1, "min_known": 0.02}[rule] + getattr(better, rule)
    assert sum(broken(WORD, text, DataConfig(**{rule: closer})) is None for text in texts) < 15


def test_two_rules_that_leave_nothing_together_are_both_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=(
            r"of 24: data\.max_length 2 drops \d+, data\.min_known 0\.5 drops \d+\. Try .*, and"
            r" data\.min"
        ),
    ):
        built(
            tmp_path / "store", source_of(["a a a", "zz"] * 15), WORD, max_length=2, min_known=0.5
        )


def test_a_held_out_split_that_is_emptied_is_named(tmp_path: Path) -> None:
    fixed: list[SplitName] = ["train" if number < 10 else "validation" for number in range(13)]
    with pytest.raises(
        ConfigError,
        match=(
            r"no validation document is left of 3: data\.max_length 2 drops 3\. Try"
            r" data\.max_length 5"
        ),
    ):
        built(
            tmp_path / "store",
            source_of(["a bb"] * 10 + ["a a a", "a a a a a", "a a a a a a"], fixed=fixed),
            WORD,
            max_length=2,
        )
    opened = built(
        tmp_path / "other",
        source_of(["a bb"] * 10 + ["a a a", "a bb", "bb a"], fixed=fixed),
        WORD,
        max_length=2,
    )
    assert [facts["documents"] for facts in opened.manifest["splits"].values()] == [
        10,
        2,
        0,
    ]  # none in test to begin with


def test_a_vocabulary_of_one_word_that_drops_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"data\.min_known 1\.0 drops 24\. Try data\.min_known 0\.33.*or a larger vocabulary",
    ):
        built(
            tmp_path / "store",
            source_of(["a b c", "b a d"] * 15),
            None,
            tokenizer="word:1:spaced",
            min_known=1.0,
        )


def test_the_words_come_from_all_of_the_training_part(tmp_path: Path) -> None:
    opened = built(
        tmp_path / "store",
        source_of(["common rare words here", "common"] * 15),
        None,
        tokenizer="word:9:spaced",
        max_length=1,
    )
    assert opened.tokenizer.vocab_size == 2 + 4
    assert opened.split("train").n_documents < 24


def test_bytes_are_kept_where_the_characters_that_get_lost_are_dropped(tmp_path: Path) -> None:
    texts = [f"text {number}{chr(0x4E00 + number) if number % 3 else ''}" for number in range(60)]
    assert not built(tmp_path / "all", source_of(texts), None, tokenizer="char").lossless("test")
    opened = built(tmp_path / "some", source_of(texts), None, tokenizer="char", min_known=1.0)
    assert opened.manifest["splits"]["test"]["dropped"]["min_known"] > 0
    assert opened.lossless("test")


def test_the_store_of_default_settings_is_found_where_it_was_before_there_were_rules(
    tmp_path: Path,
) -> None:
    (tmp_path / "text.txt").write_text("\n".join(["a bb ccc", "ccc"] * 10))
    data = DataConfig(source=str(tmp_path / "text.txt"), layout="lines", tokenizer="char")
    opened = prepare(data, cache=tmp_path / "cache")
    assert (
        opened.path.name
        == durable.sha256(
            json.dumps([1, open_source(data).fingerprint, None, 42, ["char", "auto"]]).encode()
        )[:32]
    )
    variants: list[dict[str, Any]] = [
        {"min_length": 3},
        {"max_length": 4},
        {"max_length": 5},
        {"min_known": 0.5},
        {"min_known": 0.6},
    ]
    paths = {
        prepare(replace(data, **variant), cache=tmp_path / "cache").path for variant in variants
    }
    assert len({opened.path, *paths}) == 1 + len(variants)
    assert (
        prepare(
            from_mapping(DataConfig, {**vars(data), "min_known": 0}, where="test"),
            cache=tmp_path / "cache",
        ).path
        == opened.path
    )


def test_a_store_from_before_there_were_rules_reads_as_one_that_keeps_everything(
    tmp_path: Path,
) -> None:
    opened = built(tmp_path / "store", source_of(["a bb", "ccc"] * 10), WORD)
    manifest = {**opened.manifest, "data": {**opened.manifest["data"]}}
    for name in RULES:
        del manifest["data"][name]
    for facts in manifest["splits"].values():
        del facts["dropped"]
    (opened.path / "manifest.json").write_text(
        json.dumps({**manifest, "sha256": manifest_hash(manifest)})
    )
    earlier = TokenStore(opened.path)
    assert describe(earlier) == describe(
        built(tmp_path / "now", source_of(["a bb", "ccc"] * 10), WORD)
    )
    assert notes(earlier.manifest) == []


def test_what_was_dropped_is_told_in_words_from_the_cache_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(["a bb", "a bb ccc", "a zz zz zz zz", "a"] * 10))
    data = DataConfig(
        source=str(path),
        layout="lines",
        min_length=2,
        max_length=4,
        min_known=0.8,
        tokenizer="word:2:spaced",
    )
    told: list[list[str]] = []
    for _ in range(2):
        events: list[Event] = []
        opened = prepare(data, tokenizer=WORD, cache=tmp_path / "cache", on_event=events.append)
        told.append(
            [
                event["text"]
                for event in events
                if event["event"] == "note" and "dropped" in event["text"]
            ]
        )
        monkeypatch.setattr(store, "build", None)  # building again would fail
    assert told[0] == told[1]
    dropped = {name: facts["dropped"] for name, facts in opened.manifest["splits"].items()}
    n = dropped["train"]
    assert (
        told[0][0]
        == f"{path}: {sum(n.values())} of 32 training documents dropped: {n['max_length']} longer"
        f" than 4 tokens, {n['min_length']} shorter than 2 tokens."
    )
    assert len(told[0]) == sum(any(rules.values()) for rules in dropped.values())
    assert describe(opened)["rules"] == {"min_length": 2, "max_length": 4, "min_known": 0.8}
    assert describe(opened)["splits"]["train"]["dropped"] == n


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.8, "fewer than 80% known words"),
        (0.855, "fewer than 85.5% known words"),
        (1.0, "unknown words"),
    ],
)
def test_the_share_of_known_words_is_told_as_it_was_given(
    tmp_path: Path, share: float, said: str
) -> None:
    opened = built(tmp_path / "store", source_of(["a bb", "zz"] * 15), WORD, min_known=share)
    assert f"12 with {said}." in notes(opened.manifest)[0]


def test_a_rule_that_can_drop_nothing_is_noted(tmp_path: Path) -> None:
    opened = built(
        tmp_path / "store", source_of(["a bb", "zz"] * 15), TOKENIZERS[-1], min_known=1.0
    )
    assert notes(opened.manifest) == [
        "test: data.min_known is 1, but this tokenizer has tokens for every text, so it drops"
        " nothing."
    ]


def test_a_tokenizer_that_hides_what_it_lacks_is_refused(tmp_path: Path) -> None:
    backend = tokenizers.Tokenizer(models.BPE(vocab={"<eos>": 0, "a": 1}, merges=[]))
    hiding = Tokenizer(backend, kind="file", boundary=0, unknown="skip")
    with pytest.raises(ConfigError, match="without a trace"):
        built(tmp_path / "store", source_of(["a", "zz"] * 15), hiding, min_known=1.0)
    shutil.rmtree(tmp_path / "store")
    assert (
        built(tmp_path / "store", source_of(["aa", "a"] * 15), hiding, min_length=2)
        .split("train")
        .n_documents
        < 24
    )


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("min_known", {"min_known": 1.1}),
        ("min_known", {"min_known": float("nan")}),
        ("min_length", {"min_length": -1}),
        ("max_length", {"max_length": 0}),
        ("max_length", {"max_length": 3, "min_length": 4}),
    ],
)
def test_a_value_that_no_document_could_meet_is_refused(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"DataConfig\.{field} is .* must be"):
        from_mapping(DataConfig, values, where="test")
