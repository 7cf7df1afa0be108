"""The coverage of a split: how much of it an epoch of a loader reads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64, Integer

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding, not_applicable
from inklings.auditing.subjects import Subject
from inklings.errors import InputError
from inklings.models.objectives import objective_of
from inklings.runs.shared_text import MOST
from inklings.text.store import TokenSplit
from inklings.training.objectives.likelihood import Batches, LikelihoodObjective, make_batches

EPOCH_TARGETS = 2_000_000
"""Most targets of a split on which coverage is measured."""


EPOCH_STEPS = 20_000
"""Most steps of an epoch that is checked; of a longer one less text is taken."""


LEAST = 0.9
"""Share of the targets that an epoch in order, or shuffled, has to score."""


LEAST_DRAWN = 0.5
"""Share of the targets that an epoch that draws with replacement has to score; 1 - 1/e, or 63%, is
expected.
"""


@dataclass(frozen=True, eq=False)
class _Epoch:
    """The targets that an epoch scored."""

    steps: int
    rows: int
    """Rows that scored any target."""
    scored: int
    """Scored targets, however often each."""
    times: Int64[np.ndarray, " n"]
    """How often each target was scored."""

    @property
    def covered(self) -> float:
        """Share of the targets that were scored."""
        return float((self.times > 0).mean())

    @property
    def repeated(self) -> float:
        """Share of the targets that were scored more than once."""
        return float((self.times > 1).mean())

    @property
    def drawn(self) -> bool:
        """Whether targets repeat about as often as draws with replacement would, or less."""
        mean = self.scored / len(self.times)
        return (
            MOST
            < self.repeated
            <= 1 - math.exp(-mean) * (1 + mean) + 0.05 + 1 / math.sqrt(self.rows)
        )


def check_coverage(
    make_batches: Callable[[TokenSplit], Batches], split: TokenSplit, *, steps: int | None = None
) -> Finding:
    """Check how much of a split an epoch of a loader scores; check name `coverage`.

    The loader is run on a stand-in for the split (or for the first `EPOCH_TARGETS` of it), with the
    same documents and the same boundary, but in which each other token occurs once, so that targets
    tell where they are from. The check fails where less than `LEAST` of the targets is scored or,
    of a loader that draws with replacement, `LEAST_DRAWN`.

    Args:
        make_batches: makes the loader that is to be checked, over the split that it is given.
        split: what the loader is meant for.
        steps: steps of an epoch over the split. None asks the loader's `steps_per_epoch`; where it
            has none, it is run until it has scored as many targets as there are.

    Raises:
        RunError: the split is damaged.
    """
    targets = min(split.n_targets, EPOCH_TARGETS)
    try:
        stand_in = _stand_in(split.head(targets))
        batches = make_batches(stand_in)
        expected = (
            _steps(batches, stand_in)
            if steps is None
            else math.ceil(steps * stand_in.n_targets / split.n_targets)
        )
        if expected > EPOCH_STEPS:
            stand_in = _stand_in(split.head(max(2, targets * EPOCH_STEPS // expected)))
            batches = make_batches(stand_in)
    except InputError as error:
        return Finding(
            check="coverage",
            status="not applicable",
            summary=f"it needs a text that the loader takes: {error}",
        )
    if steps is not None:
        steps = math.ceil(steps * stand_in.n_targets / split.n_targets)
    epoch = _run(
        batches, stand_in, getattr(batches, "steps_per_epoch", None) if steps is None else steps
    )
    covered, repeated = epoch.covered, epoch.repeated
    evidence = {
        "steps": epoch.steps,
        "targets": len(epoch.times),
        "whole": stand_in.n_targets == split.n_targets,
        "scored": epoch.scored,
        "covered": covered,
        "repeated": repeated,
    }
    figures = (
        f"an epoch of {epoch.steps:,} steps scores {covered:.1%} of the targets, {repeated:.1%}"
        " more than once"
    )
    if covered >= (LEAST_DRAWN if epoch.drawn else LEAST):
        drawn = "; it draws with replacement, where 63% is expected" if covered < LEAST else ""
        return Finding(check="coverage", status="pass", summary=figures + drawn, evidence=evidence)
    reads = (
        f"reads 1/{round(1 / covered)} of the text"
        if 0 < covered <= 0.5
        else f"leaves out {1 - covered:.1%} of the text"
    )
    return Finding(
        check="coverage", status="fail", summary=f"the loader {reads}: {figures}", evidence=evidence
    )


def _stand_in(split: TokenSplit) -> TokenSplit:
    """Return the split with each token its own index, but for boundaries.

    The token whose index is a boundary's number has the next free one.
    """
    tokens = np.arange(len(split.tokens), dtype=np.uint32)
    if split.boundary < len(tokens):
        tokens[split.boundary] = len(tokens)
    tokens[split.offsets] = split.boundary
    return replace(split, tokens=tokens, unchecked=None)


def _steps(batches: Batches, split: TokenSplit) -> int:
    """Estimate how many steps an epoch has."""
    known: int | None = getattr(batches, "steps_per_epoch", None)
    if known is None:
        known = math.ceil(split.n_targets / max(1, int((batches.batch(0).weights > 0).sum())))
    return known


def _run(batches: Batches, split: TokenSplit, steps: int | None) -> _Epoch:
    """Run an epoch over a stand-in.

    Without `steps`, until as many targets were scored as it has.
    """
    times = np.zeros(len(split.tokens), dtype=np.int64)
    step = rows = scored = 0
    while step < (2 * EPOCH_STEPS if steps is None else steps) and (
        steps is not None or scored < split.n_targets
    ):
        batch = batches.batch(step)
        counted = batch.weights.numpy() > 0
        place = _places(split, batch.targets.numpy()[counted])
        before = _places(split, batch.tokens.numpy()[counted])
        # A boundary does not say which it is, but the token before it does.
        ends = (place < 0) & (before >= 0)
        place[ends] = np.where(
            split.tokens[before[ends] + 1] == split.boundary, before[ends] + 1, -1
        )
        np.add.at(times, place[place >= 0], 1)
        rows += int(counted.any(axis=1).sum())
        scored += int(counted.sum())
        step += 1
    tells = np.ones(len(times), dtype=bool)
    tells[split.offsets[np.append(True, np.diff(split.offsets) == 1)]] = (
        False  # the first one, and ends of empty documents
    )
    return _Epoch(step, rows, scored, times[tells])


def _places(split: TokenSplit, tokens: Integer[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Return the place of each token in a stand-in; -1 for boundaries and what is not in it."""
    n = len(split.tokens)
    place: Int64[np.ndarray, " n"] = np.where(tokens == n, split.boundary, tokens).astype(np.int64)
    place[(tokens == split.boundary) | (place < 0) | (place >= n)] = -1
    place[split.tokens[place] == split.boundary] = -1  # as that of -1 itself is
    return place


def _of_subject(subject: Subject) -> Finding:
    model = subject.scrambled
    if objective_of(model).one_pass:
        return not_applicable("coverage", "it counts the whole text; there are no batches")
    training = LikelihoodObjective.settle(model, subject.training)
    return check_coverage(
        lambda split: make_batches(model, split, training), subject.text.split("train")
    )


COVERAGE: Check[Subject] = Check(
    name="coverage", run=_of_subject, needs_text=True, before_training=True
)
