"""What `generate` and turns ask of the engine: what is kept, what was drawn before, failures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from inklings.errors import DivergedError
from inklings.generation.engine.engine import Engine
from inklings.generation.engine.request import GenerationRequest
from inklings.generation.engine.state_slots import RowStates
from inklings.generation.sampling import SamplingConfig
from inklings.generation.session import reraise
from inklings.models.contract import SequenceModel
from inklings.models.registry import build
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import make_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return make_tokenizer("char", lambda: iter([("abcdefgh", True)]), unknown="error")


@pytest.fixture
def model(tokenizer: Tokenizer) -> SequenceModel:
    fields = {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 32}
    made = build("gpt", fields, vocab_size=tokenizer.vocab_size, boundary_token=tokenizer.boundary)
    assert isinstance(made, SequenceModel)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return made


@contextmanager
def shapes(model: SequenceModel) -> Iterator[list[tuple[int, ...]]]:
    """The shapes of the tokens of every pass."""
    seen: list[tuple[int, ...]] = []
    handle = model.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    yield seen
    handle.remove()


def job(tokenizer: Tokenizer, prompt: tuple[int, ...], **settings: Any) -> GenerationRequest:
    asked: dict[str, Any] = {"max_new_tokens": 4, "stop_at_boundary": False, **settings}
    return GenerationRequest(number=0, client="", prompt=(tokenizer.boundary, *prompt), **asked)


def drawn(engine: Engine, request: GenerationRequest) -> tuple[int, ...]:
    engine.submit(request)
    return tuple(token for delta in engine.deltas() for token in delta.drawn)


def test_a_text_that_is_kept_is_not_read_again(model: SequenceModel, tokenizer: Tokenizer) -> None:
    prompt = (1, 2, 3, 4, 5, 6)
    for keep, read in ((True, 3), (False, 10)):
        engine = Engine(model, tokenizer, rows=1)
        first = drawn(engine, job(tokenizer, prompt, keep=keep, max_new_tokens=1))
        longer = (*prompt, *first, 7, 8)
        with shapes(model) as seen:
            tokens = drawn(engine, job(tokenizer, longer, max_new_tokens=1))
        assert sum(length for _, length in seen) == read
        assert tokens == drawn(Engine(model, tokenizer), job(tokenizer, longer, max_new_tokens=1))


def test_what_is_kept_is_of_texts_that_begin_so_alone(
    model: SequenceModel, tokenizer: Tokenizer
) -> None:
    engine = Engine(model, tokenizer, rows=1)
    drawn(engine, job(tokenizer, (1, 2, 3), keep=True, max_new_tokens=0))
    for other in ((1, 4, 3, 2), (1, 2), ()):
        assert drawn(engine, job(tokenizer, other)) == drawn(
            Engine(model, tokenizer), job(tokenizer, other)
        )


def test_draws_go_on_where_an_earlier_request_ended(
    model: SequenceModel, tokenizer: Tokenizer
) -> None:
    engine = Engine(model, tokenizer)
    settings: dict[str, Any] = {"sampling": SamplingConfig(seed=3), "row": 2}
    whole = drawn(engine, job(tokenizer, (1, 2), max_new_tokens=12, **settings))
    for cut in (0, 1, 5):
        rest = job(tokenizer, (1, 2, *whole[:cut]), max_new_tokens=12 - cut, draws=cut, **settings)
        assert drawn(engine, rest) == whole[cut:]


def test_an_error_is_told_in_the_words_of_failure_or_raised(
    model: SequenceModel, tokenizer: Tokenizer
) -> None:
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    engine = Engine(model, tokenizer, failure=lambda error: f"so it is: {type(error).__name__}")
    engine.submit(job(tokenizer, ()))
    assert [*engine.deltas()][-1].error == "so it is: DivergedError"
    engine = Engine(model, tokenizer, failure=reraise)
    engine.submit(job(tokenizer, ()))
    with pytest.raises(DivergedError):
        list(engine.deltas())


@pytest.mark.parametrize("coming", [0, 6])
def test_room_for_those_to_come_is_made_at_once(model: SequenceModel, coming: int) -> None:
    start = model.initial_state(1)
    states = RowStates(model)
    states.begin(start, coming)
    place = states.part(0).tensors["keys_0"].data_ptr()
    for _ in range(6):
        states.begin(start)
    assert (states.part(0).tensors["keys_0"].data_ptr() == place) == (coming == 6)


def test_a_row_that_was_known_to_come_begins_anew_in_a_slot_that_was_used(
    model: SequenceModel,
) -> None:
    start = model.initial_state(1)
    new, used = RowStates(model), RowStates(model)
    for states in (new, used):
        states.begin(start, 2)
        states.begin(start)
    used.forward(torch.tensor([[4], [5]]))
    used.leave(1)
    used.begin(start)  # where the one that left has written
    wanted, found = (states.forward(torch.tensor([[6], [3]]))[0][1] for states in (new, used))
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("pads", [True, False])
def test_one_row_is_read_as_two_where_rows_come_and_go(model: SequenceModel, pads: bool) -> None:
    states = RowStates(model, pads=pads)
    states.begin()
    with shapes(model) as seen:
        states.forward(torch.tensor([[3]]))
        states.begin()
        states.forward(torch.tensor([[4], [5]]))
    assert seen == [(2 if pads else 1, 1), (2, 1)]
