"""The same document read again: the same predictions, whatever else was asked or is going on."""

from __future__ import annotations

import numpy as np

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding
from inklings.auditing.scorers.protocol import prediction_of
from inklings.auditing.scorers.subject import (
    RELATIVE,
    Predictions,
    ScorerSubject,
    first_difference,
    gaps,
    replay,
)

EVERY = 5
"""Predictions are asked for at every so many positions where only some are."""
OTHER_PIECES = 1e-3
"""By how much predictions may be apart then: who reads what is pending in one piece rounds
otherwise.
"""


def check_repeatable(subject: ScorerSubject) -> Finding:
    """Check that a document read twice, by scorers made anew, is predicted alike."""
    document = subject.longest
    expected = replay(subject.make(), document)
    broken = differs(replay(subject.make(), document), expected)
    if broken is None:
        return Finding(
            check="repeatable",
            status="pass",
            summary=f"{len(document)} tokens read again by a new scorer are predicted alike",
        )
    return Finding(
        check="repeatable",
        status="fail",
        summary=(
            f"read a second time by a new scorer, the same document is predicted otherwise:"
            f" {broken}. It draws at random, or remembers outside of itself what came"
        ),
    )


def check_observation(subject: ScorerSubject) -> Finding:
    """Check that a scorer learns from what it is told, and from nothing else.

    Asking for a prediction twice, or not at all, changes none that follows, and neither does
    another scorer that reads something else at the same time.
    """
    document = subject.longest
    expected = replay(subject.make(), document)
    for how, found, tolerance in (
        ("each prediction is asked for twice", _asked_twice(subject), RELATIVE),
        (
            f"only one prediction of {EVERY} is asked for",
            _asked_seldom(subject, expected),
            OTHER_PIECES,
        ),
        ("another scorer reads another document in between", _beside_another(subject), RELATIVE),
    ):
        broken = differs(found, expected, tolerance)
        if broken is not None:
            return Finding(
                check="observation",
                status="fail",
                summary=f"where {how}, predictions are others: {broken}",
            )
    return Finding(
        check="observation",
        status="pass",
        summary="it learns from what it observes alone: asking changes nothing",
    )


def differs(found: Predictions, expected: Predictions, tolerance: float = RELATIVE) -> str | None:
    """Say from where on predictions of the same differ, and by how much; None where they do not.

    Args:
        found: predictions of a document.
        expected: those that should be the same.
        tolerance: as of `first_difference`.
    """
    position = first_difference(found, expected, tolerance)
    if position is None:
        return None
    by = float(np.max(gaps(found[position], expected[position])))
    return f"from position {position} on, by up to {by:.2g} nats"


def _asked_twice(subject: ScorerSubject) -> Predictions:
    scorer, predictions = subject.make(), []
    scorer.begin()
    for token in subject.longest:
        prediction_of(scorer)
        predictions.append(prediction_of(scorer))
        scorer.observe(token)
    return np.array(predictions)


def _asked_seldom(subject: ScorerSubject, expected: Predictions) -> Predictions:
    """Predictions at every few positions; elsewhere those that are expected."""
    scorer, predictions = subject.make(), expected.copy()
    scorer.begin()
    for position, token in enumerate(subject.longest):
        if position % EVERY == EVERY - 1:
            predictions[position] = prediction_of(scorer)
        scorer.observe(token)
    return predictions


def _beside_another(subject: ScorerSubject) -> Predictions:
    scorer, other = subject.make(), subject.make()
    scorer.begin()
    other.begin()
    predictions = []
    for token in subject.longest:
        predictions.append(prediction_of(scorer))
        prediction_of(other)
        other.observe((token + 1) % subject.vocab_size)
        scorer.observe(token)
    return np.array(predictions)


REPEATABLE = Check(name="repeatable", run=check_repeatable)
OBSERVATION = Check(name="observation", run=check_observation)
