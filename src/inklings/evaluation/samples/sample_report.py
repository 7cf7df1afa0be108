"""The report on samples, as a plain tree that JSON holds.

A run's measures stand beside those of real text, reference samplers and adversarial samplers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inklings import durable
from inklings.errors import RunError
from inklings.evaluation.samples.calibration import PLACED, REAL, Calibration
from inklings.evaluation.samples.metric import METRICS
from inklings.evaluation.samples.metrics import Measures, measure
from inklings.evaluation.samples.reference_set import ReferenceSet
from inklings.models.contract import Architecture
from inklings.models.objectives import predicts_tokens

FORMAT_VERSION = 1
FILE = "samples.json"

TEMPERATURES = (0.7, 0.85, 1.0, 1.15)
"""A model that has a likelihood is shown at these beside the one asked for: what looks like a
better model may be a colder one.
"""


@dataclass(frozen=True)
class SampleReport:
    """The content of `samples.json`."""

    calibration: Calibration
    runs: dict[str, Measures]
    """By name; the first is what was asked for."""

    def places(self, name: str) -> str:
        """Return a sentence with a run's place on the ladder."""
        values = self.runs[name].values
        places = [
            f"{PLACED[metric]} {self.calibration.place(values[metric], metric)}"
            for metric in PLACED
        ]
        return f"{name}: {'; '.join(places)}."

    def gameable(self) -> dict[str, list[str]]:
        """Return the metrics that contestants without worth do well on here, and which."""
        found = {metric: self.calibration.gameable(metric) for metric in METRICS.places}
        return {metric: names for metric, names in found.items() if names}

    def contestants(self) -> dict[str, Measures]:
        """Return everything measured, in the order of a table."""
        calibration = self.calibration
        return {
            **self.runs,
            REAL: calibration.floor,
            **dict(reversed(calibration.ladder.items())),
            **calibration.cheaters,
        }

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON, with places and warnings beside the figures."""
        return {
            "calibration": self.calibration.to_mapping(),
            "runs": {name: measures.to_mapping() for name, measures in self.runs.items()},
            "places": {name: self.places(name) for name in self.runs},
            "gameable": self.gameable(),
        }

    @staticmethod
    def from_mapping(mapping: Mapping[str, Any]) -> SampleReport:
        """Read what `to_mapping` gave."""
        runs = {name: Measures.from_mapping(measures) for name, measures in mapping["runs"].items()}
        return SampleReport(Calibration.from_mapping(mapping["calibration"]), runs)


def measure_model(
    model: Architecture,
    ground: ReferenceSet,
    *,
    name: str,
    temperature: float = 1.0,
    others: Sequence[float] = TEMPERATURES,
) -> dict[str, Measures]:
    """Draw from a model and measure it.

    One that has a likelihood is measured at other temperatures too, and named by them.

    Args:
        model: a generator with a likelihood, or one that makes whole texts out of noise.
        ground: what it is compared with.
        name: of the model.
        temperature: of the draws that the model is judged by.
        others: further temperatures.

    Errors as `evaluation.drawing.draw`.
    """

    def at(value: float) -> Measures:
        return measure(ground.draw(model, seed=ground.setting.seed, temperature=value), ground)

    if not predicts_tokens(model):
        return {name: at(temperature)}
    return {f"{name} at {value:g}": at(value) for value in dict.fromkeys([temperature, *others])}


def save_report(report: SampleReport, folder: Path) -> Path:
    """Write `samples.json` into a folder, which is made where it is absent; returns its path.

    Raises:
        DiskError: the disk is full, or may not be written to.
    """
    durable.write_checked_json(folder / FILE, report.to_mapping(), format_version=FORMAT_VERSION)
    return folder / FILE


def load_report(folder: Path) -> SampleReport:
    """Read what `save_report` wrote.

    Raises:
        RunError: the file is missing, damaged, or from a newer format.
    """
    value = durable.read_checked_json(folder / FILE, format_version=FORMAT_VERSION, unhashed=True)
    try:
        return SampleReport.from_mapping(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"{folder / FILE} is damaged: it holds no report on samples ({error!r})."
        ) from None
