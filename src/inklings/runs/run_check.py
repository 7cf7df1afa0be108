"""A check of a run: which files are as they were written, and of which that is not known."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inklings.durable import read_bytes, read_checked_json, read_errors, read_json, sha256
from inklings.errors import InklingsError, RunError
from inklings.events import LoggedEvent
from inklings.runs import checkpoints
from inklings.runs.audits import AUDITS
from inklings.runs.checkpoints import TrainerState
from inklings.runs.directory import CONFIG, ENVIRONMENT, METRICS, TOKENIZER, RunDirectory
from inklings.runs.metrics import sampled_text
from inklings.runs.tensors.checked_files import check_tensors

SAMPLES = "samples"
EVALUATIONS = "evaluations"
_ELSEWHERE = ("memory", "lock")
"""Files of a run that are not checked here: the memory has its own check, and a lock has no
content.
"""


@dataclass(frozen=True)
class RunCheck:
    """The result of a check of a run."""

    problems: list[str] = field(default_factory=list)
    """What is not as it was written."""
    unchecked: list[str] = field(default_factory=list)
    """Files whose state is not known, relative to the run, and why."""


def check_run(run: RunDirectory) -> RunCheck:
    """Read every byte of a run but its memory's; nothing that it holds is executed."""
    checking = _Checking(run)
    checking.settings()
    checking.checkpoints()
    checking.events()
    checking.samples()
    checking.evaluations()
    checking.audits()
    checking.rest()
    return RunCheck(checking.problems, sorted(checking.unchecked))


class _Checking:
    """A check in progress, with the files that it has seen."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.problems: list[str] = []
        self.unchecked: list[str] = []
        self._seen: set[Path] = set()
        self._progress: TrainerState | None = None
        """State of the last sound checkpoint."""
        self._events: list[LoggedEvent] | None = None

    def _try(self, check: Callable[[], Any], *files: Path) -> Any:
        """Return what a check returns; None, and a problem more, where it fails."""
        self._seen |= set(files)
        try:
            return check()
        except InklingsError as error:
            self.problems.append(str(error))
            return None

    def _written(self, path: Path) -> None:
        """Check that a file of JSON is as it was written, down to the blanks."""

        def check() -> None:
            value = read_json(path)
            read_checked_json(path, format_version=value.get("format_version", 1))

        self._try(check, path)

    def settings(self) -> None:
        """Check the small files and the code."""
        path = self.run.path
        self._written(path / CONFIG)
        self._written(path / ENVIRONMENT)
        self._try(self.run.tokenizer, path / TOKENIZER)
        code = path.glob("architecture*.py") if self.run.record.code else ()
        self._try(lambda: self.run.usable_config(trust_code=True), *code)

    def checkpoints(self) -> None:
        """Check all checkpoints, and the weights that were the best when the last was made."""
        path = self.run.path
        steps = checkpoints.checkpoint_steps(path)
        for step in steps:
            place = checkpoints.checkpoint_path(path, step)
            self._seen |= set(checkpoints.checkpoint_files(place))
            found = checkpoints.check_checkpoint(place)
            self.problems += found
            if not found:
                self._progress = checkpoints.read_progress(place)
        weights = path / checkpoints.WEIGHTS
        last = (
            self._progress
            if steps and self._progress and self._progress.step == steps[-1]
            else None
        )
        best = None if last is None else last.best_step
        if not steps:
            self.unchecked.append(
                "checkpoints/ (there is none: the run cannot go on, and nothing says which weights"
                " are its best)"
            )
            self._try(lambda: check_tensors(weights), weights)
        elif best is not None or weights.exists():
            metadata = self._try(lambda: check_tensors(weights), weights)
            if metadata is not None and best is not None and metadata.get("step") != str(best):
                self.problems.append(
                    f"{weights} holds the weights of step {metadata.get('step')}, and step {best} "
                    f"was the best. `inklings resume {path}` puts those back."
                )
        if best is not None and steps and best not in steps:
            self.problems.append(
                f"{checkpoints.checkpoint_path(path, best)} is missing: it was the best checkpoint."
            )

    def events(self) -> None:
        """Check the metrics, up to what the last checkpoint knows of them."""
        path = self.run.path / METRICS
        self._events = self._try(self.run.metrics, path)
        if self._events is None or self._progress is None:
            return
        data = self._try(lambda: read_bytes(path))
        length = self._progress.metrics_length
        if data is not None and len(data) < length:
            self.problems.append(
                f"{path} is damaged: it has {len(data)} bytes, and its checkpoint knows {length}."
            )
        elif data is not None and self._progress.metrics_sha256 is None:
            self.unchecked.append(
                f"{METRICS} (its form was checked; it was written without a hash)"
            )
        elif data is not None and sha256(data[:length]) != self._progress.metrics_sha256:
            self.problems.append(f"{path} is damaged or was edited: its hash does not fit.")

    def samples(self) -> None:
        """Check the sampled texts, which the metrics hold too."""
        folder = self.run.path / SAMPLES
        expected = {
            folder / f"step_{event['step']}.txt": sampled_text(event["texts"])
            for event in self._events or ()
            if event["event"] == "sample"
        }
        for path, text in expected.items():
            data = self._try(functools.partial(read_bytes, path), path)
            if data is not None and data != text:
                self.problems.append(
                    f"{path} is damaged or was edited: its text is not that of {METRICS}."
                )

    def evaluations(self) -> None:
        """Check what `evaluate` kept by its own hashes."""
        place = self.run.path / EVALUATIONS
        folders = [place, *(path for path in place.rglob("*") if path.is_dir())]
        for folder in folders:
            files = (folder / "likelihood.json", folder / "units.safetensors")
            if any(os.path.lexists(file) for file in files):
                self._try(functools.partial(_check_evaluation, folder), *files)
        for path in self._files(place):
            if path.suffix != ".json":
                continue
            known = path in self._seen
            value = (
                self._try(functools.partial(read_json, path), path) if not known else _value(path)
            )
            if isinstance(value, dict) and "sha256" in value and not known:
                self._written(path)
            elif isinstance(value, dict) and "sha256" not in value:
                self.unchecked.append(f"{self._name(path)} (written without a hash)")

    def audits(self) -> None:
        """Check the audits that were kept by their own hashes."""
        for path in (self.run.path / AUDITS).glob("*.json"):
            self._written(path)

    def rest(self) -> None:
        """Note every other file as unchecked."""
        for path in self._files(self.run.path):
            if (
                path not in self._seen
                and path.relative_to(self.run.path).parts[0] not in _ELSEWHERE
            ):
                self.unchecked.append(f"{self._name(path)} (not of the run)")

    def _files(self, folder: Path) -> Iterable[Path]:
        with read_errors(folder):
            return sorted(path for path in folder.rglob("*") if not path.is_dir())

    def _name(self, path: Path) -> str:
        return path.relative_to(self.run.path).as_posix()


def _value(path: Path) -> Any:
    """Read the content of a JSON file; None where it cannot be read, which was reported before."""
    try:
        return read_json(path)
    except InklingsError:
        return None


def _check_evaluation(folder: Path) -> None:
    """Raise a `RunError` unless the arrays of an evaluation are those that its figures name."""
    figures = read_checked_json(folder / "likelihood.json", format_version=1, unhashed=True)
    arrays = folder / "units.safetensors"
    if sha256(read_bytes(arrays)) != figures.get("units_sha256"):
        raise RunError(
            f"{arrays} does not belong to the likelihood.json beside it, or is damaged. Evaluate"
            " again."
        )
