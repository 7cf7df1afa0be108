"""`sweep`: search the settings of one architecture under one budget, with Optuna.

A sweep is a folder. The same call goes on where it stopped: a trial that ended is not done again,
and one that was stopped goes on from its last checkpoint. Many machines may share the trials in one
PostgreSQL database.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inklings.config import RunConfig, to_mapping
from inklings.device import environment
from inklings.durable import disk_errors, sha256
from inklings.errors import ConfigError, RunError
from inklings.events import TRACKERS_FOLDER, OnEvent, silent
from inklings.lab.comparison.arms import Terms, folder_name, settle
from inklings.lab.comparison.text_facts import describe_text
from inklings.lab.sweep.optuna_library import library
from inklings.lab.sweep.space import apply, moves_with, parse_space
from inklings.lab.sweep.storage import (
    JOURNAL,
    MESSAGE,
    StudyLocation,
    check_storage,
    opened,
    storage_errors,
    values_of,
)
from inklings.lab.sweep.sweep_results import (
    FILE_NAME,
    Sweep,
    SweepTrial,
    read_sweep,
    write_best,
    write_sweep,
)
from inklings.lab.sweep.trial import is_lost
from inklings.lab.sweep.trial_jobs import do_trials, remove_runs
from inklings.models.contract import chosen_fields
from inklings.models.objectives import objective_of
from inklings.models.own_code.contract_check import try_contract
from inklings.runs.arms import Arm
from inklings.runs.lock import locked
from inklings.runs.own_text import data_hash
from inklings.text.store import TokenStore, prepare
from inklings.training.budgets.budget import parse_budget
from inklings.training.setup import fresh_model

TRIALS = 20
"""Trials that are to be finished, where no number is asked for."""
IMPORTANCE_FROM = 5
"""Fewest finished trials from which the importance of fields is estimated."""


def sweep(
    config: RunConfig,
    *,
    space: Sequence[str],
    trials: int,
    out: Path,
    storage: str | None = None,
    workers: int | None = None,
    rates: frozenset[str] = frozenset(),
    command: str | None = None,
    on_event: OnEvent = silent,
) -> Sweep:
    """Search an architecture's settings for the lowest validation loss at the end of a budget.

    Points are drawn by Optuna's TPE, a tree-structured Parzen estimator (Bergstra et al. 2011,
    NeurIPS), seeded; what is behind the median of the finished trials at the same evaluation is
    given up. A trial's losses are a function of its point; which points are drawn depends on what
    is known at that moment, so with several workers it is not repeatable.

    Args:
        config: the settings that all trials begin from; `training.seed` is that of all trials and
            of the sampler.
        space: what is searched, see `lab.space`; nothing takes the learning rates.
        trials: how many are to be finished in all, those of earlier calls included.
        out: a new folder, or one with this sweep begun.
        storage: a PostgreSQL address whose trials all machines share; None keeps them in the
            folder.
        workers: trials at a time, each in its own process and on one thread; None takes one a core
            (one on a GPU).
        rates: the peak rates that the settings were given; one that was given alone stays where the
            space has the other alone, and else the one that is searched moves both in the ratio of
            the settings.
        command: the command line that repeats this.
        on_event: called with every event of every trial, which carries `run`.

    Returns:
        What was found; `status` is "unfinished" if Ctrl-C or SIGTERM came, or other machines are
        still at work. The same
        call goes on.

    Raises:
        MissingExtraError: Optuna is not installed.
        InputError: the space, the budget, the text or the architecture cannot be used, or `out`
            holds something else.
        DiskError: the folder cannot be written.
    """
    report = on_event
    parse_budget(config.training.budget)
    for name, value in (("trials", trials), ("workers", workers)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1.")
    if storage is not None:
        check_storage(storage)
    library("a sweep")
    dimensions = parse_space(space, config)
    try_contract(config.architecture, config.model)
    store = prepare(config.data, on_event=report)
    base = settled(config, store, report)
    moves = moves_with(dimensions, base, rates)
    identity = _identity(base, store, [str(dimension) for dimension in dimensions], moves)
    made = Sweep(
        architecture=config.architecture,
        study=(
            f"inklings-{folder_name(config.architecture)}-"
            + sha256(json.dumps(identity, sort_keys=True).encode())[:12]
        ),
        space=identity["space"],
        budget=config.training.budget,
        seed=config.training.seed,
        unit=objective_of(fresh_model(base, store)).unit,
        asked=trials,
        status="unfinished",
        command=command,
        identity=identity,
        text=describe_text(store),
        environment=environment(),
    )
    _check_folder(out, made)
    place = StudyLocation(
        out=out.resolve(),
        storage=storage,
        study=made.study,
        space=tuple(dimensions),
        seed=config.training.seed,
        evaluations=config.training.evaluations,
        trials=trials,
        rates=rates,
    )
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    with (
        locked(out, doing="searched", advice="choose another --out"),
        storage_errors(place),
        opened(place, mend=True) as (storage, study),
    ):
        write_sweep(out, _collected(made, place, study))
        whole = do_trials(base, place, store, workers, report, storage, study)
        made = _collected(made, place, study)
        best = made.best
        if best is not None:
            remove_runs(place, study)
            write_best(
                out, _complete(apply(config, _tuples(best.values), rates=rates), store), made
            )
        made = replace(
            made, status="complete" if whole and len(made.trials) >= trials else "unfinished"
        )
        write_sweep(out, made)
    return made


def settled(config: RunConfig, store: TokenStore, on_event: OnEvent) -> RunConfig:
    """Settle the settings as every trial has them.

    Nothing is left to be measured, and only needed files are written.

    Args:
        config: as it was given.
        store: the text.
        on_event: called with every event as it happens.

    Raises:
        InputError: the architecture cannot be built with them.
    """
    terms = Terms(
        data=config.data,
        budget=config.training.budget,
        store=store,
        points=1,
        parameters=None,
        before=None,
    )
    settled = settle(
        Arm(config.architecture, config), config.architecture, 0, terms, on_event
    ).config
    assert settled is not None
    return replace(
        settled,
        training=replace(
            settled.training, seed=config.training.seed, samples=0, keep_checkpoints=1
        ),
    )


def _identity(
    base: RunConfig, store: TokenStore, space: list[str], moves: str | None
) -> dict[str, Any]:
    settings = to_mapping(base)
    del settings["data"]  # a path may differ between machines, what it holds may not
    found = {"settings": settings, "text": data_hash(store), "space": space}
    plain: dict[str, Any] = json.loads(
        json.dumps(found if moves is None else {**found, "moves": moves})
    )
    return plain


def _check_folder(out: Path, made: Sweep) -> None:
    """Raise a `RunError` if the folder holds something else than this sweep."""
    if not (out / FILE_NAME).is_file():
        # of a sweep that was killed before it wrote a word
        left = {JOURNAL, "lock", "trials.lock", TRACKERS_FOLDER}
        if out.is_file() or (
            out.is_dir()
            and any(
                path.name not in left and not path.name.startswith(".") for path in out.iterdir()
            )
        ):
            raise RunError(f"{out} exists and is not a sweep. Choose another --out.")
        return
    before = read_sweep(out).identity
    if before != made.identity:
        differing = []
        named = {
            "settings": "the settings",
            "text": "the text, or the vocabulary that makes it tokens",
            "space": "the space",
            "moves": "what moves with a rate",
        }
        for name, what in named.items():
            if before.get(name) != made.identity.get(name):
                was = (
                    f" ({' '.join(before[name])}, now {' '.join(made.identity[name])})"
                    if name == "space"
                    else ""
                )
                differing.append(what + was)
        raise RunError(
            f"{out} holds another sweep, which differs in {'; '.join(differing)}. Choose another"
            " --out, or move that one away."
        )


def _collected(made: Sweep, place: StudyLocation, study: Any) -> Sweep:
    """Return the sweep with what the storage holds."""
    optuna = library("a sweep")
    states = optuna.trial.TrialState
    names = {states.COMPLETE: "done", states.PRUNED: "pruned", states.FAIL: "failed"}
    trials = [
        SweepTrial(
            number=trial.number,
            status=names[trial.state],  # type: ignore[arg-type]  # mypy cannot see the three
            values=json.loads(json.dumps(values_of(trial.params, place.space))),
            losses=[trial.intermediate_values[step] for step in sorted(trial.intermediate_values)],
            message=trial.user_attrs.get(MESSAGE),
        )
        for trial in study.get_trials(deepcopy=False)
        if trial.state in names and not is_lost(trial)
    ]
    importance: dict[str, float] = {}
    if len([trial for trial in trials if trial.loss is not None]) >= IMPORTANCE_FROM:
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        importance = {
            name: float(share)
            for name, share in optuna.importance.get_param_importances(
                study, evaluator=evaluator
            ).items()
        }
    return replace(made, trials=trials, importance=importance)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as the fields have them: JSON has no tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }


def _complete(config: RunConfig, store: TokenStore) -> dict[str, Any]:
    """Return all settings, the fields of the model written out."""
    return to_mapping(replace(config, model=chosen_fields(fresh_model(config, store).config)))
