"""Where a text comes from is what its predictions took as it was written."""

from __future__ import annotations

import pytest
import torch

from inklings.errors import ArchitectureError
from inklings.generation.provenance import origins
from inklings.models.varda.model import Varda
from tests.built import build_sequence_model

SIZES = {
    "context_length": 8,
    "segment": 4,
    "num_search_results": 3,
    "backbone": "gpt:n_layer=1,n_head=2,n_embd=8",
}


def model_with_memory() -> Varda:
    torch.manual_seed(0)
    model = build_sequence_model("varda", SIZES, vocab_size=11)
    assert isinstance(model, Varda)
    return model.eval()


def test_a_text_read_again_tells_what_it_took_as_it_was_written() -> None:
    model = model_with_memory()
    tokens = [0, *torch.randint(1, 11, (25,), generator=torch.Generator().manual_seed(1)).tolist()]
    found = origins(model, tokens, at_least=0.0, most=3)
    state = model.initial_state(1)
    with model.recording() as records, torch.no_grad():
        for token in tokens[:-1]:
            state = model(torch.tensor([[token]]), state).state
    assert len(found) == len(tokens) - 1 == len(records)
    assert found[:4] == [[]] * 4 and all(found[4:])
    for entries, (recollection,) in zip(found, records, strict=True):
        hits, weights = recollection.hits, recollection.weights
        taken = {
            int(position): float(weight)
            for position, weight in zip(hits.positions[0], weights[0], strict=True)
        }
        for origin in entries:
            assert (
                origin.weight == pytest.approx(taken[origin.position], abs=1e-4)
                and not origin.long_term
            )
            assert origin.value == tokens[origin.position]


def test_small_shares_are_left_out_and_the_weightiest_come_first() -> None:
    model = model_with_memory()
    tokens = [0, *torch.randint(1, 11, (25,), generator=torch.Generator().manual_seed(1)).tolist()]
    for entries in origins(model, tokens, at_least=0.05, most=2):
        weights = [origin.weight for origin in entries]
        assert (
            len(weights) <= 2
            and weights == sorted(weights, reverse=True)
            and all(weight >= 0.05 for weight in weights)
        )


def test_a_model_without_a_memory_is_told_how_to_get_one() -> None:
    plain = build_sequence_model("gpt", {"n_layer": 1, "n_head": 2, "n_embd": 8}, vocab_size=11)
    with pytest.raises(ArchitectureError, match="inklings train varda --from RUN"):
        origins(plain, [0, 1, 2])
