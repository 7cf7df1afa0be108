from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import ConfigError
from inklings.runs.directory import RunDirectory
from inklings.runs.own_text import own_store
from inklings.training.budgets.budget import Budget, parse_budget
from inklings.training.budgets.unit import UNITS, StepCost
from inklings.training.train import resume, train


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("2M-tokens", 2_000_000, "tokens"),
        ("0.1M-tokens", 100_000, "tokens"),
        ("1.5B-tokens", 1_500_000_000, "tokens"),
        ("10k-steps", 10_000, "steps"),
        ("500-steps", 500, "steps"),
        ("1-step", 1, "steps"),
        ("200_000-steps", 200_000, "steps"),
        ("3-min", 3, "min"),
        ("0.5-minutes", Fraction(1, 2), "min"),
        ("1e15-flops", 10**15, "flops"),
        (" 2.5E3-FLOPS ", 2500, "flops"),
        ("5-epochs", 5, "epochs"),
        ("1-epoch", 1, "epochs"),
    ],
)
def test_forms(text: str, amount: int | Fraction, unit: str) -> None:
    assert parse_budget(text) == Budget(Fraction(amount), UNITS[unit])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "many",
        "3",
        "3-",
        "-tokens",
        "-5-steps",
        "0-tokens",
        "0.0-min",
        "nan-min",
        "inf-min",
        "1e4000-flops",
        "3 min",
        "5-5-steps",
    ],
)
def test_what_is_no_budget_shows_examples(text: str) -> None:
    with pytest.raises(ConfigError, match=r"2M-tokens, 500-steps, 3-min, 1e15-flops, 5-epochs"):
        parse_budget(text)


def test_an_unknown_unit_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'tokens'"):
        parse_budget("3-tokns")


@given(
    st.integers(1, 10**12),
    st.sampled_from(["", "k", "M", "B", "T"]),
    st.sampled_from(["tokens", "steps", "min", "flops"]),
)
def test_every_whole_number_is_read_exactly(number: int, factor: str, unit: str) -> None:
    powers = {"": 0, "k": 3, "M": 6, "B": 9, "T": 12}
    assert parse_budget(f"{number}{factor}-{unit}") == Budget(
        Fraction(number * 10 ** powers[factor]), UNITS[unit]
    )


@given(
    st.integers(1, 10**9),
    st.sampled_from(["tokens", "steps", "min", "flops"]),
    st.integers(1, 10**6),
    st.integers(1, 10**9),
    st.floats(1e-4, 100),
)
def test_the_budget_is_never_exceeded_and_used_up_to_a_step(
    amount: int, unit: str, tokens: int, flops: int, seconds: float
) -> None:
    steps = Budget(Fraction(amount), UNITS[unit]).steps(
        StepCost(tokens, lambda: 1, lambda: flops, lambda: seconds)
    )
    costs: dict[str, int | Fraction] = {
        "tokens": tokens,
        "steps": 1,
        "min": Fraction(seconds) / 60,
        "flops": flops,
    }
    cost = costs[unit]
    assert steps >= 1
    assert steps == 1 or steps * cost <= amount
    assert (steps + 1) * cost > amount


def test_no_steps_at_all_may_be_asked_for() -> None:
    assert parse_budget("0-steps").steps(StepCost(10, lambda: 10, lambda: 10, lambda: 1.0)) == 0


def test_an_epoch_reads_the_training_part_once() -> None:
    step = StepCost(64, lambda: 6400, lambda: 1, lambda: 1.0)
    assert parse_budget("5-epochs").steps(step) == 500
    assert parse_budget("0.5-epochs").steps(step) == 50


def test_a_run_of_epochs_is_made_longer_in_epochs(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a red river\nthe sea\na stone\n" * 30, encoding="utf-8")
    config = RunConfig(
        architecture="mlp",
        data=DataConfig(source=str(tmp_path / "text.txt")),
        training=TrainingConfig(
            budget="1-epochs", batch_size=2, sequence_length=8, evaluations=1, samples=0, threads=1
        ),
    )
    first = train(config, tmp_path / "run")
    targets = own_store(RunDirectory.open(tmp_path / "run")).split("train").n_targets
    assert first.tokens == targets // 16 * 16
    assert resume(tmp_path / "run", budget="2-epochs").tokens == 2 * targets // 16 * 16
