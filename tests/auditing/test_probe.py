"""What the checks feed to models, and how they look inside."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inklings.auditing.probes import (
    LONGEST,
    difference,
    in_mode,
    other_tokens,
    random_tokens,
    scrambled,
    span,
    with_documents,
)
from inklings.auditing.traces import along, tensors_in, traced
from inklings.models.contract import Output, SequenceModel
from tests.built import build_sequence_model

from .fixtures.known_bad import DeclaredBatchNorm, Honest, SmallConfig


def model(vocab_size: int = 11, boundary: int = 0, context_length: int = 6) -> Honest:
    return Honest(
        SmallConfig(vocab_size=vocab_size, boundary_token=boundary, context_length=context_length)
    )


# Tokens


@given(st.integers(3, 9), st.data())
def test_other_tokens_are_others_and_never_the_boundary(
    vocab_size: int, data: st.DataObject
) -> None:
    boundary = data.draw(st.integers(0, vocab_size - 1))
    tokens = torch.arange(vocab_size)[None]
    other = other_tokens(model(vocab_size, boundary), tokens)
    assert not (other == tokens).any()
    assert not (other == boundary).any()
    assert ((other >= 0) & (other < vocab_size)).all()


@given(st.integers(2, 9), st.data(), st.integers(0, 5))
def test_random_tokens_are_all_but_the_boundary(
    vocab_size: int, data: st.DataObject, seed: int
) -> None:
    boundary = data.draw(st.integers(0, vocab_size - 1))
    made = model(vocab_size, boundary)
    tokens = random_tokens(made, 8, 40, seed)
    assert set(tokens.flatten().tolist()) == set(range(vocab_size)) - {boundary}
    assert torch.equal(tokens, random_tokens(made, 8, 40, seed))
    few = random_tokens(made, 8, 40, seed, symbols=1)
    assert set(few.flatten().tolist()) == {1 if boundary == 0 else 0}


def test_documents_begin_where_the_boundary_is() -> None:
    made = model(boundary=3)
    tokens, starts = with_documents(made, random_tokens(made, 5, 60), seed=1)
    assert torch.equal(tokens == 3, starts)
    assert 0.05 < starts.float().mean() < 0.3


@pytest.mark.parametrize("context_length", [1, 2, 6, 14, 500])
def test_a_span_is_longer_than_the_context_and_no_size_of_the_model(context_length: int) -> None:
    made = model(context_length=context_length)
    length = span(made)
    assert length >= min(2 * context_length + 3, LONGEST)
    assert length < LONGEST + 10
    assert all(length not in tensor.shape for tensor in made.state_dict().values())


def test_a_span_steps_aside_for_a_size() -> None:
    assert span(Honest(SmallConfig(vocab_size=11, n_embd=15, context_length=6))) == 16
    assert span(Honest(SmallConfig(vocab_size=15, n_embd=16, context_length=6))) == 17


# Shapes


ROWS, LENGTH = 3, 7


@pytest.mark.parametrize(
    "shape",
    [
        (ROWS, LENGTH, 4),  # as most modules hand it on
        (ROWS * LENGTH, 4),  # flattened
        (ROWS * LENGTH,),
        (ROWS, 4, LENGTH),  # as convolutions lay it out
        (ROWS, 2, LENGTH, 4),  # the heads of attention
        (ROWS, LENGTH, 2, 4),
    ],
)
def test_rows_and_positions_are_found(shape: tuple[int, ...]) -> None:
    row = torch.arange(ROWS)[:, None].expand(ROWS, LENGTH)
    position = torch.arange(LENGTH).expand(ROWS, LENGTH)
    mark = 100.0 * row + position
    if shape[0] == ROWS * LENGTH:
        tensor = mark.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)
    else:
        where = [1] * len(shape)
        where[0], where[shape.index(LENGTH)] = ROWS, LENGTH
        tensor = mark.reshape(where).expand(shape)
    found = along(tensor, ROWS, LENGTH)
    assert found is not None
    assert found.shape == (ROWS, LENGTH, math.prod(shape) // (ROWS * LENGTH))
    assert torch.equal(found, mark[..., None].expand_as(found))


@pytest.mark.parametrize(
    "shape",
    [(), (4,), (ROWS,), (ROWS, LENGTH), (ROWS, LENGTH, LENGTH), (LENGTH, ROWS, 4), (5, LENGTH, 4)],
)
def test_what_a_shape_does_not_say_is_not_guessed(shape: tuple[int, ...]) -> None:
    assert along(torch.zeros(shape), ROWS, LENGTH) is None


def test_a_difference_is_a_multiple_of_what_is_tolerated() -> None:
    expected = torch.tensor([1.0, -9.0])
    assert difference(expected, expected) == 0
    assert difference(expected + 1e-3, expected) == pytest.approx(1.0, rel=1e-2)
    assert difference(torch.tensor([1.0, math.nan]), expected) == math.inf
    assert difference(torch.zeros(0), torch.zeros(0)) == 0


# Looking inside


def test_traces_come_in_the_order_of_computation_and_end_with_the_block() -> None:
    made = model().eval()
    tokens = random_tokens(made, 2, 9)
    with traced(made) as traces:
        logits = made(tokens).logits
    names = [trace.module for trace in traces]
    assert list(dict.fromkeys(names)) == [
        "the model (Honest)",  # which gave the embedding its tokens
        "embedding (Embedding)",
        "norm (RMSNorm)",
        "attention (Attention)",  # whose code is between its maps
        "attention.qkv (Linear)",
        "attention.project (Linear)",
        "convolution (Convolution)",
        "finish (Identity)",
        "head (Linear)",
    ]
    assert torch.equal(
        traces[-2].tensor, logits
    )  # of an output the logits and what the head read, in this order
    made(tokens)
    assert len(traces) == len(names)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in made.modules())


def test_hooks_are_taken_away_where_the_model_fails() -> None:
    made = model()
    with pytest.raises(IndexError), traced(made):
        made(torch.tensor([[99]]))
    assert not any(module._forward_hooks for module in made.modules())


def test_tensors_are_found_in_whatever_holds_them() -> None:
    one, two = torch.zeros(2), torch.ones(2)
    assert (
        len(
            tensors_in(
                (
                    one,
                    [two, (one,)],
                    {"state": two},
                    "text",
                    None,
                    torch.zeros(2, dtype=torch.int64),
                )
            )
        )
        == 3
    )
    logits, hidden = torch.zeros(1, 2, 3), torch.zeros(1, 2, 4)
    found = tensors_in(Output(logits=logits, state=None, hidden=hidden))
    assert [tensor.shape for tensor in found] == [logits.shape, hidden.shape]


# Models


def of_seed(kind: type[Honest], seed: int) -> SequenceModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(SmallConfig(vocab_size=11))


def test_scrambled_weights_are_a_function_of_the_seed_and_the_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (scrambled(lambda seed: of_seed(Honest, seed), seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert not one.training
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, same.state_dict()[name])
        assert not torch.equal(weight, other.state_dict()[name])
        assert not torch.equal(weight, of_seed(Honest, 0).state_dict()[name])


def test_scrambling_fills_running_statistics() -> None:
    made = scrambled(lambda seed: of_seed(DeclaredBatchNorm, seed))
    assert made.get_buffer("finish.running_mean").abs().max() > 0


def test_a_counting_model_has_counted() -> None:
    made = scrambled(
        lambda seed: build_sequence_model("ngram", {"order": 3}, vocab_size=11, boundary_token=4)
    )
    with torch.no_grad():
        logits = made(random_tokens(made, 2, 9)).logits
    assert torch.isfinite(logits).all()
    assert logits.std() > 0.1


def test_training_mode_is_a_copys() -> None:
    made = scrambled(lambda seed: of_seed(DeclaredBatchNorm, seed))
    mean = made.get_buffer("finish.running_mean").clone()
    with in_mode(made, training=True) as copy:
        assert copy.training
        copy(random_tokens(made, 2, 9))
        assert not torch.equal(copy.get_buffer("finish.running_mean"), mean)
    assert not made.training
    assert torch.equal(made.get_buffer("finish.running_mean"), mean)
