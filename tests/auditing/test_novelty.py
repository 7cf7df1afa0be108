"""Copied spans are found exactly, at any place, in one pass over the training text."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.auditing.checks import novelty as module
from inklings.auditing.checks.novelty import check_novelty, novelty
from inklings.auditing.suffix_automaton import SuffixAutomaton
from inklings.text.store import TokenSplit

Texts = list[list[int]]
TEXTS = st.lists(st.lists(st.integers(1, 3), max_size=14), max_size=5)
STREAMS = st.lists(st.integers(0, 3), max_size=40)


def split_of(documents: Texts) -> TokenSplit:
    tokens, offsets = [0], [0]
    for document in documents:
        tokens += [*document, 0]
        offsets.append(len(tokens) - 1)
    return TokenSplit(
        np.array(tokens, np.uint16),
        np.array(offsets),
        np.array([len(document) for document in documents], np.int64),
        0,
    )


def random_texts(n: int, length: int, seed: int = 0) -> Texts:
    texts: Texts = np.random.default_rng(seed).integers(1, 30, (n, length)).tolist()
    return texts


def occurs(span: list[int], stream: list[int]) -> bool:
    return any(stream[at : at + len(span)] == span for at in range(len(stream) - len(span) + 1))


def longest_ends(text: list[int], stream: list[int]) -> list[int]:
    """Find the longest span ending at each position that occurs in the stream, by trying all."""
    found = []
    for end in range(1, len(text) + 1):
        fitting = [
            end - begin
            for begin in range(end)
            if 0 not in text[begin:end] and occurs(text[begin:end], stream)
        ]
        found.append(max(fitting, default=0))
    return found


@given(st.lists(st.lists(st.integers(0, 3), max_size=14), max_size=4), STREAMS, st.integers(0, 40))
def test_the_automaton_finds_what_trying_all_spans_finds(
    texts: Texts, stream: list[int], cut: int
) -> None:
    automaton = SuffixAutomaton(texts, 0)
    automaton.read(stream[:cut])
    automaton.read(stream[cut:])
    for text, ends in zip(texts, automaton.ends(), strict=True):
        assert ends.lengths == longest_ends(text, stream)
        for end, (length, place) in enumerate(zip(ends.lengths, ends.places, strict=True), start=1):
            assert (place == -1) == (length == 0)
            assert stream[place + 1 - length : place + 1] == text[end - length : end]


def test_a_long_copy_across_two_texts_is_two() -> None:
    automaton = SuffixAutomaton([[1, 2, 3], [4, 5, 6]], 0)
    automaton.read([9, 1, 2, 3, 4, 5, 6, 9])
    assert [ends.lengths for ends in automaton.ends()] == [[1, 2, 3], [1, 2, 3]]


def test_the_automaton_stays_in_proportion_to_the_texts() -> None:
    for text in ([1] * 3000, [1, 2] * 1500, [1] * 1500 + [2] * 1500, random_texts(1, 3000)[0]):
        assert len(SuffixAutomaton([text], 0)._next) <= 2 * (len(text) + 1)


@given(TEXTS.filter(any), TEXTS.filter(any), TEXTS.filter(any))
def test_figures_are_those_of_a_plain_count(samples: Texts, held_out: Texts, train: Texts) -> None:
    train = [text for text in train if text]
    stream = split_of(train).tokens.tolist()
    found = novelty(samples, held_out, split_of(train), lengths=(1, 2, 3, 5))
    size = sum(map(len, samples))
    assert found.held_out.tokens == min(size, sum(map(len, held_out)))
    shortened, left = [], size
    for text in held_out:
        if left > 0:
            shortened.append(text[:left])
            left -= len(text)
    whole = [text for text, of in zip(shortened, held_out, strict=False) if len(text) == len(of)]
    for copies, texts, full in (
        (found.samples, samples, samples),
        (found.held_out, shortened, whole),
    ):
        longest = max(
            (length for text in texts for length in longest_ends(text, stream)), default=0
        )
        assert copies.longest_length == longest
        if copies.longest is not None:
            span = copies.longest
            assert list(span.tokens) == texts[span.text][span.begin : span.end]
            assert (
                list(span.tokens) == stream[span.train_begin : span.train_begin + len(span.tokens)]
            )
        assert copies.whole == (sum(text in train for text in full) / len(full) if full else None)
        for length in (1, 2, 3, 5):
            ngrams = [
                text[at : at + length] for text in texts for at in range(len(text) - length + 1)
            ]
            assert (length in copies.new) == bool(ngrams)
            if ngrams:
                assert copies.new[length] == pytest.approx(
                    sum(not occurs(ngram, stream) for ngram in ngrams) / len(ngrams)
                )


TRAIN = random_texts(40, 200)


def test_samples_that_recite_are_told_with_the_span() -> None:
    samples, held_out = random_texts(5, 200, seed=1), random_texts(5, 200, seed=2)
    assert check_novelty(samples, held_out, split_of(TRAIN), characters=True).status == "pass"
    samples[3][100:160] = TRAIN[7][20:80]
    finding = check_novelty(samples, held_out, split_of(TRAIN), characters=True)
    assert (finding.check, finding.status) == ("novelty", "warning")
    assert "has 60 tokens" in finding.summary
    longest = finding.evidence["samples"]["longest"]
    assert longest == {
        "text": 3,
        "begin": 100,
        "end": 160,
        "train_begin": 7 * 201 + 1 + 20,
        "tokens": TRAIN[7][20:80],
    }
    json.dumps(finding.evidence)


@pytest.mark.parametrize(
    ("copied", "characters", "status"),
    [(49, True, "pass"), (50, True, "warning"), (19, False, "pass"), (20, False, "warning")],
)
def test_short_copies_are_no_reason_for_a_warning(
    copied: int, characters: bool, status: str
) -> None:
    samples = [[*TRAIN[0][:copied], 31]]
    assert (
        check_novelty(
            samples, random_texts(1, 200, seed=2), split_of(TRAIN), characters=characters
        ).status
        == status
    )


def test_copies_as_long_as_held_out_text_has_are_no_reason_for_a_warning() -> None:
    assert (
        check_novelty(
            [TRAIN[0][:100]],
            [[*TRAIN[3][:50], *random_texts(1, 150)[0]]],
            split_of(TRAIN),
            characters=True,
        ).status
        == "pass"
    )
    assert (
        check_novelty(
            [TRAIN[0][:102]], [[*TRAIN[3][:50], 31] * 4], split_of(TRAIN), characters=True
        ).status
        == "warning"
    )


def test_samples_that_are_whole_documents_are_told() -> None:
    lines, fresh = random_texts(100, 6), random_texts(100, 6, seed=1)
    finding = check_novelty(fresh[:40] + lines[:10], fresh[50:], split_of(lines), characters=True)
    assert finding.status == "warning"
    assert (
        "20.0% of the samples are whole training documents (held-out text: 0.0%)" in finding.summary
    )
    as_much = check_novelty(
        fresh[:40] + lines[:10], fresh[50:90] + lines[50:60], split_of(lines), characters=True
    )
    assert as_much.status == "pass"
    parts = check_novelty(
        fresh[:40] + [line[:5] for line in lines[:10]], fresh[50:], split_of(lines), characters=True
    )
    assert parts.evidence["samples"]["whole"] == 0.0


def test_a_held_out_document_that_was_cut_is_not_a_whole_one() -> None:
    found = novelty([[1, 2, 3, 4]], [[1, 2], [3, 4, 5]], split_of([[3, 4], [1, 2]]))
    assert found.held_out.tokens == 4
    assert found.held_out.whole == 1.0
    assert novelty([[1, 2]], [[3, 4, 5]], split_of([[3, 4]])).held_out.whole is None


def test_without_samples_or_held_out_text_nothing_is_judged() -> None:
    for samples, held_out in (([], [[1]]), ([[]], [[1]]), ([[1]], []), ([[1]], [[]])):
        assert (
            check_novelty(samples, held_out, split_of(TRAIN), characters=True).status
            == "not applicable"
        )


def test_the_work_is_bounded_and_the_evidence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRAIN_TARGETS", 1100)
    monkeypatch.setattr(module, "_STRETCH", 64)
    samples = [TRAIN[2][:], TRAIN[30][:]]
    finding = check_novelty(samples, random_texts(2, 200, seed=2), split_of(TRAIN), characters=True)
    assert finding.evidence["train_tokens"] == 5 * 201 + 1
    assert not finding.evidence["whole_train"]
    assert finding.evidence["samples"]["whole"] == 0.5
    assert finding.evidence["samples"]["longest"]["train_begin"] == 2 * 201 + 1
