from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from inklings.errors import ConfigError
from inklings.models.wavenet.model import GatedLayer, WaveNet, WaveNetConfig
from tests.models.in_pieces import in_pieces

VOCABULARY = 17


def tiny(*, seed: int = 0, **fields: Any) -> WaveNet:
    """A model in evaluation mode whose weights, those that begin at zero included, are anything."""
    torch.manual_seed(seed)
    model = WaveNet(
        WaveNetConfig(
            **({"vocab_size": VOCABULARY, "n_layer": 3, "n_embd": 8, "n_skip": 6} | fields)
        )
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def naive_logits(model: WaveNet, tokens: Tensor) -> Tensor:
    """The network from its definition over one document (T,).

    Padded convolutions, a sigmoid, the skips added one by one.
    """
    config, stack = model.config, model.stack

    def norm(x: Tensor) -> Tensor:
        return F.layer_norm(x, (x.shape[-1],))

    x = norm(model.embedding(tokens))
    skips = torch.zeros(len(tokens), config.n_skip, dtype=x.dtype)
    for index, layer in enumerate(stack.layers):
        assert isinstance(layer, GatedLayer)
        dilation = 2 ** (index % config.n_layer)
        weight = layer.convolution.weight.unflatten(
            1, (config.kernel_size, config.n_embd)
        ).transpose(1, 2)
        padded = F.pad(norm(x).T, ((config.kernel_size - 1) * dilation, 0))
        value, gate = F.conv1d(padded[None], weight, layer.convolution.bias, dilation=dilation)[
            0
        ].T.chunk(2, dim=-1)
        gated = 2 * torch.tanh(value) * torch.sigmoid(2 * gate)
        if stack.skip is not None:
            skips = (
                skips
                + gated
                @ stack.skip.weight[:, index * config.n_embd : (index + 1) * config.n_embd].T
            )
        if layer.project is not None:
            x = gated @ layer.project.weight.T + (x if config.residual else 0)
    mixed = F.relu(norm(skips if config.skip else x)) @ stack.mix.weight.T
    return norm(F.relu(mixed)) @ model.head.weight.T


def document_by_document(model: WaveNet, tokens: Tensor, starts: Tensor) -> Tensor:
    rows = []
    for row, begins in zip(tokens, starts, strict=True):
        cuts = [0, *(t for t in range(1, len(row)) if begins[t]), len(row)]
        rows.append(torch.cat([naive_logits(model, row[a:b]) for a, b in itertools.pairwise(cuts)]))
    return torch.stack(rows)


SHAPES: list[dict[str, Any]] = [
    {},
    {"n_layer": 2, "cycles": 2, "kernel_size": 3},
    {"n_layer": 1, "skip": False},
    {"cycles": 2, "skip": False},
    {"residual": False},
    {"residual": False, "skip": False, "kernel_size": 4, "n_layer": 2},
]


@given(
    fields=st.sampled_from(SHAPES),
    pieces=st.lists(st.one_of(st.just(1), st.integers(1, 20)), min_size=1, max_size=6),
    share=st.sampled_from([0.0, 0.1, 0.3]),
    seed=st.integers(0, 99),
)
def test_it_is_the_network_of_its_definition(
    fields: dict[str, Any], pieces: list[int], share: float, seed: int
) -> None:
    model = tiny(**fields)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(VOCABULARY, (3, sum(pieces)), generator=generator)
    starts = torch.rand(tokens.shape, generator=generator) < share
    given_starts = starts if share else None
    with torch.no_grad():
        expected = document_by_document(model, tokens, starts)
        torch.testing.assert_close(
            model(tokens, starts=given_starts).logits, expected, atol=1e-5, rtol=1e-4
        )
        torch.testing.assert_close(
            in_pieces(model, tokens, given_starts, pieces), expected, atol=1e-5, rtol=1e-4
        )
    torch.testing.assert_close(
        in_pieces(model, tokens, given_starts, pieces).detach(), expected, atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("fields", SHAPES, ids=str)
@torch.no_grad()
def test_the_receptive_field_is_exact(fields: dict[str, Any]) -> None:
    model = tiny(**fields).double()
    field = model.receptive_field
    sizes = {"n_layer": 3, "cycles": 1, "kernel_size": 2} | {
        name: size for name, size in fields.items() if name in vars(model.config)
    }
    assert field == 1 + sizes["cycles"] * (sizes["kernel_size"] - 1) * (2 ** sizes["n_layer"] - 1)
    tokens = torch.randint(VOCABULARY, (1, field + 3))
    changes = []
    for distance in range(field + 3):
        other = tokens.clone()
        other[0, -1 - distance] = (other[0, -1 - distance] + 1) % VOCABULARY
        changes.append(float((model(other).logits - model(tokens).logits)[0, -1].abs().max()))
    assert min(changes[:field]) > 1e-9  # every one that is seen
    assert max(changes[field:]) == 0


@pytest.mark.parametrize(
    "fields", [{}, {"n_layer": 2, "cycles": 2, "kernel_size": 3, "skip": False}], ids=str
)
@torch.no_grad()
def test_a_stream_three_times_the_field_is_the_parallel_pass_and_its_state_stays_small(
    fields: dict[str, Any],
) -> None:
    model = tiny(**fields)
    tokens = torch.randint(VOCABULARY, (2, 3 * model.receptive_field))
    expected, state = model(tokens).logits, model.initial_state(2)
    assert sum(tensor.numel() for tensor in state.tensors.values()) == 2 * (
        (model.receptive_field - 1) * model.config.n_embd + 1
    )
    shapes = {name: tensor.shape for name, tensor in state.tensors.items()}
    for t in range(tokens.shape[1]):
        output = model(tokens[:, t : t + 1], state)
        assert output.state is not None
        state = output.state
        assert float((output.logits[:, 0] - expected[:, t]).abs().max()) < 1e-5
        assert {name: tensor.shape for name, tensor in state.tensors.items()} == shapes


@torch.no_grad()
def test_rows_of_different_age_go_on_side_by_side() -> None:
    model = tiny()
    lengths = [0, 1, 5, 8, 23]
    tokens = torch.randint(VOCABULARY, (len(lengths), max(lengths) + 12))
    together = model.initial_state(len(lengths))
    expected = []
    for row, length in enumerate(lengths):
        expected.append(model(tokens[row : row + 1, : length + 12]).logits[0, length:])
        if length:
            alone = model(tokens[row : row + 1, :length], model.initial_state(1)).state
            assert alone is not None
            together.assign(torch.tensor([row]), alone)
    new = torch.stack([tokens[row, length : length + 12] for row, length in enumerate(lengths)])
    found, state = [], together
    for part in new.split([1, 1, 3, 1, 6], dim=1):
        output = model(part, state)
        assert output.state is not None
        state = output.state
        found.append(output.logits)
    torch.testing.assert_close(torch.cat(found, dim=1), torch.stack(expected), atol=1e-5, rtol=1e-4)


def loss_of(model: WaveNet, tokens: Tensor) -> Tensor:
    return F.cross_entropy(model(tokens[:, :-1]).logits.flatten(0, 1), tokens[:, 1:].flatten())


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("skip", [True, False])
def test_every_ablation_trains_all_of_its_parameters(residual: bool, skip: bool) -> None:
    torch.manual_seed(0)
    model = WaveNet(
        WaveNetConfig(
            vocab_size=VOCABULARY, n_layer=3, n_embd=8, n_skip=6, residual=residual, skip=skip
        )
    )
    tokens = torch.arange(4 * 33).view(4, 33) * 7 % VOCABULARY  # each token says the next
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = loss_of(model, tokens)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    idle = [
        name
        for name, weight in model.named_parameters()
        if weight.grad is None or not weight.grad.any()
    ]
    assert not idle
    assert losses[-1] < losses[0] / 2


@torch.no_grad()
def test_ablations_compute_something_else_with_the_same_weights() -> None:
    whole, replacing, headed = (
        tiny(n_skip=8),
        tiny(n_skip=8, residual=False),
        tiny(n_skip=8, skip=False),
    )
    tokens = torch.randint(VOCABULARY, (2, 12))
    replacing.load_state_dict(whole.state_dict())
    headed.load_state_dict(whole.state_dict(), strict=False)
    logits = [model(tokens).logits for model in (whole, replacing, headed)]
    for one, other in itertools.combinations(logits, 2):
        assert float((one - other).abs().max()) > 1e-2
    assert whole.traits.branches == ("project", "skip")
    assert headed.traits.branches == ("project",)
    assert tiny(n_layer=1).traits.branches == ("skip",)
    assert headed.stack.skip is None
    assert headed.stack.layers[-1].project is not None
    assert whole.stack.layers[-1].project is None  # nobody would read what it passes on


def projections(model: WaveNet) -> list[nn.Parameter]:
    """The weights of what leads from each layer to the next."""
    return [
        parameter
        for name, parameter in model.stack.named_parameters()
        if name.endswith(".project.weight")
    ]


def test_what_is_added_begins_at_zero() -> None:
    model = WaveNet(WaveNetConfig(vocab_size=VOCABULARY, n_layer=3, n_embd=8, skip=False))
    assert not any(weight.any() for weight in projections(model))
    replacing = WaveNet(WaveNetConfig(vocab_size=VOCABULARY, n_layer=3, n_embd=8, residual=False))
    assert all(weight.any() for weight in projections(replacing))


def test_dropout_works_in_training_only() -> None:
    model = tiny(dropout=0.3).train()
    tokens = torch.randint(VOCABULARY, (2, 8))
    assert not torch.equal(model(tokens).logits, model(tokens).logits)
    model.eval()
    assert torch.equal(model(tokens).logits, model(tokens).logits)


@pytest.mark.parametrize("fields", SHAPES, ids=str)
def test_operations_are_counted_as_torch_counts_them(fields: dict[str, Any]) -> None:
    model = tiny(**fields)
    tokens = torch.randint(VOCABULARY, (2, 40))
    with FlopCounterMode(display=False) as counter:
        model(tokens).logits.sum().backward()
    assert model.flops(tokens.numel()) == counter.get_total_flops()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"kernel_size": 1}, "kernel_size"),
        ({"n_layer": 21}, "n_layer"),
        ({"cycles": 0}, "cycles"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_settings_out_of_range_are_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"WaveNetConfig.{named} is"):
        WaveNetConfig(vocab_size=5, **fields)
