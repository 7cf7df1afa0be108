from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from inklings.errors import ConfigError
from inklings.models.contract import State, parameter_count
from inklings.models.tree_wavenet import BatchNorm, Level, TreeWaveNet, TreeWaveNetConfig

SHAPES = ((8, 2), (4, 2), (2, 2), (9, 3), (5, 5), (16, 4))
"""Context length and fuse: trees of one to three levels, and a flat network."""


def model(**fields: Any) -> TreeWaveNet:
    """A small network in evaluation mode with statistics and scales off their first values."""
    torch.manual_seed(0)
    made = TreeWaveNet(
        TreeWaveNetConfig(**{"vocab_size": 11, "n_embd": 5, "n_hidden": 6, **fields})
    )
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            tensor.copy_(
                torch.rand_like(tensor) + 0.5 if "norm" in name else torch.randn_like(tensor) / 2
            )
    return made.eval()


def random_text(batch_size: int, length: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randint(0, 11, (batch_size, length), generator=generator),
        torch.rand(batch_size, length, generator=generator) < 0.15,
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 76_579),
        ({"n_embd": 10, "n_hidden": 68}, 22_397),
        ({"n_embd": 10, "n_hidden": 200, "fuse": 8}, 22_097),
        ({"n_embd": 10, "n_hidden": 200, "fuse": 3, "context_length": 3}, 12_097),
        ({"execution": "window", "batchnorm_bug": True}, 76_579),
    ],
)
def test_parameters_are_those_of_the_lecture(fields: dict[str, Any], expected: int) -> None:
    assert parameter_count(TreeWaveNet(TreeWaveNetConfig(vocab_size=27, **fields))) == expected


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize(("context_length", "fuse"), SHAPES)
def test_both_executions_are_the_same_function(context_length: int, fuse: int, norm: str) -> None:
    tokens, starts = random_text(3, 40)
    convolution, window = (
        model(context_length=context_length, fuse=fuse, norm=norm, execution=execution)(
            tokens, starts=starts
        )
        for execution in ("convolution", "window")
    )
    torch.testing.assert_close(convolution.logits, window.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(convolution.hidden, window.hidden, rtol=0, atol=1e-5)


def test_the_tree_is_the_lectures() -> None:
    """The lecture's terms: Embedding, three times FlattenConsecutive(2) to Tanh, Linear."""
    made = model(execution="window")
    windows = random_text(4, 8)[0]
    x = made.embedding.weight[windows]
    for level in made.levels:
        assert isinstance(level, Level)
        batch, length, channels = x.shape
        x = x.view(batch, length // 2, channels * 2) @ level.linear.weight.T
        norm = level.norm
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        x = torch.tanh((x - mean) / torch.sqrt(variance + 1e-5) * norm.weight + norm.bias)
    expected = x.squeeze(1) @ made.head.weight.T + made.head.bias
    torch.testing.assert_close(made(windows).logits[:, -1], expected)


@given(
    st.sampled_from(SHAPES),
    st.sampled_from(["convolution", "window"]),
    st.booleans(),
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
    st.integers(0, 99),
)
def test_pieces_equal_one_pass(
    shape: tuple[int, int], execution: str, grad: bool, pieces: list[int], seed: int
) -> None:
    """From the cached vectors where gradients are off.

    From the tokens in the state where they are on.
    """
    made = model(context_length=shape[0], fuse=shape[1], execution=execution)
    tokens, starts = random_text(2, sum(pieces), seed)
    with torch.set_grad_enabled(grad):
        whole = made(tokens, starts=starts).logits
        state: State | None = made.initial_state(2)
        found = []
        for part, flags in zip(
            tokens.split(pieces, dim=1), starts.split(pieces, dim=1), strict=True
        ):
            out = made(part, state, starts=flags)
            state = out.state
            found.append(out.logits)
    torch.testing.assert_close(torch.cat(found, dim=1), whole, rtol=0, atol=1e-5)


def test_a_token_more_costs_one_vector_per_level() -> None:
    costs = []
    for context_length in (8, 64):
        made = model(context_length=context_length)
        state = made.initial_state(1)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            made(torch.tensor([[3]]), state)
        levels = int(math.log2(context_length))
        per_row = 2 * 6 * (2 * 5 + (levels - 1) * 2 * 6)
        costs.append(
            counter.get_total_flops() - 2 * per_row - 2 * 6 * 11
        )  # its own row, that of the boundaries, the head
    assert costs == [0, 0]


@pytest.mark.parametrize("execution", ["convolution", "window"])
def test_gradients_reach_the_past_through_a_state(execution: str) -> None:
    """A single position with its context trains every level as the parallel pass does."""
    made = model(execution=execution)
    tokens = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]])
    parameters = list(made.parameters())
    whole = torch.autograd.grad(made(tokens).logits[:, -1].square().sum(), parameters)
    single = torch.autograd.grad(
        made(tokens[:, -1:], made.state_after(tokens[:, :-1])).logits.square().sum(), parameters
    )
    for one, other in zip(whole, single, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("execution", ["convolution", "window"])
def test_reading_a_context_moves_no_statistics(execution: str) -> None:
    made = model(execution=execution).train()
    before = {name: buffer.clone() for name, buffer in made.named_buffers()}
    made.state_after(random_text(4, 7)[0])
    assert made.training
    assert all(torch.equal(buffer, before[name]) for name, buffer in made.named_buffers())


def test_positions_train_on_exactly_the_lectures_windows() -> None:
    """The batch statistics are those of B windows: each block of each of them, and nothing else."""
    made = model(execution="window").train()
    windows = random_text(16, 8)[0]
    made(windows[:, -1:], made.state_after(windows[:, :-1]))
    level, fresh = made.levels[0], model(execution="window").levels[0]
    assert isinstance(level, Level)
    blocks = made.embedding(windows).view(16 * 4, 10) @ level.linear.weight.T
    for name, of_batch in (("running_mean", blocks.mean(0)), ("running_var", blocks.var(0))):
        begun = fresh.get_buffer(f"norm.{name}")
        torch.testing.assert_close(level.norm.get_buffer(name), 0.9 * begun + 0.1 * of_batch)


@pytest.mark.parametrize("shape", [(12, 3), (4, 3, 3)])
def test_batch_norm_is_torchs_over_the_last_dimension(shape: tuple[int, ...]) -> None:
    ours, theirs = BatchNorm(3), nn.BatchNorm1d(3)
    generator = torch.Generator().manual_seed(0)
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        inputs = torch.randn(*shape, generator=generator) * 3 + 1
        torch.testing.assert_close(ours(inputs), theirs(inputs.reshape(-1, 3)).view(shape))


def test_the_bug_keeps_statistics_for_each_place() -> None:
    """As in the lecture before the fix.

    Mean and variance over the first of three dimensions only.
    """
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(16, 4, 3, generator=generator) + torch.arange(4)[:, None]
    buggy, fixed = BatchNorm(3, places=4), BatchNorm(3)
    expected = (inputs - inputs.mean(0)) / torch.sqrt(inputs.var(0, correction=0) + 1e-5)
    torch.testing.assert_close(buggy(inputs), expected)
    mean, variance = buggy.get_buffer("running_mean"), buggy.get_buffer("running_var")
    torch.testing.assert_close(mean.view(4, 3), 0.1 * inputs.mean(0))
    assert not torch.allclose(fixed(inputs), expected, atol=0.1)
    buggy.eval()
    centred = inputs - mean.view(4, 3)
    torch.testing.assert_close(buggy(inputs), centred / torch.sqrt(variance.view(4, 3) + 1e-5))


def test_the_bug_has_one_set_of_statistics_for_each_block() -> None:
    made = TreeWaveNet(
        TreeWaveNetConfig(vocab_size=11, n_hidden=6, execution="window", batchnorm_bug=True)
    )
    means = [level.get_buffer("norm.running_mean") for level in made.levels]
    assert [mean.numel() for mean in means] == [4 * 6, 2 * 6, 6]


def test_the_trait_tells_whether_rows_mix_while_training() -> None:
    tokens = random_text(3, 9)[0]
    for norm in ("batch", "layer"):
        made = model(norm=norm).train()
        other_rows = made(torch.cat([tokens[:1], 10 - tokens[1:]])).logits[0]
        mixed = not torch.allclose(made(tokens).logits[0], other_rows, atol=1e-5)
        assert made.traits.batch_statistics == mixed == (norm == "batch")


def test_one_window_cannot_be_batch_normalised() -> None:
    made = model(execution="window").train()
    with pytest.raises(ConfigError, match="one window"):
        made(torch.tensor([[3]]))


def test_first_predictions_are_near_uniform() -> None:
    tokens = random_text(8, 64)[0]
    for norm in ("batch", "layer"):
        logits = TreeWaveNet(TreeWaveNetConfig(vocab_size=11, norm=norm))(tokens[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        assert abs(loss.item() - math.log(11)) < 0.05


@pytest.mark.parametrize("execution", ["convolution", "window"])
@pytest.mark.parametrize(("context_length", "fuse"), SHAPES)
def test_flops_are_those_that_torch_counts(context_length: int, fuse: int, execution: str) -> None:
    """But for the one row of boundaries that the convolution adds."""
    made = model(context_length=context_length, fuse=fuse, execution=execution).train()
    tokens = random_text(8, 32)[0]
    with FlopCounterMode(display=False) as counter:
        made(tokens).logits.sum().backward()
    assert counter.get_total_flops() == pytest.approx(made.flops(tokens.numel()), rel=0.005)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"context_length": 12}, "context_length is 12; it must be a power of fuse"),
        ({"context_length": 1}, "context_length is 1; it must be a power of fuse"),
        ({"context_length": 8, "fuse": 1}, "fuse is 1; it must be at least 2"),
        ({"n_hidden": 0}, "n_hidden is 0; it must be at least 1"),
        ({"batchnorm_bug": True}, "batchnorm_bug is True; it must be false, unless"),
        ({"batchnorm_bug": True, "execution": "window", "norm": "layer"}, "batchnorm_bug is True"),
    ],
)
def test_a_setting_out_of_range_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(").replace(")", r"\)")):
        TreeWaveNetConfig(vocab_size=11, **fields)
