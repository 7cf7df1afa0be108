"""The objective of models that count: one call on what the budget pays for of the text."""

from __future__ import annotations

from torch import Tensor

from inklings.config import RunConfig, TrainingConfig
from inklings.device import Runtime
from inklings.errors import ArchitectureError
from inklings.models.contract import SequenceModel
from inklings.text.store import TokenSplit, TokenStore
from inklings.training.budgets.budget import parse_budget
from inklings.training.budgets.unit import StepCost
from inklings.training.objectives.base import Objective, Step
from inklings.training.objectives.likelihood import LikelihoodObjective
from inklings.training.objectives.validation import LikelihoodValidation
from inklings.world import ALONE, World


class CountingObjective(Objective[SequenceModel]):
    """One call of the model's `count` on the training split; it has no state to save.

    Counting is held to its budget as learning by gradient is. Where that pays for less than the
    split, documents are drawn until they hold as many tokens: the first ones of a text may be of
    one kind.
    """

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
        cls,
        model: SequenceModel,
        split: TokenSplit,
        config: RunConfig,
        runtime: Runtime,
        world: World,
    ) -> CountingObjective:
        """Make the objective over what the budget pays for of the split."""
        tokens = counted_tokens(config.training, split.n_targets)
        return cls(model, split.sample(tokens, seed=config.training.seed))

    @classmethod
    def validation(
        cls,
        model: SequenceModel,
        store: TokenStore,
        *,
        seed: int,
        world: World = ALONE,
    ) -> LikelihoodValidation:
        """Measure nats per token."""
        return LikelihoodValidation(model, store, seed=seed, world=world)

    @classmethod
    def not_shared(cls, model: SequenceModel, training: TrainingConfig, world: World) -> str | None:
        """Say that counting is done in one pass."""
        return "it counts the text once, in one pass"

    @classmethod
    def settle(cls, model: SequenceModel, training: TrainingConfig) -> TrainingConfig:
        """Settle as for a model that learns by gradient, so that both are audited alike."""
        return LikelihoodObjective.settle(model, training)

    @classmethod
    def tokens_per_step(
        cls, model: SequenceModel, store: TokenStore, training: TrainingConfig
    ) -> int:
        """Count all that is counted as one step."""
        return counted_tokens(training, store.split("train").n_targets)

    @classmethod
    def ignored(cls, model: SequenceModel, training: TrainingConfig) -> list[str]:
        """Say where the budget has no effect."""
        if parse_budget(training.budget).unit.of_text:
            return []
        return [
            f"{type(model).__name__} counts the training split once, so the budget of"
            f" {training.budget} is not looked at."
        ]

    def step(self, step: int, rate: float, *, measure: bool) -> Step:
        """Count all that the budget pays for."""
        self._count(self._split.read(0, len(self._split.tokens)))
        return Step(None)

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing: the counts are the model's buffers."""
        return {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Load nothing: the counts are the model's buffers."""


def counted_tokens(training: TrainingConfig, targets: int) -> int:
    """Return how many tokens of a text are counted: as many as others train on, at most all.

    Args:
        training: settings with nothing left open.
        targets: of the training part.
    """
    budget = parse_budget(training.budget)
    if not budget.unit.of_text:
        return targets
    assert training.sequence_length is not None, "the length of a row has been settled"
    of_a_step = training.batch_size * training.sequence_length
    steps = budget.steps(StepCost(of_a_step, lambda: targets, flops=lambda: 0, seconds=lambda: 0.0))
    return min(targets, max(1, steps) * of_a_step)
