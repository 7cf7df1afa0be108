"""Penalties of critics whose slope is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from inklings.models.textgan.critic import PerceptronCritic
from inklings.training.objectives.penalties import between, gradient_penalty, slopes, zero_centred

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(2, 6))
SEEDS = st.integers(0, 100)


def weights_and_rows(shape: tuple[int, int, int], seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape[1:], generator=generator, dtype=torch.float64), torch.randn(
        shape, generator=generator, dtype=torch.float64
    )


@given(SHAPES, SEEDS)
def test_of_a_linear_critic_the_slope_is_its_weights(
    shape: tuple[int, int, int], seed: int
) -> None:
    weight, rows = weights_and_rows(shape, seed)
    weight.requires_grad_()

    def critic(x: Tensor) -> Tensor:
        return (x * weight).sum((1, 2))

    norm = weight.detach().norm()
    scores, gradient = slopes(critic, rows)
    torch.testing.assert_close(scores, critic(rows))
    torch.testing.assert_close(gradient, weight.expand(shape))
    penalty, centred = gradient_penalty(critic, rows), zero_centred(gradient)
    torch.testing.assert_close(penalty, (norm - 1).square())
    torch.testing.assert_close(centred, norm.square() / 2)
    (by_penalty,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(by_penalty, 2 * (norm - 1) * weight.detach() / norm)
    (by_centred,) = torch.autograd.grad(centred, weight)
    torch.testing.assert_close(by_centred, weight.detach())


@given(SHAPES, SEEDS)
def test_of_a_quadratic_critic_the_slope_grows_with_the_row(
    shape: tuple[int, int, int], seed: int
) -> None:
    # D(x) = a |x|^2 / 2 has the slope a x: penalties are means over the texts, each with a norm of
    # its own
    _, rows = weights_and_rows(shape, seed)
    a = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def critic(x: Tensor) -> Tensor:
        return a * x.square().sum((1, 2)) / 2

    norms = rows.flatten(1).norm(dim=1)
    _, gradient = slopes(critic, rows)
    torch.testing.assert_close(gradient, a * rows)
    penalty, centred = gradient_penalty(critic, rows), zero_centred(gradient)
    torch.testing.assert_close(penalty, (0.7 * norms - 1).square().mean())
    torch.testing.assert_close(centred, (0.7 * norms).square().mean() / 2)
    torch.testing.assert_close(
        torch.autograd.grad(penalty, a)[0], (2 * (0.7 * norms - 1) * norms).mean()
    )
    torch.testing.assert_close(torch.autograd.grad(centred, a)[0], 0.7 * norms.square().mean())


@given(st.integers(1, 5), st.integers(1, 4), SEEDS)
def test_a_slope_in_what_was_read_tells_the_slope_in_the_rows(
    n: int, length: int, seed: int
) -> None:
    # a critic that reads 11 tokens by 3 channels: the penalty, and its own slope in every weight,
    # as if rows were gone through
    torch.manual_seed(seed)
    critic = PerceptronCritic(
        vocab_size=11, length=length, n_embd=3, n_hidden=5, n_layer=2, spread=True
    ).double()
    first, second = torch.randint(11, (2, n, length))
    alive = torch.rand(n, length) < 0.7
    share = torch.rand(n, 1, 1, dtype=torch.float64)
    mixed = share * F.one_hot(first, 11) + (1 - share) * (
        F.one_hot(second, 11) * alive.unsqueeze(-1)
    )
    rows = mixed.requires_grad_()
    (slope,) = torch.autograd.grad(critic(rows).sum(), rows, create_graph=True)
    expected = (slope.flatten(1).norm(dim=1) - 1).square().mean() + slope.square().sum(
        (1, 2)
    ).mean() / 2
    read = share * critic.read_tokens(first, torch.ones_like(alive)) + (
        1 - share
    ) * critic.read_tokens(second, alive)
    torch.testing.assert_close(read, critic.read(rows))
    found = gradient_penalty(critic.judge, read, critic.gram) + zero_centred(
        slopes(critic.judge, read)[1], critic.gram
    )
    torch.testing.assert_close(found, expected)
    weights = list(critic.parameters())
    for ours, theirs in zip(
        *(torch.autograd.grad(loss, weights, allow_unused=True) for loss in (found, expected)),
        strict=True,
    ):
        if ours is not None and theirs is not None:
            torch.testing.assert_close(ours, theirs)


@given(SHAPES, SEEDS)
def test_between_lies_on_the_line_at_one_place_for_a_text(
    shape: tuple[int, int, int], seed: int
) -> None:
    _, real = weights_and_rows(shape, seed)
    made = weights_and_rows(shape, seed + 1000)[1]
    torch.manual_seed(seed)
    place = between(real.float(), made.float()).double()
    share = ((place - made) / (real - made)).flatten(1).mean(1)
    assert ((share > -1e-3) & (share < 1 + 1e-3)).all()
    torch.testing.assert_close(
        place, made + share.view(-1, 1, 1) * (real - made), rtol=1e-3, atol=1e-3
    )


def test_between_is_evenly_spread_from_torchs_generator() -> None:
    torch.manual_seed(0)
    real, made = torch.ones(4000, 1, 1), torch.zeros(4000, 1, 1)
    share = between(real, made).flatten()
    assert float(share.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(share.var()) == pytest.approx(1 / 12, abs=0.01)
    torch.manual_seed(0)
    assert torch.equal(between(real, made).flatten(), share)
