"""A run on disk: its settings, what was chosen, its events, and its weights.

RUN/ config.json resolved settings, sufficient to repeat the run, and those given environment.json
versions, hardware, what was chosen for this machine and why tokenizer.json with its hash
metrics.jsonl one event a line samples/ text sampled during training model.safetensors the best
weights checkpoints/step_N/ the best and the last few, to go on from memory/ the long-term memory of
a model that reads one (`runs/memory.py`) architecture.py a copy of the user's own architecture, if
there is one; architecture_2.py that of a second file, such as a backbone's lock held by the process
that trains
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from inklings.config import RunConfig, to_mapping
from inklings.device import Runtime
from inklings.durable import (
    disk_errors,
    is_file,
    new_directory,
    read_checked_json,
    read_errors,
    write_bytes,
    write_checked_json,
)
from inklings.errors import InklingsError, RunError, TokenizerError
from inklings.events import LoggedEvent
from inklings.models.contract import Architecture
from inklings.models.registry import build
from inklings.runs import checkpoints
from inklings.runs.building_size import within_size_of
from inklings.runs.lock import is_locked
from inklings.runs.metrics import read_metrics
from inklings.runs.tensors.checked_files import refuse_pickle
from inklings.runs.tensors.parts import leading_file
from inklings.runs.user_code import keep_copies, with_own_code
from inklings.text.documents import Layout
from inklings.text.tokenizers import Tokenizer
from inklings.values import from_file

CONFIG = "config.json"
ENVIRONMENT = "environment.json"
TOKENIZER = "tokenizer.json"
METRICS = "metrics.jsonl"


@dataclass(frozen=True, kw_only=True)
class RunManifest:
    """The content of config.json."""

    config: RunConfig
    """The settings with nothing left open: every field of the model, device, precision, threads,
    order, length of a row.
    """
    given: RunConfig
    """The settings as they were given."""
    steps: int
    """How many steps the budget pays for; grows when the run is extended."""
    tokens_per_step: int
    seconds_per_step: float | None = None
    """Seconds by which a budget in minutes was turned into steps."""
    tokenizer: str
    """Hash of the tokenizer."""
    data: str
    """Hash of the tokens of all splits."""
    layout: Layout | None = None
    """What that of its text came to; None without a text, and of runs before it was recorded."""
    code: list[dict[str, Any]] = field(default_factory=list)
    """The user's own files of code: where each was, its hash, and a signature."""
    initial: str | None = None
    """The run whose weights this one began with."""
    new_tokens: int = 0
    """How many tokens were added to the vocabulary of that run."""
    extensions: list[dict[str, Any]] = field(default_factory=list)
    """Later budgets: `budget`, the `steps` in all that it pays for, and `from_step`, where the run
    stood.
    """

    def is_complete(self, progress: checkpoints.TrainerState) -> bool:
        """Return whether a run with this progress has nothing left to do.

        It stopped by itself, and was not extended since.
        """
        return progress.stopped is not None and not any(
            extension["from_step"] >= progress.step for extension in self.extensions
        )


@dataclass(frozen=True)
class RunSummary:
    """One line of a list of runs."""

    path: str
    architecture: str
    source: str
    step: int
    validation_loss: float | None
    """The best loss so far."""
    state: Literal["complete", "stopped early", "unfinished", "training", "damaged"]
    doubt: str | None = None
    """Why its last loss means little, if it does."""


class RunDirectory:
    """An existing run on disk; `open` or `create` makes one."""

    def __init__(self, path: Path, record: RunManifest, environment: dict[str, Any]) -> None:
        self.path = path
        self.record = record
        self.environment = environment

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    @classmethod
    def create(
        cls,
        path: Path,
        record: RunManifest,
        *,
        tokenizer: Tokenizer,
        environment: dict[str, Any],
        first_checkpoint: Callable[[Path, RunManifest], None],
    ) -> RunDirectory:
        """Make a run, whole with its first checkpoint or not at all.

        Args:
            path: the new directory.
            record: the content of config.json.
            tokenizer: the tokenizer of its text.
            environment: the content of environment.json.
            first_checkpoint: writes a checkpoint into the directory that it is given.

        Raises:
            RunError: something is at `path` already.
            DiskError: it cannot be written.
        """
        refuse_existing(path)
        if path.is_dir():
            path.rmdir()  # empty; not every system renames onto a directory
        with new_directory(path) as temporary:
            record = replace(record, code=keep_copies(temporary, record.config))
            write_checked_json(temporary / CONFIG, _plain(record))
            write_checked_json(temporary / ENVIRONMENT, environment)
            tokenizer.save(temporary / TOKENIZER)
            write_bytes(temporary / METRICS, b"")
            (temporary / "samples").mkdir()
            first_checkpoint(temporary, record)
        made = cls.open(path)
        if made.record != record:
            raise RunError(_in_the_way(path))
        return made

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Open a run; its settings are checked, its weights when they are loaded.

        Raises:
            RunError: there is no run, it is half-written, damaged, or from a newer format, or a
                file was given.
        """
        if is_file(path):
            with read_errors(path), open(path, "rb") as file:
                refuse_pickle(path, file.read(8))
            raise RunError(
                f"{path} is a file; a run is a directory. `inklings runs` lists those below a"
                " folder."
            )
        with read_errors(path):
            there = path.is_dir()
        if not there:
            raise RunError(
                f"there is no run {path}. `inklings runs` lists those below a folder; `inklings"
                f" train ARM --run {path}` makes one."
            )
        missing = [
            name for name in (CONFIG, ENVIRONMENT, TOKENIZER) if not os.path.lexists(path / name)
        ]
        if CONFIG in missing:
            raise RunError(f"{path} is not a run: it has no {CONFIG}.")
        if missing:
            raise RunError(f"{path} is half-written or damaged: it lacks {', '.join(missing)}.")
        environment = read_checked_json(path / ENVIRONMENT)
        if _runtime(environment) is None:
            raise RunError(
                f"{path / ENVIRONMENT} is damaged: it does not say how the run computes."
            )
        return cls(path, _record(path / CONFIG), environment)

    @property
    def config(self) -> RunConfig:
        """The settings of the run, resolved: nothing in them is left open."""
        return self.record.config

    def usable_config(self, *, trust_code: bool = False) -> RunConfig:
        """Return the settings, with the run's own copy in place of a user's file of code.

        Raises:
            RunError: the copy is missing, changed, or not to be trusted.
        """
        return with_own_code(self.path, self.config, self.record.code, trust_code=trust_code)

    @property
    def runtime(self) -> Runtime:
        """Device, precision and threads of the run."""
        runtime = _runtime(self.environment)
        assert runtime is not None, "checked when the run was opened"
        return runtime

    def tokenizer(self) -> Tokenizer:
        """Read the run's own tokenizer.

        Raises:
            RunError: it is damaged.
            TokenizerError: it is not the one that the run was made with.
        """
        tokenizer = Tokenizer.load(self.path / TOKENIZER)
        if tokenizer.hash != self.record.tokenizer:
            raise TokenizerError(
                f"{self.path / TOKENIZER} does not belong to this run: it is another tokenizer. Put"
                " the run's own back."
            )
        return tokenizer

    def build_model(self, *, trust_code: bool = False) -> Architecture:
        """Build the architecture with fresh weights.

        Raises:
            RunError: its code is missing, changed, or not to be trusted.
        """
        tokenizer = self.tokenizer()
        config = self.usable_config(trust_code=trust_code)
        with within_size_of(self._any_weights(), config=self.path / CONFIG):
            return build(
                config.architecture,
                config.model,
                vocab_size=tokenizer.vocab_size,
                boundary_token=tokenizer.boundary,
            )

    def _any_weights(self) -> Path | None:
        """Return some weights of the run, to see how large its model is.

        None where there are none.
        """
        steps = checkpoints.checkpoint_steps(self.path)
        places = [self.path, *(checkpoints.checkpoint_path(self.path, step) for step in steps)]
        paths = [place / checkpoints.WEIGHTS for place in places]
        return next((path for path in paths if is_file(leading_file(path))), None)

    def weights_path(self, weights: Literal["best", "last"] = "best") -> Path:
        """Return the file of the best weights, or of those of the last checkpoint.

        The latter may be in parts that lie in its place, which `read_model` reads as well.

        Raises:
            RunError: there are none yet.
        """
        if weights == "last":
            steps = checkpoints.checkpoint_steps(self.path)
            if not steps:
                raise RunError(f"{self.path} has no checkpoint; its best weights may be there.")
            return checkpoints.checkpoint_path(self.path, steps[-1]) / checkpoints.WEIGHTS
        path = self.path / checkpoints.WEIGHTS
        if not os.path.lexists(path):
            raise RunError(
                f"{path} is missing: the run has not been evaluated yet, or the file was removed."
                f" Let it train on: `inklings resume {self.path}`. The last weights may do too:"
                f" `inklings generate {self.path} --weights last`."
            )
        return path

    def load_model(
        self, weights: Literal["best", "last"] = "best", *, trust_code: bool = False
    ) -> Architecture:
        """Load the trained model, on the CPU, in evaluation mode.

        Args:
            weights: those of the lowest validation loss, or those of the last checkpoint.
            trust_code: whether to run the architecture's Python code if another user or machine
                made it.

        Raises:
            RunError: the weights are missing, damaged, of another architecture, or a pickle; or the
                code is not trusted.
        """
        return self.read_model(self.weights_path(weights), trust_code=trust_code)[0]

    def read_model(self, path: Path, *, trust_code: bool = False) -> tuple[Architecture, int]:
        """Load the model, as `load_model`, from a file of weights; return their step too."""
        with torch.random.fork_rng(devices=[]):
            model = self.build_model(trust_code=trust_code)
        step = checkpoints.read_model(path, model, architecture=self.config.architecture)
        return model.eval(), step

    def metrics(self) -> list[LoggedEvent]:
        """Read all events so far."""
        return read_metrics(self.path / METRICS)

    def samples(self) -> dict[int, list[str]]:
        """Return the texts that were sampled in training, by step."""
        return {
            event["step"]: event["texts"] for event in self.metrics() if event["event"] == "sample"
        }

    def check(self) -> list[str]:
        """Read every byte of the run and return what is wrong.

        `run_check.py` also knows what could not be checked.
        """
        from inklings.runs.run_check import check_run  # which is built on runs

        return check_run(self).problems

    def extended(self, *, budget: str, steps: int, from_step: int) -> RunDirectory:
        """Return the run with a larger budget, recorded on disk before anything is trained.

        Args:
            budget: the new budget of the whole run.
            steps: how many it pays for.
            from_step: the step at which the run stands.
        """
        entry = {"budget": budget, "steps": steps, "from_step": from_step}
        record = replace(self.record, steps=steps, extensions=[*self.record.extensions, entry])
        write_checked_json(self.path / CONFIG, _plain(record))
        return RunDirectory(self.path, record, self.environment)


def refuse_existing(path: Path) -> None:
    """Raise a `RunError` if a run cannot be made at `path` because something is there."""
    with disk_errors(path):
        there = path.exists()
        empty = path.is_dir() and not any(path.iterdir())
    if there and not empty:
        raise RunError(_in_the_way(path))


def _in_the_way(path: Path) -> str:
    if (path / CONFIG).is_file():
        return (
            f"{path} is a run already. Go on with it: `inklings resume {path}`; or choose another"
            " --run."
        )
    return f"{path} exists and is not a run. Choose another --run."


def _plain(record: RunManifest) -> dict[str, Any]:
    nested = {"config": to_mapping(record.config), "given": to_mapping(record.given)}
    return {f.name: nested.get(f.name, getattr(record, f.name)) for f in dataclasses.fields(record)}


def _runtime(environment: dict[str, Any]) -> Runtime | None:
    try:
        stored = dict(environment["runtime"])
        return Runtime(**{**stored, "reasons": tuple(stored["reasons"])})
    except (KeyError, TypeError, ValueError):
        return None


def _record(path: Path) -> RunManifest:
    content = read_checked_json(path)
    code = content.get("code")
    if code is None or isinstance(code, dict):  # of a run from when only one file could be kept
        content["code"] = [] if code is None else [code]
    return from_file(RunManifest, content, path)


_OF_RUNS = (METRICS, ENVIRONMENT)
"""Files that tell a run, which may have lost either, from another folder with a config.json."""


def list_runs(directory: Path) -> list[RunSummary]:
    """Return all runs below a directory, by path."""
    with read_errors(directory):
        configs = sorted(directory.rglob(CONFIG))
    runs = (
        config.parent
        for config in configs
        if any(os.path.lexists(config.parent / name) for name in _OF_RUNS)
    )
    return [
        _summary(run)
        for run in runs
        if not any(part.startswith(".") for part in run.relative_to(directory).parts)
    ]


def _summary(path: Path) -> RunSummary:
    try:
        run = RunDirectory.open(path)
        steps = checkpoints.checkpoint_steps(path)
        progress = (
            checkpoints.read_progress(checkpoints.checkpoint_path(path, steps[-1]))
            if steps
            else checkpoints.TrainerState()
        )
    except InklingsError:
        return RunSummary(str(path), "?", "?", 0, None, "damaged")
    state: Literal["complete", "stopped early", "unfinished", "training"] = "unfinished"
    if is_locked(path):
        state = "training"
    elif run.record.is_complete(progress):
        state = "complete" if progress.stopped == "budget" else "stopped early"
    return RunSummary(
        str(path),
        run.config.architecture,
        run.config.data.source,
        progress.step,
        progress.best_loss,
        state,
        progress.doubt,
    )
