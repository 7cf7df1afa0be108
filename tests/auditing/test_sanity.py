"""A loss is placed between guessing and counted n-grams, and what cannot be honest is doubted."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.auditing.checks import loss as sanity
from inklings.auditing.checks.loss import Baselines, check_loss, score_baselines
from inklings.config import DataConfig
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.models.ngram import NGram, NGramConfig
from inklings.text.store import TokenStore, prepare

KNOWN = Baselines(
    uniform=4.0, unigram=3.0, bigram=2.4, fivegram=1.92, targets=100, train_tokens=1000
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    """Lines of a language in which each letter follows from the one before, mostly."""
    random = np.random.default_rng(0)
    lines = []
    for _ in range(800):
        letters = [int(random.integers(8))]
        while len(letters) < 20:
            letters.append(
                (3 * letters[-1] + 1) % 8 if random.random() < 0.8 else int(random.integers(8))
            )
        lines.append("".join("abcdefgh"[letter] for letter in letters))
    path = tmp_path_factory.mktemp("text") / "lines.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return prepare(DataConfig(source=str(path), layout="lines", tokenizer="char"))


def test_floors_are_the_losses_of_counted_models(store: TokenStore) -> None:
    found = score_baselines(store, "validation")
    train, held_out = store.split("train"), store.split("validation")
    assert found.uniform == math.log(9)
    assert found.uniform > found.unigram > found.bigram + 0.5
    assert (found.targets, found.train_tokens) == (held_out.n_targets, len(train.tokens))
    model = NGram(NGramConfig(vocab_size=9, boundary_token=train.boundary, order=5))
    model.count(train.tokens)
    assert found.fivegram == pytest.approx(evaluate(model, held_out).loss)


def test_floors_are_those_of_the_head_of_the_split(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sanity, "TRAIN_TARGETS", 2000)
    found = score_baselines(store, "test", targets=300)
    train = store.split("train").head(2000)
    assert (found.targets, found.train_tokens) == (14 * 21, len(train.tokens))
    model = NGram(NGramConfig(vocab_size=9, boundary_token=train.boundary, order=2))
    model.count(train.tokens)
    assert found.bigram == pytest.approx(evaluate(model, store.split("test").head(300)).loss)


def test_one_document_is_cut(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the quick brown fox\n\n" * 400, encoding="utf-8")
    store = prepare(
        DataConfig(source=str(tmp_path / "text.txt"), layout="documents", tokenizer="char")
    )
    assert score_baselines(store, "validation", targets=200).targets == 200


@pytest.mark.parametrize(
    ("loss", "status", "said"),
    [
        (1.62, "pass", "1.62 nats: below the 5-gram model (1.92), as a trained network should be"),
        (0.97, "pass", "as a trained network should be"),
        (0.95, "warning", "look for a leak"),
        (
            2.0,
            "pass",
            (
                "better than guessing (4.00), the unigram model (3.00) and the bigram model (2.40),"
                " but not than the 5-gram model (1.92)"
            ),
        ),
        (
            2.7,
            "pass",
            (
                "better than guessing (4.00) and the unigram model (3.00), but not than the bigram"
                " model (2.40) and the 5-gram model (1.92)"
            ),
        ),
        (3.5, "warning", "better than guessing (4.00), but not than the unigram model (3.00), "),
        (4.0, "warning", "no better than guessing, and not than"),
        (4.01, "warning", "worse than guessing (ln V is 4.00)"),
        (math.nan, "fail", "not a finite number"),
        (math.inf, "fail", "not a finite number"),
    ],
)
def test_a_trained_loss_is_placed_in_words(loss: float, status: str, said: str) -> None:
    finding = check_loss(loss, KNOWN, trained=True)
    assert (finding.check, finding.status) == ("loss", status)
    assert said in finding.summary
    json.dumps(finding.evidence, allow_nan=False)


@pytest.mark.parametrize(
    ("loss", "status"),
    [
        (3.4, "warning"),
        (3.51, "pass"),
        (4.0, "pass"),
        (4.49, "pass"),
        (4.6, "warning"),
        (math.nan, "fail"),
    ],
)
def test_an_untrained_loss_should_be_near_guessing(loss: float, status: str) -> None:
    finding = check_loss(loss, KNOWN, trained=False)
    assert finding.status == status
    assert ("check the initialisation" in finding.summary) == (status == "warning")


@given(
    st.lists(st.floats(0.5, 6), min_size=4, max_size=4),
    st.floats(0.01, 8),
)
def test_what_is_said_of_a_loss_is_so_whatever_order_the_rungs_have(
    figures: list[float], loss: float
) -> None:
    """On little text a 5-gram may be worse than a unigram, and both than guessing."""
    uniform, unigram, bigram, fivegram = figures
    finding = check_loss(
        loss,
        replace(KNOWN, uniform=uniform, unigram=unigram, bigram=bigram, fivegram=fivegram),
        trained=True,
    )
    said, best = finding.summary, min(figures)
    assert ("worse than guessing" in said) == (loss > uniform)
    if "look for a leak" in said or "as a trained network should be" in said:
        assert loss < best
        assert (finding.status == "warning") == (loss < best / 2)
        assert f"({best:.2f})" in said
    elif loss <= uniform:
        assert loss >= best
        better, _, missed = said.partition(" not than ")
        for name, figure in zip(
            ("guessing", "the unigram model", "the bigram model", "the 5-gram model"),
            figures,
            strict=True,
        ):
            assert (name in missed) == (loss >= figure)
            assert (f"{name} (" in better) == (loss < figure)
    assert finding.status == "warning" or loss < min(unigram, uniform)
