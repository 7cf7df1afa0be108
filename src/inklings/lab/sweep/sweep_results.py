"""Results of a sweep: plain figures, as `sweep.json` holds them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from inklings.durable import read_checked_json, write_bytes, write_checked_json
from inklings.lab.report.arm_settings import say_value
from inklings.values import from_file

FILE_NAME = "sweep.json"
BEST = "best.toml"
FORMAT = 1
ANEW = "Delete it: the same sweep command makes it again from the trials."
"""What to do about a file that is damaged."""


@dataclass(frozen=True, kw_only=True)
class SweepTrial:
    """A point of the space, and its result."""

    number: int
    status: Literal["done", "pruned", "failed"]
    """`pruned`: given up, because others did better at the same moment. `failed`: it diverged, or
    its settings do not fit.
    """
    values: dict[str, Any]
    """Values of the point by field."""
    losses: list[float]
    """Validation loss at each evaluation."""
    message: str | None = None
    """Why the trial failed."""

    @property
    def loss(self) -> float | None:
        """At the end of the budget; None where the trial did not get there."""
        return self.losses[-1] if self.status == "done" else None


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep, finished or in progress."""

    architecture: str
    study: str
    """Name of the study in the storage."""
    space: list[str]
    budget: str
    seed: int
    unit: str
    asked: int
    """How many trials are to be finished."""
    status: Literal["complete", "unfinished"]
    command: str | None
    identity: dict[str, Any]
    """What two calls must share to be one sweep."""
    text: dict[str, Any]
    environment: dict[str, Any]
    trials: list[SweepTrial] = field(default_factory=list)
    """Those that ended, by number."""
    importance: dict[str, float] = field(default_factory=dict)
    """Share of each field in what makes a trial one of the best; empty where too few were finished.
    """
    evaluator: str = "PED-ANOVA"
    """How the importance was found."""

    def __repr__(self) -> str:
        counts = f"{len(self.trials)} trials of {self.budget}, {len(self.ranked)} finished"
        best = self.best
        found = (
            "" if best is None else f"; best {best.losses[-1]:.4f} {self.unit} with {best.values}"
        )
        return f"Sweep({self.architecture}: {counts}{found})"

    @property
    def ranked(self) -> list[SweepTrial]:
        """Trials that were finished, the best first."""
        return sorted(
            (trial for trial in self.trials if trial.loss is not None),
            key=lambda trial: (trial.losses[-1], trial.number),
        )

    @property
    def best(self) -> SweepTrial | None:
        """The one of the lowest loss."""
        return next(iter(self.ranked), None)


def write_sweep(out: Path, sweep: Sweep) -> None:
    """Write a sweep to `sweep.json`."""
    write_checked_json(out / FILE_NAME, asdict(sweep), format_version=FORMAT)


def read_sweep(out: Path) -> Sweep:
    """Read `sweep.json`.

    Raises:
        RunError: it is missing, damaged, or of a newer format.
    """
    path = out / FILE_NAME
    content = read_checked_json(path, format_version=FORMAT, unhashed=True, remedy=ANEW)
    return from_file(Sweep, content, path, ANEW)


def write_best(out: Path, config: dict[str, Any], sweep: Sweep) -> None:
    """Write the best trial's settings as a run file.

    Args:
        out: the folder.
        config: the settings of the trial, as a mapping.
        sweep: the sweep, which has a best trial.
    """
    best = sweep.best
    assert best is not None
    done = len(sweep.ranked)
    found = f"{best.losses[-1]:.4f} {sweep.unit} on the validation split"
    lines = [
        f"# {sweep.architecture}: the best of {done} trials finished, {found}, at {sweep.budget}.",
        *(f"# {name} = {say_value(value)}" for name, value in best.values.items()),
        *([f"# Found by: {sweep.command}"] if sweep.command else []),
        f"# Train it with: inklings train --config {out / BEST}",
        "",
        f"architecture = {_toml(config['architecture'])}",
    ]
    for section in ("model", "data", "training"):
        # TOML has no value for nothing: what is left open is left out
        values = {name: value for name, value in config[section].items() if value is not None}
        lines += [
            "",
            f"[{section}]",
            *(f"{name} = {_toml(value)}" for name, value in values.items()),
        ]
    write_bytes(out / BEST, ("\n".join(lines) + "\n").encode())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{_toml(str(name))} = {_toml(inner)}" for name, inner in value.items())
            + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # of the rest, JSON's way of writing is also TOML's
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
