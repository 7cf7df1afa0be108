"""A boundary that opens a document is read as the opening token, and no other boundary is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inklings.errors import ConfigError
from inklings.generation.inference import inference
from inklings.models.gpt import GPTConfig
from tests.built import build_opinionated

FIELDS = {"n_layer": 1, "n_head": 1, "n_embd": 8, "context_length": 8}
OPENING = 4


@given(st.lists(st.integers(0, 5), min_size=2, max_size=20), st.data())
def test_only_a_boundary_that_opens_a_document_is_another_token(
    row: list[int], data: st.DataObject
) -> None:
    marks = data.draw(st.lists(st.booleans(), min_size=len(row), max_size=len(row)))
    cut = data.draw(st.integers(1, len(row) - 1))
    plain = build_opinionated("gpt", FIELDS, vocab_size=6, boundary_token=1)
    fields = {**FIELDS, "opening_token": OPENING}
    model = build_opinionated("gpt", fields, vocab_size=6, boundary_token=1)
    model.load_state_dict(plain.state_dict())
    tokens = torch.tensor([row])
    starts = torch.tensor([[place > 0 and mark for place, mark in enumerate(marks)]])
    opens = (tokens == 1) & (starts | (torch.arange(len(row)) == 0))
    with inference([*plain.modules(), *model.modules()]):
        wanted = plain(tokens.masked_fill(opens, OPENING), starts=starts).logits
        torch.testing.assert_close(model(tokens, starts=starts).logits, wanted)
        first = model(tokens[:, :cut], model.initial_state(1), starts=starts[:, :cut])
        second = model(tokens[:, cut:], first.state, starts=starts[:, cut:])
    streamed = torch.cat((first.logits, second.logits), dim=1)
    torch.testing.assert_close(streamed, wanted, atol=1e-5, rtol=1e-5)


def test_it_is_a_token_of_the_vocabulary() -> None:
    with pytest.raises(ConfigError, match="opening_token"):
        GPTConfig(vocab_size=6, opening_token=6)
