"""The adversarial step: who moves when, by which loss, and that an interruption changes no bit."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from inklings.config import RunConfig
from inklings.errors import DivergedError
from inklings.events import Event
from inklings.models.from_noise import Critic, SampleModel
from inklings.models.registry import build
from inklings.runs.checkpoints import checkpoint_path, checkpoint_steps
from inklings.runs.directory import RunDirectory
from inklings.text.store import TokenStore
from inklings.text.whole_texts import TextBatches, whole_texts
from inklings.training.loop import seed_step
from inklings.training.objectives import adversarial
from inklings.training.objectives.adversarial import AdversarialObjective
from inklings.training.train import resume, train

T = 8
TEXTGAN: dict[str, Any] = {
    "context_length": T,
    "n_embd": 8,
    "n_head": 2,
    "n_hidden": 12,
    "n_critic_hidden": 10,
    "critic_steps": 2,
    "generator_rate": 0.01,
    "critic_rate": 0.02,
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "textgan": ("textgan", TEXTGAN),
    "relativistic": ("textgan", {**TEXTGAN, "loss": "relativistic"}),
    "described": ("textgan", {**TEXTGAN, "preset": "described"}),
    "one_shot": ("one_shot", {name: TEXTGAN[name] for name in TEXTGAN if name != "n_head"}),
}


def make(store: TokenStore, kind: str = "textgan", **fields: Any) -> AdversarialObjective:
    architecture, own = KINDS[kind]
    torch.manual_seed(0)
    tokenizer = store.tokenizer
    model = build(
        architecture,
        {**own, **fields},
        vocab_size=tokenizer.vocab_size,
        boundary_token=tokenizer.boundary,
    )
    assert isinstance(model, SampleModel)
    return AdversarialObjective(
        model, whole_texts(store.split("train"), batch_size=4, length=T, seed=3), seed=5
    )


def go(objective: AdversarialObjective, steps: range, *, measure: bool = False) -> list[Any]:
    """Steps as the loop makes them."""
    made = []
    for step in steps:
        seed_step(0, step)
        made.append(objective.step(step, 1.0, measure=measure))
    return made


def number(tensor: Tensor) -> float:
    return float(tensor.detach())


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


# --- the average ----------------------------------------------------------------------------------


@pytest.mark.parametrize("average", [0.0, 0.15, 0.999])
def test_the_kept_weights_are_the_running_average_of_those_that_learn(
    store: TokenStore, average: float
) -> None:
    objective = make(store, average=average)
    expected = {name: tensor.double() for name, tensor in weights(objective._model).items()}
    for step in range(4):
        go(objective, range(step, step + 1))
        decay = min(average, (1 + step) / (10 + step))
        learned = weights(objective.generator)
        expected = {
            name: decay * kept + (1 - decay) * learned[name].double()
            for name, kept in expected.items()
        }
        for name, tensor in weights(objective._model).items():
            torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-6)
    assert same(weights(objective._model), weights(objective.generator)) is (average == 0)


# --- who moves ------------------------------------------------------------------------------------


def test_each_side_moves_in_its_own_steps_alone(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = make(store)
    sides = {"generator": objective.generator, "critic": objective.critic}
    moved: list[str] = []
    plain = AdversarialObjective._moved

    def watched(self: AdversarialObjective, side: str, loss: Tensor) -> bool:
        before = {name: weights(module) for name, module in sides.items()}
        kept = weights(self._model)
        outcome = plain(self, side, loss)
        moved.extend(
            name for name, module in sides.items() if not same(before[name], weights(module))
        )
        assert same(kept, weights(self._model))
        return outcome

    monkeypatch.setattr(AdversarialObjective, "_moved", watched)
    go(objective, range(2))
    assert moved == ["critic", "critic", "generator"] * 2
    assert all(p.grad is not None for p in objective.generator.parameters())


def test_the_critic_takes_as_many_steps_as_are_asked_for_each_on_texts_of_its_own(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = make(store, critic_steps=3)
    read: list[tuple[int, Tensor]] = []
    seen: list[bool] = []
    batch, critic_loss = TextBatches.batch, AdversarialObjective.critic_loss

    def reading(self: TextBatches, step: int) -> Tensor:
        tokens = batch(self, step)
        read.append((step, tokens))
        return tokens

    def judging(self: AdversarialObjective, real: Tensor, made: Tensor) -> Any:
        rows = self.generator.real_rows(read[-1][1])
        seen.append(torch.allclose(real, self.critic.read(rows), atol=1e-6))
        assert made.shape == real.shape
        return critic_loss(self, real, made)

    monkeypatch.setattr(TextBatches, "batch", reading)
    monkeypatch.setattr(AdversarialObjective, "critic_loss", judging)
    go(objective, range(3))
    assert [step for step, _ in read] == list(range(9))
    assert seen == [True] * 9
    texts = whole_texts(store.split("train"), batch_size=4, length=T, seed=3)
    assert all(torch.equal(tokens, batch(texts, step)) for step, tokens in read)


def test_rates_are_those_of_the_model_times_the_schedules(store: TokenStore) -> None:
    objective = make(store, generator_rate=0.003, critic_rate=0.005)
    assert objective.peak_rate == 0.003
    before = weights(objective.generator), weights(objective.critic)
    objective.step(0, 0.0, measure=False)
    assert same(before[0], weights(objective.generator))
    assert same(before[1], weights(objective.critic))
    objective.step(1, 0.5, measure=False)
    rates = {side: adam.param_groups[0]["lr"] for side, adam in objective._adams.items()}
    assert rates == {"generator": pytest.approx(0.0015), "critic": pytest.approx(0.0025)}


# --- losses ---------------------------------------------------------------------------------------


class Linear(Critic):
    """The score is what the rows have of one weight each: its slope is known."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight.shape[1], weight.shape[1])
        self.weight = nn.Parameter(weight)

    def judge(self, read: Tensor) -> Tensor:
        return (read * self.weight).sum((1, 2))

    def flops(self) -> int:
        return 2 * self.weight.numel()


@settings(max_examples=8)
@given(st.integers(0, 100), st.floats(0, 5))
def test_losses_are_those_of_the_papers(store: TokenStore, seed: int, penalty: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    real, made = torch.rand(
        2, 4, T, store.tokenizer.vocab_size, generator=generator, dtype=torch.float64
    )
    weight = 0.3 * torch.randn(real.shape[1:], generator=generator, dtype=torch.float64)
    of_real, of_made = ((rows * weight).sum((1, 2)) for rows in (real, made))
    norm, gap = float(weight.norm()), float(of_real.mean() - of_made.mean())
    for loss in ("wgan_gp", "relativistic"):
        objective = make(store, loss=loss, penalty=penalty)
        objective.critic = Linear(weight.clone())
        told = objective.critic_loss(real, made)
        assert number(told.gap) == pytest.approx(gap, abs=2e-4)
        if loss == "wgan_gp":
            assert number(told.penalty) == pytest.approx((norm - 1) ** 2, rel=1e-4, abs=2e-4)
            assert number(told.loss) == pytest.approx(
                -gap + penalty * (norm - 1) ** 2, rel=1e-4, abs=2e-4
            )
            assert number(objective.generator_loss(real, made)) == pytest.approx(
                -float(of_made.mean()), rel=1e-4, abs=2e-4
            )
        else:
            apart = [float(a - b) for a, b in zip(of_real, of_made, strict=True)]
            assert number(told.penalty) == pytest.approx(
                norm**2, rel=1e-4
            )  # R1 and R2, half of it each
            critics = sum(math.log1p(math.exp(-x)) for x in apart) / 4
            assert number(told.loss) == pytest.approx(
                critics + penalty * norm**2, rel=1e-4, abs=2e-4
            )
            generators = sum(math.log1p(math.exp(x)) for x in apart) / 4
            assert number(objective.generator_loss(real, made)) == pytest.approx(
                generators, rel=1e-4, abs=2e-4
            )


@pytest.mark.parametrize("loss", ["wgan_gp", "relativistic"])
def test_the_critics_loss_falls_as_it_tells_them_apart_and_the_generators_rises(
    store: TokenStore, loss: str
) -> None:
    objective = make(store, loss=loss, penalty=0.0)
    real, made = torch.zeros(2, 4, T, store.tokenizer.vocab_size)
    real[..., 0] = 1
    made[..., 1] = 1
    weight = torch.zeros(real.shape[1:])
    weight[:, 0], weight[:, 1] = 0.5, -0.5
    told = []
    for by in (0.0, 1.0):
        objective.critic = Linear(by * weight)
        told.append(
            (
                number(objective.critic_loss(real, made).loss),
                number(objective.generator_loss(real, made)),
            )
        )
    assert told[1][0] < told[0][0]
    assert told[1][1] > told[0][1]


@pytest.mark.parametrize("side", ["critic", "generator"])
@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_what_is_not_finite_moves_nothing_and_is_told(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch, side: str, how: str
) -> None:
    objective = make(store)
    go(objective, range(1))
    before, kept = weights(getattr(objective, side)), weights(objective._model)
    name = f"{side}_loss"
    plain: Callable[..., Any] = getattr(AdversarialObjective, name)

    def spoilt(self: AdversarialObjective, real: Tensor, made: Tensor) -> Any:
        told = plain(self, real, made)
        loss = told.loss if side == "critic" else told
        if how == "loss":
            loss = loss * math.nan
        else:  # finite, with a slope that is not
            parameter = next(getattr(self, side).parameters())
            loss = loss + (parameter.flatten()[0] * 0).sqrt()
        return replace(told, loss=loss) if side == "critic" else loss

    monkeypatch.setattr(AdversarialObjective, name, spoilt)
    (step,) = go(objective, range(1, 2))
    assert not step.moved
    assert same(before, weights(getattr(objective, side)))
    assert same(kept, weights(objective._model))
    # the loop looks at these two, and stops
    assert not (math.isfinite(float(step.loss)) and math.isfinite(float(step.gradient_norm)))


@given(st.integers(2, 40), st.integers(0, 30))
def test_a_curriculum_goes_from_a_quarter_to_the_whole_without_a_step_back(
    store: TokenStore, whole: int, over: int
) -> None:
    objective = make(store)
    objective._texts.length, objective._adversary = (
        whole,
        replace(objective._adversary, curriculum=over),
    )
    lengths = [objective._length(step) for step in range(over + 3)]
    assert lengths[over:] == [whole] * 3
    assert lengths == sorted(lengths)
    assert all(2 <= length <= whole for length in lengths)
    if over:
        assert lengths[0] == max(2, whole // 4)


def test_under_a_curriculum_both_sides_read_texts_of_one_length(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = make(store, curriculum=3)
    lengths = []
    plain = AdversarialObjective.critic_loss

    def judging(self: AdversarialObjective, real: Tensor, made: Tensor) -> Any:
        lengths.append((real.shape[1], made.shape[1]))
        return plain(self, real, made)

    monkeypatch.setattr(AdversarialObjective, "critic_loss", judging)
    go(objective, range(4))
    assert lengths == [(2, 2)] * 2 + [(4, 4)] * 2 + [(6, 6)] * 2 + [(8, 8)] * 2


# --- saved and taken up again ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("after", [0, 2])
def test_what_is_loaded_goes_on_bit_for_bit(store: TokenStore, kind: str, after: int) -> None:
    whole, first = make(store, kind), make(store, kind)
    go(whole, range(4))
    go(first, range(after))
    saved = {name: tensor.clone() for name, tensor in first.tensors().items()} if after else {}
    second = make(store, kind)
    second._model.load_state_dict(first._model.state_dict())
    second.load(saved)
    go(second, range(after, 4))
    assert same(whole.tensors(), second.tensors())
    assert same(weights(whole._model), weights(second._model))


def test_the_critic_begins_with_weights_of_its_seed_and_leaves_torchs_generator_alone(
    store: TokenStore,
) -> None:
    model = make(store)._model
    texts = whole_texts(store.split("train"), batch_size=4, length=T, seed=0)
    state = torch.get_rng_state()
    one, again, other = (
        weights(AdversarialObjective(model, texts, seed=seed).critic) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert same(one, again)
    assert not same(one, other)


# --- runs -----------------------------------------------------------------------------------------


def run_config(
    config_of: Callable[..., RunConfig], kind: str = "textgan", **training: Any
) -> RunConfig:
    architecture, own = KINDS[kind]
    settings = {"budget": "6-steps", "sequence_length": None, "evaluations": 2, **training}
    return replace(config_of(architecture, **settings), model=dict(own))


def content(run: Path) -> dict[str, Any]:
    """All that must not depend on interruptions."""
    last = checkpoint_path(run, checkpoint_steps(run)[-1])
    events = [
        {name: value for name, value in event.items() if name != "seconds"}
        for event in RunDirectory.open(run).metrics()
    ]
    files = {
        name: (last / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors")
    }
    return {
        **files,
        "best": (run / "model.safetensors").read_bytes(),
        "events": [event for event in events if event["event"] in ("step", "evaluation", "sample")],
    }


@pytest.mark.parametrize("kind", ["textgan", "one_shot"])
def test_an_interrupted_run_goes_on_to_the_bits_of_one_that_was_not(
    kind: str, config_of: Callable[..., RunConfig], store: TokenStore, tmp_path: Path
) -> None:
    def stop(event: Event) -> None:
        if event["event"] == "step" and event["step"] == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    config = run_config(config_of, kind, samples=2)
    train(config, tmp_path / "whole", store=store)
    assert train(config, tmp_path / "parts", store=store, on_event=stop).stopped == "interrupted"
    assert resume(tmp_path / "parts", store=store).stopped == "budget"
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_a_run_tells_what_both_sides_do_and_how_far_the_texts_are_off(
    config_of: Callable[..., RunConfig], store: TokenStore, tmp_path: Path
) -> None:
    result = train(run_config(config_of, samples=2), tmp_path / "run", store=store)
    assert (result.steps, result.tokens, result.unit) == (6, 6 * 2 * 4 * T, "bits of divergence")
    events = list(RunDirectory.open(tmp_path / "run").metrics())
    lines = [event for event in events if event["event"] == "step"]
    assert [line["step"] for line in lines] == list(range(1, 7))
    for line in lines:
        numbers = [
            line[name]
            for name in (
                "loss",
                "generator_loss",
                "critic_gap",
                "penalty",
                "gradient_norm",
                "critic_gradient_norm",
            )
        ]
        assert all(number is not None and math.isfinite(number) for number in numbers)
        # the parts add up to the whole: lambda is ten
        assert line["loss"] == pytest.approx(10 * line["penalty"] - line["critic_gap"], abs=1e-4)
        assert (line["gradient_norm"] or 0) > 0
        assert line["critic_gradient_norm"] > 0
        assert len(line["entropy"]) == T
        assert all(
            0 <= nats <= math.log(store.tokenizer.vocab_size) + 1e-5 for nats in line["entropy"]
        )
    evaluations = [event for event in events if event["event"] == "evaluation"]
    assert len(evaluations) == 2
    for event in evaluations:
        assert len(event["divergences"]) == 4
        assert event["loss"] == pytest.approx(sum(event["divergences"]) / 4)
        assert all(0 <= bits <= 1 for bits in event["divergences"])
        assert 0 < event["share_unique"] <= 1
        assert all(isinstance(reason, str) for reason in event["alarm"])
        assert 0 <= event["mean_length"] < T
    assert result.final_validation_loss == evaluations[-1]["loss"]
    samples = [event["texts"] for event in events if event["event"] == "sample"]
    assert [len(texts) for texts in samples] == [2, 2]


@pytest.mark.parametrize("side", ["critic", "generator"])
def test_a_side_whose_gradient_is_not_finite_ends_the_run(
    side: str,
    config_of: Callable[..., RunConfig],
    store: TokenStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def norm(module: nn.Module) -> Tensor:
        return torch.tensor(
            math.nan if isinstance(module, SampleModel) == (side == "generator") else 1.0
        )

    monkeypatch.setattr(adversarial, "_norm", norm)
    monkeypatch.setattr(
        "inklings.training.loop.LINES", 2
    )  # lines are few: the steps between them are looked at too
    with pytest.raises(DivergedError, match="step 1"):
        train(run_config(config_of), tmp_path / "run", store=store)
