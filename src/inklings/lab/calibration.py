"""The scale that sample metrics are read on: real text, samplers of known worth, and cheaters, at one sample size.

It depends on the text, the number of samples and the windows only, so it is computed once for all runs.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inklings.evaluation.diversity import share_novel
from inklings.evaluation.statistics import Interval
from inklings.lab.ground import Ground, Setting
from inklings.lab.judges import judge_likelihood
from inklings.lab.ladder import UNIFORM, cheaters, floor, ladder
from inklings.lab.sample_measures import METRICS, Measures, measure

PLACED = {"js3": "JS-3", "js4": "JS-4", "reverse": "reverse likelihood"}
"""The metrics by which a run is given its place on the ladder."""


REAL = "real text"


@dataclass(frozen=True)
class Calibration:
    """What real text, the ladder and the cheaters measure."""

    setting: Setting
    floor: Measures
    """Real training documents against the reference; `novel` and `judge` are those of held-out documents."""
    ladder: dict[str, Measures]
    """From the lowest rung."""
    cheaters: dict[str, Measures]

    def gameable(self, metric: str) -> list[str]:
        """Which contestants that are worth nothing do as well as real text on a metric, or better."""
        known = {UNIFORM: self.ladder[UNIFORM], **self.cheaters}
        return [name for name, measures in known.items() if _order(measures.values[metric], self.floor.values[metric], metric) <= 0]

    def place(self, value: Interval, metric: str) -> str:
        """Where on the ladder a value stands, as in `between bigram and trigram`.

        A rung is level with it where the two differ by less than what chance would make of two draws.
        """
        rungs = {**{name: measures.values[metric] for name, measures in self.ladder.items()}, REAL: self.floor.values[metric]}
        names = sorted(rungs, key=lambda name: -_cost(rungs[name].estimate, metric))
        order = {name: _order(rungs[name], value, metric) for name in names}
        if level := [name for name in names if order[name] == 0]:
            return f"level with {' and '.join(level)}"
        beaten, ahead = ([name for name in names if order[name] == side] for side in (1, -1))
        if not beaten:
            return f"below {ahead[0]}"
        return f"between {beaten[-1]} and {ahead[0]}" if ahead else f"better than {beaten[-1]}"

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "setting": asdict(self.setting),
            "floor": self.floor.to_mapping(),
            "ladder": {name: measures.to_mapping() for name, measures in self.ladder.items()},
            "cheaters": {name: measures.to_mapping() for name, measures in self.cheaters.items()},
        }

    @staticmethod
    def from_mapping(mapping: dict[str, Any]) -> Calibration:
        """What `to_mapping` gave."""
        return Calibration(
            Setting(**mapping["setting"]),
            Measures.from_mapping(mapping["floor"]),
            {name: Measures.from_mapping(measures) for name, measures in mapping["ladder"].items()},
            {name: Measures.from_mapping(measures) for name, measures in mapping["cheaters"].items()},
        )


def calibrate(ground: Ground) -> Calibration:
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
    """1 where the first value is worse, -1 where it is better, 0 where the interval of their difference holds zero."""
    difference = _cost(one.estimate, metric) - _cost(other.estimate, metric)
    if abs(difference) <= math.hypot(*((value.high - value.low) / 2 for value in (one, other))):
        return 0
    return 1 if difference > 0 else -1
