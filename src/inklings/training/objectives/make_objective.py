"""From a model's traits to the objective that trains it."""

from __future__ import annotations

from inklings.config import RunConfig
from inklings.device import Runtime
from inklings.errors import ArchitectureError
from inklings.models.contract import Architecture, SequenceModel
from inklings.models.from_noise import SampleModel
from inklings.text.store import TokenSplit
from inklings.text.whole_texts import TextBatches, text_windows, whole_texts
from inklings.training.objectives.adversarial import AdversarialObjective
from inklings.training.objectives.likelihood import (
    CountingObjective,
    LikelihoodObjective,
    Objective,
    make_batches,
)


def make_objective(
    model: Architecture, split: TokenSplit, config: RunConfig, runtime: Runtime
) -> Objective:
    """The objective that the model's traits name, over a training split.

    With settings that leave nothing `auto`.

    Raises:
        ArchitectureError: the model is not of the kind that its objective trains.
        SourceError: no text of the split fits.
    """
    kind = model.traits.objective
    if kind == "adversarial" and isinstance(model, SampleModel):
        texts = real_texts(model, split, config.training.batch_size, config.training.seed)
        return AdversarialObjective(model, texts, seed=config.training.weights_seed)
    if kind == "adversarial" or not isinstance(model, SequenceModel):
        raise ArchitectureError(
            f"{type(model).__name__} declares the objective {kind!r}. A SampleModel learns by"
            " 'adversarial', a SequenceModel by 'likelihood' or 'counting'."
        )
    if kind == "counting":
        return CountingObjective(model, split)
    return LikelihoodObjective(
        model, make_batches(model, split, config.training), config.training, runtime
    )


def real_texts(model: SampleModel, split: TokenSplit, batch_size: int, seed: int) -> TextBatches:
    """The real texts that the model is trained towards.

    Raises:
        SourceError: no text of the split fits.
    """
    texts = whole_texts if model.reads == "documents" else text_windows
    return texts(split, batch_size=batch_size, length=model.config.context_length, seed=seed)
