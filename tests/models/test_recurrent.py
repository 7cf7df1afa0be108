from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from inklings.errors import ConfigError
from inklings.models.contract import Output, State
from inklings.models.recurrent import Recurrent, RecurrentConfig

CELLS = ("rnn", "gru", "lstm")


def model(cell: str, **fields: Any) -> Recurrent:
    torch.manual_seed(0)
    made = Recurrent(
        RecurrentConfig(
            **{"vocab_size": 11, "cell": cell, "n_layer": 2, "n_embd": 5, "n_hidden": 7, **fields}
        )
    )
    return made.eval()


def remembering(made: Recurrent, rows: int) -> State:
    """A state that no document begins with."""
    generator = torch.Generator().manual_seed(1)
    return State(
        {
            name: torch.randn(part.shape, generator=generator)
            for name, part in made.initial_state(rows).tensors.items()
        }
    )


def step_by_step(
    made: Recurrent, tokens: torch.Tensor, state: State, starts: torch.Tensor
) -> tuple[torch.Tensor, State]:
    """One token at a time, setting what is remembered to zero by hand."""
    logits = []
    for t in range(tokens.shape[1]):
        keep = ~starts[:, t, None, None]
        state = State({name: part * keep for name, part in state.tensors.items()})
        out = made(tokens[:, t : t + 1], state)
        assert out.state is not None
        state = out.state
        logits.append(out.logits)
    return torch.cat(logits, dim=1), state


def assert_same(out: Output, logits: torch.Tensor, state: State) -> None:
    assert out.state is not None
    torch.testing.assert_close(out.logits, logits, rtol=0, atol=1e-5)
    for name, part in state.tensors.items():
        torch.testing.assert_close(out.state.tensors[name], part, rtol=0, atol=1e-5)


@given(
    st.sampled_from(CELLS), st.integers(1, 4), st.integers(1, 9), st.randoms(use_true_random=False)
)
def test_starts_equal_resetting_by_hand(
    cell: str, batch_size: int, length: int, random: Any
) -> None:
    made = model(cell)
    tokens = torch.tensor(
        [[random.randrange(11) for _ in range(length)] for _ in range(batch_size)]
    )
    starts = torch.tensor(
        [[random.random() < 0.3 for _ in range(length)] for _ in range(batch_size)]
    )
    expected = step_by_step(made, tokens, remembering(made, batch_size), starts)
    assert_same(made(tokens, remembering(made, batch_size), starts=starts), *expected)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_through_pieces_equal_those_of_the_steps(cell: str) -> None:
    made = model(cell)
    generator = torch.Generator().manual_seed(2)
    tokens, starts = (
        torch.randint(0, 11, (3, 8), generator=generator),
        torch.rand(3, 8, generator=generator) < 0.3,
    )
    pieces = made(tokens, remembering(made, 3), starts=starts).logits
    steps = step_by_step(made, tokens, remembering(made, 3), starts)[0]
    found = [
        torch.autograd.grad(logits.square().sum(), list(made.parameters()))
        for logits in (pieces, steps)
    ]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_steps_that_ask_nothing_of_the_host_equal_the_pieces(cell: str) -> None:
    made = model(cell)
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(0, 11, (3, 8), generator=generator)
    starts = torch.rand(3, 8, generator=generator) < 0.3
    pieces = made(tokens, remembering(made, 3), starts=starts)
    memory = made._as_memory(remembering(made, 3))
    hidden, after = made._run_steps(made.embedding(tokens), memory, starts)
    assert_same(pieces, made.head(hidden), made._as_state(after))
    found = [
        torch.autograd.grad(values.square().sum(), list(made.layers.parameters()))
        for values in (pieces.hidden, hidden)
    ]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_steps_drop_between_layers_in_training_only() -> None:
    made = model("gru", dropout=0.5)
    tokens, starts = torch.ones(2, 6, dtype=torch.int64), torch.zeros(2, 6, dtype=torch.bool)
    inputs, memory = made.embedding(tokens), made._as_memory(remembering(made, 2))
    for training in (False, True):
        made.train(training)
        first, second = (made._run_steps(inputs, memory, starts)[0] for _ in range(2))
        assert torch.equal(first, second) == (not training)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_reach_the_state_and_stop_at_a_start(cell: str) -> None:
    made = model(cell)
    state = State(
        {name: part.requires_grad_() for name, part in remembering(made, 2).tensors.items()}
    )
    starts = torch.tensor([[True, False, False], [False, False, True]])
    made(
        torch.tensor([[0, 1, 2], [3, 4, 0]]), state, starts=starts
    ).logits.square().sum().backward()
    for part in state.tensors.values():
        assert part.grad is not None
        assert not part.grad[0].any()
        assert part.grad[1].any()


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_that_was_given_is_not_written_into(cell: str) -> None:
    made = model(cell)
    state = remembering(made, 2)
    before = state.clone()
    made(torch.tensor([[0, 1], [2, 3]]), state, starts=torch.tensor([[True, False], [False, True]]))
    for name, part in before.tensors.items():
        assert torch.equal(state.tensors[name], part)


def test_dropout_is_off_in_evaluation_and_on_while_training() -> None:
    made, tokens = (
        model("gru", dropout=0.5),
        torch.randint(1, 11, (2, 6), generator=torch.Generator().manual_seed(0)),
    )
    assert torch.equal(made(tokens).logits, made(tokens).logits)
    made.train()
    assert not torch.equal(made(tokens).logits, made(tokens).logits)


def test_dropout_is_before_the_first_layer_between_layers_and_after_the_last() -> None:
    made, read = model("gru", dropout=0.5).train(), []
    made.layers.register_forward_pre_hook(lambda _, arguments: read.append(arguments[0]))
    out = made(torch.randint(1, 11, (8, 50), generator=torch.Generator().manual_seed(0)))
    for values in (read[0], out.hidden):
        assert (values == 0).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert made.layers.dropout == 0.5


def test_dropout_in_a_single_layer_is_no_cause_for_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model("gru", n_layer=1, dropout=0.5)


@pytest.mark.parametrize("cell", CELLS)
def test_first_predictions_are_near_uniform(cell: str) -> None:
    tokens = torch.randint(0, 11, (8, 32), generator=torch.Generator().manual_seed(0))
    logits = model(cell, n_hidden=128)(tokens[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    assert abs(loss.item() - math.log(11)) < 0.05


@pytest.mark.parametrize("cell", CELLS)
def test_flops_are_those_that_torch_counts(cell: str) -> None:
    """But for first steps, whose past is a constant that needs no gradient.

    In pieces, as torch does not see into a whole LSTM.
    """
    made = model(cell).train()
    tokens = torch.zeros(4, 100, dtype=torch.long)
    starts = torch.zeros(4, 100, dtype=torch.bool)
    starts[0, 50] = True
    with FlopCounterMode(display=False) as counter:
        made(tokens, starts=starts).logits.sum().backward()
    assert counter.get_total_flops() == pytest.approx(made.flops(tokens.numel()), rel=0.01)


def test_an_lstm_carries_its_cells_too() -> None:
    assert set(model("lstm").initial_state(3).tensors) == {"hidden", "cell"}
    assert set(model("gru").initial_state(3).tensors) == {"hidden"}
    assert model("gru").initial_state(3).tensors["hidden"].shape == (3, 2, 7)


@pytest.mark.parametrize(
    ("field", "value"), [("n_layer", 0), ("n_embd", 0), ("n_hidden", 0), ("dropout", 1.0)]
)
def test_a_setting_out_of_range_is_named(field: str, value: Any) -> None:
    fields: dict[str, Any] = {"vocab_size": 11, field: value}
    with pytest.raises(ConfigError, match=rf"{field} is {value!r}"):
        RecurrentConfig(**fields)


def test_the_order_of_the_names_in_a_state_means_nothing() -> None:
    """A state that was kept in a file comes back in alphabetical order."""
    made, tokens = model("lstm"), torch.tensor([[1, 2], [3, 4]])
    state = remembering(made, 2)
    turned = State(dict(sorted(state.tensors.items())))
    assert list(turned.tensors) != list(state.tensors)
    assert torch.equal(made(tokens, state).logits, made(tokens, turned).logits)
