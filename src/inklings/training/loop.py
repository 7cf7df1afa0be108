"""The loop that trains every architecture.

Steps, evaluations, checkpoints and events, until the budget is spent.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from inklings.durable import write_bytes
from inklings.errors import DivergedError, InterruptedWorkError
from inklings.events import EvaluationFigures, LoggedEvent, OnEvent, StepFigures
from inklings.models.contract import Architecture
from inklings.models.objectives import objective_of
from inklings.runs.checkpoints import (
    Stopped,
    TrainerState,
    prune_checkpoints,
    publish_weights,
    write_checkpoint,
    write_progress,
)
from inklings.runs.directory import RunManifest
from inklings.runs.interruption import Interruption
from inklings.runs.metrics import MetricsLog, sampled_text
from inklings.seeds import seed_all
from inklings.text.store import TokenStore
from inklings.training.divergence import diverged
from inklings.training.doubt import doubt_of
from inklings.training.objectives.base import Objective, objective_type
from inklings.training.objectives.likelihood import reads_are_free
from inklings.training.schedules import rate_at
from inklings.world import ALONE, World

LINES = 2000
"""About how many steps of a run get a line in its metrics; a line holds the mean loss since the
line before.
"""
CHECKPOINT_SECONDS = 60.0
"""Training never runs longer than this without a checkpoint."""
LOOK_EVERY = 25
"""Steps between two looks at the losses on a GPU, where each look makes the host wait."""


class Loop:
    """The training loop: it runs until the budget is spent, patience ends, or it is interrupted."""

    def __init__(
        self,
        run: Path,
        record: RunManifest,
        store: TokenStore,
        model: Architecture,
        objective: Objective[Any],
        *,
        progress: TrainerState,
        log: MetricsLog,
        on_event: OnEvent,
        interruption: Interruption,
        world: World = ALONE,
    ) -> None:
        self._run = run
        self._world = world.heeding(lambda: interruption.asked)
        self._record = record
        self._store = store
        self._model = model
        self._objective = objective
        self.progress = progress
        self._training = record.config.training
        self._log = log
        self._on_event = on_event
        self._validation = objective_type(self._model).validation(
            self._model,
            self._store,
            seed=self._training.seed,
            world=self._world,
        )
        self._kind = objective_of(self._model)
        self._line_every = -(-record.steps // LINES)
        self._look_every = 1 if reads_are_free(self._model.device) else LOOK_EVERY
        self._unseen: list[tuple[Tensor | None, Tensor | None]] = []
        self._losses = list(progress.pending_losses)
        self._norm: float | None = None
        self._figures = StepFigures()
        self._recent: deque[float] = deque(maxlen=5)
        self._step = progress.step
        self._seconds = progress.seconds
        self._saved_step = progress.step
        self._saved_at = self._seconds

    def run(self) -> bool:
        """Train; return True if the run is complete, False if it was interrupted.

        Everything is saved in both cases.
        """
        while self.progress.stopped is None:
            if not (self._train_to(self._next_evaluation()) and self._evaluate()):
                if self._step != self._saved_step:
                    self._save()
                return False
        return True

    def _next_evaluation(self) -> int:
        """Return the next step at which the validation split is scored.

        Evaluations are spread evenly, the last step included.
        """
        if self._record.steps == 0 or self.progress.evaluation_due:
            return self._step
        count = min(self._training.evaluations, self._record.steps)
        return next(
            due
            for due in (-(-index * self._record.steps // count) for index in range(1, count + 1))
            if due > self._step
        )

    def _train_to(self, target: int) -> bool:
        """Make steps up to number `target`; return False if interrupted before."""
        training, objective, steps = self._training, self._objective, self._record.steps
        self._model.train()
        begin, before = time.perf_counter(), self._seconds
        while self._step < target:
            asked, late = self._orders()
            if late:
                self._look()
                self._save()
                begin, before = time.perf_counter(), self._seconds
            if asked:
                break
            rank = 0 if objective.draws_alike else self._world.rank
            seed_step(training.seed, self._step, rank)
            due = (self._step + 1) % self._line_every == 0 or self._step + 1 == steps
            made = objective.step(self._step, self._rate(self._step), measure=due)
            self._unseen.append((made.loss, made.gradient_norm))
            if due:
                figures = {name: value.tolist() for name, value in made.figures.items()}
                self._figures = cast(StepFigures, figures)
            self._step += 1
            if due or not made.moved or len(self._unseen) >= self._look_every:
                self._look()  # which waits for a device that is behind
            self._seconds = before + time.perf_counter() - begin
            if due:
                self._write_line()
        if self._unseen:
            self._look()
            self._seconds = before + time.perf_counter() - begin
        return self._step == target

    def _orders(self) -> tuple[bool, bool]:
        """Return whether to stop, and whether a checkpoint is late: if it is so in any process."""
        late = self._seconds - self._saved_at >= CHECKPOINT_SECONDS
        asked, late = map(bool, self._world.most(self._world.asked(), late))
        return asked, late and self._step != self._saved_step

    def _rate(self, step: int) -> float:
        training = self._training
        return rate_at(
            step,
            self._record.steps,
            schedule=training.schedule,
            warmup=training.warmup,
            decay_from=training.decay_from,
            final_rate=training.final_rate,
        )

    def _look(self) -> None:
        """Read the losses that were not read yet, and stop if one is not finite."""
        first = self._step - len(self._unseen)
        for offset, (loss_tensor, norm_tensor) in enumerate(self._unseen):
            norm = None if norm_tensor is None else float(norm_tensor)
            if loss_tensor is None:
                continue
            loss = float(loss_tensor)
            if not math.isfinite(loss) or (norm is not None and not math.isfinite(norm)):
                raise self._diverged(first + offset + 1, loss, norm)
            self._norm = norm
            if first + offset == 0 and self._kind.likelihood:
                self.progress = replace(self.progress, first_loss=loss)
            self._losses.append(loss)
            self._recent.append(loss)
        self._unseen.clear()

    def _diverged(self, step: int, loss: float, norm: float | None) -> DivergedError:
        error = diverged(
            self._model,
            self._training,
            run=self._run,
            step=step,
            loss=loss,
            gradient_norm=norm,
            last_losses=list(self._recent),
            rate=self._rate(step - 1),
            checkpoint=self._saved_step,
        )
        self._emit({"event": "diverged", "step": step, "message": str(error)})
        self._log.flush()
        return error

    def _write_line(self) -> None:
        if not self._losses:
            return
        rate = self._rate(self._step - 1)
        self._emit(
            {
                "event": "step",
                "step": self._step,
                "loss": sum(self._losses) / len(self._losses),
                "learning_rate": self._objective.peak_rate * rate,
                "gradient_norm": self._norm,
                **self._figures,
                "tokens": self._step * self._record.tokens_per_step,
                "seconds": self._seconds,
            }
        )
        self._losses.clear()

    def _evaluate(self) -> bool:
        """Score the validation split, draw samples, and save; return False if interrupted before.

        The best weights become those of the run.
        """
        try:
            with self._objective.evaluating():
                found = self._validation.score()
                if not math.isfinite(found.loss):
                    raise self._diverged(self._step, found.loss, self._norm)
                texts = self._validation.texts(self._training.samples, self._training.seed)
        except InterruptedWorkError:
            self.progress = replace(self.progress, evaluation_due=True)
            return False
        best = self.progress.best_loss is None or found.loss < self.progress.best_loss
        since_best = 0 if best else self.progress.evaluations_since_best + 1
        stopped: Stopped | None = None
        if self._step >= self._record.steps:
            stopped = "budget"
        elif self._training.patience and since_best >= self._training.patience:
            stopped = "patience"
        first = (
            self.progress.first_loss
            if self._kind.likelihood or self.progress.first_loss is not None
            else found.loss
        )
        doubt = None
        if stopped is not None and self._step > 0:
            doubt = doubt_of(
                self._store, loss=found.loss, first=first, likelihood=self._kind.likelihood
            )
        self.progress = replace(
            self.progress,
            first_loss=first,
            doubt=doubt,
            validation_loss=found.loss,
            unit=self._kind.unit,
            best_loss=found.loss if best else self.progress.best_loss,
            best_step=self._step if best else self.progress.best_step,
            evaluations_since_best=since_best,
            evaluation_due=False,
            stopped=stopped,
        )
        self._emit(
            {
                "event": "evaluation",
                "step": self._step,
                "tokens": self._step * self._record.tokens_per_step,
                "seconds": self._seconds,
                "loss": found.loss,
                "unit": self._kind.unit,
                **cast(EvaluationFigures, found.figures),
                "best": best,
            }
        )
        if texts:
            if self._world.leads:
                write_bytes(self._run / "samples" / f"step_{self._step}.txt", sampled_text(texts))
            self._emit({"event": "sample", "step": self._step, "texts": texts})
        self._save()
        return True

    def _save(self) -> None:
        """Write a checkpoint; the best weights become those of the run.

        If a process is killed at any moment here, the run goes on from this checkpoint or the one
        before.
        """
        self._emit({"event": "checkpoint", "step": self._step})
        length, digest = self._log.sync() if self._world.leads else (0, None)
        self.progress = replace(
            self.progress,
            step=self._step,
            tokens=self._step * self._record.tokens_per_step,
            seconds=self._seconds,
            pending_losses=list(self._losses),
            metrics_length=length,
            metrics_sha256=digest,
        )
        if self._step == self._saved_step:  # the weights that are evaluated are there
            self._world.led(lambda: write_progress(self._run, self.progress))
        else:
            write_checkpoint(
                self._run,
                self.progress,
                self._model.state_dict(keep_vars=True),
                self._objective.tensors(),
                architecture=self._record.config.architecture,
                world=self._world,
            )
        self._world.led(self._publish)
        self._saved_step, self._saved_at = self._step, self._seconds

    def _publish(self) -> None:
        if self.progress.best_step == self._step:
            publish_weights(self._run, self._step)
        prune_checkpoints(
            self._run, keep=self._training.keep_checkpoints, best_step=self.progress.best_step
        )

    def _emit(self, event: LoggedEvent) -> None:
        self._log.append(event)
        self._on_event(event)


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed torch for one step.

    So dropout is a function of (seed, step), and a resumed run needs no random state. The two
    numbers are mixed (SplitMix64), so neighbouring steps and seeds have nothing in common.

    Args:
        seed: the seed of the run.
        step: the number of the step, from 0.
        rank: of the process among those that share the step, each of which drops other units.
    """
    mask = (1 << 64) - 1
    mixed = seed * 0x9E3779B97F4A7C15 + (step + 1) * 0xBF58476D1CE4E5B9 + rank * 0xD6E8FEB86659FD93
    mixed &= mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    mixed ^= mixed >> 31
    seed_all(mixed)
