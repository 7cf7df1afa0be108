"""Rows that join, leave and change places are read as if each were alone.

By every kind of architecture that streams.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from inklings.generation.engine.state_slots import RowStates
from inklings.generation.inference import inference
from inklings.models.contract import ModelConfig, Output, SequenceModel, State
from tests.built import build_opinionated

SIZE = 11
BOUNDARY = 0
SMALL: dict[str, dict[str, Any]] = {
    "gpt": {"n_layer": 2, "n_head": 2, "n_embd": 8, "context_length": 5, "dropout": 0.5},
    "gpt2": {"n_layer": 1, "n_head": 2, "n_embd": 8, "context_length": 6},
    "wavenet": {"n_layer": 3, "n_embd": 6, "n_skip": 6},
    "recurrent": {"cell": "lstm", "n_embd": 6, "n_hidden": 8},
    "ngram": {"order": 3},
    "mlp": {"context_length": 4, "n_embd": 4, "n_hidden": 8},
    "tree_wavenet": {"context_length": 4, "n_embd": 4, "n_hidden": 8},
    "wavegpt": {"n_layer": 1, "n_head": 2, "n_embd": 8, "context_length": 4, "wave_layers": 2},
    "varda": {
        "backbone": "gpt:n_layer=1,n_head=2,n_embd=8,context_length=4",
        "segment": 3,
        "num_search_results": 2,
        "memory_size": 6,
    },
}


def made(architecture: str) -> SequenceModel:
    """Small, with weights that make its predictions depend on what it has read."""
    return build_opinionated(
        architecture, SMALL[architecture], vocab_size=SIZE, boundary_token=BOUNDARY, seed=1
    )


def starts_of(tokens: Tensor, fresh: list[bool]) -> Tensor | None:
    starts = tokens == BOUNDARY
    starts[:, 0] &= ~torch.tensor(fresh)
    return starts if bool(starts.any()) else None


def alone(model: SequenceModel, history: list[int]) -> Tensor:
    """The logits of one fresh pass over a text (T, V)."""
    tokens = torch.tensor([history])
    with inference(model.modules()):
        logits: Tensor = model(tokens, starts=starts_of(tokens, [True])).logits[0]
    return logits


ACTION = st.one_of(
    st.tuples(st.just("begin"), st.just(0)),
    st.tuples(st.sampled_from(["leave", "move"]), st.integers(0, 9)),
    st.tuples(st.sampled_from(["read", "read other"]), st.sampled_from([1, 1, 1, 2, 7])),
)


@pytest.mark.parametrize("architecture", sorted(SMALL))
@given(actions=st.lists(ACTION, min_size=4, max_size=16), seed=st.integers(0, 999))
@settings(max_examples=8)
def test_rows_are_read_as_if_each_were_alone(
    architecture: str, actions: list[tuple[str, int]], seed: int
) -> None:
    """Also after a move into other states; and what nobody refers to any more is not kept."""
    model, rng = made(architecture), torch.Generator().manual_seed(seed)
    both = [RowStates(model), RowStates(model)]
    texts: list[list[list[int]]] = [[], []]

    def drop(which: int, row: int) -> list[int]:
        last = texts[which].pop()
        if row == len(texts[which]):
            return last
        gone, texts[which][row] = texts[which][row], last
        return gone

    for action, number in [("begin", 0), *actions, ("read", 2), ("read other", 1)]:
        if action == "begin":
            both[0].begin()
            texts[0].append([])
        elif action in ("leave", "move") and texts[0]:
            row = number % len(texts[0])
            if action == "leave":
                both[0].leave(row)
                drop(0, row)
            else:
                both[1].begin(both[0].part(row))
                both[0].leave(row)
                texts[1].append(drop(0, row))
        elif action.startswith("read"):
            which = int(action == "read other")
            if not texts[which]:
                continue
            tokens = torch.randint(SIZE, (len(texts[which]), number), generator=rng)
            logits, hidden = both[which].forward(
                tokens, starts_of(tokens, [not text for text in texts[which]])
            )
            for text, line in zip(texts[which], tokens.tolist(), strict=True):
                text += line
            for row, text in enumerate(texts[which]):
                assert_close(logits[row], alone(model, text)[-number:], rtol=1e-4, atol=1e-4)
            assert hidden.shape[:2] == tokens.shape
            room = both[which]._room
            assert room is not None
            assert len(room.stores) <= max(2, len(texts[which]))
        assert [len(states) for states in both] == [len(some) for some in texts]


class Counter(SequenceModel):
    """Counts what each row has read.

    `in_place` says whether it writes into the state that it is given.
    """

    Config = ModelConfig

    def __init__(self, *, in_place: bool) -> None:
        super().__init__(ModelConfig(vocab_size=4))
        self.register_buffer("where", torch.zeros(1))
        self.in_place = in_place
        self.rows: list[int] = []

    def forward(
        self, tokens: Tensor, state: State | None = None, *, starts: Tensor | None = None
    ) -> Output:
        assert state is not None
        self.rows.append(len(tokens))
        count = state.tensors["count"]
        count = count.add_(tokens.shape[1]) if self.in_place else count + tokens.shape[1]
        logits = count[:, None, None].expand(*tokens.shape, 4).float()
        return Output(logits, State({"count": count}), hidden=logits)

    def initial_state(self, batch_size: int) -> State:
        return State({"count": torch.zeros(batch_size, dtype=torch.int64)})

    def flops(self, tokens: int) -> int:
        return 0


@pytest.mark.parametrize("in_place", [True, False])
def test_one_row_is_read_as_two_and_a_state_may_be_written_in_place_or_not(in_place: bool) -> None:
    model = Counter(in_place=in_place)
    states = RowStates(model)
    found = []
    for action in ("begin", "", "", "begin", "", "leave", "", "begin", ""):
        if action == "begin":
            states.begin()
        elif action == "leave":
            states.leave(0)
        else:
            logits, _ = states.forward(torch.zeros(len(states), 1, dtype=torch.int64))
            found.append(logits[:, 0, 0].tolist())
    assert found == [[1], [2], [3, 1], [2], [3, 1]]
    assert model.rows == [2, 2, 2, 2, 2]


def test_the_room_of_rows_is_given_back_when_the_last_one_leaves() -> None:
    states = RowStates(Counter(in_place=True))
    for _ in range(9):
        states.begin()
    for _ in range(9):
        states.leave(0)
    assert states._room is None
