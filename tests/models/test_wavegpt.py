from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import ConfigError
from inklings.models.contract import State
from inklings.models.wavegpt import Gate, View, WaveGPT, WaveGPTConfig, joined, split
from inklings.runs.directory import RunDirectory
from inklings.text.store import prepare
from inklings.training.train import train
from tests.models.in_pieces import in_pieces

VOCABULARY = 17
FUSIONS = ("causal", "previous_segment", "closed_blocks", "leaky_broadcast")
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "context_length": 5,
    "n_layer": 1,
    "n_head": 2,
    "n_embd": 8,
    "wave_layers": 2,
}
WAYS = [
    (mix, gate)
    for mix in ("hidden", "logits", "probabilities")
    for gate in ("scalar", "sigmoid", "channel", "input")
    if not (gate == "channel" and mix != "hidden")
    and not (gate == "scalar" and mix == "probabilities")
]


def tiny(*, seed: int = 0, **fields: Any) -> WaveGPT:
    """A model in evaluation mode whose weights, those that begin at zero included, are anything."""
    torch.manual_seed(seed)
    model = WaveGPT(WaveGPTConfig(**(SIZES | fields)))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def block_of(config: WaveGPTConfig) -> int:
    """From the definition: a segment, or the tokens that the end of one cycle of dilations sees."""
    if config.fusion == "previous_segment":
        return config.context_length
    return 1 + (config.kernel_size - 1) * sum(1 << layer for layer in range(config.wave_layers))


def place_of_view(fusion: str, t: int, begin: int, block: int, length: int) -> int | None:
    """The position of the window that the view at t of a document is taken from, or None.

    The document begins at `begin`; None where no view is complete.
    """
    if fusion == "causal":
        return t
    if fusion == "leaky_broadcast":
        return length - 1
    complete = (t - begin) // block
    return None if complete == 0 else begin + complete * block - 1


def views_by_hand(model: WaveGPT, waves: Tensor, starts: Tensor) -> Tensor:
    rows = []
    for row in range(waves.shape[0]):
        begin, views = 0, []
        for t in range(waves.shape[1]):
            begin = t if starts[row, t] else begin
            place = place_of_view(
                model.config.fusion, t, begin, block_of(model.config), waves.shape[1]
            )
            vector = model.view.first if place is None else waves[row, place]
            assert vector is not None
            plain = model.config.fusion in (
                "causal",
                "leaky_broadcast",
            )  # the stack's own, of unit size as they are
            views.append(vector if plain else vector / (vector.square().mean() + 1e-6).sqrt())
        rows.append(torch.stack(views))
    return torch.stack(rows)


def share_by_hand(model: WaveGPT, transformer: Tensor, view: Tensor) -> Tensor:
    gate = model.gate
    if model.config.gate == "input":
        weighed = (torch.cat([transformer, view], dim=-1) * gate.weigh.weight[0]).sum(
            -1, keepdim=True
        ) + gate.weigh.bias
        return 1 / (1 + torch.exp(-weighed))
    return gate.alpha if model.config.gate == "scalar" else 1 / (1 + torch.exp(-gate.alpha))


def naive_distribution(model: WaveGPT, tokens: Tensor, starts: Tensor) -> Tensor:
    """The probabilities of the next token.

    Both halves apart, the view place by place, and the mixture from its definition.
    """
    x = model.embedding(tokens)
    x = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    transformer: Tensor = model.transformer(x, None, starts)[0]
    waves: Tensor = model.wavenet(x, None, starts)[0]
    view = views_by_hand(model, waves, starts)
    share = share_by_hand(model, transformer, view)
    if model.config.mix == "hidden":
        return ((share * transformer + (1 - share) * view) @ model.head.weight.T).softmax(-1)
    assert model.view_head is not None
    ours, theirs = transformer @ model.head.weight.T, view @ model.view_head.weight.T
    if model.config.mix == "probabilities":
        return share * ours.softmax(-1) + (1 - share) * theirs.softmax(-1)
    return (share * ours + (1 - share) * theirs).softmax(-1)


@given(
    fusion=st.sampled_from(FUSIONS),
    cycles=st.integers(1, 2),
    pieces=st.lists(st.one_of(st.just(1), st.integers(1, 13)), min_size=1, max_size=6),
    share=st.sampled_from([0.0, 0.1, 0.3]),
    seed=st.integers(0, 99),
)
@torch.no_grad()
def test_the_view_is_taken_from_where_the_fusion_says(
    fusion: str, cycles: int, pieces: list[int], share: float, seed: int
) -> None:
    model = tiny(fusion=fusion, wave_cycles=cycles)
    generator = torch.Generator().manual_seed(seed)
    waves = torch.randn(3, sum(pieces), 8, generator=generator)
    starts = torch.rand(waves.shape[:2], generator=generator) < share
    expected = views_by_hand(model, waves, starts)
    torch.testing.assert_close(model.view(waves, None, starts)[0], expected)
    if fusion == "leaky_broadcast":
        return  # its view depends on where the window ends
    carried, found = model.view.initial(3, waves), []
    for part, begins in zip(waves.split(pieces, dim=1), starts.split(pieces, dim=1), strict=True):
        views, carried = model.view(part, carried, begins)
        found.append(views)
    torch.testing.assert_close(torch.cat(found, dim=1), expected)


@given(
    fusion=st.sampled_from(FUSIONS),
    way=st.sampled_from(WAYS),
    pieces=st.lists(st.one_of(st.just(1), st.integers(1, 13)), min_size=1, max_size=5),
    seed=st.integers(0, 99),
)
@torch.no_grad()
def test_it_is_the_mixture_of_its_definition(
    fusion: str, way: tuple[str, str], pieces: list[int], seed: int
) -> None:
    mix, gate = way
    model = tiny(fusion=fusion, mix=mix, gate=gate, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(VOCABULARY, (2, sum(pieces)), generator=generator)
    starts = torch.rand(tokens.shape, generator=generator) < 0.1
    expected = naive_distribution(model, tokens, starts)
    torch.testing.assert_close(
        model(tokens, starts=starts).logits.softmax(-1), expected, atol=1e-5, rtol=1e-4
    )
    if fusion != "leaky_broadcast":
        torch.testing.assert_close(
            in_pieces(model, tokens, starts, pieces).softmax(-1), expected, atol=1e-5, rtol=1e-4
        )


@torch.no_grad()
def test_mixed_probabilities_are_no_mixed_logits() -> None:
    tokens = torch.randint(VOCABULARY, (2, 12))
    mixed = tiny(mix="probabilities", gate="sigmoid")
    other = tiny(mix="logits", gate="sigmoid")
    other.load_state_dict(mixed.state_dict())
    log_probabilities = mixed(tokens).logits
    torch.testing.assert_close(
        log_probabilities.exp().sum(-1), torch.ones(2, 12)
    )  # normalised as they are
    assert (
        float((log_probabilities.softmax(-1) - other(tokens).logits.softmax(-1)).abs().max()) > 1e-2
    )


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_only_the_leaky_one_sees_the_future(fusion: str) -> None:
    model = tiny(fusion=fusion).double()
    tokens = torch.randint(VOCABULARY, (1, 13))
    plain = model(tokens).logits[0]
    for place in range(13):
        other = tokens.clone()
        other[0, place] = (other[0, place] + 1) % VOCABULARY
        changed = (model(other).logits[0] - plain).abs().amax(-1) > 1e-9
        assert changed[place:].any()
        # the end of the window sees the last positions alone
        leaks = fusion == "leaky_broadcast" and place >= 13 - model.config.wavenet.receptive_field
        assert bool(changed[:place].any()) == (leaks and place > 0)


@pytest.mark.parametrize("fusion", ["previous_segment", "closed_blocks"])
@torch.no_grad()
def test_the_first_block_of_a_document_takes_a_learned_view(fusion: str) -> None:
    model = tiny(fusion=fusion)
    first, block = model.view.first, block_of(model.config)
    assert isinstance(first, torch.nn.Parameter)
    assert model.config.block == block
    tokens = torch.randint(VOCABULARY, (1, 3 * block))
    starts = torch.zeros(tokens.shape, dtype=torch.bool)
    starts[0, block + 1] = True
    plain = model(tokens, starts=starts).logits[0]
    first.mul_(-1)
    changed = (model(tokens, starts=starts).logits[0] - plain).abs().amax(-1) > 1e-6
    assert changed.tolist() == [True] * block + [False] + [True] * block + [False] * (block - 1)


@torch.no_grad()
def test_no_first_view_where_there_are_no_blocks() -> None:
    assert [tiny(fusion=fusion).view.first is None for fusion in FUSIONS] == [
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_it_sees_is_no_more_than_it_says(fusion: str) -> None:
    model = tiny(fusion=fusion, context_length=3).double()
    field = model.receptive_field
    length = 3 * field + 2
    farthest = 0
    with torch.no_grad():
        for seed in range(3):
            tokens = torch.randint(
                VOCABULARY, (1, length), generator=torch.Generator().manual_seed(seed)
            )
            plain = model(tokens).logits[0]
            for place in range(length):
                other = tokens.clone()
                other[0, place] = (other[0, place] + 1) % VOCABULARY
                changed = ((model(other).logits[0] - plain).abs().amax(-1) > 1e-9).nonzero()
                farthest = max(farthest, int(changed.max()) - place + 1)
    assert farthest == field


@pytest.mark.parametrize("gate", ["scalar", "sigmoid", "channel", "input"])
def test_the_gate_starts_at_a_half_and_its_shares_sum_to_one(gate: str) -> None:
    torch.manual_seed(0)
    model = WaveGPT(WaveGPTConfig(**(SIZES | {"gate": gate}))).eval()
    transformer, view = torch.randn(2, 4, 8), torch.randn(2, 4, 8)
    share = model.gate(transformer, view).detach()
    assert torch.equal(share, torch.full_like(share, 0.5))
    tokens = torch.randint(VOCABULARY, (2, 9))
    assert model.branch_shares(tokens) == {"transformer": 0.5, "view": 0.5}
    assert tuple(model.branch_shares(tokens)) == model.traits.branches
    for parameter in model.gate.parameters():
        torch.nn.init.normal_(parameter, mean=1.5)
    shares = model.branch_shares(tokens)
    assert shares["transformer"] + shares["view"] == pytest.approx(1)
    assert shares["transformer"] != pytest.approx(0.5, abs=1e-3)


@torch.no_grad()
def test_branch_shares_are_the_mean_of_the_gate_and_leave_no_hook() -> None:
    model = tiny(gate="input")
    tokens = torch.randint(VOCABULARY, (2, 9))
    x = model.embedding(tokens)
    x = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    transformer, view = model.transformer(x, None, None)[0], model.wavenet(x, None, None)[0]
    expected = float(share_by_hand(model, transformer, view).mean())
    assert model.branch_shares(tokens)["transformer"] == pytest.approx(expected, abs=1e-5)
    assert not model.gate._forward_hooks


@torch.no_grad()
def test_a_scalar_may_leave_the_interval_and_the_others_may_not() -> None:
    transformer, view = torch.randn(2, 4, 8), torch.randn(2, 4, 8)
    for gate in ("scalar", "sigmoid", "channel", "input"):
        module = Gate(WaveGPTConfig(**(SIZES | {"gate": gate})))
        for parameter in module.parameters():
            parameter.fill_(-1.75)
        share = module(transformer, view)
        if gate == "scalar":
            assert share.tolist() == [-1.75]
        else:
            assert float(share.min()) > 0
            assert float(share.max()) < 1
        assert (
            share.shape
            == {"scalar": (1,), "sigmoid": (1,), "channel": (8,), "input": (2, 4, 1)}[gate]
        )
    model = tiny()
    model.gate.alpha.fill_(1.7)
    tokens = torch.randint(VOCABULARY, (2, 9))
    torch.testing.assert_close(
        model(tokens).logits.softmax(-1),
        naive_distribution(model, tokens, torch.zeros(2, 9, dtype=torch.bool)),
    )
    assert model.branch_shares(tokens)["view"] == pytest.approx(-0.7)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"gate": "channel", "mix": "logits"}, "gate is 'channel'"),
        ({"gate": "channel", "mix": "probabilities"}, "gate is 'channel'"),
        ({"gate": "scalar", "mix": "probabilities"}, "gate is 'scalar'"),
        ({"wave_layers": 0}, "wave_layers is 0"),
        ({"wave_cycles": 0}, "wave_cycles is 0"),
        ({"kernel_size": 1}, "kernel_size is 1"),
        ({"n_head": 3}, "n_embd is 8"),
    ],
)
def test_what_is_refused_is_named_with_its_value(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=rf"Config\.{named}"):
        WaveGPTConfig(**(SIZES | fields))


def test_only_previous_segment_carries_its_state_from_batch_to_batch() -> None:
    assert [tiny(fusion=fusion).traits.carries_state for fusion in FUSIONS] == [
        False,
        True,
        False,
        False,
    ]


def test_what_is_joined_comes_apart() -> None:
    state = tiny(fusion="closed_blocks").initial_state(2)
    parts = split(state.tensors)
    assert all(parts.values())
    assert {name: id(tensor) for name, tensor in joined(parts).items()} == {
        name: id(tensor) for name, tensor in state.tensors.items()
    }
    assert split(tiny().initial_state(2).tensors)["view"] == {}


@contextmanager
def watched(watch: Callable[[View, Any, Any], None]) -> Iterator[None]:
    """Every view that is computed is shown to `watch`, with what it was given and what it gave."""
    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda module, inputs, output: (
            watch(module, inputs, output) if isinstance(module, View) else None
        )
    )
    try:
        yield
    finally:
        handle.remove()


def test_previous_segment_trains_over_ordered_streams_with_what_it_carried(tmp_path: Path) -> None:
    """Each step goes on from the summaries of the step before.

    And reads on in the text where that one stopped.
    """
    text = tmp_path / "lines.txt"
    text.write_text("\n".join("abcdefgh"[i % 5 :] * 6 for i in range(40)) + "\n", encoding="utf-8")
    store = prepare(DataConfig(source=str(text), layout="lines", tokenizer="char"))
    fields = {name: size for name, size in SIZES.items() if name != "vocab_size"} | {
        "fusion": "previous_segment"
    }
    settings: dict[str, Any] = {
        "budget": "6-steps",
        "batch_size": 4,
        "sequence_length": 12,
        "evaluations": 1,
        "samples": 0,
        "learning_rate": 0.01,
        "warmup": 0.0,
        "schedule": "constant",
        "device": "cpu",
        "precision": "float32",
        "compile": "off",
        "threads": 1,
    }
    calls: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []

    def watch(module: View, inputs: Any, output: Any) -> None:
        if module.training:
            assert inputs[1] is not None
            calls.append(({**inputs[1]}, {**output[1]}))

    with watched(watch):
        train(
            RunConfig(architecture="wavegpt", model=fields, training=TrainingConfig(**settings)),
            tmp_path / "run",
            store=store,
        )
    assert len(calls) == 6
    for (_, left), (taken, _) in itertools.pairwise(calls):
        assert torch.equal(left["position"], taken["position"])
        assert torch.equal(left["summary"], taken["summary"])
        assert taken["summary"].any()
        assert not taken[
            "summary"
        ].requires_grad  # truncated: no gradient goes back into the step before
    directory = RunDirectory.open(tmp_path / "run")
    losses = [event["loss"] for event in directory.metrics() if event["event"] == "step"]
    assert losses[-1] < losses[0] - 0.1


def test_a_gradient_reaches_the_summary_that_the_state_carries() -> None:
    """The position after a whole segment reads it from the state, not from what it is given."""
    model = tiny(fusion="previous_segment").train()
    block = model.config.context_length
    tokens = torch.randint(VOCABULARY, (1, block))
    state = model(tokens, model.initial_state(1)).state
    assert state is not None
    leaf = state.tensors["view.summary"].detach().requires_grad_()
    cut = State({**state.detach().tensors, "view.summary": leaf})
    logits = model(torch.randint(VOCABULARY, (1, 2 * block)), cut).logits
    (inside,) = torch.autograd.grad(logits[:, :block].sum() ** 2, leaf, retain_graph=True)
    (outside,) = torch.autograd.grad(logits[:, block:].sum() ** 2, leaf, allow_unused=True)
    assert inside.any()
    assert outside is None or not outside.any()
