"""The table of layers tells what each hands on, and counts every parameter once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from inklings.models.contract import parameter_count
from inklings.runs.layer_shapes import LayerRow, _folded, layer_table
from tests.built import SMALL, build_opinionated


@pytest.mark.parametrize("architecture", sorted(SMALL))
def test_every_parameter_is_counted_once(architecture: str) -> None:
    model = build_opinionated(architecture, SMALL[architecture], vocab_size=30)
    table = layer_table(model)
    assert table.parameters == parameter_count(model)
    called = [layer for layer in table.layers if layer.output is not None]
    assert all(layer.output and layer.output[0] > 0 for layer in called)
    assert not table.layers or called


def test_a_model_and_the_random_state_stay_as_they_were() -> None:
    model = build_opinionated("gpt", SMALL["gpt"], vocab_size=30).train()
    before, hooks = torch.random.get_rng_state(), [len(m._forward_hooks) for m in model.modules()]
    layer_table(model)
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [len(m._forward_hooks) for m in model.modules()] == hooks


def test_like_layers_of_consecutive_blocks_share_a_row() -> None:
    def layer(name: str, parameters: int = 6) -> LayerRow:
        return LayerRow(
            name=name, kind="Linear", output=(4, 2), weights=((3, 2),), parameters=parameters
        )

    names = ["head", "blocks.0.a", "blocks.0.b", "blocks.1.a", "blocks.1.b", "blocks.2.a"]
    rows = _folded([*map(layer, names), layer("blocks.3.a", 7), layer("blocks.4.a")])
    assert [(row.name, row.count) for row in rows] == [
        ("head", 1),
        ("blocks.0-2.a", 3),
        ("blocks.0-1.b", 2),
        ("blocks.3.a", 1),
        ("blocks.4.a", 1),
    ]


def test_shared_weights_count_where_they_first_stand() -> None:
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    model = build_opinionated("gpt", SMALL["gpt"], vocab_size=30)
    second.weight = first.weight
    model.first, model.second = first, second
    rows = {layer.name: layer for layer in layer_table(model).layers}
    assert (rows["first"].parameters, rows["second"].parameters) == (9, 0)
    assert rows["second"].weights == ((3, 3),)
    assert rows["second"].output is None
