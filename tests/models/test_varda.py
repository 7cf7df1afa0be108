"""A model with a memory.

What it finds, what it writes, what its states share, and what it leaves alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from inklings.auditing.checks.streaming import check_streaming
from inklings.auditing.probes import scrambled
from inklings.errors import ArchitectureError, ConfigError
from inklings.memory.settings import MemoryConfig
from inklings.memory.store import Memory
from inklings.memory.streams import Stream
from inklings.models.backbone import parse_model_fields, written_out
from inklings.models.contract import State, model_fields
from inklings.models.registry import build, split_name
from inklings.models.remembering import Remembering
from inklings.models.varda.model import Varda
from inklings.models.varda.readers import TIE, Mixture, Recalled
from inklings.models.varda.rows import SAME

V, SEGMENT, K = 17, 4, 3
SIZES = {
    "context_length": 8,
    "segment": SEGMENT,
    "num_search_results": K,
    "memory_size": 64,
    "backbone": "gpt:n_layer=1,n_head=2,n_embd=8",
}
READERS = ["mixture", "attention", "concat"]


def made(seed: int = 0, **fields: Any) -> Varda:
    """A model in evaluation mode whose weights are nothing special."""

    def fresh(number: int) -> Varda:
        torch.manual_seed(number)
        model = build("varda", {**SIZES, **fields}, vocab_size=V, boundary_token=0)
        assert isinstance(model, Varda)
        return model

    model = scrambled(fresh, seed)
    assert isinstance(model, Varda)
    return model


def text(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(1, V, (rows, length), generator=torch.Generator().manual_seed(seed))


def run(
    model: Varda, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
) -> tuple[Tensor, State]:
    with torch.no_grad():
        output = model(
            tokens, model.initial_state(len(tokens)) if state is None else state, starts=starts
        )
    assert output.state is not None
    return output.logits, output.state


def memory_of(state: State, row: int = 0) -> Memory:
    stream = state.stores[int(state.tensors["memory"][row])]
    assert isinstance(stream, Stream)
    return stream.memory


@torch.no_grad()
def neural_cache(model: Varda, tokens: Tensor) -> Tensor:
    """What `mixture` with `write=all` must give, entry by entry and position by position."""
    output, reader = model.backbone(tokens[None]), model.reader
    assert isinstance(reader, Mixture)
    hidden = output.hidden[0]
    keys = hidden / hidden.norm(dim=-1, keepdim=True)
    rows = []
    for now in range(len(tokens)):
        base = torch.softmax(output.logits[0, now], -1)
        entries = range(now // SEGMENT * SEGMENT)
        distances = sorted(
            (float((keys[now] - keys[then]).square().sum()), then) for then in entries
        )
        if distances:
            sharpness = float(reader.log_sharpness.exp())
            edge = distances[K][0] - SAME if len(distances) > K else math.inf
            weights = [
                (
                    math.exp(-sharpness * near)
                    - (1 - TIE) * math.exp(-sharpness * max(edge, near)),
                    int(tokens[then + 1]),
                )
                for near, then in distances[:K]
            ]
            cache = torch.zeros(V)
            for weight, value in weights:
                cache[value] += weight / sum(other for other, _ in weights)
            gate = (
                reader.bias
                + reader.by_distance * (1 - distances[0][0])
                + reader.by_hidden.weight[0] @ hidden[now]
            )
            share = torch.sigmoid(gate)
            base = (1 - share) * base + share * cache
        rows.append(base.log())
    return torch.stack(rows)


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), length=st.integers(1, 23))
def test_the_mixture_is_the_neural_cache(seed: int, length: int) -> None:
    model, tokens = made(seed), text(1, length, seed)
    with torch.no_grad():
        found = torch.log_softmax(model(tokens).logits[0], -1)
    torch.testing.assert_close(found, neural_cache(model, tokens[0]), atol=1e-4, rtol=1e-4)


@given(
    nearer=st.lists(st.floats(0.1, 0.5), min_size=K, max_size=K),
    tied=st.integers(1, K),
    noise=st.lists(st.floats(-2e-7, 2e-7), min_size=K, max_size=K),
    seed=st.integers(0, 99),
)
def test_rounding_does_not_decide_who_is_the_last_of_them(
    nearer: list[float], tied: int, noise: list[float], seed: int
) -> None:
    """Entries of one context are equally far but for rounding, and their values may differ."""
    model = made(seed)
    assert isinstance(model.reader, Mixture)
    torch.manual_seed(seed)
    logits, hidden = torch.randn(1, 1, V), torch.randn(1, 1, model.reader.by_hidden.in_features)
    edge = torch.tensor(1.2)  # how far the first is that is not taken
    exact = edge - torch.tensor(nearer)
    exact[K - tied :] = edge
    values = torch.randint(0, V, (K,))

    def read(distances: Tensor, values: Tensor) -> Tensor:
        recalled = Recalled(
            distances=distances[None, None],
            edges=edge.expand(1, 1, K),
            log_scores=torch.zeros(1, 1, K),
            values=values[None, None],
            vectors=None,
        )
        with torch.no_grad():
            found: Tensor = model.reader(logits, hidden, recalled)[0]
        return torch.log_softmax(found, -1)

    # rounding moves the distances, and lets another entry be the last
    swapped = values.clone()
    if tied < K:  # where all are equally far, who is among them is all there is
        swapped[-1] = (values[-1] + 1) % V
    moved = read(exact + torch.tensor(noise), swapped)
    torch.testing.assert_close(moved, read(exact, values), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("reader", "habits"),
    [
        ("mixture", {"write": "surprisal"}),
        ("attention", {"write": "learned", "eviction": "lowest_score"}),
        *(
            pytest.param(reader, habits, marks=pytest.mark.slow)
            for reader, habits in (
                ("mixture", {"write": "learned", "segment": 1}),
                ("mixture", {"write": "learned", "eviction": "lowest_score"}),
                ("attention", {"write": "learned", "segment": 1}),
                ("attention", {"write": "surprisal"}),
                ("concat", {"write": "learned", "segment": 1}),
                ("concat", {"write": "learned", "eviction": "lowest_score"}),
                ("concat", {"write": "surprisal"}),
            )
        ),
    ],
    ids=str,
)
def test_rounding_does_not_decide_what_is_found_and_written(
    reader: str, habits: dict[str, Any]
) -> None:
    """With a context of one, all entries of a token are equal but for how they were computed."""
    model = made(**habits, reader=reader, context_length=1, num_search_results=1, memory_size=100)
    finding = check_streaming(model, seed=1)
    assert finding.holds, finding.summary


@pytest.mark.parametrize("reader", READERS)
def test_an_empty_memory_is_the_backbone_bit_for_bit(reader: str) -> None:
    tokens = text(3, 20)
    frozen = made(reader=reader, frozen=True)
    with torch.no_grad():
        assert torch.equal(frozen(tokens).logits, frozen.backbone(tokens).logits)
        written = made(reader=reader)
        with written.controlled("off"):
            torch.testing.assert_close(
                written(tokens).logits, written.backbone(tokens).logits, atol=1e-5, rtol=1e-5
            )
        # rows that have nothing yet stay as they are beside rows that have
        first = made(reader=reader)
        assert torch.equal(
            first(tokens[:, :SEGMENT]).logits, first.backbone(tokens[:, :SEGMENT]).logits
        )
        assert not torch.equal(
            first(tokens).logits[:, SEGMENT:], first.backbone(tokens).logits[:, SEGMENT:]
        )


def test_what_is_found_was_written_before_and_holds_what_followed() -> None:
    model, tokens = made(), text(2, 30)
    with model.recording() as records, torch.no_grad():
        model(tokens)
    for row, found in enumerate(records[0]):
        there = found.hits.ids >= 0
        assert there[SEGMENT:].any() and not there[:SEGMENT].any()
        now = np.arange(30)[:, None]
        assert (found.hits.positions <= now)[there].all()
        assert (found.hits.values[there] == tokens[row].numpy()[found.hits.positions[there]]).all()
        assert (
            (found.weights[~there] == 0).all()
            and (found.weights >= 0).all()
            and (found.weights.sum(1) <= 1 + 1e-6).all()
        )


@pytest.mark.parametrize("write", ["random", "surprisal", "learned"])
def test_the_budget_of_writing_is_kept_to_the_entry(write: str) -> None:
    model = made(write=write, write_budget=0.5)
    state = run(model, text(2, 6 * SEGMENT + 1))[1]
    assert [len(memory_of(state, row)) for row in range(2)] == [6 * SEGMENT // 2] * 2


def test_surprising_tokens_are_those_that_are_kept() -> None:
    model, tokens = made(write="surprisal", write_budget=0.25), text(1, 2 * SEGMENT + 1)
    state = run(model, tokens)[1]
    with torch.no_grad():
        losses = F.cross_entropy(
            model.backbone(tokens[:, :-1]).logits[0], tokens[0, 1:], reduction="none"
        )
    kept = sorted(memory_of(state).entries().positions.tolist())
    assert kept == [
        1 + int(losses[:SEGMENT].argmax()),
        1 + SEGMENT + int(losses[SEGMENT:].argmax()),
    ]


def test_every_copy_of_a_state_has_a_memory_of_its_own() -> None:
    model = made()
    start = run(model, text(2, 2 * SEGMENT + 1))[1]
    kept = start.clone()
    beams = start.select(torch.tensor([0, 0, 1]))
    tails = text(3, 2 * SEGMENT, seed=5)
    expected = [
        run(model, tails[row : row + 1], kept.select(torch.tensor([min(row, 1) and row - 1])))[0]
        for row in range(3)
    ]
    together, after = run(model, tails, beams)
    for row in range(3):
        torch.testing.assert_close(together[row], expected[row][0], atol=1e-4, rtol=1e-4)
    assert len({int(number) for number in after.tensors["memory"]}) == 3
    assert len(memory_of(kept)) == 2 * SEGMENT, (
        "writing through a copy reached the state it was copied from"
    )


def test_a_state_that_was_read_on_from_is_refused() -> None:
    model = made()
    state = run(model, text(1, 3))[1]
    run(model, text(1, 3 * SEGMENT), state)
    with pytest.raises(RuntimeError, match="read on from already"):
        run(model, text(1, 2), state)


def test_under_gradients_the_given_state_stays() -> None:
    model, tokens = made().train(), text(2, 2 * SEGMENT)
    state = model.initial_state(2)
    first = model(tokens, state)
    again = model(tokens, state)
    assert torch.equal(first.logits, again.logits) and len(memory_of(state)) == 0
    assert len(memory_of(first.state)) == SEGMENT


def test_memory_is_released_when_the_last_state_goes() -> None:
    model = made()
    state = run(model, text(1, 2 * SEGMENT + 1))[1]
    for seed in range(5):
        state = run(model, text(1, SEGMENT, seed), state.clone())[1]
        assert len(state.stores) == 1


@pytest.mark.parametrize("clear_at", ["document", "epoch"])
def test_a_new_document_finds_the_memory_empty_or_as_it_was(clear_at: str) -> None:
    model, tokens = made(clear_at=clear_at), text(1, 3 * SEGMENT)
    starts = torch.zeros(1, 3 * SEGMENT, dtype=torch.bool)
    starts[0, SEGMENT + 2] = True
    tokens[0, SEGMENT + 2] = 0
    state = run(model, tokens, starts=starts)[1]
    entries = memory_of(state).entries()
    expected = [(0, position) for position in range(1, SEGMENT + 3)] if clear_at == "epoch" else []
    expected += [(1, position) for position in range(1, SEGMENT + 1)]
    assert (
        sorted(zip(entries.documents.tolist(), entries.positions.tolist(), strict=True)) == expected
    )


@pytest.mark.parametrize("reader", READERS)
def test_the_likelihood_teaches_the_decision_to_write(reader: str) -> None:
    model = made(reader=reader, write="learned", write_budget=0.75, gate_weight=0.0).train()
    tokens = text(2, 5 * SEGMENT)
    F.cross_entropy(model(tokens[:, :-1]).logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    assert model.store_decision is not None and model.store_decision.weight.grad is not None
    assert float(model.store_decision.weight.grad.abs().max()) > 0


def test_the_likelihood_teaches_the_decision_to_delete() -> None:
    model = made(write="learned", delete_within=1.5, gate_weight=0.0).train()
    tokens = text(2, 8 * SEGMENT)
    F.cross_entropy(model(tokens[:, :-1]).logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    assert model.delete_decision is not None and model.deletable is not None
    for layer in (model.delete_decision, model.deletable):
        assert layer.weight.grad is not None and float(layer.weight.grad.abs().max()) > 0


def test_what_is_within_the_threshold_and_meant_is_deleted() -> None:
    model, tokens = (
        made(delete_within=5.0),
        text(1, 6 * SEGMENT),
    )  # farther than any two vectors of unit size are apart
    assert model.delete_decision is not None
    with torch.no_grad():
        model.delete_decision.weight.zero_()
        model.delete_decision.bias.fill_(-9.0)
    kept = len(memory_of(run(model, tokens)[1]))
    with torch.no_grad():
        model.delete_decision.bias.fill_(9.0)
    assert kept == 5 * SEGMENT and len(memory_of(run(model, tokens)[1])) < kept


def test_forgetting_is_the_same_however_the_text_is_cut() -> None:
    model, tokens = made(forgetfulness_factor=0.3, decay=0.5), text(1, 5 * SEGMENT + 2)
    whole = run(model, tokens)[1]
    state = model.initial_state(1)
    for piece in torch.split(tokens, 3, dim=1):
        state = run(model, piece, state)[1]
    one, other = memory_of(whole).entries(), memory_of(state).entries()
    order, same = np.argsort(one.ids), np.argsort(other.ids)
    assert (
        len(one.ids) < 5 * SEGMENT
        and (one.ids[order] == other.ids[same]).all()
        and (one.scores[order] == other.scores[same]).all()
    )
    assert one.scores.max() == 1.0 and one.scores.min() < 1.0


def test_gates_are_kept_within_their_budget_by_a_loss() -> None:
    model, tokens = made(write="learned", delete_within=1.0, write_budget=0.5), text(2, 9)
    assert model.eval()(tokens).losses == {}
    losses = model.train()(tokens).losses
    assert set(losses) == {"write", "delete"} and all(
        float(loss.detach()) >= 0 for loss in losses.values()
    )


def test_a_state_is_written_down_whole() -> None:
    model, tokens = made(write="surprisal", forgetfulness_factor=0.1), text(2, 3 * SEGMENT + 2)
    state = run(model, tokens)[1]
    tensors = {name: tensor.clone() for name, tensor in model.state_to_tensors(state).items()}
    tail = text(2, 2 * SEGMENT, seed=3)
    again = run(model, tail, model.state_from_tensors(tensors))[0]
    assert torch.equal(run(model, tail, state)[0], again)


def test_memory_input_is_what_is_searched_with() -> None:
    model, tokens = made(), text(1, 3 * SEGMENT)
    with torch.no_grad():
        vectors = torch.randn(1, 3 * SEGMENT, model.dimension)
        plain, other = model(tokens).logits, model(tokens, memory_input=vectors).logits
        own = model(tokens, memory_input=model.backbone(tokens).hidden).logits
    assert not torch.allclose(plain, other)
    torch.testing.assert_close(plain, own, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("reader", READERS)
def test_a_long_term_memory_is_read_by_every_row_and_written_by_none(reader: str) -> None:
    model, tokens = made(reader=reader, frozen=True), text(2, 6)
    memory = Memory(MemoryConfig(dimension=model.dimension, capacity=9))
    vectors = torch.nn.functional.normalize(torch.randn(9, model.dimension), dim=-1).numpy()
    memory.add(
        vectors, values=np.full(9, 5), positions=np.arange(9), documents=np.zeros(9, np.int64)
    )
    with torch.no_grad():
        before = model(tokens).logits
        model.long_term = memory
        with model.recording() as records:
            after = model(tokens).logits
    assert not torch.allclose(before, after) and len(memory) == 9
    assert all(
        found.outside[found.hits.ids >= 0].all() and (found.hits.ids >= 0).any()
        for found in records[0]
    )
    with pytest.raises(ConfigError, match="it is another's"):
        model.long_term = Memory(MemoryConfig(dimension=model.dimension + 1))


def test_what_is_written_of_a_document_is_all_of_it() -> None:
    model = made(memory_size=SEGMENT, forgetfulness_factor=0.5)
    assert isinstance(model, Remembering)
    tokens = torch.cat(
        [torch.zeros(1, 1, dtype=torch.int64), text(1, 40), torch.zeros(1, 1, dtype=torch.int64)], 1
    )
    written = model.written(tokens)
    assert (
        written.positions.tolist() == list(range(1, 42))
        and (written.values == tokens[0, 1:].numpy()).all()
    )
    torch.testing.assert_close(
        torch.from_numpy(model.queries(tokens)[:-1]), torch.from_numpy(written.vectors)
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone": "gtp2"}, "gpt2"),
        ({"backbone": "gpt:n_leyer=2"}, "n_layer"),
        ({"backbone": "ngram"}, "cannot be a backbone"),
        ({"backbone": "varda"}, "cannot be a backbone"),
        ({"backbone": "mlp", "reader": "concat"}, "input_embedding"),
        ({"index_type": "pgvector"}, "index_type"),
        ({"memory_size": 2}, "memory_size"),
        ({"nearness": -1.0}, "nearness"),
        ({"gist": 1.0, "reader": "concat"}, "gist"),
        ({"gist_length": 1}, "gist_length"),
        ({"write_budget": 0.0}, "write_budget"),
        ({"reader": "magic"}, "reader"),
    ],
)
def test_settings_that_cannot_be_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises((ArchitectureError, ConfigError), match=message):
        build("varda", {**SIZES, **fields}, vocab_size=V, boundary_token=0)


@pytest.mark.parametrize("index_type", ["flat", "ivf", "hnsw"])
def test_any_index_may_search(index_type: str) -> None:
    pytest.importorskip("faiss")
    tokens = text(2, 5 * SEGMENT)
    with torch.no_grad():
        torch.testing.assert_close(
            made(index_type=index_type)(tokens).logits, made()(tokens).logits, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize(
    "name", ["mlp", "recurrent", "tree_wavenet", "wavenet", "gpt2", "gpt", "wavegpt", "varda"]
)
def test_settings_written_out_as_a_name_are_read_back(name: str) -> None:
    config = (
        build(name, {}, vocab_size=V, boundary_token=0).config if name != "varda" else made().config
    )
    fields = {
        field: getattr(config, field) for field in model_fields(type(config)) if field != "backbone"
    }
    architecture, text_of_fields = split_name(written_out(name, fields))
    assert architecture == name and parse_model_fields(architecture, text_of_fields) == fields
