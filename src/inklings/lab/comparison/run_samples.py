"""Sample metrics of one run of a comparison.

They are measured in the run's own process, and kept as `results/ARM/seed-N/samples.json`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from inklings.durable import read_checked_json, write_checked_json
from inklings.errors import RunError
from inklings.evaluation.samples.metrics import Measures, measure
from inklings.evaluation.samples.reference_set import ReferenceSet, make_reference_set
from inklings.evaluation.samples.sample_report import TEMPERATURES
from inklings.lab.comparison.plan import SamplePlan
from inklings.lab.comparison.records import ANEW
from inklings.lab.comparison.result import Comparison, SampleFigures
from inklings.models.contract import Architecture
from inklings.models.objectives import predicts_tokens
from inklings.text.store import TokenStore

FORMAT_VERSION = 1
FILE_NAME = "samples.json"


@dataclass(frozen=True)
class RunSamples:
    """The metrics of the samples of a run."""

    judged: Measures
    """Metrics at temperature 1: the run is judged by them."""
    at: dict[float, Measures] = field(default_factory=dict)
    """Metrics at all temperatures that were tried, 1 among them; empty for a generator without
    likelihood, and for all runs but the first.
    """


Measured = Mapping[tuple[str, int | None], RunSamples]
"""Sample metrics by (arm, seed)."""


@functools.lru_cache(maxsize=1)
def ground_of(store: Path, split: Literal["test", "validation"], plan: SamplePlan) -> ReferenceSet:
    """Make the reference set of a comparison; a process that does several runs makes it once.

    Args:
        store: the path of the token store.
        split: the held-out split.
        plan: how samples are drawn.
    """
    return make_reference_set(TokenStore(store), split, samples=plan.samples, windows=plan.windows)


def measure_run(model: Architecture, ground: ReferenceSet, *, seed: int, sweep: bool) -> RunSamples:
    """Let a run write samples, and measure them.

    Args:
        model: the run's.
        ground: the reference set.
        seed: of the draws. Runs of different seeds have different draws, so that the spread over
            seeds holds theirs too.
        sweep: whether a model that has a likelihood is measured at other temperatures too.

    Raises:
        SourceError: it writes too little to be measured.
    """

    def at(temperature: float) -> Measures:
        return measure(ground.draw(model, seed=seed, temperature=temperature), ground)

    judged = at(1.0)
    if not sweep or not predicts_tokens(model):
        return RunSamples(judged)
    return RunSamples(
        judged, {value: judged if value == 1 else at(value) for value in TEMPERATURES}
    )


def figures_of(measured: RunSamples) -> SampleFigures:
    """Return the figures without their intervals; what is not known is left out."""
    values = {
        name: value.estimate
        for name, value in measured.judged.values.items()
        if math.isfinite(value.estimate)
    }
    return SampleFigures(values=values, alarm=measured.judged.alarm)


def write_run_samples(folder: Path, measured: RunSamples) -> None:
    """Write `samples.json` into a folder, which is made where it is absent."""
    at = [
        {"temperature": value, **measures.to_mapping()} for value, measures in measured.at.items()
    ]
    content = {"judged": measured.judged.to_mapping(), "at": at}
    write_checked_json(folder / FILE_NAME, content, format_version=FORMAT_VERSION)


def read_run_samples(folder: Path) -> RunSamples:
    """Read what `write_run_samples` wrote.

    Raises:
        RunError: the file is missing, damaged, or from a newer format.
    """
    value = read_checked_json(
        folder / FILE_NAME, format_version=FORMAT_VERSION, unhashed=True, remedy=ANEW
    )
    try:
        at = {part["temperature"]: Measures.from_mapping(part) for part in value["at"]}
        return RunSamples(Measures.from_mapping(value["judged"]), at)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{folder / FILE_NAME} is damaged ({error}). {ANEW}") from None


def read_measured(out: Path, comparison: Comparison) -> Measured:
    """Return what the samples of all runs of a comparison measure. Errors as `read_run_samples`."""
    return {
        (arm.label, run.seed): read_run_samples(out / run.results)
        for arm in comparison.arms
        for run in arm.measured
        if run.results is not None
    }
