"""The alarm fires on a generator that repeats itself, and never on real text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from inklings.config import DataConfig
from inklings.errors import SourceError
from inklings.evaluation.samples.collapse import binomial_tail, collapse, longest_runs
from inklings.evaluation.samples.sample_set import SampleSet, documents_of, sample_set
from inklings.text.store import TokenStore, prepare
from inklings.text.tokenizers import Tokenizer

Texts = tuple[Tokenizer, SampleSet, SampleSet]


def texts_of(store: TokenStore) -> Texts:
    """Its tokenizer, training documents and held-out ones."""
    size = store.tokenizer.vocab_size
    training, held_out = (
        documents_of(store.split(name), vocab_size=size, max_length=200, seed=1)
        for name in ("train", "validation")
    )
    return store.tokenizer, training, held_out


@pytest.fixture(scope="module")
def texts() -> Texts:
    return texts_of(prepare(DataConfig(source="builtin:unicode-names")))


def written(tokenizer: Tokenizer, lines: list[str], *, ended: bool = True) -> SampleSet:
    rows = [tokenizer.encode(line).tolist() for line in lines]
    return sample_set(
        rows, [ended] * len(rows), boundary=tokenizer.boundary, vocab_size=tokenizer.vocab_size
    )


def never_on(texts: Texts) -> None:
    tokenizer, training, held_out = texts
    random = np.random.default_rng(0)
    for n in (20, 200, 1000):
        for _ in range(6):
            for real in (training, held_out):
                some = real.select(random.permutation(len(real))[:n])
                assert collapse(some, training, tokenizer) == []
            assert (
                collapse(
                    held_out.select(random.permutation(len(held_out))[:n]),
                    training.select(np.arange(n)),
                    tokenizer,
                )
                == []
            )


def test_never_on_the_names_of_characters(texts: Texts) -> None:
    never_on(texts)


@pytest.mark.parametrize(
    "path",
    [
        "names/names.txt",
        "fortunes/fortunes.txt",
        "news/wikinews_gum.txt",
        "gutenberg/carroll-alice.txt",
    ],
)
def test_never_on_real_text(path: str, corpora: Path) -> None:
    never_on(texts_of(prepare(DataConfig(source=str(corpora / path), layout="lines"))))


@pytest.mark.parametrize("n", [20, 200, 3000])
def test_always_on_one_word_again_and_again(texts: Texts, n: int) -> None:
    tokenizer, training, _ = texts
    reasons = collapse(written(tokenizer, ["LATIN SMALL LETTER"] * n), training, tokenizer)
    assert len(reasons) == 2
    assert "one text, 'LATIN SMALL LETTER', is 100.0% of the samples" in reasons[0]
    assert reasons[1].startswith("the samples have 0.0")


def test_on_one_line_among_real_ones(texts: Texts) -> None:
    tokenizer, training, held_out = texts
    lines = [tokenizer.decode(held_out.document(i).tolist()) for i in range(970)]
    assert collapse(written(tokenizer, lines + ["A B C"] * 5), training) == []
    (reason,) = collapse(written(tokenizer, lines + ["A B C"] * 30), training, tokenizer)
    assert reason == "one text, 'A B C', is 3.0% of the samples; it is 0.00% of real text."


def test_not_on_a_line_that_real_text_repeats_as_often(texts: Texts) -> None:
    tokenizer, training, held_out = texts
    real = written(
        tokenizer,
        [tokenizer.decode(training.document(i).tolist()) for i in range(950)] + ["A B C"] * 50,
    )
    samples = written(
        tokenizer,
        [tokenizer.decode(held_out.document(i).tolist()) for i in range(190)] + ["A B C"] * 10,
    )
    assert collapse(samples, real, tokenizer) == []
    assert collapse(samples, training, tokenizer) != []


def test_on_runs_of_one_token(texts: Texts) -> None:
    tokenizer, training, held_out = texts
    lines = [tokenizer.decode(held_out.document(i).tolist()) for i in range(200)]
    (reason,) = collapse(
        written(
            tokenizer, [line + "E" * 9 if i % 10 == 0 else line for i, line in enumerate(lines)]
        ),
        training,
        tokenizer,
    )
    assert "10.0% of the samples hold one token at least" in reason and "EEEE" in reason


def test_on_few_words_in_turn(texts: Texts) -> None:
    """No line is the same, and no token stands twice in a row, yet nothing new comes."""
    tokenizer, training, _ = texts
    reasons = collapse(
        written(tokenizer, ["AB" * (i % 40 + 5) for i in range(200)]), training, tokenizer
    )
    assert any("bits of entropy per position" in reason for reason in reasons)


def test_on_nothing_at_all(texts: Texts) -> None:
    tokenizer, training, _ = texts
    assert any(
        "one text, '', is 100.0%" in reason
        for reason in collapse(written(tokenizer, [""] * 200), training, tokenizer)
    )
    with pytest.raises(SourceError, match="0 samples and"):
        collapse(written(tokenizer, []), training, tokenizer)


def test_runs_do_not_cross_documents() -> None:
    found = longest_runs(
        sample_set([[1, 1], [1, 2, 2, 2], [], [3]], [False] * 4, boundary=0, vocab_size=4)
    )
    assert found.tolist() == [2, 3, 0, 1]


@pytest.mark.parametrize(
    ("count", "n", "p"), [(0, 5, 0.1), (3, 200, 0.01), (40, 3000, 0.01), (7, 7, 0.3)]
)
def test_the_tail_is_scipys(count: int, n: int, p: float) -> None:
    assert binomial_tail(count, n, p) == pytest.approx(
        scipy.stats.binom.sf(count - 1, n, p), rel=1e-9
    )
