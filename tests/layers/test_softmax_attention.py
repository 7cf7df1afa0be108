from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from inklings.layers.cpu import attention_kernel as module
from inklings.layers.cpu.dropout_masks import kept_scale
from inklings.layers.softmax_attention import plain_attention, softmax_attention


def case(
    queries: int, keys: int, seed: int, dtype: torch.dtype, head_size: int = 4
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = (queries, keys, keys)
    return [
        torch.randn(2, 3, size, head_size, generator=generator).to(dtype).requires_grad_()
        for size in sizes
    ]


def mask_of(queries: int, keys: int, rows: int, seed: int) -> Tensor:
    mask = torch.rand(rows, 1, queries, keys, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[..., 0] = True  # every query sees something
    return mask


@given(
    length=st.integers(1, 11),
    run=st.integers(1, 12),
    masked=st.sampled_from([None, 1, 2]),
    seed=st.integers(0, 2**16),
)
def test_value_and_gradients_are_those_of_the_definition(
    length: int, run: int, masked: int | None, seed: int
) -> None:
    """Float32 shows the arithmetic; which types take this way is another matter."""
    inputs = case(length, length if masked is None else length + 2, seed, torch.float32)
    mask = None if masked is None else mask_of(length, length + 2, masked, seed)
    causal = masked is None
    gradient = torch.randn(2, 3, length, 4, generator=torch.Generator().manual_seed(seed + 1))
    usual, module.RUN = module.RUN, run
    try:
        apply: Callable[..., Tensor] = module.AttentionOnCPU.apply
        out = apply(*inputs, mask, causal, 0.0)
        found = torch.autograd.grad(out, inputs, gradient)
    finally:
        module.RUN = usual
    query, key, value = inputs
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    for one, other in zip(found, torch.autograd.grad(expected, inputs, gradient), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("learns", [True, False])
def test_bfloat16_is_near_float32(learns: bool) -> None:
    inputs = case(9, 9, 0, torch.bfloat16)
    with torch.set_grad_enabled(learns):
        out = softmax_attention(*inputs, causal=True)
    expected = plain_attention(*[x.float() for x in inputs], causal=True)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, atol=0.03, rtol=0.03)
    if learns:
        gradients = torch.autograd.grad(out.float().square().sum(), inputs, retain_graph=True)
        for one, other in zip(
            gradients, torch.autograd.grad(expected.square().sum(), inputs), strict=True
        ):
            torch.testing.assert_close(one.float(), other.float(), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("causal", [True, False])
def test_the_gradient_with_dropout_is_that_of_the_weights_that_stayed(causal: bool) -> None:
    """The function is linear in the values.

    With unit vectors as values, the output is the weights themselves, masks included.
    """
    queries, keys, _ = case(5, 5, 3, torch.float32, head_size=5)
    rate, seed = 0.4, 11
    values = torch.eye(5).expand(2, 3, 5, 5).clone().requires_grad_()

    def dropped() -> Tensor:
        torch.manual_seed(seed)
        return softmax_attention(queries, keys, values, causal=causal, dropout_rate=rate)

    out = dropped()
    plain = plain_attention(queries, keys, values, causal=causal)
    stayed = out != 0
    assert not bool(stayed.all())
    expected = plain * stayed * kept_scale(rate)
    torch.testing.assert_close(out, expected)
    gradient = torch.randn_like(out)
    found = torch.autograd.grad(out, (queries, keys), gradient)
    for one, other in zip(
        found, torch.autograd.grad(expected, (queries, keys), gradient), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    (of_values,) = torch.autograd.grad(dropped(), values, gradient)
    torch.testing.assert_close(of_values, out.detach().mT @ gradient)
    assert torch.equal(dropped(), out)


def test_what_is_kept_for_the_backward_pass_does_not_grow_with_the_square() -> None:
    def kept(length: int) -> int:
        sizes: list[int] = []
        inputs = case(length, length, 0, torch.bfloat16)

        def pack(x: Tensor) -> Tensor:
            sizes.append(x.numel())
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            softmax_attention(*inputs, causal=True)
        return sum(sizes)

    assert kept(64) == 2 * kept(32) > 0
