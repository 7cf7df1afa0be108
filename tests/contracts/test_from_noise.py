"""Every promise of a generator of whole texts, on every registered one.

And each check catches a model that breaks its promise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inklings.auditing.audit import audit
from inklings.auditing.subjects import of_architecture
from inklings.config import RunConfig

from . import noise_properties, run_properties
from .subjects import NotApplicableError, Subject

TINY: dict[str, Any] = {
    "context_length": 8,
    "n_embd": 16,
    "n_head": 2,
    "n_hidden": 32,
    "n_critic_hidden": 24,
    "critic_steps": 2,
}
ONE_SHOT: dict[str, Any] = {
    "context_length": 8,
    "n_hidden": 24,
    "n_noise": 12,
    "n_critic_hidden": 24,
    "n_embd": 12,
    "critic_steps": 2,
}

NOISE_SUBJECTS = [
    Subject("textgan", TINY),
    Subject("textgan", {**TINY, "preset": "described"}),
    Subject("textgan", {**TINY, "feedback": "through", "n_layer": 2}),
    Subject(
        "textgan",
        {
            **TINY,
            "loss": "relativistic",
            "reads": "windows",
            "mask": False,
            "curriculum": 3,
            "n_output_layer": 0,
        },
    ),
    Subject(
        "textgan",
        {
            **TINY,
            "preset": "described",
            "attention": "causal",
            "rows": "straight_through",
            "minibatch_std": True,
        },
    ),
    Subject(
        "textgan",
        {
            **TINY,
            "attention": "both_ways",
            "rows": "soft",
            "norm": "after",
            "critic": "transformer",
        },
    ),
    Subject(
        "textgan",
        {
            **TINY,
            "noise_distribution": "uniform",
            "style_noise": "full",
            "word_input": "last_token",
            "n_critic_input_layer": 2,
        },
    ),
    Subject(
        "textgan",
        {
            **TINY,
            "preset": "described",
            "noise_distribution": "laplace",
            "style_noise": "full",
            "word_input": "fixed_token",
            "n_critic_input_layer": 3,
        },
    ),
    Subject("one_shot", ONE_SHOT),
    Subject(
        "one_shot",
        {**ONE_SHOT, "n_layer": 1, "n_embd": 30, "loss": "relativistic", "reads": "windows"},
    ),
]

QUICK = (0, 1, 3, 8)
RUNS = [
    # runs take their time: both presets, both losses, both ways to read and both architectures are
    # among the quick ones
    pytest.param(subject, marks=[] if index in QUICK else [pytest.mark.slow], id=str(subject))
    for index, subject in enumerate(NOISE_SUBJECTS)
]

Check = Callable[[Subject], None]
CHECKS: list[Check] = [
    check
    for name, check in vars(noise_properties).items()
    if name.startswith("check_") and name != "check_both_learn"
]
RUN_CHECKS: list[Check] = [
    check for name, check in vars(run_properties).items() if name.startswith("check_")
]


def name_of(check: Check) -> str:
    return check.__name__.removeprefix("check_")


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("subject", NOISE_SUBJECTS, ids=str)
def test_contract(subject: Subject, check: Check) -> None:
    check(subject)


@pytest.mark.parametrize("check", RUN_CHECKS, ids=name_of)
@pytest.mark.parametrize("subject", RUNS)
def test_contract_of_runs(subject: Subject, check: Check) -> None:
    try:
        check(subject)
    except NotApplicableError as reason:
        pytest.skip(f"not applicable: {reason}")


@pytest.mark.parametrize("subject", NOISE_SUBJECTS, ids=str)
def test_an_honest_generator_passes_the_audit(subject: Subject) -> None:
    config = RunConfig(architecture=subject.architecture, model=dict(subject.fields))
    findings = audit(of_architecture(str(subject), config, None)).findings
    assert {
        finding.check: finding.status for finding in findings if finding.status != "not applicable"
    } == {
        "contract": "pass",
        "rows": "pass",
        "gradients": "pass",
    }


BROKEN = Path(__file__).parent / "fixtures" / "broken_from_noise.py"

CAUGHT = {
    "OneTokenMore": ["shapes"],
    "ScoresInAColumn": ["shapes"],
    "DrawsInForward": ["function_of_noise", "texts_apart", "sampling"],
    "Constant": ["function_of_noise"],
    "LooksAtNeighbours": ["texts_apart"],
    "SpeaksAfterTheEnd": ["rows"],
    "RowsOfLogits": ["rows"],
    "OwnDraws": ["sampling"],
    "StyleForAll": ["style"],
    "SilentParameter": ["both_sides_learn"],
    "SilentCritic": ["both_sides_learn"],
    "HalfFlops": ["flops"],
    "GrowsWhenRead": ["config_round_trip"],
    "Unchecked": ["configuration"],
}
"""What catches each: first the promise that it breaks."""
CAUGHT_IN_RUNS = {
    "ForgetsAWeight": "save_and_load",
    "TrulyRandom": "same_seed_same_run",
    "AlwaysTheSame": "same_seed_same_run",
    "CountsItsTexts": "resume",
}


def broken(name: str) -> Subject:
    return Subject(f"{BROKEN}:{name}", ONE_SHOT)


def test_every_check_has_a_broken_model() -> None:
    assert {name_of(check) for check in CHECKS} == {names[0] for names in CAUGHT.values()}


@pytest.mark.parametrize("check", [*CHECKS, *RUN_CHECKS], ids=name_of)
def test_the_honest_model_passes(check: Check) -> None:
    try:
        check(broken("Honest"))
    except NotApplicableError as reason:
        pytest.skip(f"not applicable: {reason}")


@pytest.mark.parametrize(("name", "checks"), CAUGHT.items(), ids=str)
def test_a_broken_model_is_caught(name: str, checks: list[str]) -> None:
    with pytest.raises(AssertionError):
        getattr(noise_properties, f"check_{checks[0]}")(broken(name))


@pytest.mark.parametrize(("name", "check"), CAUGHT_IN_RUNS.items(), ids=str)
def test_a_broken_model_is_caught_in_its_runs(name: str, check: str) -> None:
    with pytest.raises(AssertionError):
        getattr(run_properties, f"check_{check}")(broken(name))
