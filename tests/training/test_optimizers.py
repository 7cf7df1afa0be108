from __future__ import annotations

import pytest
import torch

from inklings.config import TrainingConfig
from inklings.errors import RunError
from inklings.models.contract import SequenceModel
from inklings.models.registry import build
from inklings.training.optimizers.optimizers import Optimizers

GPT = {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 8}


def gpt(**fields: object) -> SequenceModel:
    torch.manual_seed(0)
    model = build("gpt", {**GPT, **fields}, vocab_size=9, boundary_token=0)
    assert isinstance(model, SequenceModel)
    return model


def push(model: SequenceModel, optimizers: Optimizers, step: int, rate: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizers.step(rate)


@pytest.mark.parametrize("name", ["muon", "adamw", "sgd"])
def test_state_that_is_saved_and_loaded_goes_on_the_same(name: str) -> None:
    training = TrainingConfig(optimizer=name, momentum=0.9, weight_decay=0.1)
    model = gpt()
    optimizers = Optimizers(model, training)
    push(model, optimizers, 0)
    saved = {key: tensor.clone() for key, tensor in optimizers.tensors().items()}
    other = gpt()
    other.load_state_dict(model.state_dict())
    again = Optimizers(other, training)
    again.load(saved)
    for step in (1, 2):
        push(model, optimizers, step)
        push(other, again, step)
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_state_of_another_model_is_refused() -> None:
    model = gpt()
    optimizers = Optimizers(model, TrainingConfig())
    push(model, optimizers, 0)
    for other in (gpt(n_embd=32), build("mlp", {}, vocab_size=9, boundary_token=0)):
        assert isinstance(other, SequenceModel)
        with pytest.raises(RunError, match="another architecture"):
            Optimizers(other, TrainingConfig()).load(optimizers.tensors())


def test_decay_falls_on_matrices_only() -> None:
    model = gpt(tied_head=True)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizers = Optimizers(
        model, TrainingConfig(optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
    )
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizers.step(1.0)
    for name, parameter in model.named_parameters():
        kept = 0.95 if parameter.ndim == 2 and "embedding" not in name else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * kept)


def test_the_rate_is_a_share_of_each_peak() -> None:
    model = gpt()
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    moved = []
    for rate in (1.0, 0.25):
        model.load_state_dict(start)
        optimizers = Optimizers(
            model, TrainingConfig(learning_rate=0.01, matrix_learning_rate=0.02)
        )
        push(model, optimizers, 0, rate)
        moved.append(
            {name: parameter.detach() - start[name] for name, parameter in model.named_parameters()}
        )
    for name in start:
        torch.testing.assert_close(moved[1][name], 0.25 * moved[0][name], rtol=1e-3, atol=1e-6)


def test_clipping_scales_all_gradients_together() -> None:
    model = gpt()
    optimizers = Optimizers(model, TrainingConfig())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    norm = optimizers.gradient_norm()
    assert float(norm) == pytest.approx(sum(p.numel() for p in model.parameters()) ** 0.5)
    optimizers.clip(0.5, norm)
    assert float(optimizers.gradient_norm()) == pytest.approx(0.5, rel=1e-4)
