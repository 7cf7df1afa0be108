"""Counting is held to its budget: it reads as many tokens as others train on, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.runs.directory import RunDirectory
from inklings.text.store import TokenStore, prepare
from inklings.training.objectives.counting import counted_tokens
from inklings.training.train import train


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(f"word {n} {n * n}" for n in range(500)), encoding="utf-8")
    return prepare(DataConfig(source=str(path)), cache=tmp_path / "cache")


def of_budget(budget: str) -> TrainingConfig:
    return TrainingConfig(budget=budget, batch_size=4, sequence_length=16, seed=3)


@pytest.mark.parametrize(
    ("budget", "tokens"),
    [
        ("640-tokens", 640),
        ("650-tokens", 640),  # whole steps, as others make them
        ("1-tokens", 64),
        ("10-steps", 640),
        ("0.5-epochs", 4992),
        ("2-epochs", 10_000),
        ("1M-tokens", 10_000),
        ("3-min", 10_000),
        ("1e6-flops", 10_000),
    ],
)
def test_as_many_tokens_as_the_others_and_at_most_all(budget: str, tokens: int) -> None:
    assert counted_tokens(of_budget(budget), 10_000) == tokens


def test_a_part_is_counted_and_more_of_it_predicts_better(
    store: TokenStore, tmp_path: Path
) -> None:
    losses = []
    for budget in ("1-steps", "40-steps", "2-epochs"):
        config = RunConfig(
            architecture="ngram",
            model={"order": 3},
            data=DataConfig(source=str(tmp_path / "text.txt")),
            training=TrainingConfig(
                budget=budget, batch_size=4, sequence_length=16, samples=0, threads=1
            ),
        )
        result = train(config, tmp_path / budget, store=store)
        assert result.tokens == counted_tokens(of_budget(budget), store.split("train").n_targets)
        assert result.final_validation_loss is not None
        losses.append(result.final_validation_loss)
        RunDirectory.open(tmp_path / budget).load_model()
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[-1] + 0.1
