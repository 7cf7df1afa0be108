"""The objective of models that count: one call on the whole training split."""

from __future__ import annotations

from torch import Tensor

from inklings.config import RunConfig, TrainingConfig
from inklings.device import Runtime
from inklings.errors import ArchitectureError
from inklings.models.contract import SequenceModel
from inklings.text.store import TokenSplit, TokenStore
from inklings.training.objectives.base import Objective, Step
from inklings.training.objectives.likelihood import LikelihoodObjective
from inklings.training.objectives.validation import LikelihoodValidation


class CountingObjective(Objective[SequenceModel]):
    """One call of the model's `count` on the training split; it has no state to save."""

    def __init__(self, model: SequenceModel, split: TokenSplit) -> None:
        count = getattr(model, "count", None)
        if not callable(count):
            raise ArchitectureError(
                f"{type(model).__name__} declares the objective 'counting', which needs a method"
                " count(tokens), and it has none."
            )
        self._count = count
        self._split = split

    @classmethod
    def make(
        cls, model: SequenceModel, split: TokenSplit, config: RunConfig, runtime: Runtime
    ) -> CountingObjective:
        """Make the objective; only the split matters."""
        return cls(model, split)

    @classmethod
    def validation(
        cls, model: SequenceModel, store: TokenStore, *, seed: int
    ) -> LikelihoodValidation:
        """Measure nats per token."""
        return LikelihoodValidation(model, store, seed=seed)

    @classmethod
    def settle(cls, model: SequenceModel, training: TrainingConfig) -> TrainingConfig:
        """Settle as for a model that learns by gradient, so that both are audited alike."""
        return LikelihoodObjective.settle(model, training)

    @classmethod
    def tokens_per_step(
        cls, model: SequenceModel, store: TokenStore, training: TrainingConfig
    ) -> int:
        """Count all targets of the split as one step."""
        return store.split("train").n_targets

    @classmethod
    def ignored(cls, model: SequenceModel, training: TrainingConfig) -> list[str]:
        """Say that the budget has no effect."""
        return [
            f"{type(model).__name__} counts the training split once, so the budget of"
            f" {training.budget} is not looked at."
        ]

    def step(self, step: int, rate: float, *, measure: bool) -> Step:
        """Count all of the training part."""
        self._count(self._split.read(0, len(self._split.tokens)))
        return Step(None)

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing: the counts are the model's buffers."""
        return {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Load nothing: the counts are the model's buffers."""
