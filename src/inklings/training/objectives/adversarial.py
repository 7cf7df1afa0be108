"""The adversarial objective: a critic learns to tell real texts from generated ones.

The generator learns to be taken for real. A step is `critic_steps` steps of the critic and one of
the generator. The model that the run keeps is the running average of the generator's weights; the
generator that learns, the critic and both optimisers belong to the objective, and to its
checkpoints.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from inklings.config import RunConfig, TrainingConfig
from inklings.device import Runtime
from inklings.errors import ConfigError
from inklings.models.from_noise import Drawn, Noise, SampleModel, mean_entropy
from inklings.seeds import drawn_from
from inklings.text.store import TokenSplit, TokenStore
from inklings.text.whole_texts import TextBatches
from inklings.training.ignored import differs
from inklings.training.objectives.base import Objective, Step
from inklings.training.objectives.penalties import between, gradient_penalty, slopes, zero_centred
from inklings.training.objectives.real_texts import notes_on_real_texts, real_texts
from inklings.training.objectives.sample_validation import SampleValidation
from inklings.training.optimizers.optimizers import tensors_below
from inklings.world import ALONE, World

BETAS = (0.0, 0.9)
"""Betas of both Adams (Gulrajani et al. 2017): momentum would point where the opponent was."""
SHORTEST = 4
"""A curriculum begins with texts of 1/SHORTEST of the length."""
UNREAD = (
    "optimizer",
    "learning_rate",
    "matrix_learning_rate",
    "betas",
    "momentum",
    "weight_decay",
    "clip",
    "accumulate",
    "order",
    "precision",
    "compile",
)
"""Settings of training that only models with a likelihood use."""


@dataclass(frozen=True)
class CriticLoss:
    """The loss of one step of the critic, and its parts."""

    loss: Float[Tensor, ""]
    penalty: Float[Tensor, ""]
    """The penalty before its weight is applied."""
    gap: Float[Tensor, ""]
    """Mean score of real texts minus that of generated ones."""


class AdversarialObjective(Objective[SampleModel]):
    """WGAN-GP, or a relativistic loss with R1 and R2, over whole texts.

    Several processes share the texts of every batch, real and made; losses are means over texts.

    Args:
        model: takes the averaged weights; it is what is evaluated, kept and used.
        texts: real texts, `critic_steps` batches to a step.
    """

    draws_alike = True

    def __init__(
        self, model: SampleModel, texts: TextBatches, *, seed: int, world: World = ALONE
    ) -> None:
        adversary = model.adversary
        self._model, self._texts, self._adversary = model, texts, adversary
        self._world, self._rows = world, world.rows(texts.batch_size)
        self.generator = copy.deepcopy(model).train()
        with drawn_from(seed):
            self.critic = model.make_critic().to(model.device).train()
        self._adams = {
            "generator": torch.optim.Adam(
                self.generator.parameters(), lr=adversary.generator_rate, betas=BETAS, fused=True
            ),
            "critic": torch.optim.Adam(
                self.critic.parameters(), lr=adversary.critic_rate, betas=BETAS, fused=True
            ),
        }
        self.peak_rate = adversary.generator_rate

    @classmethod
    def make(
        cls,
        model: SampleModel,
        split: TokenSplit,
        config: RunConfig,
        runtime: Runtime,
        world: World,
    ) -> AdversarialObjective:
        """Make the objective over the real texts of the split."""
        training = config.training
        texts = real_texts(model, split, training.batch_size, training.seed)
        return cls(model, texts, seed=training.weights_seed, world=world)

    @classmethod
    def validation(
        cls,
        model: SampleModel,
        store: TokenStore,
        *,
        seed: int,
        world: World = ALONE,
    ) -> SampleValidation:
        """Measure bits of divergence from held-out texts."""
        return SampleValidation(model, store, seed=seed, world=world)

    @classmethod
    def settle(cls, model: SampleModel, training: TrainingConfig) -> TrainingConfig:
        """Set texts to the length that the model makes, in float32.

        A penalty is a second derivative: bfloat16 has too few digits for it, and compilers do not
        take it.
        """
        length = model.config.context_length
        if training.sequence_length not in (None, length):
            raise ConfigError(
                f"TrainingConfig.sequence_length is {training.sequence_length}; texts have"
                f" model.context_length tokens, {length}."
            )
        return replace(
            training, order="windows", sequence_length=length, precision="float32", compile="off"
        )

    @classmethod
    def tokens_per_step(
        cls, model: SampleModel, store: TokenStore, training: TrainingConfig
    ) -> int:
        """Count the tokens of real text that the critic reads."""
        return model.adversary.critic_steps * super().tokens_per_step(model, store, training)

    @classmethod
    def not_shared(cls, model: SampleModel, training: TrainingConfig, world: World) -> str | None:
        """Say where a critic would compare texts of several processes."""
        if world.sharded:
            return "its losses have second derivatives, which needs the strategy ddp"
        with drawn_from(training.weights_seed):
            together = model.make_critic().together
        if training.batch_size % (together * world.size) == 0:
            return None
        return (
            f"its critic compares {together} texts with each other, and they have to be in one"
            f" process. A --training.batch-size of {together * world.size} or a multiple does it"
        )

    @classmethod
    def ignored(cls, model: SampleModel, training: TrainingConfig) -> list[str]:
        """Name the settings that only models with a likelihood use."""
        notes = [
            f"training.{name} is not looked at: {type(model).__name__} learns against a critic, by"
            " two Adams in float32 (model.generator_rate, model.critic_rate, model.penalty)."
            for name in UNREAD
            if differs(training, name)
        ]
        if training.batch_size == 1:
            notes.append(
                "a batch of one text: the critic compares single texts, and the spread of a group"
                " (minibatch_std) is always zero."
            )
        return notes

    @classmethod
    def text_notes(cls, model: SampleModel, split: TokenSplit) -> list[str]:
        """Say what of the split the critic never reads."""
        return notes_on_real_texts(model, split)

    def step(self, step: int, rate: float, *, measure: bool) -> Step:
        """Make the steps of both sides.

        With `measure`, also return the norms and entropies that a line of the metrics holds.
        """
        adversary = self._adversary
        for side, peak in (
            ("generator", adversary.generator_rate),
            ("critic", adversary.critic_rate),
        ):
            for group in self._adams[side].param_groups:
                group["lr"] = peak * rate
        length = self._length(step)
        device = self._model.device
        made = self._made_for_critic(length)
        self.critic.requires_grad_(True)
        for turn in range(adversary.critic_steps):
            batch = self._texts.batch(step * adversary.critic_steps + turn)
            tokens = batch[self._rows, :length].to(device)
            real = self.critic.read_tokens(tokens, self.generator.alive(tokens))
            told = self.critic_loss(real, self._read(next(made)))
            if not self._moved("critic", told.loss):
                return Step(self._mean(told.loss), _norm(self.critic), moved=False)
        critic_norm = _norm(self.critic) if measure else None
        self.critic.requires_grad_(False)
        noise = self._noise(self._texts.batch_size, length).part(self._rows)
        drawn: Drawn = self.generator(noise)
        loss = self.generator_loss(
            self.critic.read_tokens(tokens, self.generator.alive(tokens)),
            self.critic.read(drawn.rows),
        )
        moved = self._moved("generator", loss)
        norm = _norm(self.generator) if measure or not moved else None
        if not moved:
            return Step(self._mean(loss), norm, moved=False)
        self._average(step)
        figures = {
            "generator_loss": self._mean(loss),
            "critic_gap": self._mean(told.gap),
            "penalty": self._mean(told.penalty),
        }
        if critic_norm is not None:
            figures["critic_gradient_norm"] = critic_norm
            figures["entropy"] = self._mean(mean_entropy(drawn.logits))
        return Step(self._mean(told.loss), norm, figures=figures)

    def critic_loss(self, real: Float[Tensor, "B T E"], made: Float[Tensor, "B T E"]) -> CriticLoss:
        """Compute the critic's loss from the rows that it reads of real and of generated texts.

        WGAN-GP: E[D(made)] - E[D(real)] + lambda penalty. Relativistic: softplus(D(made) - D(real))
        + gamma (R1 + R2).
        """
        gram = self.critic.gram
        if self._adversary.loss == "wgan_gp":
            # one pass over both is cheaper than two
            scores = self.critic.judge(torch.cat((real, made)))
            gap = scores[: len(real)].mean() - scores[len(real) :].mean()
            penalty = gradient_penalty(self.critic.judge, between(real, made, self._world), gram)
            return CriticLoss(self._adversary.penalty * penalty - gap, penalty, gap)
        scores, gradient = slopes(self.critic.judge, torch.cat((real, made)))
        difference = scores[: len(real)] - scores[len(real) :]
        penalty = zero_centred(gradient[: len(real)], gram) + zero_centred(
            gradient[len(real) :], gram
        )
        return CriticLoss(
            F.softplus(-difference).mean() + self._adversary.penalty * penalty,
            penalty,
            difference.mean(),
        )

    def generator_loss(
        self, real: Float[Tensor, "B T E"], made: Float[Tensor, "B T E"]
    ) -> Float[Tensor, ""]:
        """Compute the generator's loss from what the critic reads.

        WGAN: -E[D(made)]. Relativistic: softplus(D(real) - D(made)) (Huang et al. 2024).
        """
        if self._adversary.loss == "wgan_gp":
            return -self.critic.judge(made).mean()
        return F.softplus(self.critic.judge(real) - self.critic.judge(made)).mean()

    def _length(self, step: int) -> int:
        """Return the length of texts at a step: all of T, or what the curriculum has reached."""
        whole, over = self._texts.length, self._adversary.curriculum
        if step >= over:
            return whole
        return max(2, whole // SHORTEST + (whole - whole // SHORTEST) * step // over)

    def _noise(self, n: int, length: int) -> Noise:
        return self.generator.noise(n, length).to(self._model.device)

    def _made_for_critic(self, length: int) -> Iterator[Tensor]:
        """Generate the texts for all steps of the critic at once.

        The generator does not change meanwhile. They are tokens where the critic reads one-hot
        rows, else the rows themselves.
        """
        turns, size = self._adversary.critic_steps, self._texts.batch_size
        noise = self._noise(turns * size, length)
        if self._world.size > 1:
            begins = range(self._rows.start, turns * size, size)
            count = self._rows.stop - self._rows.start
            noise = Noise.joined([noise.part(slice(begin, begin + count)) for begin in begins])
        with torch.no_grad():
            made: Tensor = (
                self.generator.make(noise) if self.generator.hard else self.generator(noise).rows
            )
        return iter(torch.split(made, self._rows.stop - self._rows.start))

    def _read(self, made: Tensor) -> Float[Tensor, "B T E"]:
        """Return the rows that the critic reads of generated texts (see `_made_for_critic`)."""
        return (
            self.critic.read_tokens(made, self.generator.alive(made))
            if self.generator.hard
            else self.critic.read(made)
        )

    def _moved(self, side: str, loss: Tensor) -> bool:
        """Take one optimiser step of one side.

        Return False, and move nothing, where the loss or the gradient is not finite.
        """
        adam = self._adams[side]
        adam.zero_grad(set_to_none=True)
        # a mean over this process's texts; all have as many
        (loss if self._world.size == 1 else loss / self._world.size).backward()
        module = self.generator if side == "generator" else self.critic
        self._world.total_gradients(module.parameters())
        if not (math.isfinite(float(self._mean(loss))) and math.isfinite(float(_norm(module)))):
            return False
        adam.step()
        return True

    def _mean(self, value: Tensor) -> Tensor:
        """Return the mean over the texts of all processes of what is one over this one's texts."""
        value = value.detach()
        return value if self._world.size == 1 else self._world.total(value / self._world.size)

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Move the averaged weights towards the generator's.

        The first steps count for more, so that the initial weights are forgotten.
        """
        decay = min(self._adversary.average, (1 + step) / (10 + step))
        kept: list[Tensor] = list(self._model.parameters())
        learned: list[Tensor] = list(self.generator.parameters())
        torch._foreach_lerp_(kept, learned, 1 - decay)

    def tensors(self) -> dict[str, Tensor]:
        """Return the generator that learns, the critic, and the state of both optimisers."""
        modules = {"generator": self.generator, "critic": self.critic}
        weights = {
            f"{side}/{name}": tensor
            for side, module in modules.items()
            for name, tensor in module.state_dict().items()
        }
        names: dict[str, dict[Tensor, str]] = {
            side: {p: name for name, p in module.named_parameters()}
            for side, module in modules.items()
        }
        moments = {
            f"optimizer/{side}/{names[side][parameter]}/{key}": value
            for side, adam in self._adams.items()
            for parameter, state in adam.state.items()
            for key, value in state.items()
        }
        return weights | moments

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Load what `tensors` gave; there is nothing to load before the first step."""
        if not tensors:
            return
        sides: dict[str, nn.Module] = {"generator": self.generator, "critic": self.critic}
        for side, module in sides.items():
            module.load_state_dict(tensors_below(f"{side}/", tensors))
            parameters = dict(module.named_parameters())
            for name, value in tensors_below(f"optimizer/{side}/", tensors).items():
                of, _, key = name.rpartition("/")
                self._adams[side].state[parameters[of]][key] = value.to(
                    parameters[of].device
                ).clone()


def _norm(module: nn.Module) -> Float[Tensor, ""]:
    """Return the norm of the gradients of one side."""
    return torch.nn.utils.get_total_norm(
        [p.grad for p in module.parameters() if p.grad is not None]
    )
