from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from inklings.generation.packed_weights import PackedLinear, can_pack
from inklings.models.wavenet import model as wavenet
from inklings.models.wavenet.cpu_step import layers_on_cpu
from inklings.models.wavenet.model import GatedLayer, WaveNet, WaveNetConfig
from tests.models.in_pieces import in_pieces

VOCABULARY = 11
SHAPES: list[dict[str, Any]] = [
    {},
    {"kernel_size": 3, "cycles": 2},
    {"residual": False},
    {"skip": False},
    {"skip": False, "residual": False},
]


def tiny(**fields: Any) -> WaveNet:
    torch.manual_seed(0)
    model = WaveNet(
        WaveNetConfig(
            **({"vocab_size": VOCABULARY, "n_layer": 3, "n_embd": 8, "n_skip": 6} | fields)
        )
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model.eval()


def is_used(model: WaveNet) -> bool:
    rings = model.initial_state(1).tensors["rings"]
    return (
        layers_on_cpu(
            model.stack.layers, model.stack.skip, model.stack.queues, rings, adds=model.stack.adds
        )
        is not None
    )


@torch.no_grad()
def one_by_one(model: WaveNet, tokens: Tensor, starts: Tensor | None = None) -> Tensor:
    return in_pieces(model, tokens, starts, [1] * tokens.shape[1])


def in_torch(model: WaveNet, tokens: Tensor, starts: Tensor | None = None) -> Tensor:
    """The same, by the modules themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wavenet, "layers_on_cpu", lambda *_, **__: None)
        return one_by_one(model, tokens, starts)


@given(
    st.sampled_from(SHAPES),
    st.integers(1, 3),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.1]),
    st.integers(0, 99),
)
def test_it_gives_what_the_modules_give(
    fields: dict[str, Any], rows: int, length: int, share: float, seed: int
) -> None:
    model, generator = tiny(**fields), torch.Generator().manual_seed(seed)
    tokens = torch.randint(VOCABULARY, (rows, length), generator=generator)
    starts = torch.rand(tokens.shape, generator=generator) < share
    assert is_used(model)
    torch.testing.assert_close(
        one_by_one(model, tokens, starts), in_torch(model, tokens, starts), atol=1e-5, rtol=0
    )


def convolution_of(model: WaveNet) -> nn.Linear:
    layer = model.stack.layers[1]
    assert isinstance(layer, GatedLayer)
    return layer.convolution


def doubled(model: WaveNet) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data * 2


def in_place(model: WaveNet) -> None:
    for parameter in model.parameters():
        parameter.mul_(2)


def exchanged(model: WaveNet) -> None:
    model.stack.layers[1].project = nn.Linear(8, 8, bias=False)


def reweighed(model: WaveNet) -> None:
    convolution_of(model).weight = nn.Parameter(torch.randn(16, 16))


def other_layer(model: WaveNet) -> None:
    model.stack.layers[1] = tiny().stack.layers[2]
    model.stack.layers[1].project = nn.Linear(8, 8, bias=False)


def other_skip(model: WaveNet) -> None:
    model.stack.skip = nn.Linear(24, 6, bias=False)


def hooked_project(model: WaveNet) -> None:
    model.stack.get_submodule("layers.0.project").register_forward_hook(
        lambda module, inputs, output: torch.zeros_like(output)
    )


def hooked_skip(model: WaveNet) -> None:
    model.stack.get_submodule("skip").register_forward_pre_hook(
        lambda module, inputs: (inputs[0] + 1,)
    )


def packed(model: WaveNet) -> None:
    other = copy.deepcopy(convolution_of(model))
    other.weight.mul_(2)
    model.stack.layers[1].convolution = PackedLinear(other, "float32", 1)


CHANGES = [
    doubled,
    in_place,
    exchanged,
    reweighed,
    other_layer,
    other_skip,
    hooked_project,
    hooked_skip,
    packed,
]


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed_is_seen(change: Callable[[WaveNet], None], rows: int) -> None:
    if change is packed and not can_pack("float32"):
        pytest.skip("this PyTorch has no oneDNN")
    model, tokens = tiny(), torch.randint(VOCABULARY, (rows, 6))
    before = one_by_one(model, tokens)
    with torch.no_grad():
        change(model)
    after = one_by_one(model, tokens)
    torch.testing.assert_close(after, in_torch(model, tokens), atol=1e-5, rtol=1e-4)
    assert float((after - before).abs().max()) > 1e-4


def test_a_copy_has_its_own_weights() -> None:
    model, tokens = tiny(), torch.randint(VOCABULARY, (1, 6))
    before = one_by_one(model, tokens)
    copied = copy.deepcopy(model)
    with torch.no_grad():
        in_place(copied)
    assert torch.equal(one_by_one(model, tokens), before)
    torch.testing.assert_close(
        one_by_one(copied, tokens), in_torch(copied, tokens), atol=1e-5, rtol=1e-4
    )


def test_it_is_for_plain_maps_in_float32_without_dropout() -> None:
    assert is_used(tiny())
    assert is_used(tiny(dropout=0.2))
    assert not is_used(tiny(dropout=0.2).train())
    assert not is_used(tiny().double())
    model = tiny(dropout=0.2)
    assert is_used(model)
    assert not is_used(model.train())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not is_used(tiny())


def test_a_state_that_was_made_under_autograd_is_read_on() -> None:
    for rows in (1, 2):
        model, tokens = tiny(), torch.randint(VOCABULARY, (rows, 9))
        state = model(tokens[:, :8], model.initial_state(rows)).state
        assert state is not None
        assert state.tensors["rings"].requires_grad
        with torch.no_grad():
            found = model(tokens[:, 8:], state).logits
            torch.testing.assert_close(found, model(tokens).logits[:, 8:], atol=1e-5, rtol=1e-4)
