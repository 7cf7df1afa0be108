"""What a model does in bfloat16, as training may compute it: the same, but for rounding."""

from __future__ import annotations

from dataclasses import replace

import torch

from inklings.auditing.check import Check, of_run_or_random
from inklings.auditing.findings import Finding, not_applicable
from inklings.auditing.probes import span
from inklings.auditing.snapshot import untouched
from inklings.auditing.subjects import Subject
from inklings.auditing.twins import Setting, apart, pass_of, tolerated, with_other_tails
from inklings.models.contract import SequenceModel
from inklings.models.objectives import objective_of

TOLERATED = 0.01
"""How far logits of bfloat16 may be apart by rounding, absolute and relative to the largest: two
and a half units of the last of its eight digits. Twins of an honest model are in one pass, and are
the same bits there.
"""
FAR = 0.5
"""A share of the spread of the logits by which float32 and bfloat16 should not differ."""


def check_autocast(model: SequenceModel, *, seed: int = 0) -> Finding:
    """Check that under autocast logits are finite and depend on no later token.

    What the two precisions make of the same tokens is compared as well.
    """
    if objective_of(model).one_pass:
        return not_applicable("autocast", "it counts, in whole numbers")
    furthest, leaks = 0.0, False
    for training in (False, True):
        twins = with_other_tails(model, 8, span(model), documents=training, seed=seed)
        plain = Setting(training=training, gradients=training)
        mixed = replace(plain, autocast=True)
        with untouched(model):
            expected = pass_of(model, twins.tokens, twins.starts, setting=plain)
        try:
            with untouched(model):
                logits = pass_of(model, twins.tokens, twins.starts, setting=mixed).float()
        except Exception as error:  # nothing is trained so that raises
            return not_applicable(
                "autocast",
                "it does not compute in bfloat16, so it is trained in float32 only"
                f" ({type(error).__name__}: {str(error).partition(chr(10))[0]})",
            )
        if bool(torch.isfinite(expected).all()) and not bool(torch.isfinite(logits).all()):
            return _fail(
                f"in {mixed.mode} logits are NaN or infinite in bfloat16, and finite in float32"
            )
        effect, _ = apart(logits, twins)
        if apart(expected, twins)[0] > tolerated(expected):
            leaks = True  # in float32 too: that is a failure of `causality`, not of this check
        elif effect > TOLERATED * (1 + float(logits.abs().max())):
            return _fail(
                f"in {mixed.mode} a later token moves a logit by {effect:.2g} in bfloat16", effect
            )
        spread = float((expected - expected.mean()).square().mean().sqrt())
        difference = float((logits - expected).square().mean().sqrt())
        furthest = max(furthest, difference / max(spread, 1e-12))
    evidence = {"difference": furthest}
    if furthest > FAR:
        return Finding(
            check="autocast",
            status="warning",
            summary=(
                f"bfloat16 gives other logits than float32: they differ by {furthest:.0%} of their"
                " spread, which is more than rounding of a sound model"
            ),
            evidence=evidence,
        )
    future = "see what is later as float32 does" if leaks else "depend on no later token"
    return Finding(
        check="autocast",
        status="pass",
        summary=(
            f"in bfloat16 logits are finite, {future}, and differ from float32 by"
            f" {furthest:.1%} of their spread"
        ),
        evidence=evidence,
    )


def _fail(summary: str, effect: float = 0.0) -> Finding:
    return Finding(check="autocast", status="fail", summary=summary, evidence={"effect": effect})


AUTOCAST: Check[Subject] = Check(
    name="autocast",
    run=of_run_or_random(check_autocast),
    bars_ranking=True,
    before_training=True,
)
"""A comparison may train in bfloat16."""
