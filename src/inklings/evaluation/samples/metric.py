"""Metrics of a set of samples: a record for each figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from inklings.evaluation.samples.reference_set import ReferenceSet
from inklings.evaluation.samples.sample_set import SampleSet
from inklings.evaluation.statistics import Interval
from inklings.registry import Registry


@dataclass(frozen=True)
class SampleMetric:
    """A figure of a set of samples: how it is shown, read and measured."""

    title: str
    better: Literal["lower", "higher"]
    measure: Callable[[SampleSet, ReferenceSet], Interval]


METRICS: Registry[SampleMetric] = Registry(
    "metric of samples",
    {
        "js1": "inklings.evaluation.samples.metrics:JS1",
        "js2": "inklings.evaluation.samples.metrics:JS2",
        "js3": "inklings.evaluation.samples.metrics:JS3",
        "js4": "inklings.evaluation.samples.metrics:JS4",
        "reverse": "inklings.evaluation.samples.metrics:REVERSE",
        "classifier": "inklings.evaluation.samples.metrics:CLASSIFIER",
        "length": "inklings.evaluation.samples.metrics:LENGTH",
        "bleu": "inklings.evaluation.samples.metrics:BLEU",
        "self_bleu": "inklings.evaluation.samples.metrics:SELF_BLEU",
        **{
            f"distinct{n}": f"inklings.evaluation.samples.metrics:DISTINCT{n}" for n in (1, 2, 3, 4)
        },
        "unique": "inklings.evaluation.samples.metrics:UNIQUE",
        "novel": "inklings.evaluation.samples.metrics:NOVEL",
        "judge": "inklings.evaluation.samples.metrics:JUDGE",
    },
)
"""Every metric by its name, in the order in which they are shown."""
