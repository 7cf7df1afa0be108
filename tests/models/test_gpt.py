from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from inklings.errors import ConfigError
from inklings.layers.norm import rms_norm
from inklings.models.contract import State, parameter_count
from inklings.models.gpt import GPT, Block, GPTConfig
from tests.models.in_pieces import in_pieces

VOCABULARY = 17


def tiny(window: int = 5, *, seed: int = 0, **fields: Any) -> GPT:
    """A model in evaluation mode whose weights, those that begin at zero included, are anything."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "context_length": window,
        "n_layer": 2,
        "n_head": 2,
        "n_embd": 16,
    }
    model = GPT(GPTConfig(**(sizes | fields)))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def naive_logits(model: GPT, tokens: Tensor, starts: Tensor) -> Tensor:
    """The network from its definition.

    Whole squares of scores, an explicit mask, rotation in real arithmetic.
    """
    config = model.config
    time = torch.arange(tokens.shape[1])
    documents = starts.cumsum(1)
    distance = time[:, None] - time
    seen = (
        (distance >= 0)
        & (distance < config.context_length)
        & (documents[:, :, None] == documents[:, None, :])
    )
    # from the row's start, where the model counts from the document's
    angles = (time[:, None] * model.stack.rotary.frequencies)[:, None]
    cos, sin = angles.cos().float(), angles.sin().float()

    def norm(x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), eps=1e-6)

    def turn(x: Tensor) -> Tensor:
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)

    x = model.embedding(tokens)
    if config.norm_embedding:
        x = norm(x)
    for block in model.stack.blocks:
        assert isinstance(block, Block)
        query, key, value = (
            block.attention.query_key_value(norm(x)).unflatten(-1, (3, config.n_head, -1)).unbind(2)
        )
        if config.qk_norm != "none":
            query, key = norm(query), norm(key)
        if config.qk_norm == "gains":
            query, key = query * block.attention.query_gain, key * block.attention.key_gain
        query, key = turn(query), turn(key)
        scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
        weights = scores.masked_fill(~seen[:, None], -torch.inf).softmax(-1)
        x = x + block.attention.project(torch.einsum("bhqk,bkhd->bqhd", weights, value).flatten(2))
        wide = block.feed_forward.widen(norm(x))
        if config.feed_forward == "swiglu":
            gate, up = wide.chunk(2, dim=-1)
            x = x + block.feed_forward.project(F.silu(gate) * up)
        else:
            x = x + block.feed_forward.project(F.relu(wide) ** 2)
    return F.linear(norm(x), model.head.weight)


@given(
    window=st.integers(1, 7),
    pieces=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    share=st.sampled_from([0.0, 0.15]),
    fields=st.fixed_dictionaries(
        {
            "feed_forward": st.sampled_from(["relu2", "swiglu"]),
            "rotary_base": st.sampled_from([None, 10000.0]),
            "qk_norm": st.sampled_from(["plain", "gains", "none"]),
            "norm_embedding": st.booleans(),
            "n_hidden": st.sampled_from([None, 7]),
        }
    ),
    seed=st.integers(0, 99),
)
def test_sliding_window_is_the_explicit_mask(
    window: int, pieces: list[int], share: float, fields: dict[str, Any], seed: int
) -> None:
    model = tiny(window, **fields)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(VOCABULARY, (3, sum(pieces)), generator=generator)
    starts = torch.rand(tokens.shape, generator=generator) < share
    given_starts = starts if share else None
    with torch.no_grad():
        expected = naive_logits(model, tokens, starts)
        torch.testing.assert_close(
            model(tokens, starts=given_starts).logits, expected, atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(
            in_pieces(model, tokens, given_starts, pieces), expected, atol=1e-4, rtol=1e-4
        )


@torch.no_grad()
def test_rows_put_together_from_different_streams_go_on_as_they_would_alone() -> None:
    model = tiny(4)
    lengths = [0, 1, 3, 4, 9]
    tokens = torch.randint(VOCABULARY, (len(lengths), max(lengths) + 12))
    together = model.initial_state(len(lengths))
    expected = []
    for row, length in enumerate(lengths):
        expected.append(model(tokens[row : row + 1, : length + 12]).logits[:, length:])
        if length:
            alone = model(tokens[row : row + 1, :length], model.initial_state(1)).state
            assert alone is not None
            together.assign(torch.tensor([row]), alone)
    at, state, found = 0, together, []
    for size in (1, 6, 2, 1, 2):
        new = torch.stack(
            [tokens[row, length + at : length + at + size] for row, length in enumerate(lengths)]
        )
        output = model(new, state)
        assert output.state is not None
        state = output.state
        found.append(output.logits)
        at += size
    torch.testing.assert_close(torch.cat(found, dim=1), torch.cat(expected), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("base", [None, 10000.0])
@torch.no_grad()
def test_a_stream_of_any_length_keeps_its_size_and_its_precision(base: float | None) -> None:
    model = tiny(6, rotary_base=base)
    tokens = torch.randint(VOCABULARY, (1, 20))
    state = model.initial_state(1)
    far = State({**state.clone().tensors, "position": torch.tensor([6 * 10**14])})
    for part in tokens.split(
        [12, 8], dim=1
    ):  # the first fills every window, so that only the positions differ
        here, there = model(part, state), model(part, far)
        assert here.state is not None
        assert there.state is not None
        state, far = here.state, there.state
    torch.testing.assert_close(here.logits[:, 3:], there.logits[:, 3:], atol=1e-4, rtol=1e-4)
    assert {name: tensor.shape for name, tensor in state.tensors.items()} == {
        name: tensor.shape for name, tensor in model.initial_state(1).tensors.items()
    }


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("vocabulary", [27, 4096])
def test_it_starts_as_the_identity_with_a_loss_near_the_uniform_one(
    tied: bool, vocabulary: int
) -> None:
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=vocabulary, tied_head=tied))
    tokens = torch.randint(vocabulary, (8, 65))
    with torch.no_grad():
        output = model(tokens[:, :-1])
        loss = F.cross_entropy(output.logits.flatten(0, 1), tokens[:, 1:].flatten())
        read = rms_norm(rms_norm(model.embedding(tokens[:, :-1])))
    assert torch.equal(output.hidden, read)
    assert abs(float(loss) - math.log(vocabulary)) < 0.05


def test_there_are_no_biases_and_matrices_are_all_but_embedding_and_head() -> None:
    model = GPT(
        GPTConfig(vocab_size=48, n_embd=16, n_head=2)
    )  # as wide as the joint projection of queries, keys and values
    assert all(parameter.ndim == 2 for parameter in model.parameters())
    matrices = {id(matrix) for matrix in model.matrices()}
    others = [name for name, parameter in model.named_parameters() if id(parameter) not in matrices]
    assert others == ["embedding.weight", "head.weight"]


def test_a_part_of_a_subclass_may_have_vectors_tables_and_stacks() -> None:
    """Only matrices go to the optimiser for matrices."""
    model = GPT(GPTConfig(vocab_size=48, n_embd=16, n_head=2, n_layer=1))
    part = nn.Sequential(nn.Linear(16, 8), nn.LayerNorm(8), nn.Embedding(5, 8))
    part.register_parameter("experts", nn.Parameter(torch.zeros(3, 8, 16)))
    model.stack.blocks[0].feed_forward = part
    own = [
        weight for weight in model.matrices() if any(weight is mine for mine in part.parameters())
    ]
    assert [tuple(weight.shape) for weight in own] == [(8, 16)]


def test_gains_begin_as_one_and_are_no_matrices() -> None:
    model = GPT(GPTConfig(vocab_size=48, n_embd=16, n_head=2, n_layer=1, qk_norm="gains"))
    gains = {name: one for name, one in model.named_parameters() if name.endswith("gain")}
    assert len(gains) == 2 and all(bool((one == 1).all()) for one in gains.values())
    assert not any(one is matrix for one in gains.values() for matrix in model.matrices())


def test_a_tied_head_is_the_embedding() -> None:
    tied, untied = (GPT(GPTConfig(vocab_size=40, tied_head=tied)) for tied in (True, False))
    assert tied.head.weight is tied.embedding.weight
    assert parameter_count(untied) - parameter_count(tied) == 40 * 128


def test_both_feed_forwards_have_about_the_same_size() -> None:
    sizes = [
        parameter_count(GPT(GPTConfig(vocab_size=40, feed_forward=kind, n_embd=192)))
        for kind in ("relu2", "swiglu")
    ]
    assert abs(sizes[0] / sizes[1] - 1) < 0.01


def test_dropout_works_in_training_only_and_follows_from_the_seed() -> None:
    model = tiny(8, dropout=0.3).train()
    tokens = torch.randint(VOCABULARY, (2, 8))
    torch.manual_seed(5)
    first, second = model(tokens).logits, model(tokens).logits
    torch.manual_seed(5)
    assert torch.equal(model(tokens).logits, first)
    assert not torch.equal(first, second)
    model.eval()
    assert torch.equal(model(tokens).logits, model(tokens).logits)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"feed_forward": "swiglu", "rotary_base": 10000.0},
        {"feed_forward": "swiglu", "n_hidden": 96, "qk_norm": "gains", "norm_embedding": False},
        {"tied_head": True, "context_length": 256},
    ],
)
def test_operations_are_counted_as_torch_counts_them(fields: dict[str, object]) -> None:
    model = GPT(GPTConfig(vocab_size=65, **fields))  # type: ignore[arg-type]
    tokens = torch.randint(65, (2, model.config.context_length))
    # the plain formula of attention, since torch does not count inside its fast kernel for CPUs
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(tokens).logits.sum().backward()
    assert model.flops(tokens.numel()) == counter.get_total_flops()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"n_embd": 12, "n_head": 4}, "n_embd"),
        ({"n_layer": 0}, "n_layer"),
        ({"dropout": 1.0}, "dropout"),
        ({"n_hidden": 0}, "n_hidden"),
        ({"rotary_base": 1.0}, "rotary_base"),
        ({"rotary_base": math.inf}, "rotary_base"),
    ],
)
def test_settings_out_of_range_are_named(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=f"GPTConfig.{named} is"):
        GPTConfig(vocab_size=5, **fields)  # type: ignore[arg-type]
