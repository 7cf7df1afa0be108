"""Probes.

The rows ask for what they say, those who read get everything, those who cannot see get what
guessing gives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inklings.config import RunConfig, TrainingConfig
from inklings.lab.probes import probe as probes
from inklings.lab.probes.probe import probe, probe_seconds
from inklings.lab.probes.tasks import (
    BOUNDARY,
    SEPARATOR,
    TASKS,
    Copying,
    ProbeTask,
    TaskBatches,
    as_batch,
)
from inklings.training.objectives.base import Step
from inklings.training.objectives.likelihood import LikelihoodObjective

SMALL_GPT = RunConfig(
    architecture="gpt", model={"n_layer": 2, "n_embd": 32, "n_head": 2, "context_length": 40}
)
SHORT_MLP = RunConfig(architecture="mlp", model={"context_length": 4, "n_embd": 8, "n_hidden": 32})


def answer(task: ProbeTask, past: list[int]) -> int:
    """What must come next, by a reader of all that came before."""
    split = past.index(SEPARATOR)
    shown, asked = past[1:split], past[split + 1 :]
    if task.name == "copying":
        return shown[len(asked)]
    return shown[shown.index(asked[-1]) + 1]


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.001, 1))
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_reader_of_the_row_gets_every_answer(task: ProbeTask, seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    for rows in (task.rows(random, 5), task.lesson(random, 5, share)):
        places = np.flatnonzero(rows.decided)
        assert len(places)
        for row in rows.tokens.tolist():
            assert row[0] == BOUNDARY
            assert max(row) < task.vocab_size
            assert [answer(task, row[:place]) for place in places] == [
                row[place] for place in places
            ]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_who_guesses_among_what_is_left_gets_chance(task: ProbeTask) -> None:
    random = np.random.default_rng(0)
    rows = task.rows(random, 4000)
    places = np.flatnonzero(rows.decided)
    possible = sorted({int(token) for token in rows.tokens[:, places].ravel()})
    right = []
    for row in rows.tokens.tolist():
        split = row.index(SEPARATOR)
        for place in places:
            used = set() if task.name == "copying" else set(row[split:place])
            right.append(
                random.choice([token for token in possible if token not in used]) == row[place]
            )
    assert abs(np.mean(right) - task.chance) < 4 * np.sqrt(task.chance / len(right))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_symbols_and_their_number_give_nothing_away(task: ProbeTask) -> None:
    """Every possible answer is equally frequent.

    And a row that is shown holds all of them, so counting does not help.
    """
    rows = task.rows(np.random.default_rng(0), 4000)
    answers = rows.tokens[:, rows.decided].ravel()
    counts = np.bincount(answers)[np.unique(answers)]
    assert counts.std() < 4 * np.sqrt(counts.mean())
    if task.name != "copying":
        assert all(set(answers.tolist()) <= set(row) for row in rows.tokens.tolist())


def test_only_answers_weigh_and_targets_are_what_follows() -> None:
    task = Copying()
    rows = task.rows(np.random.default_rng(0), 3)
    batch = as_batch(rows)
    assert batch.weights.sum(1).tolist() == [16.0] * 3
    assert batch.targets[:, -1].tolist() == rows.tokens[:, -1].tolist()
    assert torch.equal(batch.tokens[:, 1:], batch.targets[:, :-1])


def test_lessons_are_a_pure_function_of_the_step_and_grow_to_what_is_scored() -> None:
    for task in TASKS:
        batches = TaskBatches(task, 4, steps=10, seed=3)
        assert torch.equal(
            batches.batch(7).tokens, TaskBatches(task, 4, steps=10, seed=3).batch(7).tokens
        )
        assert not torch.equal(batches.batch(8).tokens, batches.batch(7).tokens)
        whole = task.rows(np.random.default_rng(0), 1).tokens.shape[1] - 1
        lengths = [batches.batch(step).tokens.shape[1] for step in range(10)]
        assert lengths == sorted(lengths)
        assert lengths[-1] == whole


@pytest.mark.slow
def test_a_small_transformer_learns_what_takes_two_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two layers: one to note what stood before, one to find it."""
    monkeypatch.setattr(probes, "TASKS", TASKS[1:])
    found = {result.name: result for result in probe(SMALL_GPT)}
    assert list(found) == ["induction", "associative recall"]
    for result in found.values():
        assert result.accuracy > 0.9, result
        assert result.steps == probes.STEPS


def test_who_cannot_see_the_answer_gets_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four tokens are never enough to copy sixteen.

    And hardly ever to see the first of a pair again.
    """
    monkeypatch.setattr(probes, "STEPS", 60)
    for result in probe(SHORT_MLP):
        assert abs(result.accuracy - result.chance) < 0.06, result


def test_the_same_seed_gives_the_same_result_and_leaves_the_generator_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probes, "STEPS", 12)
    config = RunConfig(
        architecture="recurrent", model={"n_embd": 8, "n_hidden": 16, "dropout": 0.2}
    )
    losses: list[list[float]] = []
    results = []
    monkeypatch.setattr(probes, "EVERY", 4)
    for number, seed in enumerate((0, 0, 1)):
        heard: list[float] = []
        torch.manual_seed(number)  # what others drew before must not matter
        before = torch.get_rng_state()
        results.append(
            probe(
                config,
                seed=seed,
                on_event=lambda event, heard=heard: heard.append(event["loss"]),  # type: ignore[misc]
            )
        )
        losses.append(heard)
        assert torch.equal(torch.get_rng_state(), before)
    assert len(losses[0]) == 9
    assert losses[0] == losses[1] != losses[2]
    assert results[0] == results[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        RunConfig(
            architecture="gpt2", model={"n_layer": 1, "n_head": 2, "n_embd": 8, "context_length": 8}
        ),
        RunConfig(architecture="tree_wavenet", model={"n_embd": 4, "n_hidden": 8}),
        RunConfig(architecture="wavenet", model={"n_layer": 2, "n_embd": 8, "n_skip": 8}),
        RunConfig(
            architecture="wavegpt",
            model={
                "n_layer": 1,
                "n_head": 2,
                "n_embd": 8,
                "wave_layers": 2,
                "fusion": "previous_segment",
            },
        ),
        RunConfig(architecture="varda", model={"backbone": "gpt:n_layer=1,n_head=2,n_embd=8"}),
        RunConfig(
            architecture="recurrent",
            model={"n_embd": 8, "n_hidden": 8},
            training=TrainingConfig(optimizer="sgd", accumulate=4),
        ),
    ],
    ids=lambda config: config.architecture,
)
def test_every_kind_of_likelihood_model_can_be_probed(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "STEPS", 3)
    assert [result.name for result in probe(config)] == [task.name for task in TASKS]


@pytest.mark.parametrize("architecture", ["ngram", "textgan", "one_shot"])
def test_who_does_not_learn_a_likelihood_by_gradient_is_left_out(architecture: str) -> None:
    assert probe(RunConfig(architecture=architecture)) == []


def test_a_probe_that_diverges_ends_and_says_after_how_many_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probes, "STEPS", 40)
    config = RunConfig(
        architecture="mlp",
        model=SHORT_MLP.model,
        training=TrainingConfig(optimizer="sgd", learning_rate=1e38, clip=0.0),
    )
    for result in probe(config):
        assert result.steps < 40
        assert 0 <= result.accuracy <= 1


@pytest.mark.slow
def test_the_time_of_probes_is_that_of_their_steps_and_their_scoring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, step = 0.0, LikelihoodObjective.step

    def two_seconds(*arguments: Any, **options: Any) -> Step:
        nonlocal now
        now += 2.0
        return step(*arguments, **options)

    def seven_seconds(*arguments: Any, **options: Any) -> float:
        nonlocal now
        now += 7.0
        return 0.0

    monkeypatch.setattr(LikelihoodObjective, "step", two_seconds)
    monkeypatch.setattr(probes, "score", seven_seconds)
    monkeypatch.setattr(probes, "perf_counter", lambda: now)
    forecast = probe_seconds(SHORT_MLP)
    assert now < forecast / 10, "a few steps are made"
    now = 0.0
    probe(SHORT_MLP)
    assert forecast == pytest.approx(now)
    assert probe_seconds(RunConfig(architecture="ngram")) == 0
