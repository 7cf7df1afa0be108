"""Storage of a sweep's trials: a journal in its folder, or a PostgreSQL database.

Many machines can share the database.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from filelock import FileLock

from inklings.durable import disk_errors
from inklings.errors import ConfigError, InklingsError, MissingExtraError
from inklings.lab.sweep.optuna_library import library
from inklings.lab.sweep.space import Dimension

JOURNAL = "trials.journal"

HEARTBEAT = 30
"""Seconds between two heartbeats of a trial in a shared storage."""
GRACE = 180
"""Seconds without a heartbeat after which another machine takes the trial for lost and begins it
anew.
"""
STARTUP = 10
"""Trials that are drawn at random before the sampler learns from them."""
FINISHED_FIRST = 5
"""Trials that must finish before one may be given up."""
PROTECTED = 0.4
"""Share of the evaluations before which no trial is given up."""

MESSAGE = "message"
"""The attribute of a trial that failed on its own account: one without it was lost with its
machine.
"""


@dataclass(frozen=True, kw_only=True)
class StudyLocation:
    """Everything that a worker needs to find the trials; it can be sent to another process."""

    out: Path
    storage: str | None
    """A PostgreSQL address; None is the journal in `out`."""
    study: str
    space: tuple[Dimension, ...]
    seed: int
    evaluations: int
    trials: int
    """How many are to be finished in all."""
    rates: frozenset[str] = frozenset()
    """The peak rates that the user gave beside the space: such a rate stays where the space has the
    other one alone.
    """

    @property
    def shared(self) -> bool:
        """Whether other machines may work on the same trials."""
        return self.storage is not None


def hidden_password(text: str) -> str:
    """Return an address as it may be shown and kept: `***` for its password."""
    try:
        parts = urlsplit(text)
        password = parts.password
    except ValueError:
        return "postgresql://***"
    if password is None:
        return text
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))


def check_storage(address: str) -> None:
    """Raise a `ConfigError` if trials cannot be kept there."""
    if not address.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
        raise ConfigError(
            f"--storage {address.partition(':')[0]!r} is not supported. Allowed:"
            " postgresql://USER:PASSWORD@HOST:PORT/DATABASE; without --storage the trials are kept"
            " in the folder of the sweep."
        )


@contextlib.contextmanager
def opened(place: StudyLocation, *, mend: bool = False) -> Iterator[tuple[Any, Any]]:
    """Open Optuna's storage and the study in it, which is made if absent.

    Connections are closed in the end. With `mend`, a journal is mended first: no other process may
    have it open.

    Raises:
        MissingExtraError: Optuna, or what it needs for PostgreSQL, is not installed.
        ConfigError: the server does not answer, or refuses.
        DiskError: the journal cannot be written.
    """
    optuna = library("a sweep")
    if place.storage is None:
        path = place.out / JOURNAL
        if mend:
            _mend_journal(path)
        with disk_errors(path):
            # Optuna's own lock would be waited for after its holder was killed
            backend = optuna.storages.journal.JournalFileBackend(
                str(path), lock_obj=FileLock(path.with_suffix(".lock"))
            )
        storage = optuna.storages.JournalStorage(backend)
        yield storage, _study(place, storage)
        return
    storage = _database(place.storage)
    try:
        yield storage, _study(place, storage)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _database(address: str) -> Any:
    optuna = library("a sweep")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.storages.RDBStorage(
                "postgresql+psycopg://" + address.partition("://")[2],
                engine_kwargs={"pool_pre_ping": True},
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
                heartbeat_stale_trial_callback=begin_anew,
            )
    except ImportError:
        raise MissingExtraError("a sweep in PostgreSQL", "sweep") from None
    except (
        Exception
    ) as error:  # of the driver, of SQLAlchemy, of Optuna: none of them is a fault of ours
        reason = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
    raise ConfigError(
        f"the storage {hidden_password(address)} cannot be used: {reason} Check host, database,"
        " user and password."
    )


def _study(place: StudyLocation, storage: Any) -> Any:
    optuna = library("a sweep")
    pruner = optuna.pruners.MedianPruner(
        n_startup_trials=FINISHED_FIRST, n_warmup_steps=round(place.evaluations * PROTECTED)
    )
    return optuna.create_study(
        study_name=place.study,
        storage=storage,
        sampler=_sampler(place, 0),
        pruner=pruner,
        direction="minimize",
        load_if_exists=True,
    )


def _sampler(place: StudyLocation, *numbers: int) -> Any:
    """Return a sampler with a generator of its own for the numbers.

    What it draws depends on them and on what is known.
    """
    (seed,) = np.random.SeedSequence([place.seed, *numbers]).generate_state(1)
    return library("a sweep").samplers.TPESampler(seed=int(seed), n_startup_trials=STARTUP)


def draw(
    study: Any, trial_id: int, number: int, place: StudyLocation
) -> tuple[Any, dict[str, Any]]:
    """Return Optuna's trial, and its point: values that it has already stay, others are drawn.

    Every field is drawn with a generator of its own, so that a trial that was killed among its
    fields has the same point.

    Args:
        study: Optuna's.
        trial_id: Optuna's id of the trial.
        number: of the trial in the study.
        place: where the trials are.
    """
    study.sampler = _sampler(place, number)
    trial = library("a sweep").trial.Trial(study, trial_id)
    for index, dimension in enumerate(place.space):
        study.sampler = _sampler(place, number, index)
        if dimension.kind == "choice":
            # its place in the list: not every value of ours is one that Optuna keeps
            trial.suggest_categorical(dimension.field, list(range(len(dimension.choices))))
        elif dimension.kind == "int":
            step = 1 if dimension.step is None else int(dimension.step)
            trial.suggest_int(
                dimension.field,
                int(dimension.low),
                int(dimension.high),
                log=dimension.log,
                step=step,
            )
        else:
            trial.suggest_float(
                dimension.field,
                dimension.low,
                dimension.high,
                log=dimension.log,
                step=dimension.step,
            )
    return trial, values_of(trial.params, place.space)


def values_of(params: dict[str, Any], space: tuple[Dimension, ...]) -> dict[str, Any]:
    """Return what Optuna keeps of a point, as values of the fields, in the order of the space."""
    return {
        dimension.field: (
            dimension.choices[params[dimension.field]]
            if dimension.kind == "choice"
            else params[dimension.field]
        )
        for dimension in space
        if dimension.field in params
    }


def begin_anew(study: Any, lost: Any) -> None:
    """Queue the point of a trial whose machine was lost; values that were not drawn yet will be."""
    trials = library("a sweep").trial
    study.add_trial(
        trials.create_trial(
            state=trials.TrialState.WAITING, params=lost.params, distributions=lost.distributions
        )
    )


def recover_lost(study: Any) -> None:
    """Give the trials of machines that were lost back to the queue (of a shared storage)."""
    optuna = library("a sweep")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)


@contextlib.contextmanager
def alive(place: StudyLocation, storage: Any, trial_id: int) -> Iterator[None]:
    """Send heartbeats of a trial while the block lasts (in a shared storage).

    Args:
        place: where the trials are.
        storage: Optuna's.
        trial_id: Optuna's id of the trial.
    """
    if not place.shared:
        yield
        return
    over = threading.Event()

    def beat() -> None:
        while True:
            with contextlib.suppress(
                Exception
            ):  # a server that is away for a while is no reason to end a training
                storage.record_heartbeat(trial_id)
            if over.wait(HEARTBEAT):
                break
        storage.remove_session()  # every thread has a connection of its own

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _mend_journal(path: Path) -> None:
    """Cut off a last line that was torn when the machine went down.

    No other process may have the journal open.
    """
    if not path.is_file():
        return
    with disk_errors(path), open(path, "r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def storage_errors(place: StudyLocation) -> Iterator[None]:
    """Turn what a storage that fails in the middle of the work says into one clear error."""
    failure = library("a sweep").exceptions.StorageInternalError
    try:
        yield
    except failure:
        where = "the journal" if place.storage is None else hidden_password(place.storage)
        raise InklingsError(
            f"the storage of the sweep ({where}) no longer answers. What was finished is kept; the"
            " same command goes on."
        ) from None
