"""Every known bug is caught by the check that is named after it, at its place.

And nothing else of the audit ends early.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from pathlib import Path

import pytest

from inklings.auditing.audit import Audit, audit, dishonest
from inklings.auditing.check import CHECKS as REGISTERED
from inklings.auditing.checks.coverage import check_coverage
from inklings.auditing.checks.targets import check_random_tokens, check_targets
from inklings.auditing.findings import Finding
from inklings.auditing.subjects import Subject, of_architecture
from inklings.config import RunConfig
from inklings.text.batches import Batch, windows

from .fixtures import known_bad
from .test_data import random_documents, rows, split_of

FILE = Path(known_bad.__file__)
LEAKY = "wavegpt:fusion=leaky_broadcast"
CHECKS = list(REGISTERED.places)

FUTURE = {"causality", "prefixes", "documents", "state", "streaming", "generation"}
"""What compares one pass with another over less of the text sees the future too."""

CAUGHT = {
    LEAKY: FUTURE,
    "OffByOnePadding": {*FUTURE, "random tokens"},
    "MaskOfZerosAndOnes": FUTURE,
    "NormOverTime": FUTURE,
    "SortedWindow": FUTURE,
    "ReversedWindow": FUTURE,
    "NormOverTimeInTraining": {"causality"},
    "FaintLeak": {"causality"},
    "BatchStatisticsInEvaluation": {"rows", "documents", "state"},
    "UndeclaredBatchNorm": {"rows", "causality"},
    "IgnoresStarts": {"documents"},
    "SkippedBranch": {"state", "streaming", "generation"},
    "CacheDropsTheLast": {"state", "streaming", "generation"},
    "CacheAtTheWrongOffset": {"state", "streaming", "generation"},
    "PositionsStartAnew": {"state", "streaming", "generation"},
    "DeadBranch": {"branches", "gradients"},
    "UnusedParameter": {"gradients"},
    "OneLogitTooMany": {"contract"},
}
"""All the checks that fail, for each."""

LEAKS = {
    LEAKY: ("evaluation", "view (View)", 1),
    "OffByOnePadding": ("evaluation", "convolution (SeesTheNext)", 1),
    "MaskOfZerosAndOnes": ("evaluation", "attention (AddsTheMask)", 1),
    "NormOverTime": ("evaluation", "norm (CentresTime)", 1),
    "NormOverTimeInTraining": ("training", "finish (CentresTimeInTraining)", 1),
    "UndeclaredBatchNorm": ("training", "finish (BatchNorm)", 1),
    "ReversedWindow": (
        "evaluation",
        "the model (ReversedWindow)",
        2,
    ),  # of 15 positions the 9th is read at the 7th
    "FaintLeak": ("evaluation", "finish (Whispers)", 1),
}
"""Where the future enters: in which mode, in which module, from how far ahead."""


def subject(name: str) -> Subject:
    config = RunConfig(architecture=f"{FILE}:{name}")
    if name == LEAKY:
        sizes = {"n_layer": 1, "n_head": 2, "n_embd": 16, "wave_layers": 2, "context_length": 6}
        config = RunConfig(architecture="wavegpt", model={"fusion": "leaky_broadcast", **sizes})
    found = of_architecture(name, config, None)
    assert isinstance(found, Subject)
    return found


@functools.cache
def audited(name: str) -> Audit:
    return audit(subject(name))


@functools.cache
def finding(name: str, check: str) -> Finding:
    (found,) = audit(subject(name), only=[check]).findings
    return found


def statuses(result: Audit) -> dict[str, str]:
    return {found.check: found.status for found in result.findings}


def test_the_model_that_the_bugs_are_built_into_has_none() -> None:
    found = statuses(audited("Honest"))
    needs_text = {"overlap", "coverage", "recorded", "memory", "novelty", "loss"}
    assert found == {check: "not applicable" if check in needs_text else "pass" for check in CHECKS}


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        # a whole audit takes seconds: one for each set of checks that fail is enough, the quickest
        pytest.param(
            name,
            checks,
            marks=[pytest.mark.slow]
            if checks in list(CAUGHT.values())[1:index] or name == LEAKY
            else [],
            id=name,
        )
        for index, (name, checks) in enumerate(CAUGHT.items())
    ],
)
def test_a_bug_is_caught_and_by_nothing_that_is_not_about_it(name: str, checks: set[str]) -> None:
    result = audited(name)
    assert list(statuses(result)) == CHECKS
    assert {found.check for found in result.failed} == checks
    assert not [
        found.summary for found in result.findings if "the check ended with" in found.summary
    ]


@pytest.mark.parametrize(("name", "place"), LEAKS.items(), ids=list(LEAKS))
def test_a_leak_is_located(name: str, place: tuple[str, str, int]) -> None:
    found = finding(name, "causality")
    assert (found.evidence["mode"], found.evidence["module"], found.evidence["offset"]) == place
    assert place[0] in found.summary
    assert place[1] in found.summary


def test_sorting_is_seen_though_no_gradient_passes() -> None:
    found = finding("SortedWindow", "causality")
    assert found.evidence["effect"] > 0.1
    assert found.evidence["module"] == "the model (SortedWindow)"


def test_a_faint_leak_is_seen_though_no_logit_moves() -> None:
    assert finding("FaintLeak", "causality").evidence["effect"] == 0


def test_a_mixer_of_rows_is_named() -> None:
    assert "in evaluation a row depends on what is in the others: first in norm (CentresRows)" in (
        finding("BatchStatisticsInEvaluation", "rows").summary
    )
    undeclared = finding("UndeclaredBatchNorm", "rows")
    assert undeclared.evidence["modules"] == ["finish (BatchNorm)"]
    assert "do not declare" in undeclared.summary


def test_declared_batch_statistics_are_a_warning_that_names_the_layer() -> None:
    result = audited("DeclaredBatchNorm")
    assert not result.failed
    assert [found.check for found in result.findings if found.status == "warning"] == ["rows"]
    assert "finish (BatchNorm)" in finding("DeclaredBatchNorm", "rows").summary
    assert statuses(result)["random tokens"] == "not applicable"


def test_what_is_dead_is_named() -> None:
    assert "knocking out dead changes nothing" in finding("DeadBranch", "branches").summary
    assert finding("UnusedParameter", "gradients").evidence["parameters"] == ["finish.scale"]


def test_dishonest_is_who_fails_what_a_loss_rests_on() -> None:
    assert {found.check for found in dishonest(audited(LEAKY).findings)} == {
        "causality",
        "prefixes",
        "documents",
    }
    assert not dishonest(audited("UnusedParameter").findings)


def test_checks_can_be_picked_and_are_told_as_they_come() -> None:
    told: list[Finding] = []
    result = audit(subject("Honest"), on_finding=told.append, only=["streaming", "causality"])
    assert [found.check for found in result.findings] == ["streaming", "causality"]
    assert tuple(told) == result.findings


# A model that cannot be used


@pytest.mark.parametrize(
    ("name", "clause"),
    [
        (
            "OneLogitTooMany",
            "forward(tokens) returns logits of shape (1, 1, 66), not (B, T, V) = (1, 1, 65)",
        ),
        pytest.param(
            "LogitsAlone",
            "forward(tokens) returns Tensor, not Output",
            marks=pytest.mark.slow,
        ),
        ("NotANumber", "forward(tokens) returns logits that are NaN or infinite"),
        pytest.param(
            "Noisy",
            "in evaluation mode the same tokens give other logits every time",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "Fails",
            "forward raises IndexError for tokens of shape (2, 15): index out of range in self",
            marks=pytest.mark.slow,
        ),
        (
            "Insists",
            (
                "forward raises AssertionError for tokens of shape (2, 15): the block size is"
                " exhausted"
            ),
        ),
    ],
)
def test_a_broken_clause_is_named_and_every_other_check_is_reported(name: str, clause: str) -> None:
    result = audited(name)
    assert list(statuses(result)) == CHECKS
    contract = result.findings[0]
    assert contract.status == "fail"
    assert clause in contract.summary
    assert all(clause_ in contract.summary for clause_ in contract.evidence["broken"])
    assert statuses(result)["targets"] == "pass"
    json.dumps(result.plain(), allow_nan=False)


def test_figures_that_are_not_finite_are_none_in_json() -> None:
    found = {finding["check"]: finding for finding in audited("NotANumber").plain()["findings"]}
    assert found["prefixes"]["evidence"]["parallel"] is None
    assert found["random tokens"]["evidence"]["loss"] is None
    assert "the loss is nan" in found["random tokens"]["summary"]
    assert "not finite" in found["branches"]["summary"]


def test_what_an_audit_says_survives_json() -> None:
    for name in ("Honest", "OffByOnePadding", "DeadBranch"):
        plain = audited(name).plain()
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain


# Loaders and losses


def test_targets_that_are_the_tokens_themselves_are_found() -> None:
    found = check_targets(known_bad.Unshifted)
    assert (found.check, found.status) == ("targets", "fail")
    assert "not shifted" in found.summary
    assert found.evidence["repeats_the_token"] < 1e-3


def test_targets_that_are_shifted_twice_are_found() -> None:
    found = check_targets(known_bad.ShiftedTwice)
    assert (found.check, found.status) == ("targets", "fail")
    assert "shifted twice" in found.summary


def test_targets_that_are_anything_else_are_found() -> None:
    class Reversed(known_bad.Unshifted):
        def batch(self, step: int) -> Batch:
            batch = super().batch(step)
            return dataclasses.replace(batch, targets=batch.targets.flip(1))

    found = check_targets(Reversed)
    assert found.status == "fail"
    assert "not the next tokens" in found.summary


def test_targets_one_further_on_pass() -> None:
    assert check_targets(lambda split: windows(split, batch_size=4, length=16)).status == "pass"


def test_a_loss_on_the_token_just_read_is_found() -> None:
    model = subject("Honest").fresh(0)
    found = check_random_tokens(model, loss=known_bad.unshifted_loss)
    assert (found.check, found.status) == ("random tokens", "fail")
    assert found.evidence["loss"] < math.log(16) - 0.1
    assert check_random_tokens(model).status == "pass"


def test_a_loader_that_counts_windows_where_it_should_count_tokens_is_found() -> None:
    split = split_of(random_documents(1, 32 * 1000))
    found = check_coverage(lambda part: rows(part, 32, stride=1), split)
    assert (found.check, found.status) == ("coverage", "fail")
    assert "reads 1/31 of the text" in found.summary  # the last window reaches on


def test_bfloat16_is_not_said_to_be_blind_to_the_future_where_float32_is_not() -> None:
    (leaking,) = audit(subject("OffByOnePadding"), only=["autocast"]).findings
    assert leaking.status == "pass", "the fault is that of `causality`"
    assert "depend on no later token" not in leaking.summary
    assert leaking.evidence["difference"] > 0, "the precisions are compared all the same"
    (honest,) = audit(subject("Honest"), only=["autocast"]).findings
    assert "depend on no later token" in honest.summary
