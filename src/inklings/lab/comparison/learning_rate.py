"""The search for an arm's learning rate: a few factors, each tried at the whole budget.

Every architecture, and every size of one, has a best learning rate of its own; a comparison at one
rate for all would compare how well that rate suits them. Factors are powers of two on the settings'
own rates. A trial that is clearly behind is given up early.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from inklings.config import RunConfig, scaled_rates, to_mapping
from inklings.durable import read_json, write_json
from inklings.errors import ConfigError, DivergedError, RunError
from inklings.events import Event, OnEvent
from inklings.lab.comparison.rates import RateSearch, RateTrial
from inklings.lab.execution.prunable_run import attempt_trial
from inklings.optimizers import OPTIMIZERS
from inklings.runs.interruption import Interruption
from inklings.runs.own_text import data_hash
from inklings.text.store import TokenStore
from inklings.values import from_mapping

FILE_NAME = "search.json"
FORMAT = 1

SEARCH_SEED = 271_828_182
"""Seed of all trials: far from the small numbers that ranked runs have, so that the choice of a
rate favours none of them.
"""
FURTHER = 2
"""Most further factors that are tried, one after another, while the best is the outermost."""
PROTECTED = 0.5
"""Share of the evaluations before which no trial is given up: the best rate is rarely the one that
leads early.
"""
FINISHED_FIRST = 2
"""Trials that must finish before one may be given up."""


def search_rate(
    config: RunConfig, folder: Path, store: TokenStore, *, trials: int, on_event: OnEvent
) -> RateSearch | None:
    """Find the factor on the learning rates with which a run reaches its lowest validation loss.

    The factors are 1, 1/2, 2, 1/4, 4 and so on, as many as asked; where the best of them is the
    outermost on its side, one more outside is tried, and another if that wins. All have one seed. A
    trial is given up in its second half when, at the same evaluation, it is behind every trial that
    was finished before.

    What was done is in `folder/search.json`, and an unfinished trial is a run beside it: the same
    call goes on from there, to the same result bit for bit. Runs of trials that ended are removed.

    Args:
        config: settings with nothing left to be measured (precision, compilation, threads), as a
            comparison settles them; their seed, samples and patience are not looked at.
        folder: where the search is kept.
        store: the text.
        trials: how many factors.
        on_event: called with every event of every trial's run, which carries `factor`; and with one
            event `rate` at the end of each trial, which carries its fields.

    Returns:
        What was found; None if Ctrl-C or SIGTERM came.

    Raises:
        ConfigError: fewer than one trial.
        RunError: the folder holds the search of other settings or another text.
        DivergedError: not one of the trials stayed finite.
        InputError, DiskError, OutOfMemoryError: as in `train`.
    """
    if trials < 1:
        raise ConfigError(f"the number of trials of a search is {trials}; it must be at least 1.")
    search = _Search.open(config, folder, store, trials)
    with Interruption() as interruption:
        while (factor := next_factor(search.done, trials)) is not None:
            trial = None if interruption.asked else search.attempt(factor, on_event)
            if trial is None:
                return None
            search.keep(trial)
            on_event(
                {
                    "event": "rate",
                    "factor": trial.factor,
                    "status": trial.status,
                    "losses": trial.losses,
                    "message": trial.message,
                    "loss": trial.loss,
                }
            )
    search.clear()
    best = _best(search.done)
    if best is None:
        tried = ", ".join(_say(trial.factor) for trial in search.done)
        raise DivergedError(
            f"no learning rate that was tried stayed finite ({tried} times the settings' own). The"
            f" last one: {search.done[-1].message} Try settings with a much lower rate, or see what"
            " `inklings audit` says of the arm."
        )
    return RateSearch(trials=search.done, factor=best.factor)


def next_factor(done: list[RateTrial], trials: int) -> float | None:
    """Return the factor to try after those that were tried, or None if the search is over."""
    if len(done) < trials:
        half = (len(done) + 1) // 2
        return 2.0 ** (half if len(done) % 2 == 0 else -half)
    best = _best(done)
    if best is None or best.factor == 1.0 or len(done) >= trials + FURTHER:
        return None
    above = best.factor > 1.0
    outermost = (
        max(trial.factor for trial in done) if above else min(trial.factor for trial in done)
    )
    return (best.factor * 2.0 if above else best.factor / 2.0) if best.factor == outermost else None


def _best(done: list[RateTrial]) -> RateTrial | None:
    """Return the trial with the lowest loss at the end.

    Of equal ones, it is the one tried first, which is nearer to the settings' own rates.
    """
    return min(
        (trial for trial in done if trial.loss is not None),
        key=lambda trial: trial.losses[-1],
        default=None,
    )


def is_behind(losses: list[float], done: list[RateTrial], evaluations: int) -> bool:
    """Return whether a trial is given up.

    Its lowest loss so far is above that of every finished trial at the same evaluation.

    To be behind the median of the finished trials would do for many of them; with two or three,
    rates that win in the end would be given up. It depends on what is written down alone, so that a
    search decides the same whether it was stopped or not.

    Args:
        losses: of the trial, at its evaluations so far.
        done: the trials that ended before.
        evaluations: how many a trial makes.
    """
    finished = [trial.losses for trial in done if trial.status == "done"]
    if len(finished) < FINISHED_FIRST or len(losses) < math.ceil(evaluations * PROTECTED):
        return False
    return min(losses) > max(other[len(losses) - 1] for other in finished)


def _say(factor: float) -> str:
    return f"{factor:g}" if factor >= 1 else f"1/{1 / factor:g}"


@dataclass(frozen=True, eq=False)
class _Search:
    """A search for a learning rate, and its folder."""

    folder: Path
    store: TokenStore
    config: RunConfig
    """Settings at the factor 1."""
    identity: dict[str, Any]
    """What two calls must share to be one search."""
    done: list[RateTrial]

    @classmethod
    def open(cls, config: RunConfig, folder: Path, store: TokenStore, trials: int) -> _Search:
        """Return the search in `folder`, begun or new.

        Raises:
            RunError: the folder holds another one.
        """
        training = replace(
            config.training, seed=SEARCH_SEED, samples=0, keep_checkpoints=1, patience=0
        )
        config = replace(config, training=training)
        identity = {
            "settings": json.loads(json.dumps(to_mapping(config))),
            "data": data_hash(store),
            "asked": trials,
        }
        if not (folder / FILE_NAME).is_file():
            return cls(folder, store, config, identity, [])
        found = read_json(folder / FILE_NAME, format_version=FORMAT)
        different = [name for name, value in identity.items() if found.get(name) != value]
        if different:
            what = {"settings": "the settings", "data": "the text", "asked": "the number of trials"}
            raise RunError(
                f"{folder} holds another search, which differs in"
                f" {', '.join(what[name] for name in different)}. Move it away, or choose another"
                " folder."
            )
        try:
            done = [
                from_mapping(RateTrial, trial, where=str(folder / FILE_NAME))
                for trial in found["trials"]
            ]
        except (ConfigError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{folder / FILE_NAME} is damaged: {error}. Delete it; the same command makes it"
                " anew."
            ) from None
        return cls(folder, store, config, identity, done)

    def attempt(self, factor: float, on_event: OnEvent) -> RateTrial | None:
        """Try a factor, or go on trying it; None if it was interrupted."""
        losses: list[float] = []

        def judge(index: int, loss: float) -> bool:
            losses.append(loss)
            return is_behind(losses, self.done, self.config.training.evaluations)

        def of_factor(event: Event) -> None:
            event = event.copy()
            event["factor"], event["tries"] = factor, tries
            on_event(event)

        training = scaled_rates(self.config.training, factor)
        rates = OPTIMIZERS[training.optimizer].rates
        tries = f"learning rate {getattr(training, rates[0].setting):.2g}"
        config = replace(self.config, training=training)
        made = attempt_trial(
            config,
            self._run(factor),
            self.store,
            judge=judge,
            on_event=of_factor,
        )
        return (
            None
            if made is None
            else RateTrial(
                factor=factor, status=made.status, losses=made.losses, message=made.message
            )
        )

    def keep(self, trial: RateTrial) -> None:
        """Write down a trial that ended; its run has served."""
        self.done.append(trial)
        content = {
            "format_version": FORMAT,
            **self.identity,
            "trials": [asdict(done) for done in self.done],
        }
        write_json(self.folder / FILE_NAME, content)
        shutil.rmtree(self._run(trial.factor), ignore_errors=True)

    def clear(self) -> None:
        """Remove what a killed process left of runs that are written down."""
        for trial in self.done:
            shutil.rmtree(self._run(trial.factor), ignore_errors=True)
        for leftover in self.folder.glob(".*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _run(self, factor: float) -> Path:
        return self.folder / f"x{factor:.12g}"
