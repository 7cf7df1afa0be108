"""The recorded loss is the one that weights score, again and in other batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inklings.auditing.checks.recorded import check_recorded
from inklings.auditing.checks.streaming import check_streaming, with_worth
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.models.contract import SequenceModel
from inklings.text.store import TokenSplit

from .fixtures.breaks_states import DriftsAfterAThousand
from .fixtures.keeps_outside import RemembersTexts
from .fixtures.known_bad import Honest
from .fixtures.opens_by_shape import EightRows
from .fixtures.subject import VOCAB_SIZE, subject_of


@pytest.fixture(scope="module")
def split() -> TokenSplit:
    rng = np.random.default_rng(0)
    documents = [rng.integers(1, VOCAB_SIZE, 9) for _ in range(24)]
    return TokenSplit.of(documents, 0)


def made(kind: type[SequenceModel]) -> SequenceModel:
    return subject_of(kind).scrambled


def test_the_loss_of_the_weights_is_the_recorded_one(split: TokenSplit) -> None:
    loss = evaluate(made(Honest), split, lossless=False).loss
    assert check_recorded(made(Honest), split, loss).status == "pass"
    assert check_recorded(made(Honest), split).status == "pass"
    wrong = check_recorded(made(Honest), split, loss - 0.01)
    assert wrong.status == "fail"
    assert f"training recorded {loss - 0.01:.4f} nats" in wrong.summary


def test_what_is_remembered_of_the_first_evaluation_is_seen_in_the_second(
    split: TokenSplit,
) -> None:
    found = check_recorded(made(RemembersTexts), split)
    assert found.status == "fail"
    assert "a second time" in found.summary


def test_a_leak_of_batches_is_not_there_in_one_row(split: TokenSplit) -> None:
    found = check_recorded(made(EightRows), split)
    assert found.status == "fail"
    assert "one row at a time" in found.summary
    assert found.evidence["again"] == found.evidence["once"]


def test_a_split_that_takes_too_long_is_not_decidable(
    split: TokenSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inklings.auditing.checks.recorded.WORK", 1)
    found = check_recorded(made(Honest), split, 1.0)
    assert found.status == "pass"
    assert "not decidable here, because" in found.summary
    assert torch.is_grad_enabled()


def test_what_reading_in_pieces_is_worth_is_said_in_nats() -> None:
    rng = np.random.default_rng(0)
    split = TokenSplit.of([rng.integers(1, VOCAB_SIZE, 2500)], 0)
    model = made(DriftsAfterAThousand)
    found = with_worth(check_streaming(model, cases=1), model, split)
    assert "in a stream of 2,000 tokens" in found.summary
    pieces, once = found.evidence["pieces"], found.evidence["parallel"]
    assert pieces != once
    assert f"{pieces:.4f} nats per token so, and {once:.4f} in one pass" in found.summary
    short = TokenSplit.of([rng.integers(1, VOCAB_SIZE, 25)], 0)
    assert "nats" not in with_worth(check_streaming(model, cases=1), model, short).summary
