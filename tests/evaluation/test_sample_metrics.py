"""Each metric is that of a naive loop, knows its extremes, and its interval covers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.evaluation.samples import ngrams as ngrams_module
from inklings.evaluation.samples.bleu import bleu, bleu_scores, self_bleu, self_bleu_scores
from inklings.evaluation.samples.divergence import js_divergence
from inklings.evaluation.samples.diversity import distinct, share_novel, share_unique
from inklings.evaluation.samples.lengths import length_distance
from inklings.evaluation.samples.ngrams import ngrams
from inklings.evaluation.samples.sample_set import SampleSet, sample_set
from inklings.evaluation.statistics import Interval

V = 5
Documents = list[tuple[list[int], bool]]
DOCUMENTS = st.lists(
    st.tuples(st.lists(st.integers(1, V - 1), max_size=9), st.booleans()), min_size=1, max_size=10
)


def make(documents: Documents, *, vocab_size: int = V) -> SampleSet:
    return sample_set(
        [tokens for tokens, _ in documents],
        [ended for _, ended in documents],
        boundary=0,
        vocab_size=vocab_size,
    )


def whole(document: tuple[list[int], bool]) -> list[int]:
    return document[0] + [0] * document[1]


def grams(tokens: list[int], n: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1))


def of_all(documents: Documents, n: int) -> Counter[tuple[int, ...]]:
    return sum((grams(whole(document), n) for document in documents), Counter())


def naive_js(one: Counter[tuple[int, ...]], other: Counter[tuple[int, ...]]) -> float:
    if not one or not other:
        return float(bool(one) != bool(other))
    value = 0.0
    for gram in one | other:
        p, q = one[gram] / one.total(), other[gram] / other.total()
        value += sum(x / 2 * math.log2(2 * x / (p + q)) for x in (p, q) if x)
    return value


def naive_bleu(tokens: list[int], references: list[list[int]]) -> float:
    shares = []
    for n in range(1, 5):
        own = grams(tokens, n)
        matched = sum(
            min(count, max(grams(reference, n)[gram] for reference in references))
            for gram, count in own.items()
        )
        if n == 1 and not matched:
            return 0.0
        shares.append((matched or 0.1) / max(1, own.total()))
    nearest = min((abs(len(reference) - len(tokens)), len(reference)) for reference in references)[
        1
    ]
    return min(1.0, math.exp(1 - nearest / len(tokens))) * math.prod(shares) ** 0.25


@given(DOCUMENTS, st.integers(1, 4), st.booleans())
def test_ngrams_are_those_of_a_loop(documents: Documents, n: int, large: bool) -> None:
    codes, owners = ngrams(make(documents, vocab_size=2**50 if large else V), n)
    expected = [
        (tuple(tokens[at : at + n]), i)
        for i, d in enumerate(documents)
        for tokens in [whole(d)]
        for at in range(len(tokens) - n + 1)
    ]
    assert owners.tolist() == [owner for _, owner in expected]
    assert len(
        dict.fromkeys(zip(codes.tolist(), [gram for gram, _ in expected], strict=True))
    ) == len({gram for gram, _ in expected})
    assert len(set(codes.tolist())) == len({gram for gram, _ in expected})


@given(DOCUMENTS, DOCUMENTS, st.integers(1, 4))
def test_js_is_that_of_a_loop_and_symmetric(one: Documents, other: Documents, n: int) -> None:
    value = js_divergence(make(one), make(other), n).estimate
    assert value == pytest.approx(naive_js(of_all(one, n), of_all(other, n)), abs=1e-12)
    assert value == pytest.approx(js_divergence(make(other), make(one), n).estimate, abs=1e-12)
    assert js_divergence(make(one), make(one), n).estimate == pytest.approx(0, abs=1e-12)


def test_js_of_disjoint_sets_is_one() -> None:
    assert js_divergence(make([([1, 2], False)] * 3), make([([3, 4], False)] * 2), 1).estimate == 1
    assert js_divergence(make([([], False)]), make([([3], False)]), 1).estimate == 1


def test_the_end_of_a_document_counts() -> None:
    assert js_divergence(make([([1, 2], True)]), make([([1, 2], False)]), 3).estimate == 1
    assert length_distance(make([([1, 2], True)]), make([([1, 2], False)])).estimate == 1


@given(DOCUMENTS, DOCUMENTS)
def test_bleu_is_that_of_a_loop(documents: Documents, references: Documents) -> None:
    documents, references = (
        [d for d in some if whole(d)] or [([1], True)] for some in (documents, references)
    )
    expected = [
        naive_bleu(whole(document), [whole(reference) for reference in references])
        for document in documents
    ]
    assert bleu_scores(make(documents), make(references)) == pytest.approx(expected, abs=1e-12)
    assert bleu(make(documents), make(references)).estimate == pytest.approx(
        np.mean(expected), abs=1e-12
    )


@given(DOCUMENTS)
def test_self_bleu_leaves_each_sample_out_of_its_references(documents: Documents) -> None:
    documents = [d for d in documents if whole(d)] or [([1], True)]
    texts = [whole(document) for document in documents]
    expected = (
        [naive_bleu(text, texts[:i] + texts[i + 1 :]) for i, text in enumerate(texts)]
        if len(texts) > 1
        else [0.0]
    )
    assert self_bleu_scores(make(documents)) == pytest.approx(expected, abs=1e-12)


@given(DOCUMENTS, DOCUMENTS, st.integers(1, 4))
def test_shares_and_lengths_are_those_of_loops(
    documents: Documents, others: Documents, n: int
) -> None:
    samples, reference = make(documents), make(others)
    found = of_all(documents, n)
    assert distinct(samples, n).estimate == pytest.approx(
        len(found) / found.total() if found else 0
    )
    texts = [(tuple(tokens), ended) for tokens, ended in documents]
    known = {(tuple(tokens), ended) for tokens, ended in others}
    assert share_unique(samples).estimate == pytest.approx(len(set(texts)) / len(texts))
    assert share_novel(samples, reference.fingerprints()).estimate == pytest.approx(
        np.mean([text not in known for text in texts])
    )
    ours, theirs = (
        Counter((len(tokens), ended) for tokens, ended in some) for some in (documents, others)
    )
    distance = (
        sum(
            abs(ours[size] / ours.total() - theirs[size] / theirs.total()) for size in ours | theirs
        )
        / 2
    )
    assert length_distance(samples, reference).estimate == pytest.approx(distance)


@given(DOCUMENTS.filter(lambda documents: len(documents) > 1), st.integers(1, 3))
def test_the_jackknife_leaves_out_one_document_at_a_time_where_there_are_few(
    documents: Documents, n: int
) -> None:
    """The quick way (counts less those of a group) is the slow one: the metric of what is left."""
    samples, reference = make(documents), make([([1, 2, 3], True), ([1, 1], True)])
    rows = np.arange(len(samples))
    for metric in (
        lambda some: js_divergence(some, reference, n),
        lambda some: distinct(some, n),
        share_unique,
        self_bleu,
        lambda some: length_distance(some, reference),
    ):
        left = np.array([metric(samples.select(np.delete(rows, row))).estimate for row in rows])
        error = math.sqrt((len(rows) - 1) * left.var())
        found = metric(samples)
        from scipy import stats

        reach = stats.t.ppf(0.975, len(rows) - 1) * error
        assert found.high == pytest.approx(min(1, found.estimate + reach), abs=1e-9)
        assert found.low == pytest.approx(max(0, found.estimate - reach), abs=1e-9)


def test_one_sample_has_no_interval() -> None:
    one, reference = make([([1, 2], True)]), make([([1], True)])
    for interval in (
        js_divergence(one, reference, 2),
        distinct(one, 1),
        share_unique(one),
        self_bleu(one),
        length_distance(one, reference),
    ):
        assert (interval.low, interval.high) == (-math.inf, math.inf)


def some_language(n: int, random: np.random.Generator) -> SampleSet:
    """Documents of a bigram over 12 tokens."""
    table = np.random.default_rng(5).dirichlet(np.full(12, 0.3), size=12)
    table[:, 0] = 0.15
    cumulative = (table / table.sum(axis=1, keepdims=True)).cumsum(axis=1)
    tokens = np.zeros((n, 31), dtype=np.int64)
    for at in range(30):
        tokens[:, at + 1] = (
            (random.random(n)[:, None] > cumulative[tokens[:, at]]).sum(axis=1).clip(max=11)
        )
    rows = [row[1:].tolist() for row in tokens]
    rows = [row[: row.index(0)] if 0 in row else row for row in rows]
    return sample_set(rows, [len(row) < 30 for row in rows], boundary=0, vocab_size=12)


METRICS: dict[str, Callable[[SampleSet, SampleSet], Interval]] = {
    "js3": lambda samples, reference: js_divergence(samples, reference, 3),
    "bleu": bleu,
    "self_bleu": lambda samples, _: self_bleu(samples),
    "distinct3": lambda samples, _: distinct(samples, 3),
    "unique": lambda samples, _: share_unique(samples),
    "length": length_distance,
}


@pytest.mark.parametrize("name", METRICS)
def test_intervals_cover_the_mean_of_independent_sets(name: str) -> None:
    """95% intervals of 60 independent sets.

    Fewer than 50 that cover would happen once in 4,000 times.
    """
    random = np.random.default_rng(1)
    reference = some_language(400, random)
    found = [METRICS[name](some_language(200, random), reference) for _ in range(60)]
    mean = float(np.mean([interval.estimate for interval in found]))
    assert sum(interval.contains(mean) for interval in found) >= 50
    width = np.mean([interval.high - interval.low for interval in found])
    assert width < 8 * np.std([interval.estimate for interval in found]), (
        "an interval that covers because it says nothing"
    )


def test_a_vocabulary_too_large_to_count_by_gives_the_same_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(2)
    one, other = some_language(50, random), some_language(50, random)
    expected = [js_divergence(one, other, n) for n in (1, 2, 3, 4)]
    large = [SampleSet(s.tokens, s.offsets, s.ended, s.boundary, 2**50) for s in (one, other)]
    found = [js_divergence(large[0], large[1], n) for n in (1, 2, 3, 4)]
    assert [interval.estimate for interval in found] == pytest.approx(
        [interval.estimate for interval in expected], abs=1e-12
    )
    assert ngrams_module.ngrams(large[0], 2)[0].tolist() != ngrams_module.ngrams(one, 2)[0].tolist()
