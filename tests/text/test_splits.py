"""Every document is in exactly one split, always the same one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from inklings.config import DataConfig
from inklings.errors import ConfigError, SourceError
from inklings.text.documents import Source, SplitName, TextPiece
from inklings.text.sources.grammar import open_source
from inklings.text.splits import SPLITS, SplitPlan, assign, cut_points, plan_splits

SHARES = st.sampled_from(
    [(0.8, 0.1, 0.1), (0.9, 0.1, 0.0), (0.5, 0.25, 0.25), (0.7, 0.2, 0.1), (1.0, 0.0, 0.0)]
)


def source_of(
    documents: list[str],
    *,
    cuts: int = 3,
    remote: bool = False,
    fixed: list[SplitName] | None = None,
    default: tuple[float, float, float] | None = None,
) -> Source:
    """A source that gives each document in pieces of `cuts` characters."""

    def read() -> Iterator[TextPiece]:
        for number, text in enumerate(documents):
            for start in range(0, len(text), cuts):
                yield TextPiece(
                    text[start : start + cuts],
                    start == 0,
                    start + cuts >= len(text),
                    fixed[number] if fixed else None,
                )

    return Source(
        "test",
        "test",
        "0",
        "documents",
        read,
        default_split=default,
        fixed_splits=fixed is not None,
        remote=remote,
    )


def dealt(plan: SplitPlan) -> dict[str, list[str]]:
    """The documents of each split."""
    found: dict[str, list[str]] = {name: [] for name in SPLITS}
    inside: SplitName | None = None
    for piece in plan.pieces():
        assert piece.split is not None
        assert piece.first == (inside is None)
        assert inside in (None, piece.split)
        if piece.first:
            found[piece.split].append("")
        found[piece.split][-1] += piece.text
        inside = None if piece.last else piece.split
    assert inside is None
    return found


def test_names_are_split_as_in_the_lectures(corpora: Path) -> None:
    words = (corpora / "names" / "names.txt").read_text().splitlines()
    plan = plan_splits(open_source(DataConfig(source=str(corpora / "names" / "names.txt"))))
    found = dealt(plan)
    random.seed(42)
    random.shuffle(words)
    assert [len(found[name]) for name in SPLITS] == [25_626, 3_203, 3_204]
    assert Counter(found["train"]) == Counter(words[:25_626])
    assert Counter(found["validation"]) == Counter(words[25_626:28_829])
    assert Counter(found["test"]) == Counter(words[28_829:])
    learned = set(words[:25_626])
    assert plan.overlap is not None
    assert plan.overlap["test"] == sum(word in learned for word in words[28_829:]) / 3_204


@pytest.mark.parametrize("documents", [32_033, 12_886, 10, 11, 999])
def test_documents_are_dealt_as_a_shuffled_list_is(documents: int) -> None:
    order = list(range(documents))
    random.Random(42).shuffle(order)
    first, second = int(0.8 * documents), int(0.9 * documents)
    split = assign(documents, (0.8, 0.1, 0.1), 42)
    assert set(split[order[:first]]) == {0}
    assert set(split[order[first:second]]) == {1}
    assert set(split[order[second:]]) == {2}
    assert (assign(documents, (0.8, 0.1, 0.1), 43) != split).any()


def test_shakespeare_is_cut_as_in_nanogpt(corpora: Path) -> None:
    text = (corpora / "tinyshakespeare" / "input.txt").read_text()
    source = open_source(DataConfig(source=str(corpora / "tinyshakespeare" / "input.txt")))
    plan = plan_splits(source, shares=(0.9, 0.1, 0.0))
    assert plan.method == "parts"
    assert dealt(plan) == {
        "train": [text[:1_003_854]],
        "validation": [text[1_003_854:]],
        "test": [],
    }
    assert len(text[1_003_854:]) == 111_540


@given(
    st.lists(st.text("ab", min_size=1, max_size=12), min_size=1, max_size=40),
    SHARES,
    st.integers(0, 5),
    st.booleans(),
    st.integers(1, 5),
)
def test_every_document_is_in_exactly_one_split(
    documents: list[str], shares: tuple[float, float, float], seed: int, remote: bool, cuts: int
) -> None:
    source = source_of(documents, cuts=cuts, remote=remote)
    try:
        plan = plan_splits(source, shares=shares, seed=seed)
        found = dealt(plan)
    except SourceError:
        assume(False)
    if plan.method == "parts":
        assert sum(len(part) for parts in found.values() for part in parts) == sum(
            map(len, documents)
        )
        assert len(documents) < 10 or 0 in [
            int(share * len(documents)) for share in shares if share
        ]
    else:
        assert Counter(text for texts in found.values() for text in texts) == Counter(documents)
    assert dealt(plan) == found
    for name, share in zip(SPLITS, shares, strict=True):
        assert bool(found[name]) == (share > 0)


@given(st.lists(st.integers(30, 90), min_size=1, max_size=9), SHARES, st.integers(1, 100))
def test_few_documents_are_cut_into_contiguous_parts(
    lengths: list[int], shares: tuple[float, float, float], cuts: int
) -> None:
    documents = [
        "".join(chr(0x100 + number * 100 + place) for place in range(length))
        for number, length in enumerate(lengths)
    ]
    found = dealt(plan_splits(source_of(documents, cuts=cuts), shares=shares))
    for text in documents:
        first, second = cut_points(len(text), shares)
        for name, part in zip(
            SPLITS, (text[:first], text[first:second], text[second:]), strict=True
        ):
            assert not part or part in found[name]
    assert sum(map(len, found.values())) == len(documents) * sum(share > 0 for share in shares)


def test_cut_points_are_exact() -> None:
    assert cut_points(10, (0.7, 0.2, 0.1)) == (7, 9)  # 0.7 + 0.2 < 0.9 in binary
    assert cut_points(100, (0.29, 0.71, 0.0)) == (29, 100)
    assert cut_points(1_115_394, (0.9, 0.1, 0.0)) == (1_003_854, 1_115_394)
    for total in range(0, 3000, 7):
        assert (
            cut_points(total, (0.8, 0.1, 0.1))
            == (int(0.8 * total), int(0.9 * total))
            == (total * 8 // 10, int(Fraction(9, 10) * total))
        )


def test_a_remote_stream_is_split_by_its_texts_alone() -> None:
    texts = [f"text number {number % 700}" for number in range(1000)]
    found = dealt(plan_splits(source_of(texts, remote=True), seed=1))
    turned = dealt(plan_splits(source_of(texts[::-1], remote=True), seed=1))
    assert {name: Counter(part) for name, part in found.items()} == {
        name: Counter(part) for name, part in turned.items()
    }
    assert not set(found["train"]) & (
        set(found["validation"]) | set(found["test"])
    )  # repeated texts go to one split
    assert 0.75 < len(found["train"]) / 1000 < 0.85
    assert dealt(plan_splits(source_of(texts, remote=True), seed=2)) != found


def test_splits_that_the_source_fixes_are_kept_unless_others_are_asked_for() -> None:
    source = source_of(["a" * 30, "b" * 10, "c" * 10], fixed=["train", "validation", "test"])
    plan = plan_splits(source)
    assert (plan.method, plan.shares) == ("fixed", None)
    assert dealt(plan) == {"train": ["a" * 30], "validation": ["b" * 10], "test": ["c" * 10]}
    assert plan_splits(source, shares=(0.5, 0.5, 0.0)).method == "parts"


def test_a_source_brings_its_own_shares() -> None:
    source = source_of(["a" * 100], default=(0.9, 0.1, 0.0))
    assert [len("".join(texts)) for texts in dealt(plan_splits(source)).values()] == [90, 10, 0]
    assert [
        len("".join(texts))
        for texts in dealt(plan_splits(source, shares=(0.5, 0.25, 0.25))).values()
    ] == [50, 25, 25]


def test_overlap_is_the_share_of_held_out_documents_in_train() -> None:
    source = source_of(
        ["a", "b", "c", "a", "d", "b", "e", "f"],
        fixed=["train", "train", "train", "validation", "validation", "test", "test", "test"],
    )
    assert plan_splits(source).overlap == {"validation": 0.5, "test": 1 / 3}


@pytest.mark.parametrize(
    "shares", [(0.5, 0.2, 0.2), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)]
)
def test_shares_that_are_none_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(
        ConfigError, match="must be 0 or more, the first more than 0, and add up to 1"
    ):
        plan_splits(source_of(["a" * 30]), shares=shares)


def test_too_little_text_is_refused() -> None:
    with pytest.raises(
        SourceError, match="too short to be split: nothing would be left for validation"
    ):
        plan_splits(source_of(["ab"]))
    with pytest.raises(SourceError, match="holds no text"):
        plan_splits(source_of([]))
    with pytest.raises(SourceError, match="nothing would be left for train and validation"):
        list(
            plan_splits(source_of(["one text"], remote=True), shares=(0.001, 0.001, 0.998)).pieces()
        )


@pytest.mark.parametrize(
    "after", [["a" * 40, "b" * 21], ["a" * 40], ["a" * 40, "b" * 20, "c"], ["a" * 39, "b" * 20]]
)
def test_a_source_that_changes_is_noticed(after: list[str]) -> None:
    now = ["a" * 40, "b" * 20]
    plan = plan_splits(source_of(now))
    now[:] = after
    with pytest.raises(SourceError, match="changed while it was being read"):
        list(plan.pieces())


@pytest.mark.parametrize("after", [11, 13])
def test_a_source_that_changes_its_number_of_documents_is_noticed(after: int) -> None:
    now = ["a"] * 12
    plan = plan_splits(source_of(now))
    now[:] = ["a"] * after
    with pytest.raises(SourceError, match="changed while it was being read"):
        list(plan.pieces())
