"""Each check of the contract catches a model that breaks its promise.

And lets the honest one pass.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from . import run_properties
from .subjects import NotApplicableError, Subject
from .test_contracts import CHECKS, RUN_CHECKS, Check, name_of

BROKEN = Path(__file__).parent / "fixtures" / "broken.py"


def subject(name: str) -> Subject:
    return Subject(f"{BROKEN}:{name}", {"n_embd": 16, "n_layer": 1, "context_length": 6})


READING = [
    "documents_are_separate",
    "streaming",
    "rows_of_different_lengths",
    "state_after",
    "state_is_all_there_is",
]
"""All that compares one pass with reading in parts."""

# What catches each: first the promise that it breaks, then those that cannot hold without it.
CAUGHT = {
    "ExtraLogit": ["shapes"],
    "GrowingState": ["shapes", "rows_of_different_lengths", "state_is_all_there_is"],
    "Overconfident": ["initial_loss"],
    "PeeksAhead": ["causality", *READING],
    "PeeksInTraining": ["causality"],
    "IgnoresStarts": ["documents_are_separate"],
    "CentresTheBatch": [
        "rows_are_independent",
        "documents_are_separate",
        "rows_of_different_lengths",
        "state_is_all_there_is",
        "accumulation",
    ],
    "DeadBranch": ["every_parameter_learns"],
    "Timid": ["one_batch_is_overfitted"],
    "LagsBehind": [
        "streaming",
        "state_after",
        "rows_of_different_lengths",
        "state_is_all_there_is",
    ],
    "IgnoresStartsWhenStreaming": ["streaming"],
    "MissesAStartAtTheSeam": ["streaming"],
    "LosesItPastTheContext": ["streaming", "rows_of_different_lengths"],
    "OnePositionForAll": ["rows_of_different_lengths", "streaming"],
    "ShortContext": ["state_after"],
    "KeepsStateInItself": ["state_is_all_there_is", "rows_of_different_lengths"],
    "OneInitialState": [
        "state_is_all_there_is",
        "streaming",
        "rows_of_different_lengths",
        "state_after",
    ],
    "WritesUnderAutograd": ["autograd_keeps_the_state"],
    "FullPrecisionOnly": ["mixed_precision"],
    "AssumesTheCPU": ["device"],
    "HiddenBatchStatistics": ["accumulation", "rows_are_independent"],
    "ForwardOnlyFlops": ["flops"],
    "Farsighted": ["receptive_field"],
    "Unchecked": ["configuration"],
    "PhantomBranch": ["named_parts"],
    "HeadToMuon": ["named_parts", "flops"],
    "LooksIntoAUnit": ["units"],
    "CallsAUnitAsItPleases": ["units"],
    "TiesAUnit": ["units"],
}
CAUGHT_IN_RUNS = {
    "ForgetsAWeight": "save_and_load",
    "NoisyAtEvaluation": "greedy",
    "TrulyRandom": "same_seed_same_run",
    "AlwaysTheSame": "same_seed_same_run",
    "CountsItsSteps": "resume",
    "HiddenBatchStatistics": "accumulation_in_the_loop",
}


def test_every_check_has_a_broken_model() -> None:
    assert {name_of(check) for check in CHECKS} == {names[0] for names in CAUGHT.values()}
    assert {name_of(check) for check in RUN_CHECKS} == set(CAUGHT_IN_RUNS.values())


@pytest.mark.parametrize("check", [*CHECKS, *RUN_CHECKS], ids=name_of)
def test_the_honest_model_passes(check: Check) -> None:
    try:
        check(subject("Honest"))
    except NotApplicableError as reason:
        pytest.skip(f"not applicable: {reason}")


@pytest.mark.parametrize(("broken", "names"), CAUGHT.items(), ids=str)
def test_a_broken_model_is_caught(broken: str, names: list[str]) -> None:
    check = next(check for check in CHECKS if name_of(check) == names[0])
    with pytest.raises(AssertionError):
        check(subject(broken))


@pytest.mark.parametrize(("broken", "name"), CAUGHT_IN_RUNS.items(), ids=str)
def test_a_broken_model_is_caught_in_its_runs(broken: str, name: str) -> None:
    check = getattr(run_properties, f"check_{name}")
    with pytest.raises(AssertionError):
        check(subject(broken))


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "names"), CAUGHT.items(), ids=str)
def test_nothing_else_catches_it(broken: str, names: list[str]) -> None:
    caught = set()
    for check in CHECKS:
        try:
            check(subject(broken))
        except NotApplicableError:
            continue  # the model does not claim this
        except Exception:  # other errors come where shapes no longer fit together
            caught.add(name_of(check))
    assert caught == set(names)
