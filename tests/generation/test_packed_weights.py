from __future__ import annotations

import pytest
import torch
from torch import nn

from inklings.device import Precision
from inklings.generation.packed_weights import PackedLinear, can_pack, with_packed_weights
from inklings.models.contract import SequenceModel, parameter_count
from inklings.models.registry import ARCHITECTURES, load_class
from tests.built import build_sequence_model

pytestmark = pytest.mark.skipif(not can_pack("float32"), reason="this PyTorch has no oneDNN")
needs_bfloat16 = pytest.mark.skipif(
    not can_pack("bfloat16"), reason="oneDNN has no bfloat16 for this processor"
)


def model() -> SequenceModel:
    torch.manual_seed(0)
    made = build_sequence_model(
        "gpt", {"n_layer": 2, "n_head": 2, "n_embd": 32, "context_length": 8}, vocab_size=11
    )
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [("float32", 1e-5), pytest.param("bfloat16", 0.3, marks=needs_bfloat16)],
)
def test_logits_are_near_and_the_state_goes_on(precision: Precision, tolerance: float) -> None:
    exact = model().eval()
    near = with_packed_weights(exact, precision)
    tokens = torch.randint(11, (3, 12))
    with torch.no_grad():
        expected = exact(tokens).logits
        first = near(tokens[:, :5], near.initial_state(3))
        second = near(tokens[:, 5:], first.state)
        found = torch.cat((first.logits, second.logits), dim=1)
    assert found.dtype == torch.float32
    difference = (found.log_softmax(-1) - expected.log_softmax(-1)).abs().max()
    assert difference < tolerance
    assert precision == "float32" or difference > 0


@needs_bfloat16
def test_the_model_stays_as_it_was_and_shares_the_rest() -> None:
    exact = model()
    before = {name: tensor.clone() for name, tensor in exact.state_dict().items()}
    near = with_packed_weights(exact, "bfloat16")
    assert not any(isinstance(module, PackedLinear) for module in exact.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in exact.state_dict().items())
    assert near.input_embedding is not None and exact.input_embedding is not None
    assert near.input_embedding.weight is exact.input_embedding.weight
    assert sum(isinstance(module, PackedLinear) for module in near.modules()) == sum(
        type(m) is nn.Linear for m in exact.modules()
    )


def test_the_mode_is_kept() -> None:
    for training in (True, False):
        assert all(
            module.training is training
            for module in with_packed_weights(model().train(training), "float32").modules()
        )


@pytest.mark.parametrize("rows", [1, 3])
def test_a_bias_is_added(rows: int) -> None:
    linear = nn.Linear(6, 5)
    x = torch.randn(rows, 2, 6)
    torch.testing.assert_close(PackedLinear(linear, "float32", rows)(x), linear(x).detach())


@pytest.mark.parametrize(
    "architecture",
    sorted(name for name in ARCHITECTURES if load_class(name).traits.objective == "likelihood"),
)
def test_every_architecture_streams_with_packed_weights(architecture: str) -> None:
    """Some look at the weights of their linear maps, for a type or to share them."""
    torch.manual_seed(0)
    exact = build_sequence_model(architecture, {}, vocab_size=11).eval()
    packed = with_packed_weights(exact, "float32")
    tokens = torch.randint(1, 11, (2, 9))
    with torch.no_grad():
        first = packed(tokens[:, :4], packed.initial_state(2))
        found = torch.cat((first.logits, packed(tokens[:, 4:], first.state).logits), dim=1)
        torch.testing.assert_close(found, exact(tokens).logits, atol=1e-4, rtol=1e-4)
    assert parameter_count(packed) == parameter_count(exact)
