"""Metrics of a scored text: a record for each figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from inklings.evaluation.likelihood.scoring import Scored
from inklings.registry import Registry

Sums = npt.NDArray[Any]
"""The sums of a metric: of any shape, the same for every part of a text."""


@dataclass(frozen=True)
class Totals:
    """Totals of a text that every metric may use."""

    targets: int
    """How many tokens were predicted."""
    nats: float
    """Negative log-likelihood of them all."""
    bytes: int | None
    """Bytes of the text in UTF-8; None where the tokenizer loses some."""


@dataclass(frozen=True, kw_only=True)
class LikelihoodMetric:
    """A figure of a scored text, and everything that the rest of the code asks about it."""

    name: str
    """Its key in `likelihood.json`, `metrics.jsonl` and `comparison.json`."""
    title: str
    form: str
    """How a value is shown: `{:.4f}`."""
    unit: str = ""
    better: Literal["lower", "higher"]
    finish: Callable[[Sums, Totals], float | None]
    """The value, from the sums over all targets; None where there is none."""
    count: Callable[[Scored, int], Sums | int | float] | None = None
    """What some scored targets add to the sums; the second argument is the size of the vocabulary.
    None for a metric of the totals alone.
    """
    absent: str = ""
    """Why there may be no value."""
    ranking: bool = False
    """Whether the ranking of a comparison shows it; the report has a table of all."""

    @property
    def heading(self) -> str:
        """The title as a column is headed."""
        return self.title[0].upper() + self.title[1:]

    def format(self, value: float | None) -> str:
        """Return a value as people read it."""
        return "-" if value is None else self.form.format(value)


METRICS: Registry[LikelihoodMetric] = Registry(
    "metric",
    {
        "loss": "inklings.evaluation.likelihood.metrics.nats:LOSS",
        "perplexity": "inklings.evaluation.likelihood.metrics.nats:PERPLEXITY",
        "bits_per_byte": "inklings.evaluation.likelihood.metrics.nats:BITS_PER_BYTE",
        "accuracy": "inklings.evaluation.likelihood.metrics.accuracy:ACCURACY",
        "top5_accuracy": "inklings.evaluation.likelihood.metrics.accuracy:TOP5_ACCURACY",
        "macro_f1": "inklings.evaluation.likelihood.metrics.macro_f1:MACRO_F1",
    },
)
"""Every metric by its name, in the order in which they are shown."""


class MetricSums:
    """Adds up what every metric counts."""

    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self._metrics = list(METRICS)
        self._sums: dict[str, Sums] = {}

    def add(self, scored: Scored) -> None:
        """Add some scored targets."""
        for metric in self._metrics:
            if metric.count is not None:
                found = np.asarray(metric.count(scored, self._vocab_size))
                before = self._sums.get(metric.name)
                self._sums[metric.name] = found if before is None else np.asarray(before + found)

    def values(self, totals: Totals) -> dict[str, float | None]:
        """Return every metric of all that was added."""
        return {
            metric.name: metric.finish(self._sums.get(metric.name, np.zeros(())), totals)
            for metric in self._metrics
        }
