"""All sample metrics of one set of samples, and what they mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from inklings.device import one_thread
from inklings.errors import ConfigError, TokenizerError
from inklings.evaluation.samples.bleu import bleu, self_bleu
from inklings.evaluation.samples.collapse import collapse
from inklings.evaluation.samples.divergence import js_divergence
from inklings.evaluation.samples.diversity import (
    distinct,
    share_copied,
    share_novel,
    share_unique,
)
from inklings.evaluation.samples.lengths import length_distance
from inklings.evaluation.samples.metric import METRICS, SampleMetric
from inklings.evaluation.samples.reference_models import judge_likelihood, reverse_likelihood
from inklings.evaluation.samples.reference_set import ReferenceSet
from inklings.evaluation.samples.sample_set import SampleSet
from inklings.evaluation.samples.two_sample import classifier_accuracy
from inklings.evaluation.statistics import Interval

JS1 = SampleMetric(
    "JS-1", "lower", lambda samples, ground: js_divergence(samples, ground.reference, 1)
)
JS2 = SampleMetric(
    "JS-2", "lower", lambda samples, ground: js_divergence(samples, ground.reference, 2)
)
JS3 = SampleMetric(
    "JS-3", "lower", lambda samples, ground: js_divergence(samples, ground.reference, 3)
)
JS4 = SampleMetric(
    "JS-4", "lower", lambda samples, ground: js_divergence(samples, ground.reference, 4)
)
REVERSE = SampleMetric(
    "reverse, nats per token",
    "lower",
    lambda samples, ground: reverse_likelihood(samples, ground.reference),
)
CLASSIFIER = SampleMetric(
    "classifier accuracy",
    "lower",
    lambda samples, ground: classifier_accuracy(samples, ground.reference),
)
LENGTH = SampleMetric(
    "length distance",
    "lower",
    lambda samples, ground: length_distance(samples, ground.reference),
)
BLEU = SampleMetric("BLEU", "higher", lambda samples, ground: bleu(samples, ground.reference))
SELF_BLEU = SampleMetric("self-BLEU", "lower", lambda samples, _: self_bleu(samples))
DISTINCT1 = SampleMetric("distinct-1", "higher", lambda samples, _: distinct(samples, 1))
DISTINCT2 = SampleMetric("distinct-2", "higher", lambda samples, _: distinct(samples, 2))
DISTINCT3 = SampleMetric("distinct-3", "higher", lambda samples, _: distinct(samples, 3))
DISTINCT4 = SampleMetric("distinct-4", "higher", lambda samples, _: distinct(samples, 4))
UNIQUE = SampleMetric("share unique", "higher", lambda samples, _: share_unique(samples))
NOVEL = SampleMetric(
    "share novel", "higher", lambda samples, ground: share_novel(samples, ground.known)
)
JUDGE = SampleMetric(
    "judge, nats per token",
    "lower",
    lambda samples, ground: judge_likelihood(ground.judge, samples),
)


@dataclass(frozen=True)
class Measures:
    """The figures of one set of samples."""

    values: dict[str, Interval]
    """Intervals by the names of `metric.METRICS`, over resamples of the samples."""
    alarm: list[str]
    """Why the samples must be called collapsed; see `evaluation.collapse`."""
    learned: Interval | None = None
    """The share that copies what the model was trained on, where it is compared with another text.
    """

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "values": {name: value.to_mapping() for name, value in self.values.items()},
            "alarm": self.alarm,
            "learned": None if self.learned is None else self.learned.to_mapping(),
        }

    @staticmethod
    def from_mapping(mapping: dict[str, Any]) -> Measures:
        """Read what `to_mapping` gave."""
        return Measures(
            {name: _interval(value) for name, value in mapping["values"].items()},
            list(mapping["alarm"]),
            None if mapping.get("learned") is None else _interval(mapping["learned"]),
        )


def _interval(value: dict[str, Any]) -> Interval:
    unknown = {"low": -math.inf, "high": math.inf, "estimate": math.nan}
    return Interval(
        **{**value, **{name: end for name, end in unknown.items() if value[name] is None}}
    )


def measure(samples: SampleSet, ground: ReferenceSet) -> Measures:
    """Return every metric of a set of samples.

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
    with one_thread():
        values = {name: METRICS[name].measure(samples, ground) for name in METRICS.places}
        learned = None if ground.learned is None else share_copied(samples, ground.learned)
    return Measures(values, collapse(samples, ground.training, ground.tokenizer), learned)
