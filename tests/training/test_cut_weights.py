"""Runs whose weights are cut up among processes: what they learn, and what each process holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.tensor import DTensor

from inklings.config import RunConfig
from inklings.cut_tensors import cut_like, own_part, whole
from inklings.device import Runtime
from inklings.errors import WorldError
from inklings.runs.checkpoints import checkpoint_steps
from inklings.runs.directory import RunDirectory
from inklings.text.store import TokenStore
from inklings.training.objectives.likelihood import LikelihoodObjective, PartLoss, make_batches
from inklings.training.optimizers import muon as muon_module
from inklings.training.optimizers.muon import Muon
from inklings.training.optimizers.optimizers import Optimizers
from inklings.training.setup import fresh_model
from inklings.training.train import resume, train
from inklings.world import World
from tests.built import as_sequence_model
from tests.training.test_shared_steps import losses, settings, until
from tests.worlds import in_world

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes are copied as POSIX does")

ConfigOf = Callable[..., RunConfig]
SLOW = pytest.mark.slow
ADAM = {"optimizer": "adamw"}
"""Muon makes much of the rounding of a gradient that is nearly zero, as some layers' are."""
OWN = f"{Path(__file__).with_name('learned_beginning.py')}:LearnedBeginning"


@pytest.mark.parametrize(
    ("architecture", "training", "size"),
    [
        ("gpt", {}, 2),
        pytest.param(OWN, {}, 2, marks=SLOW),
        pytest.param("gpt", {"accumulate": 2}, 2, marks=SLOW),
        pytest.param("gpt", {}, 3, marks=SLOW),
        pytest.param("mlp", {}, 4, marks=SLOW),
        pytest.param("mlp", {"order": "positions", "sequence_length": None}, 2, marks=SLOW),
        pytest.param("gpt2", {"sequence_length": 40, **ADAM}, 2, marks=SLOW),
        pytest.param("wavegpt", ADAM, 2, marks=SLOW),
        pytest.param("wavenet", ADAM, 2, marks=SLOW),
        pytest.param("recurrent", {"accumulate": 2}, 2, marks=SLOW),
    ],
    ids=str,
)
def test_weights_that_are_cut_up_learn_the_same(
    architecture: str,
    training: dict[str, Any],
    size: int,
    config_of: ConfigOf,
    store: TokenStore,
    tmp_path: Path,
) -> None:
    """And a checkpoint of them is that of one process, which goes on with it."""
    config = settings(config_of, architecture, batch_size=4 * size, samples=3, **training)
    config = replace(config, model={**TINY.get(architecture, {}), **config.model})
    run = tmp_path / "cut"

    in_world(
        size,
        lambda world: train(config, run, store=store, world=world, on_event=until(5)),
        sharded=True,
    )
    assert checkpoint_steps(run)[-1] == 5
    in_world(size, lambda world: resume(run, store=store, world=world, on_event=until(8)))
    in_world(
        size,
        lambda world: resume(run, store=store, world=world, on_event=until(10)),
        sharded=True,
    )
    resume(run, store=store)
    train(config, tmp_path / "one", store=store)
    assert losses(run) == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert [len(texts) for texts in RunDirectory.open(run).samples().values()] == [3] * 3
    assert RunDirectory.open(run).check() == []


TINY: dict[str, dict[str, Any]] = {
    OWN: {"n_embd": 8, "context_length": 8},
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 16, "context_length": 16, "dropout": 0.0},
    "wavegpt": {"n_layer": 1, "n_head": 2, "n_embd": 16, "wave_layers": 2, "context_length": 8},
    "wavenet": {"n_layer": 3, "n_embd": 16, "n_skip": 16, "context_length": 8},
}


def test_a_process_holds_its_part_of_the_weights(config_of: ConfigOf, store: TokenStore) -> None:
    model = fresh_model(config_of("gpt"), store)

    def work(world: World) -> tuple[int, int]:
        training = config_of("gpt").training
        world.spread(PartLoss(as_sequence_model(model), Runtime()), model.units())
        optimizers = Optimizers(model, training, world=world)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizers.step(1.0)
        moments = [
            value
            for optimizer in optimizers.single
            for state in optimizer.state.values()
            for value in state.values()
            if value.ndim
        ]
        return (
            sum(own_part(p).numel() for p in model.parameters()),
            sum(own_part(value).numel() for value in moments),
        )

    weights, moments = work(World())
    parts = in_world(2, work, sharded=True)
    assert sum(part[0] for part in parts) == weights and sum(p[1] for p in parts) == moments
    assert max(part[0] for part in parts) < 0.6 * weights


def test_one_unit_is_whole_at_a_time(config_of: ConfigOf, store: TokenStore) -> None:
    """In a step and at an evaluation, whose passes are not as many in both processes."""
    config = settings(config_of, "gpt", order="windows")
    config = replace(config, model={**config.model, "n_layer": 4})
    model = as_sequence_model(fresh_model(config, store))
    units = model.units()
    largest = max(sum(p.numel() for p in unit.parameters()) for unit in units)
    in_units = sum(p.numel() for unit in units for p in unit.parameters())
    weights = sum(p.numel() for p in model.parameters())

    def work(world: World) -> list[int]:
        sizes: list[int] = []

        def look(*given: object) -> None:
            there = [p for p in model.parameters() if not isinstance(p, DTensor)]
            sizes.append(sum(p.numel() for p in there))

        for module in model.modules():
            module.register_forward_hook(look)
            if isinstance(module, nn.Linear):
                module.register_full_backward_hook(look)
        batches = make_batches(model, store.split("train"), config.training)
        objective = LikelihoodObjective(model, batches, config.training, Runtime(), world)
        validation = LikelihoodObjective.validation(model, store, seed=0, world=world)
        with objective.evaluating():
            validation.score()
        objective.step(0, 1.0, measure=True)
        with objective.evaluating():
            validation.texts(3, seed=0)
        look()
        return sizes

    for sizes in in_world(2, work, sharded=True):
        assert max(sizes) == weights - in_units + largest < weights
        assert sizes[-1] == 0


def test_matrices_are_made_orthogonal_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Muon's step is that of one process, whatever is brought together at once."""
    monkeypatch.setattr(muon_module, "_TOGETHER", 1)
    shapes = [(8, 12)] * 5 + [(12, 8)] * 2

    def work(world: World) -> list[torch.Tensor]:
        torch.manual_seed(0)
        layer = nn.ParameterList([torch.randn(shape) for shape in shapes])
        gradients = [torch.randn(shape) for shape in shapes]
        world.spread(layer)
        muon = Muon(layer, lr=0.1, world=world)
        most = []
        for parameter, gradient in zip(layer, gradients, strict=True):
            parameter.grad = cut_like(gradient, parameter)
        real = world.mapped

        def mapped(rows: torch.Tensor, change: Any) -> torch.Tensor:
            most.append(len(rows))
            return real(rows, change)

        object.__setattr__(world, "mapped", mapped)
        muon.step()
        assert max(most) == (2 if world.sharded else 7)
        return [whole(parameter.detach()) for parameter in layer]

    for found in in_world(2, work, sharded=True):
        for one, other in zip(found, work(World()), strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("architecture", "training", "saying"),
    [
        ("textgan", {"batch_size": 16, "sequence_length": None}, "second derivatives"),
        ("varda", {}, "reader.log_sharpness is a single number"),
    ],
)
def test_what_cannot_be_cut_up_says_why(
    architecture: str,
    training: dict[str, Any],
    saying: str,
    config_of: ConfigOf,
    store: TokenStore,
    tmp_path: Path,
) -> None:
    config = settings(config_of, architecture, **training)

    def work(world: World) -> str:
        with pytest.raises(WorldError) as refused:
            train(config, tmp_path / "run", store=store, world=world)
        return str(refused.value)

    first, second = in_world(2, work, sharded=True)
    assert first == second and saying in first and "needs the strategy ddp" in first
