"""The checks of a scorer: honest ones pass, and each clause fails where it is broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from inklings.auditing.audit import audit
from inklings.auditing.scorers.scorer_checks import SCORER_CHECKS
from tests.auditing.scorers.fixtures import TEXT, Uniform, example, found, subject


def test_an_honest_scorer_that_learns_while_it_is_scored_holds() -> None:
    result = audit(example("counting", "Counting"))
    assert {finding.check: finding.status for finding in result.findings} == dict.fromkeys(
        SCORER_CHECKS.places, "pass"
    )
    assert (result.kind, result.trained) == ("scorer", True)
    loss = result.findings[-1].evidence
    assert loss["bytes"] == loss["tokens"] == sum(map(len, TEXT))


def test_each_is_registered_under_its_name() -> None:
    assert [check.name for check in SCORER_CHECKS] == list(SCORER_CHECKS.places)


def test_without_a_text_random_tokens_are_read() -> None:
    result = audit(subject(Uniform))
    statuses = {finding.check: finding.status for finding in result.findings}
    assert not result.failed
    assert {name for name, status in statuses.items() if status == "not applicable"} == {
        "claim",
        "memorised",
        "loss",
    }


class InBatches(Uniform):
    """Predicts tensors that it writes over, as one that reuses its memory may."""

    memory = torch.zeros(16)

    def predict(self) -> Any:
        self.memory.fill_(-float(np.log(16)))
        return self.memory

    def observe(self, token: int) -> None:
        self.memory.fill_(0.0)


class CountsAcross(Uniform):
    """Counts all that it ever reads, and says so."""

    carries_state = True

    def __init__(self) -> None:
        self.counts = np.ones(16)

    def predict(self) -> Any:
        return np.log(self.counts / self.counts.sum())

    def observe(self, token: int) -> None:
        self.counts[token] += 1


def test_a_memory_of_documents_that_is_declared_is_a_warning_with_its_worth() -> None:
    finding = found(subject(CountsAcross), "documents")
    assert finding.status == "warning"
    assert finding.evidence["in_order"] != finding.evidence["alone"]
    undeclared = type("Undeclared", (CountsAcross,), {"carries_state": False})
    assert found(subject(undeclared), "documents").status == "fail"


def test_what_is_written_over_later_was_predicted_before() -> None:
    assert not audit(subject(InBatches)).failed


class Wrong(Uniform):
    def predict(self) -> Any:
        return np.zeros((4, 4))


class Nothing(Uniform):
    def predict(self) -> Any:
        return np.full(16, np.nan)


class Outside(Uniform):
    def encode(self, text: str) -> list[int]:
        return [99]


class Raises(Uniform):
    def observe(self, token: int) -> None:
        raise RuntimeError("out of cheese")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Wrong, "shape (4, 4), not (V,)"),
        (Nothing, "NaN"),
        (Outside, "token 99"),
        (Raises, "out of cheese"),
    ],
)
def test_what_is_no_prediction_is_told(make: type[Uniform], says: str) -> None:
    finding = found(subject(make, TEXT if make is Outside else None), "contract")
    assert finding.status == "fail"
    assert says in finding.summary


class Total(Uniform):
    """Claims one number for all documents."""

    def claim(self, documents: list[list[int]]) -> float:
        return float(sum(map(len, documents)) * np.log(16))


class Knows(Uniform):
    """Has read what it is asked about elsewhere, as one that looks at frames or files may."""

    text: list[int] = []  # noqa: RUF012

    def predict(self) -> Any:
        given = np.full(16, 0.2 / 15)
        given[self.text[len(self.read) + 1 :][:1] or [0]] = 0.8
        return np.log(given)


def test_a_total_is_compared_with_predictions() -> None:
    assert found(subject(Total), "claim").status == "pass"
    assert found(subject(Total), "documents").status == "pass"
    wrong = type("Less", (Total,), {"claim": lambda self, documents: 1.0})
    assert found(subject(wrong), "claim").status == "fail"


def test_a_prediction_that_has_read_ahead_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of what is about to be replayed stands for whoever inspects the caller."""
    from inklings.auditing.scorers import later_tokens
    from inklings.auditing.scorers.subject import replay

    def told(scorer: Any, document: list[int]) -> Any:
        Knows.text = list(document)
        return replay(scorer, document)

    monkeypatch.setattr(later_tokens, "replay", told)
    finding = found(subject(Knows), "causality")
    assert finding.status == "fail"
    assert "a prediction at position" in finding.summary


def test_a_token_of_probability_zero_is_told_and_allowed() -> None:
    class Certain(Uniform):
        def predict(self) -> Any:
            with np.errstate(divide="ignore"):
                return np.log(np.eye(16)[0])

        def encode(self, text: str) -> list[int]:
            return [1, 2, 3]

    result = audit(subject(Certain, TEXT))
    assert not result.failed
    assert "probability 0" in result.findings[-1].summary
