"""What the page of single runs is made from: the files of each run, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from inklings.errors import InputError
from inklings.events import EvaluationEvent, LoggedEvent, SampleEvent, StepEvent
from inklings.models.contract import Architecture, parameter_count
from inklings.runs.audits import KeptAudit, kept_audits
from inklings.runs.checkpoints import (
    TrainerState,
    checkpoint_path,
    checkpoint_steps,
    read_progress,
)
from inklings.runs.directory import RunDirectory
from inklings.runs.layer_shapes import LayerTable, layer_table


@dataclass(frozen=True)
class RunView:
    """A run as the page sees it."""

    label: str
    """Its name on the page, unlike that of the others."""
    directory: RunDirectory
    events: list[LoggedEvent]
    model: Architecture | None
    """The architecture with fresh weights; None where its code is not to be trusted, or is gone."""
    audits: list[KeptAudit]

    @cached_property
    def steps(self) -> list[StepEvent]:
        """The lines of the steps, in order."""
        return [event for event in self.events if event["event"] == "step"]

    @cached_property
    def evaluations(self) -> list[EvaluationEvent]:
        """The evaluations, in order."""
        return [event for event in self.events if event["event"] == "evaluation"]

    @cached_property
    def samples(self) -> list[SampleEvent]:
        """The texts that were sampled in training, in order."""
        return [event for event in self.events if event["event"] == "sample"]

    @cached_property
    def layers(self) -> LayerTable | None:
        """The layers of the model; None where there is none, or it has no parameters."""
        table = None if self.model is None else layer_table(self.model)
        return table if table is not None and table.layers else None

    @property
    def parameters(self) -> int | None:
        """How many parameters the model has."""
        return None if self.model is None else parameter_count(self.model)

    @property
    def flops(self) -> int | None:
        """The operations of training, as far as the run has come."""
        tokens = self.evaluations[-1]["tokens"] if self.evaluations else 0
        return self.model.flops(tokens) if self.model is not None and tokens else None

    @cached_property
    def progress(self) -> TrainerState | None:
        """Where the last checkpoint stands; None where there is none."""
        steps = checkpoint_steps(self.directory.path)
        if not steps:
            return None
        return read_progress(checkpoint_path(self.directory.path, steps[-1]))

    @property
    def predicts(self) -> bool:
        """Whether its figure on the validation split is a loss, and no divergence of samples."""
        return all("divergences" not in event for event in self.evaluations)

    @property
    def unit(self) -> str:
        """The unit of its figures on the validation split."""
        known = self.progress.unit if self.progress is not None else "nats per token"
        return str(self.evaluations[-1].get("unit", known)) if self.evaluations else known

    @property
    def best(self) -> EvaluationEvent | None:
        """The evaluation that its best weights are of."""
        return min(self.evaluations, key=lambda event: event["loss"], default=None)


def read_runs(paths: Sequence[Path], *, trust_code: bool = False) -> list[RunView]:
    """Read runs for a page, in the order given.

    Args:
        paths: their directories.
        trust_code: whether an architecture's file may be executed that another machine made.

    Raises:
        RunError: one is no run, or is damaged.
    """
    return [
        _read(RunDirectory.open(path), label, trust_code=trust_code)
        for path, label in zip(paths, labels_of(paths), strict=True)
    ]


def _read(directory: RunDirectory, label: str, *, trust_code: bool) -> RunView:
    model: Architecture | None = None
    with contextlib.suppress(InputError), torch.random.fork_rng(devices=[]):
        model = directory.build_model(trust_code=trust_code)
    return RunView(label, directory, directory.metrics(), model, kept_audits(directory))


def labels_of(paths: Sequence[Path]) -> list[str]:
    """Return the last parts of the paths, as many as it takes to tell them apart."""
    parts = [path.absolute().parts for path in paths]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        labels = ["/".join(each[-depth:]) for each in parts]
        if len(set(labels)) == len(labels):
            return labels
    return [f"{label} ({number})" for number, label in enumerate(labels, start=1)]
