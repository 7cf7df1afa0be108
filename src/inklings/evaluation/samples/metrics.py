"""All sample metrics of one set of samples, and what they mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from inklings.errors import ConfigError, TokenizerError
from inklings.evaluation.samples.bleu import bleu, self_bleu
from inklings.evaluation.samples.collapse import collapse
from inklings.evaluation.samples.divergence import js_divergence
from inklings.evaluation.samples.diversity import distinct, share_novel, share_unique
from inklings.evaluation.samples.lengths import length_distance
from inklings.evaluation.samples.reference_models import judge_likelihood, reverse_likelihood
from inklings.evaluation.samples.reference_set import ReferenceSet
from inklings.evaluation.samples.sample_set import SampleSet
from inklings.evaluation.samples.two_sample import classifier_accuracy
from inklings.evaluation.statistics import Interval


@dataclass(frozen=True)
class Metric:
    """How a figure is shown and read."""

    title: str
    better: Literal["lower", "higher"]


METRICS = {
    **{f"js{n}": Metric(f"JS-{n}", "lower") for n in (1, 2, 3, 4)},
    "reverse": Metric("reverse, nats per token", "lower"),
    "classifier": Metric("classifier accuracy", "lower"),
    "length": Metric("length distance", "lower"),
    "bleu": Metric("BLEU", "higher"),
    "self_bleu": Metric("self-BLEU", "lower"),
    **{f"distinct{n}": Metric(f"distinct-{n}", "higher") for n in (1, 2, 3, 4)},
    "unique": Metric("share unique", "higher"),
    "novel": Metric("share novel", "higher"),
    "judge": Metric("judge, nats per token", "lower"),
}


@dataclass(frozen=True)
class Measures:
    """What one set of samples measures."""

    values: dict[str, Interval]
    """By the names of `METRICS`; the intervals are over resamples of the samples."""
    alarm: list[str]
    """Why the samples must be called collapsed; see `evaluation.collapse`."""

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "values": {name: value.to_mapping() for name, value in self.values.items()},
            "alarm": self.alarm,
        }

    @staticmethod
    def from_mapping(mapping: dict[str, Any]) -> Measures:
        """What `to_mapping` gave."""
        return Measures(
            {name: _interval(value) for name, value in mapping["values"].items()},
            list(mapping["alarm"]),
        )


def _interval(value: dict[str, Any]) -> Interval:
    unknown = {"low": -math.inf, "high": math.inf, "estimate": math.nan}
    return Interval(
        **{**value, **{name: end for name, end in unknown.items() if value[name] is None}}
    )


def measure(samples: SampleSet, ground: ReferenceSet) -> Measures:
    """Every metric of a set of samples.

    Raises:
        ConfigError: there are more or fewer samples than the ground is for: most metrics depend on
            how many there are.
        TokenizerError: they are of another vocabulary.
    """
    reference, wanted = ground.reference, ground.setting.samples
    if len(samples) != wanted:
        raise ConfigError(
            f"{len(samples):,} samples were given, and the ground is laid for {wanted:,}; distances"
            f" depend on how many there are, so draw {wanted:,}, or lay the ground for"
            f" {len(samples):,}."
        )
    if (samples.vocab_size, samples.boundary) != (reference.vocab_size, reference.boundary):
        raise TokenizerError(
            f"the samples have {samples.vocab_size} tokens (boundary {samples.boundary}), the text"
            f" {reference.vocab_size} (boundary {reference.boundary}); encode the text with the"
            " tokenizer that is stored with the model's run."
        )
    values = {
        **{f"js{n}": js_divergence(samples, reference, n) for n in (1, 2, 3, 4)},
        "reverse": reverse_likelihood(samples, reference),
        "classifier": classifier_accuracy(samples, reference),
        "length": length_distance(samples, reference),
        "bleu": bleu(samples, reference),
        "self_bleu": self_bleu(samples),
        **{f"distinct{n}": distinct(samples, n) for n in (1, 2, 3, 4)},
        "unique": share_unique(samples),
        "novel": share_novel(samples, ground.known),
        "judge": judge_likelihood(ground.judge, samples),
    }
    assert list(values) == list(METRICS)
    return Measures(values, collapse(samples, ground.training, ground.tokenizer))
