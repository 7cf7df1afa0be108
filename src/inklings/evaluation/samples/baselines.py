"""Generators of known worth, to read a run's figures against.

They are samplers of growing order, and two adversarial samplers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inklings.evaluation.samples.reference_models import ORDER, nats_of, train_judge
from inklings.evaluation.samples.reference_set import ReferenceSet
from inklings.evaluation.samples.sample_set import SampleSet

RUNGS = {"unigram": 1, "bigram": 2, "trigram": 3, "5-gram": ORDER}
"""Interpolated Kneser-Ney samplers, by order. The highest is the judge itself, so `judge` favours
it.
"""

UNIFORM, REPLAY, REPEAT = "uniform", "replay", "repeat"


def floor(ground: ReferenceSet) -> SampleSet:
    """Return real training documents, as many as there are samples.

    No generator should be expected to do better.
    """
    return ground.training.select(np.arange(ground.setting.samples))


def ladder(ground: ReferenceSet) -> dict[str, SampleSet]:
    """Return samples of the reference samplers: uniform, unigram, bigram, trigram, 5-gram.

    The uniform sampler draws from all tokens that the training text holds, and takes its lengths
    from training documents. The others are counted on the training text.
    """
    rungs = {UNIFORM: _uniform(ground)}
    for number, (name, order) in enumerate(RUNGS.items()):
        model = ground.judge if order == ORDER else train_judge(ground.training, order=order)
        rungs[name] = ground.draw(model, seed=ground.setting.seed + 1000 + number)
    return rungs


def cheaters(ground: ReferenceSet) -> dict[str, SampleSet]:
    """Return samples that no metric should praise.

    They are training documents replayed, and the most plausible one of them repeated: the one with
    the fewest nats per token under the judge, of documents not shorter than the median.
    """
    training, n = ground.training, ground.setting.samples
    some = np.arange(min(len(training), 10_000))
    candidates = some[training.sizes[some] >= np.median(training.sizes[some])]
    nats = nats_of(ground.judge, training.select(candidates)) / np.maximum(
        training.sizes[candidates], 1
    )
    sentence = candidates[int(nats.argmin())]
    replayed = np.random.default_rng((ground.setting.seed, 1)).permutation(len(training))[:n]
    return {REPLAY: training.select(replayed), REPEAT: training.select(np.repeat(sentence, n))}


def _uniform(ground: ReferenceSet) -> SampleSet:
    random = np.random.default_rng((ground.setting.seed, 2))
    training = ground.training
    frame = training.select(random.integers(len(training), size=ground.setting.samples))
    text = np.unique(training.tokens)
    text = text[text != training.boundary]
    if not len(text):
        return frame
    tokens = frame.tokens.copy()
    ends = frame.offsets[1:][frame.ended] - 1
    inside = np.ones(len(tokens), dtype=bool)
    inside[ends] = False
    tokens[inside] = text[random.integers(len(text), size=int(inside.sum()))]
    return replace(frame, tokens=tokens)
