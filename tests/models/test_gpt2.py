from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from inklings.models.gpt2.model import GPT2, Block, GPT2Config
from tests.models.in_pieces import in_pieces

VOCABULARY = 17


def tiny(window: int = 5, **fields: Any) -> GPT2:
    """A model in evaluation mode whose weights are anything, so that positions and biases show."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "context_length": window,
        "n_layer": 2,
        "n_head": 2,
        "n_embd": 16,
    }
    model = GPT2(GPT2Config(**(sizes | fields)))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def plain_logits(model: GPT2, tokens: list[int]) -> Tensor:
    """GPT-2 on one window, from its definition; (T, V)."""
    config = model.config
    x = model.embedding.weight[tokens] + model.position_embedding.weight[: len(tokens)]
    for block in model.blocks:
        assert isinstance(block, Block)
        attention, feed_forward = block.attention, block.feed_forward
        joint = F.linear(
            attention.norm(x), attention.query_key_value.weight, attention.query_key_value.bias
        )
        heads = [
            part.view(len(tokens), config.n_head, -1).transpose(0, 1)
            for part in joint.chunk(3, dim=-1)
        ]
        scores = heads[0] @ heads[1].transpose(1, 2) / math.sqrt(config.n_embd // config.n_head)
        scores = scores + torch.full(scores.shape[1:], -torch.inf).triu(1)
        x = x + attention.project((scores.softmax(-1) @ heads[2]).transpose(0, 1).flatten(1))
        wide = feed_forward.widen(feed_forward.norm(x))
        bent = 0.5 * wide * (1 + torch.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
        x = x + feed_forward.project(bent)
    logits: Tensor = model.norm(x) @ model.embedding.weight.T
    return logits


def naive_logits(model: GPT2, tokens: Tensor, starts: Tensor) -> Tensor:
    """Token by token.

    A window that is full is cut to its last half, and the plain network reads all of it again.
    """
    size = model.config.context_length
    rows = []
    for row, begins in zip(tokens.tolist(), starts.tolist(), strict=True):
        window: list[int] = []
        logits = []
        for token, begin in zip(row, begins, strict=True):
            if begin:
                window = []
            if len(window) == size:
                window = window[size - size // 2 :]
            window.append(token)
            logits.append(plain_logits(model, window)[-1])
        rows.append(torch.stack(logits))
    return torch.stack(rows)


@given(
    window=st.integers(1, 7),
    pieces=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    share=st.sampled_from([0.0, 0.15]),
    gradient=st.booleans(),
    seed=st.integers(0, 99),
)
def test_past_the_window_its_last_half_is_read_again(
    window: int, pieces: list[int], share: float, gradient: bool, seed: int
) -> None:
    model = tiny(window)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(VOCABULARY, (2, sum(pieces)), generator=generator)
    starts = torch.rand(tokens.shape, generator=generator) < share
    given_starts = starts if share else None
    with torch.no_grad():
        expected = naive_logits(model, tokens, starts)
    with torch.set_grad_enabled(gradient):
        torch.testing.assert_close(
            model(tokens, starts=given_starts).logits, expected, atol=1e-4, rtol=1e-4
        )
        found = in_pieces(model, tokens, given_starts, pieces)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@given(
    window=st.integers(1, 7),
    pieces=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    share=st.sampled_from([0.0, 0.15]),
    gradient=st.booleans(),
    seed=st.integers(0, 99),
)
def test_two_lanes_say_what_reading_again_does(
    window: int, pieces: list[int], share: float, gradient: bool, seed: int
) -> None:
    model = tiny(window)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(VOCABULARY, (2, sum(pieces)), generator=generator)
    starts = torch.rand(tokens.shape, generator=generator) < share
    with torch.no_grad():
        expected = naive_logits(model, tokens, starts)
    with torch.set_grad_enabled(gradient):
        at_once = model._read_lanes(tokens, None, starts).logits
        torch.testing.assert_close(at_once, expected, atol=1e-4, rtol=1e-4)
        given_starts = starts if share else None
        found = in_pieces(model, tokens, given_starts, pieces, model.traceable_state(2))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pieces", [[1] * 14, [5, 1, 7, 1], [14]])
@pytest.mark.parametrize("form", ["initial_state", "traceable_state"])
@torch.no_grad()
def test_rows_at_different_places_of_their_windows_leave_them_each_by_itself(
    form: str, pieces: list[int]
) -> None:
    model = tiny(6)
    fresh = getattr(model, form)
    lengths = [0, 1, 5, 6, 7, 11, 20]
    tokens = torch.randint(VOCABULARY, (len(lengths), max(lengths) + 14))
    state = fresh(len(lengths))
    for row, length in enumerate(lengths):
        if length:
            alone = model(tokens[row : row + 1, :length], fresh(1)).state
            assert alone is not None
            state.assign(torch.tensor([row]), alone)
    new = torch.stack([tokens[row, length : length + 14] for row, length in enumerate(lengths)])
    expected = naive_logits(model, tokens, torch.zeros_like(tokens, dtype=torch.bool))
    found = in_pieces(model, new, None, pieces, state)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(
            found[row], expected[row, length : length + 14], atol=1e-4, rtol=1e-4
        )


@torch.no_grad()
def test_steps_within_a_window_read_nothing_again() -> None:
    model = tiny(8)
    read: list[int] = []
    model.embedding.register_forward_hook(
        lambda module, inputs, output: read.append(inputs[0].numel())
    )
    state = model.initial_state(1)
    for _ in range(20):
        state = model(torch.zeros(1, 1, dtype=torch.int64), state).state
    # positions 8, 12 and 16 leave a window: half of it, four tokens, is read with them
    assert read == [5 if step in (8, 12, 16) else 1 for step in range(20)]


def test_it_starts_with_the_published_sizes() -> None:
    torch.manual_seed(0)
    model = GPT2(GPT2Config(vocab_size=500, n_layer=8))
    expected = {
        "embedding": 0.02,
        "position_embedding": 0.01,
        "query_key_value": 0.02,
        "widen": 0.02,
        "project": 0.02 / 4,
    }
    seen = set()
    for name, parameter in model.named_parameters():
        module, _, kind = name.rpartition(".")
        last = module.rpartition(".")[2]
        if last == "norm" or kind == "bias":
            assert bool((parameter.detach() == (1 if kind == "weight" else 0)).all()), name
        else:
            assert abs(float(parameter.detach().std()) / expected[last] - 1) < 0.05, name
            seen.add(last)
    assert seen == set(expected)


def test_its_size_is_that_of_the_published_model() -> None:
    with torch.device("meta"):
        model = GPT2(
            GPT2Config(vocab_size=50257, context_length=1024, n_layer=12, n_head=12, n_embd=768)
        )
    assert sum(parameter.numel() for parameter in model.parameters()) == 124_439_808


def test_matrices_are_all_but_embeddings() -> None:
    model = GPT2(
        GPT2Config(vocab_size=48, n_embd=16, n_head=2, n_layer=3)
    )  # as many tokens as the joint projection is wide
    assert len(model.matrices()) == 3 * 4
    assert not {id(matrix) for matrix in model.matrices()} & {
        id(model.embedding.weight),
        id(model.position_embedding.weight),
    }


def test_dropout_works_in_training_only_and_reaches_attention() -> None:
    model = tiny(8, dropout=0.3).train()
    tokens = torch.randint(VOCABULARY, (2, 8))
    torch.manual_seed(5)
    first, second = model(tokens).logits, model(tokens).logits
    torch.manual_seed(5)
    assert torch.equal(model(tokens).logits, first)
    assert not torch.equal(first, second)
    block = model.blocks[0]
    assert isinstance(block, Block)
    attention = block.attention
    attention.dropout.register_forward_hook(
        lambda module, inputs, output: inputs[0]
    )  # leaves the dropout of the weights
    model.dropout.rate = 0.0
    heard: list[Tensor] = []
    attention.register_forward_hook(lambda module, inputs, output: heard.append(output))
    model(tokens)
    model(tokens)
    assert not torch.equal(heard[0], heard[1])
    model.eval()
    assert torch.equal(model(tokens).logits, model(tokens).logits)


def test_operations_are_counted_as_torch_counts_them() -> None:
    model = GPT2(GPT2Config(vocab_size=65))
    tokens = torch.randint(65, (2, 64))
    # the plain formula of attention, since torch does not count inside its fast kernel for CPUs
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(tokens).logits.sum().backward()
    assert model.flops(tokens.numel()) == counter.get_total_flops()
