"""Whether a pass depends on passes before it, by what neither the state nor a checkpoint holds.

A counter, a cache keyed on content or a memory of texts in the module itself makes the loss that
was recorded in training another than the one that is evaluated later. A random generator of the
model's own is no fault of its figures, but a run with one cannot be resumed to the same bits.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from inklings.auditing.check import Check, of_run_or_random
from inklings.auditing.draws import seeded
from inklings.auditing.findings import Finding
from inklings.auditing.leaks import FAR, wind_forward
from inklings.auditing.probes import difference, moved, other_tokens, random_tokens
from inklings.auditing.rounding import beyond_rounding
from inklings.auditing.snapshot import Snapshot, untouched
from inklings.auditing.subjects import Subject
from inklings.auditing.twins import Setting, pass_of
from inklings.models.contract import SequenceModel
from inklings.models.objectives import objective_of

SEED = 7_919
"""Of texts that no other check reads: a memory of the class might know those."""
ASKED, READ = 10, 16
"""Positions of the texts that are scored again and again, and of what is read between."""
OFTEN = 40
"""Short passes in evaluation: what is another in one of ten is the same in all once in 70."""
TRAINED = 6
"""Passes in training."""

EVALUATION = Setting()
TRAINING = Setting(training=True, gradients=True)
Texts = list[Int[Tensor, "B T"]]


def check_repeatable(model: SequenceModel, *, seed: int = SEED) -> Finding:
    """Check that logits are the same after other passes.

    In evaluation whatever was read before, also in training; in training where weights and buffers
    are put back to what they were.
    """
    read = random_tokens(model, 4, READ, seed)
    asked = [
        read[:, :ASKED],
        torch.cat([read[:, :3], other_tokens(model, read[:, 3:ASKED])], dim=1),
        torch.cat([other_tokens(model, read[:, :1]), read[:, 1:ASKED]], dim=1),
    ]
    with untouched(model):
        return _judged(model, read, asked)


def _judged(model: SequenceModel, read: Tensor, asked: Texts) -> Finding:
    before = Snapshot(model)

    def moved_by(happens: Callable[[], object]) -> float:
        """By how much logits in evaluation are others after something; 0 for rounding."""
        happens()
        again = torch.cat([pass_of(model, text, setting=EVALUATION) for text in asked])
        return moved(again, expected)

    expected = _each_anew(model, asked, EVALUATION, before)
    for happens, said in (
        (lambda: _evaluate_often(model, read, asked[0]), "texts that were read before"),
        (lambda: wind_forward(model, training=False), f"{FAR:,} passes more"),
    ):
        if effect := moved_by(happens):
            return _fail(
                f"in evaluation the same tokens score differently, by up to {effect:.2g}, after"
                f" {said}",
                effect,
                before.moved(),
            )
    before.restore()
    if objective_of(model).one_pass:
        return _pass("evaluation gives the same whatever was read before")
    first = _each_anew(model, asked[:1], TRAINING, before)
    for number in range(TRAINED):
        pass_of(model, read, setting=TRAINING, seed=number, alike=False)
    names = before.moved()

    def resume() -> None:
        """Put back what a checkpoint holds."""
        before.restore(attributes=False, generators=False)

    effect = moved_by(resume)
    if not effect:
        wind_forward(model, training=True)
        effect = moved_by(resume)
    if effect:
        return _fail(
            "evaluation depends on what passes of training left outside weights and buffers: a"
            f" checkpoint scores differently, by up to {effect:.2g}",
            effect,
            names,
        )
    return _in_training(model, asked[0], first, before, names)


def _in_training(
    model: SequenceModel, asked: Tensor, first: Tensor, before: Snapshot, names: list[str]
) -> Finding:
    """Say whether training can be resumed; attributes are as passes of training left them."""

    def same(*, attributes: bool) -> bool:
        before.restore(attributes=attributes, generators=False)
        again = pass_of(model, asked, setting=TRAINING, seed=1, alike=False)
        return difference(again, first) <= 1

    if same(attributes=False):
        if _seeds_everything(model, asked):
            return Finding(
                check="repeatable",
                status="warning",
                summary=(
                    "a pass sets the seed of a global random generator: whatever is drawn after it,"
                    " by the model or by others, is the same each time"
                ),
                evidence={"resumable": True},
            )
        return _pass(
            "the same weights give the same logits whatever was computed before, and training can"
            " be resumed"
        )
    if same(attributes=True):
        return _fail(
            "in training a pass depends on those before it by what no checkpoint holds, so a run"
            " cannot be resumed",
            0.0,
            names,
        )
    return Finding(
        check="repeatable",
        status="warning",
        summary=(
            "not resumable: in training it draws from a random generator of its own, which no seed"
            " sets and no checkpoint holds; evaluation does not depend on it"
        ),
        evidence={"resumable": False},
    )


def _seeds_everything(model: SequenceModel, text: Tensor) -> bool:
    """Whether a pass leaves a global generator in one state whatever it was in before."""
    for setting in (EVALUATION, TRAINING):
        model.train(setting.training)
        left = []
        for seed in (1, 2):
            with seeded(seed), torch.set_grad_enabled(setting.gradients):
                model(text)
                arrays = np.random.get_state()  # noqa: NPY002  # a user's code may draw from it
                left.append((torch.get_rng_state().tolist(), random.getstate(), repr(arrays)))
        if any(one == other for one, other in zip(*left, strict=True)):
            return True
    return False


def _each_anew(model: SequenceModel, asked: Texts, setting: Setting, before: Snapshot) -> Tensor:
    """The logits of each text as if none had been read before."""
    found = []
    for text in asked:
        found.append(pass_of(model, text, setting=setting, seed=1, alike=False))
        before.restore()
    return torch.cat(found)


def _evaluate_often(model: SequenceModel, read: Tensor, asked: Tensor) -> None:
    """Make many passes in evaluation: what follows the texts is read, in parallel and streamed."""
    for number in range(OFTEN):
        pass_of(model, asked, setting=EVALUATION, seed=number)
    for setting in (EVALUATION, Setting(streamed=True), Setting(gradients=True)):
        for text in (read, read[:1, :1], read.flip(0)[:3]):
            pass_of(model, text, setting=setting)


def _pass(summary: str) -> Finding:
    return Finding(check="repeatable", status="pass", summary=summary, evidence={"resumable": True})


def _fail(summary: str, effect: float, names: list[str]) -> Finding:
    kept = f" ({', '.join(names[:4])})" if names else ""
    return Finding(
        check="repeatable",
        status="fail",
        summary=summary + kept,
        evidence={"effect": effect, "kept": names, "resumable": False},
    )


REPEATABLE: Check[Subject] = Check(
    name="repeatable",
    run=of_run_or_random(beyond_rounding(check_repeatable)),
    bars_ranking=True,
    before_training=True,
)
