"""The scale that sample metrics are read on: real text and samplers of known worth.

All are measured at one sample size. The scale depends on the text, the number of samples and the
windows only, so it is computed once for all runs.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inklings.device import one_thread
from inklings.evaluation.samples.baselines import UNIFORM, cheaters, floor, ladder
from inklings.evaluation.samples.diversity import share_novel
from inklings.evaluation.samples.metric import METRICS
from inklings.evaluation.samples.metrics import Measures, measure
from inklings.evaluation.samples.reference_models import judge_likelihood
from inklings.evaluation.samples.reference_set import ReferenceSet, SampleSettings
from inklings.evaluation.statistics import Interval

PLACED = {"js3": "JS-3", "js4": "JS-4", "reverse": "reverse likelihood"}
"""The metrics by which a run is placed among the reference samplers."""


REAL = "real text"


@dataclass(frozen=True)
class Calibration:
    """The figures of real text, the reference samplers and the adversarial samplers."""

    setting: SampleSettings
    floor: Measures
    """Real training documents against the reference; `novel` and `judge` are those of held-out
    documents.
    """
    ladder: dict[str, Measures]
    """Measures of the reference samplers, from the lowest order."""
    cheaters: dict[str, Measures]

    def gameable(self, metric: str) -> list[str]:
        """Return which worthless contestants do as well as real text on a metric, or better."""
        known = {UNIFORM: self.ladder[UNIFORM], **self.cheaters}
        real = _cost(self.floor.values[metric].estimate, metric)
        rungs = [measures.values[metric] for measures in self.ladder.values()]
        bounds = [
            self.floor.values[metric],
            *(rung for rung in rungs if _cost(rung.estimate, metric) > real),
        ]
        return [
            name
            for name, measures in sorted(known.items())  # files keep names in this order
            if all(_order(measures.values[metric], bound, metric) <= 0 for bound in bounds)
        ]

    def place(self, value: Interval, metric: str) -> str:
        """Place a value among the reference samplers, as in `between bigram and trigram`.

        It stands above the best sampler that it beats and below the worst that beats it; of those
        between the two, it is level with each from which it differs by less than two draws would by
        chance. So a sampler of uncertain figure decides nothing where a better one is beaten.
        """
        if not value.known:
            return "not placed, of too few samples"
        rungs = {
            **{name: measures.values[metric] for name, measures in self.ladder.items()},
            REAL: self.floor.values[metric],
        }
        names = sorted(
            (name for name in rungs if rungs[name].known),
            key=lambda name: -_cost(rungs[name].estimate, metric),
        )
        if not names:
            return "not placed, of too few samples"
        order = [_order(rungs[name], value, metric) for name in names]
        above = max((place for place, side in enumerate(order) if side == 1), default=-1)
        below = min((place for place, side in enumerate(order) if side == -1), default=len(names))
        if level := names[above + 1 : below]:
            return f"level with {' and '.join(level)}"
        if above < 0:
            return f"below {names[below]}"
        return (
            f"between {names[above]} and {names[below]}"
            if below < len(names)
            else f"better than {names[above]}"
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "setting": asdict(self.setting),
            "floor": self.floor.to_mapping(),
            "ladder": {name: measures.to_mapping() for name, measures in self.ladder.items()},
            "cheaters": {name: measures.to_mapping() for name, measures in self.cheaters.items()},
        }

    @staticmethod
    def from_mapping(mapping: dict[str, Any]) -> Calibration:
        """Read what `to_mapping` gave."""
        return Calibration(
            SampleSettings(**mapping["setting"]),
            Measures.from_mapping(mapping["floor"]),
            {name: Measures.from_mapping(measures) for name, measures in mapping["ladder"].items()},
            {
                name: Measures.from_mapping(measures)
                for name, measures in mapping["cheaters"].items()
            },
        )


@one_thread()
def calibrate(ground: ReferenceSet) -> Calibration:
    """Measure real text, the ladder and the cheaters."""
    real = measure(floor(ground), ground)
    # Training documents are known, to the judge too, which makes them unlike any new text.
    new = ground.reference.select(np.arange(ground.setting.samples))
    of_new = {"novel": share_novel(new, ground.known), "judge": judge_likelihood(ground.judge, new)}
    return Calibration(
        ground.setting,
        Measures({**real.values, **of_new}, real.alarm),
        {name: measure(samples, ground) for name, samples in ladder(ground).items()},
        {name: measure(samples, ground) for name, samples in cheaters(ground).items()},
    )


def _cost(value: float, metric: str) -> float:
    return value if METRICS[metric].better == "lower" else -value


def _order(one: Interval, other: Interval, metric: str) -> int:
    """Return 1 where the first value is worse, -1 where it is better, 0 otherwise.

    Neither is certain where the interval of their difference holds zero.
    """
    difference = _cost(one.estimate, metric) - _cost(other.estimate, metric)
    if abs(difference) <= math.hypot(*((value.high - value.low) / 2 for value in (one, other))):
        return 0
    return 1 if difference > 0 else -1
