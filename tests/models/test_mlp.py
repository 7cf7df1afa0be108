from __future__ import annotations

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from inklings.errors import ConfigError
from inklings.models.contract import parameter_count
from inklings.models.mlp import MLP, MLPConfig


def model(**fields: int) -> MLP:
    torch.manual_seed(0)
    return MLP(
        MLPConfig(**{"vocab_size": 11, "context_length": 4, "n_embd": 5, "n_hidden": 7, **fields})
    )


def test_parameters_are_those_of_the_equation() -> None:
    assert parameter_count(model()) == 11 * 5 + (4 * 5 * 7 + 7) + (7 * 11 + 11)


def test_a_prediction_is_bengios_equation() -> None:
    """y = U tanh(d + H x) + b, with x the embeddings of the window, the oldest first."""
    made, window = model(), torch.tensor([[3, 1, 4, 2]])
    x = torch.cat([made.embedding.weight[token] for token in window[0]])
    expected = (
        made.head.weight @ torch.tanh(made.layer.bias + made.layer.weight @ x) + made.head.bias
    )
    torch.testing.assert_close(made(window).logits[0, -1], expected)


def test_a_missing_past_is_boundary_tokens() -> None:
    padded = torch.tensor([[0, 0, 0, 5, 2]])
    torch.testing.assert_close(model()(padded).logits[:, 3:], model()(padded[:, 3:]).logits)


def test_single_positions_with_their_context_equal_the_parallel_pass() -> None:
    made, tokens = (
        model(),
        torch.randint(1, 11, (1, 12), generator=torch.Generator().manual_seed(0)),
    )
    whole = made(tokens).logits[0]
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), tokens], dim=1)[0]
    context = padded.unfold(0, 4, 1)
    single = made(context[:, -1:], made.state_after(context[:, :-1]))
    torch.testing.assert_close(single.logits[:, 0], whole)


@pytest.mark.parametrize("context", [0, 2, 9])
def test_state_after_equals_reading_the_context(context: int) -> None:
    made, tokens = (
        model(),
        torch.randint(0, 11, (2, context), generator=torch.Generator().manual_seed(0)),
    )
    state = made.state_after(tokens)
    read = made(tokens, made.initial_state(2)).state if context else made.initial_state(2)
    assert read is not None
    assert torch.equal(state.tensors["past"], read.tensors["past"])


def test_no_past_is_needed_for_one_token() -> None:
    made = model(context_length=1)
    tokens = torch.tensor([[3, 0, 7]])
    out = made(tokens, made.initial_state(1))
    assert out.state is not None
    assert out.state.batch_size == 1
    torch.testing.assert_close(out.logits[:, 1:], made(tokens[:, 1:]).logits)


def test_first_predictions_are_near_uniform() -> None:
    tokens = torch.randint(0, 11, (8, 32), generator=torch.Generator().manual_seed(0))
    made = model(n_hidden=200)
    loss = torch.nn.functional.cross_entropy(
        made(tokens[:, :-1]).logits.flatten(0, 1), tokens[:, 1:].flatten()
    )
    assert abs(loss.item() - math.log(11)) < 0.05


def test_flops_are_those_that_torch_counts() -> None:
    made = model()
    with FlopCounterMode(display=False) as counter:
        made(torch.zeros(3, 16, dtype=torch.long)).logits.sum().backward()
    assert counter.get_total_flops() == made.flops(3 * 16)


@pytest.mark.parametrize("field", ["n_embd", "n_hidden", "context_length"])
def test_a_size_below_one_is_named(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"{field} is 0; it must be at least 1"):
        model(**{field: 0})
