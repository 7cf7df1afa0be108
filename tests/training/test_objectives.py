from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from inklings.config import RunConfig, TrainingConfig
from inklings.device import Runtime
from inklings.errors import ArchitectureError
from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits
from inklings.text.batches import Batch
from inklings.text.store import TokenStore
from inklings.training.objectives.base import make_objective
from inklings.training.objectives.counting import CountingObjective
from inklings.training.objectives.likelihood import LikelihoodObjective
from tests.built import build_sequence_model

V = 7
Order = Literal["windows", "streams", "positions"]


class Fixed:
    """The same batches again and again."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def batch(self, step: int) -> Batch:
        return self.batches[step % len(self.batches)]


def random_batch(rows: int, length: int, seed: int, *, starts: bool = True) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, V, (rows, length), generator=generator)
    weights = (torch.rand(rows, length, generator=generator) < 0.6).float()
    weights[0, 0] = 1
    return Batch(
        tokens=tokens,
        targets=torch.randint(0, V, (rows, length), generator=generator),
        weights=weights,
        starts=tokens == 0 if starts else None,
    )


class Penalised(SequenceModel):
    """A table of logits with an auxiliary loss that is a mean over the batch."""

    Config = ModelConfig

    def __init__(self) -> None:
        super().__init__(ModelConfig(vocab_size=V))
        self.table = nn.Embedding(V, V)

    def forward(
        self, tokens: Tensor, state: State | None = None, *, starts: Tensor | None = None
    ) -> Output:
        logits = self.table(tokens)
        return Output(logits, state, logits, {"size": 0.1 * self.table.weight.square().mean()})

    def initial_state(self, batch_size: int) -> State:
        return State({"nothing": torch.zeros(batch_size, 1)})

    def flops(self, tokens: int) -> int:
        return 0


def make(architecture: str) -> SequenceModel:
    torch.manual_seed(0)
    if architecture == "penalised":
        return Penalised()
    fields: dict[str, dict[str, Any]] = {
        "mlp": {"n_embd": 4, "n_hidden": 8, "context_length": 4},
        "recurrent": {"n_embd": 4, "n_hidden": 6},
        "gpt": {"n_layer": 1, "n_head": 2, "n_embd": 8, "context_length": 8},
    }
    return build_sequence_model(architecture, fields[architecture], vocab_size=V)


def objective_of(
    model: SequenceModel, batches: list[Batch], *, accumulate: int, order: Order = "windows"
) -> LikelihoodObjective:
    training = TrainingConfig(
        batch_size=len(batches[0].tokens), accumulate=accumulate, order=order, clip=0.0
    )
    return LikelihoodObjective(model, Fixed(batches), training, Runtime())


@given(
    architecture=st.sampled_from(["mlp", "recurrent", "gpt", "penalised"]),
    parts=st.integers(1, 4),
    rows=st.integers(1, 3),
    length=st.integers(1, 9),
    seed=st.integers(0, 99),
    starts=st.booleans(),
)
def test_accumulation_is_the_big_batch(
    architecture: str, parts: int, rows: int, length: int, seed: int, starts: bool
) -> None:
    batch = random_batch(parts * rows, length, seed, starts=starts)
    order: Order = "streams" if architecture == "recurrent" else "windows"
    model = make(architecture)
    whole = objective_of(model, [batch], accumulate=1, order=order).gradients(batch)
    expected = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    summed = objective_of(model, [batch], accumulate=parts, order=order).gradients(batch)
    torch.testing.assert_close(summed, whole, rtol=1e-5, atol=1e-6)
    for found, wanted in zip(
        [p.grad for p in model.parameters() if p.grad is not None], expected, strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_the_loss_is_nats_per_target_that_counts() -> None:
    batch = random_batch(3, 5, seed=1)
    model = make("mlp")
    loss = objective_of(model, [batch], accumulate=1).gradients(batch)
    logits = model(batch.tokens, starts=batch.starts).logits.log_softmax(-1)
    nats = -logits.gather(2, batch.targets[..., None])[..., 0] * batch.weights
    assert float(loss) == pytest.approx((nats.sum() / batch.weights.sum()).item(), rel=1e-5)


def test_state_is_carried_from_batch_to_batch_and_part_to_part() -> None:
    long = random_batch(4, 12, seed=2)
    assert long.starts is not None
    first, second = (
        Batch(long.tokens[:, s], long.targets[:, s], long.weights[:, s], long.starts[:, s])
        for s in (slice(0, 6), slice(6, 12))
    )
    model = make("recurrent")
    for accumulate in (1, 2, 4):
        objective = objective_of(model, [first, second], accumulate=accumulate, order="streams")
        objective.gradients(first)
        loss = objective.gradients(second)
        nats = (
            -model(long.tokens, starts=long.starts)
            .logits.log_softmax(-1)
            .gather(2, long.targets[..., None])[..., 0]
        )
        expected = (nats * long.weights)[:, 6:].sum() / second.weights.sum()
        assert float(loss) == pytest.approx(expected.item(), rel=1e-5)
        names = {name for name in objective.tensors() if name.startswith("carried/")}
        assert names


def test_saved_state_goes_on_the_same() -> None:
    batches = [random_batch(4, 6, seed=seed) for seed in range(4)]
    model, other = make("recurrent"), make("recurrent")
    one = objective_of(model, batches, accumulate=2, order="streams")
    for step in range(2):
        one.step(step, 1.0, measure=False)
    two = objective_of(other, batches, accumulate=2, order="streams")
    other.load_state_dict(model.state_dict())
    two.load({name: tensor.clone() for name, tensor in one.tensors().items()})
    for step in (2, 3):
        a, b = one.step(step, 1.0, measure=False), two.step(step, 1.0, measure=False)
        assert a.loss is not None and b.loss is not None
        assert torch.equal(a.loss, b.loss)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)


def test_single_positions_are_predicted_from_their_context() -> None:
    generator = torch.Generator().manual_seed(0)
    context, tokens, targets = (
        torch.randint(1, V, shape, generator=generator) for shape in ((4, 3), (4, 1), (4, 1))
    )
    batch = Batch(tokens, targets, torch.ones(4, 1), None, context)
    model = make("mlp")
    for accumulate in (1, 2):
        loss = objective_of(model, [batch], accumulate=accumulate, order="positions").gradients(
            batch
        )
        logits = model(torch.cat([context, tokens], dim=1)).logits[:, -1]
        assert float(loss) == pytest.approx(
            nn.functional.cross_entropy(logits, targets[:, 0]).item(), rel=1e-5
        )


def test_a_step_that_is_not_finite_leaves_the_weights_as_they_are() -> None:
    batch = random_batch(2, 3, seed=0)
    model = make("mlp")
    with torch.no_grad():
        model.get_parameter("head.bias")[0] = float("inf")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    made = objective_of(model, [batch], accumulate=1).step(0, 1.0, measure=True)
    assert not made.moved
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name])


def test_bfloat16_products_leave_weights_and_loss_float32() -> None:
    batch = random_batch(4, 6, seed=0)
    model = make("gpt")
    training = TrainingConfig(batch_size=4, order="windows")
    exact = float(
        LikelihoodObjective(make("gpt"), Fixed([batch]), training, Runtime()).gradients(batch)
    )
    objective = LikelihoodObjective(model, Fixed([batch]), training, Runtime(precision="bfloat16"))
    loss = objective.gradients(batch)
    assert loss.dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert float(loss) == pytest.approx(exact, abs=0.05)


class Uncounted(Penalised):
    traits = Traits(objective="counting")


class Counter(Uncounted):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[npt.NDArray[Any]] = []

    def count(self, tokens: npt.NDArray[Any]) -> None:
        self.seen.append(tokens)


class Adversary(Penalised):
    traits = Traits(objective="adversarial")


class Misspelt(Penalised):
    traits = Traits(objective="likelyhood")


def test_objectives_that_do_not_apply_say_why(
    store: TokenStore, config_of: Callable[..., RunConfig]
) -> None:
    split = store.split("train")
    with pytest.raises(ArchitectureError, match="count"):
        make_objective(Uncounted(), split, config_of(), Runtime())
    with pytest.raises(ArchitectureError, match="'adversarial', which trains a SampleModel"):
        make_objective(Adversary(), split, config_of(), Runtime())
    with pytest.raises(ArchitectureError, match=r"'likelyhood'. Did you mean 'likelihood'\?"):
        make_objective(Misspelt(), split, config_of(), Runtime())


def test_counting_reads_the_whole_split(store: TokenStore) -> None:
    model = Counter()
    split = store.split("train")
    made = CountingObjective(model, split).step(0, 1.0, measure=True)
    assert made.loss is None
    assert len(model.seen) == 1 and (model.seen[0] == split.tokens).all()
