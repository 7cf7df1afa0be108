"""Probes: small tasks that show what an architecture is able to do.

They help to explain a verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import numpy as np
import torch

from inklings.config import RunConfig
from inklings.device import Runtime, threads_of
from inklings.events import OnEvent, silent
from inklings.lab.comparison.result import ProbeResult
from inklings.lab.probes.tasks import BOUNDARY, TASKS, ProbeTask, TaskBatches, as_batch
from inklings.models.contract import Architecture, SequenceModel
from inklings.models.objectives import has_likelihood, objective_of, predictor
from inklings.models.registry import build
from inklings.seeds import seed_all
from inklings.training.loop import seed_step
from inklings.training.objectives.base import Step
from inklings.training.objectives.likelihood import LikelihoodObjective
from inklings.training.schedules import rate_at

STEPS = 300
BATCH_SIZE = 32
TEST_ROWS = 512
"""Fresh rows that are scored: 2,048 answers or more."""
EVERY = 25
"""Steps between two events."""
TIMED = range(EVERY, STEPS, 2 * EVERY)
"""Steps that are timed for a forecast."""
RUNTIME = Runtime(device="cpu", precision="float32", threads=1)
"""The runtime of all probes: the same everywhere, so that a seed's result is."""


def probe(config: RunConfig, *, seed: int = 0, on_event: OnEvent = silent) -> list[ProbeResult]:
    """Train the arm's architecture on each task from nothing, and score it on fresh rows.

    The model has the arm's fields, its context length among them, and the task's vocabulary; it
    learns with the arm's optimiser, rates and schedule. Rows have up to 36 tokens, and answers lie
    up to about 30 tokens back: an architecture that sees less shows chance, or what the nearest
    answers are worth, and that is the finding. A model that carries state begins every row with a
    fresh one. Of a model that wraps another, the wrapped one is probed: a memory that is written by
    segments finds nothing within a row this short.

    Args:
        config: the arm; its text and its budget are not looked at.
        seed: of the weights and of all rows; the result is the same for the same seed.
        on_event: gets `{"event": "probe", "task": ..., "step": ..., "steps": ..., "loss": ...}` now
            and then.

    Returns:
        One result for each task; nothing for an architecture that does not learn a likelihood by
            gradient.

    Raises:
        InputError: the architecture or one of its fields cannot be used.
    """
    with threads_of(RUNTIME), torch.random.fork_rng(devices=[]):
        results = []
        for task in TASKS:
            model = _fresh(config, task, seed)
            if model is None:
                return []
            steps = _train(model, task, config, seed, on_event)
            results.append(
                ProbeResult(
                    name=task.name,
                    accuracy=score(model, task, seed=seed),
                    chance=task.chance,
                    steps=steps,
                )
            )
        return results


def probe_seconds(config: RunConfig) -> float:
    """Return about how many seconds the probes of an arm take here; 0 where it has none.

    A few steps of each task are made, spread over its training, whose rows grow; its scoring is
    done once.

    Args:
        config: the arm, as for `probe`.

    Raises:
        InputError: as `probe`.
    """
    seconds = 0.0
    with threads_of(RUNTIME), torch.random.fork_rng(devices=[]):
        for task in TASKS:
            model = _fresh(config, task, 0)
            if model is None:
                return 0.0
            make = _stepper(model, task, config, 0)
            make(0)  # the first one is slower
            began = perf_counter()
            for step in TIMED:
                make(step)
            seconds += (perf_counter() - began) / len(TIMED) * STEPS
            began = perf_counter()
            score(model, task, seed=0)
            seconds += perf_counter() - began
    return seconds


@torch.inference_mode()
def score(model: SequenceModel, task: ProbeTask, *, seed: int) -> float:
    """Return the share of decided tokens that the model predicts.

    It is measured on rows that training never draws.

    Args:
        model: the trained model.
        task: the task.
        seed: of the rows.
    """
    model.eval()
    batch = as_batch(task.rows(np.random.default_rng((seed, STEPS)), TEST_ROWS))
    guesses = model(batch.tokens).logits.argmax(-1)
    return float((guesses == batch.targets)[batch.weights > 0].float().mean())


def _fresh(config: RunConfig, task: ProbeTask, seed: int) -> SequenceModel | None:
    """Return the model to be trained, or the one that it wraps.

    None where there is no likelihood to learn by gradient.
    """
    seed_all(seed)
    model: Architecture = build(
        config.architecture, config.model, vocab_size=task.vocab_size, boundary_token=BOUNDARY
    )
    if model.wraps is not None:
        model = getattr(model, model.wraps)
    if not (objective_of(model).learns_by_likelihood and has_likelihood(model)):
        return None
    return predictor(model, "a probe").train()


def _train(
    model: SequenceModel,
    task: ProbeTask,
    config: RunConfig,
    seed: int,
    on_event: OnEvent,
) -> int:
    """Return all steps, or those until the loss is no number; how many were made."""
    make = _stepper(model, task, config, seed)
    for step in range(STEPS):
        made = make(step)
        if not made.moved:
            return step
        if (step + 1) % EVERY == 0:
            on_event(
                {
                    "event": "probe",
                    "task": task.name,
                    "step": step + 1,
                    "steps": STEPS,
                    "loss": float(made.loss or 0.0),
                }
            )
    return STEPS


def _stepper(
    model: SequenceModel, task: ProbeTask, config: RunConfig, seed: int
) -> Callable[[int], Step]:
    """Return what makes a step of the training, given its number."""
    training = replace(config.training, batch_size=BATCH_SIZE, accumulate=1, order="windows")
    objective = LikelihoodObjective(
        model, TaskBatches(task, BATCH_SIZE, STEPS, seed), training, RUNTIME
    )

    def make(step: int) -> Step:
        seed_step(seed, step)
        rate = rate_at(
            step,
            STEPS,
            schedule=training.schedule,
            warmup=training.warmup,
            decay_from=training.decay_from,
            final_rate=training.final_rate,
        )
        return objective.step(step, rate, measure=False)

    return make
