"""Branches of a trunk are the runs that their settings describe, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.config import RunConfig, TrainingConfig
from inklings.errors import RunError
from inklings.runs.checkpoints import checkpoint_steps
from inklings.runs.directory import RunDirectory
from inklings.text.store import TokenStore
from inklings.training.branch import (
    Branch,
    branch_off,
    can_branch,
    plan_branches,
    train_branches,
    trunk_config,
)
from inklings.training.schedules import rate_at, warm_steps
from inklings.training.train import train

MakeConfig = Callable[..., RunConfig]


def rates(training: TrainingConfig, steps: int) -> list[float]:
    shares = {
        "warmup": training.warmup,
        "decay_from": training.decay_from,
        "final_rate": training.final_rate,
    }
    return [rate_at(step, steps, schedule=training.schedule, **shares) for step in range(steps)]


def grown(
    config: RunConfig,
    folder: Path,
    store: TokenStore,
    *,
    steps: int = 24,
    count: int = 3,
    **more: Any,
) -> list[tuple[Branch, Path]]:
    branches = plan_branches(config, steps, count)
    places = [(branch, folder / f"branch-{branch.steps}") for branch in branches]
    assert train_branches(
        config,
        steps,
        branches,
        trunk=folder / "trunk",
        place=lambda branch: folder / f"branch-{branch.steps}",
        store=store,
        **more,
    )
    return places


@given(
    steps=st.integers(1, 3000),
    count=st.integers(1, 5),
    warmup=st.floats(0, 0.9),
    decay_from=st.floats(0, 1),
)
def test_a_branch_and_the_trunk_have_one_schedule_until_they_part(
    steps: int, count: int, warmup: float, decay_from: float
) -> None:
    config = RunConfig(
        training=TrainingConfig(budget=f"{steps}-steps", warmup=warmup, decay_from=decay_from)
    )
    branches = plan_branches(config, steps, count)
    assert [branch.steps for branch in branches] == sorted({branch.steps for branch in branches})
    if not branches:
        return
    assert branches[-1].steps == steps
    assert branches[-1].config.training.decay_from == decay_from
    last = branches[-1].leaves
    if last:
        trunk = trunk_config(config, branches, steps).training
        for branch in branches:
            own = rates(branch.config.training, branch.steps)
            for reached in branches:  # the trunk is extended, one branch after the other
                assert (
                    own[: branch.leaves][: reached.leaves]
                    == rates(trunk, reached.leaves)[: branch.leaves]
                )
            rising = [rate for rate in own[: branch.leaves] if rate < 1]
            assert rising == sorted(rising)
            assert len(rising) == min(warm_steps(warmup, steps), branch.leaves)
            assert all(rate == 1 for rate in own[len(rising) : branch.leaves])
            assert own[-1] <= 1


@pytest.mark.parametrize("architecture", ["mlp", "recurrent", "gpt"])
@pytest.mark.parametrize("optimizer", ["muon", pytest.param("adamw", marks=pytest.mark.slow)])
def test_a_branch_is_the_run_that_its_settings_describe(
    architecture: str, optimizer: str, config_of: MakeConfig, store: TokenStore, tmp_path: Path
) -> None:
    config = config_of(architecture, budget="24-steps", warmup=0.1, optimizer=optimizer)
    places = grown(config, tmp_path, store)
    assert [branch.steps for branch, _ in places] == [6, 12, 24]
    for branch, place in places:
        alone = tmp_path / f"alone-{branch.steps}"
        result = train(branch.config, alone, store=store)
        assert result.steps == branch.steps
        of_branch = RunDirectory.open(place)
        assert of_branch.record.given == branch.config
        assert of_branch.config == RunDirectory.open(alone).config
        assert (place / "model.safetensors").read_bytes() == (
            alone / "model.safetensors"
        ).read_bytes()
        steps = [event["loss"] for event in of_branch.metrics() if event["event"] == "step"]
        assert steps == [
            event["loss"]
            for event in RunDirectory.open(alone).metrics()
            if event["event"] == "step"
        ]
        assert not of_branch.check()


def test_the_whole_run_differs_from_a_plain_one_in_how_often_it_is_evaluated_only(
    config_of: MakeConfig,
) -> None:
    config = config_of(budget="24-steps")
    whole = plan_branches(config, 24, 3)[-1].config
    assert (
        replace(whole, training=replace(whole.training, evaluations=3, keep_checkpoints=2))
        == config
    )


def test_a_budget_too_small_for_a_point_leaves_it_out(config_of: MakeConfig) -> None:
    assert [branch.share for branch in plan_branches(config_of(budget="5-steps"), 5, 4)] == [
        0.5,
        1.0,
    ]
    assert plan_branches(config_of(budget="1-steps"), 1, 4) == []


@pytest.mark.parametrize(
    "stop_at", [1, 4, *(pytest.param(at, marks=pytest.mark.slow) for at in (0, 2, 3, 5, 6))]
)
def test_an_interruption_anywhere_changes_nothing(
    stop_at: int, config_of: MakeConfig, store: TokenStore, tmp_path: Path
) -> None:
    config = config_of("recurrent", budget="24-steps")
    expected = [
        (place / "model.safetensors").read_bytes()
        for _, place in grown(config, tmp_path / "undisturbed", store)
    ]

    class Stopped(BaseException):
        pass

    seen = 0

    def stop(event: dict[str, Any]) -> None:
        nonlocal seen
        if event["event"] == "checkpoint":
            seen += 1
            if seen > stop_at:
                raise Stopped

    with pytest.raises(Stopped):
        grown(config, tmp_path / "disturbed", store, on_event=stop)
    places = grown(config, tmp_path / "disturbed", store)
    assert [(place / "model.safetensors").read_bytes() for _, place in places] == expected
    assert grown(config, tmp_path / "disturbed", store) == places, "what is there is not done again"


def test_a_branch_that_was_lost_is_not_made_from_a_later_trunk(
    config_of: MakeConfig, store: TokenStore, tmp_path: Path
) -> None:
    config = config_of(budget="24-steps")
    places = grown(config, tmp_path, store)
    trunk = RunDirectory.open(tmp_path / "trunk")
    assert checkpoint_steps(trunk.path)[-1] == 12
    with pytest.raises(RunError, match=r"no checkpoint of step 3.*made anew"):
        branch_off(trunk, tmp_path / "again", places[0][0])
    with pytest.raises(RunError, match="other settings"):
        grown(replace(config, training=replace(config.training, batch_size=8)), tmp_path, store)


def test_it_looks_like_one_run(config_of: MakeConfig, store: TokenStore, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    grown(config_of(budget="24-steps"), tmp_path, store, on_event=events.append)
    assert [event["event"] for event in events].count("start") == 1
    assert [event["event"] for event in events].count("end") == 1
    total = 12 + 12 + 6 + 3
    assert (events[0]["steps"], events[-1]["step"]) == (total, total)
    assert [event["step"] for event in events if event["event"] == "step"] == list(
        range(1, total + 1)
    )


def test_what_cannot_share_a_trunk() -> None:
    assert can_branch(TrainingConfig())
    assert not can_branch(TrainingConfig(schedule="cosine"))
    assert not can_branch(TrainingConfig(patience=2))
