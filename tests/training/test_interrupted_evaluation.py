"""An interrupted evaluation is given up within a batch; the resumed run makes it anew."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from inklings.config import RunConfig
from inklings.errors import DiskError
from inklings.evaluation.likelihood import scoring
from inklings.evaluation.samples import sampling
from inklings.events import Event
from inklings.runs import checkpoints
from inklings.runs.checkpoints import checkpoint_path, checkpoint_steps, read_progress
from inklings.runs.directory import RunDirectory
from inklings.text.store import TokenStore
from inklings.training.train import resume, train
from inklings.world import World
from tests.worlds import in_world

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")

ConfigOf = Callable[..., RunConfig]
TEXTGAN: dict[str, Any] = {
    "context_length": 8,
    "n_embd": 8,
    "n_head": 2,
    "n_hidden": 12,
    "n_critic_hidden": 10,
    "critic_steps": 1,
}


class Passes:
    """Counts passes through models that do not learn, and sends this process SIGTERM at one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = 0
        self.fatal: int | None = None
        real = nn.Module.__call__

        def call(module: nn.Module, *given: Any, **named: Any) -> Any:
            result = real(module, *given, **named)
            if not torch.is_grad_enabled() and hasattr(module, "traits"):
                self.count()
            return result

        monkeypatch.setattr(nn.Module, "__call__", call)

    def count(self) -> None:
        self.made += 1
        if self.made == self.fatal:
            signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    """Passes of evaluations that have many of them, for a text of a few lines."""
    monkeypatch.setattr(scoring, "CHUNK", 2)
    return Passes(monkeypatch)


def content(run: Path) -> dict[str, Any]:
    """All that must not depend on interruptions."""
    last = checkpoint_path(run, checkpoint_steps(run)[-1])
    return {
        "events": [
            {name: value for name, value in event.items() if name != "seconds"}
            for event in RunDirectory.open(run).metrics()
            if event["event"] in ("step", "evaluation", "sample")
        ],
        "progress": {
            **vars(read_progress(last)),
            **dict.fromkeys(("seconds", "metrics_length", "metrics_sha256")),
        },
        "samples": RunDirectory.open(run).samples(),
        **{path.name: path.read_bytes() for path in (last / "optimizer.safetensors",)},
        "last": (last / "model.safetensors").read_bytes(),
        "best": (run / "model.safetensors").read_bytes(),
    }


def evaluations(run: Path) -> Counter[int]:
    events = RunDirectory.open(run).metrics()
    return Counter(event["step"] for event in events if event["event"] == "evaluation")


QUICK = (("recurrent", 0, 0.0), ("gpt", 2, 0.99))
MOMENTS = [
    pytest.param(*moment, marks=() if moment in QUICK else pytest.mark.slow)
    for moment in product(("gpt", "recurrent"), (0, 2), (0.0, 0.5, 0.99))
]
"""Of which architecture, in which evaluation, and how far in it."""


@pytest.mark.parametrize(("architecture", "evaluation", "share"), MOMENTS)
def test_it_is_given_up_at_once_and_made_anew(
    architecture: str,
    evaluation: int,
    share: float,
    passes: Passes,
    config_of: ConfigOf,
    store: TokenStore,
    tmp_path: Path,
) -> None:
    """Its first pass, one in the middle, and one that writes a sample, of the first and the last
    evaluation.
    """
    config = config_of(architecture, samples=1, keep_checkpoints=1)
    ends: list[int] = []

    def note(event: Event) -> None:
        if event["event"] == "evaluation":
            ends.append(passes.made)

    train(config, tmp_path / "whole", store=store, on_event=note)
    begin = 0 if evaluation == 0 else ends[evaluation - 1]
    assert ends[evaluation] - begin > 10, "an evaluation has too few passes to be stopped in"

    run = tmp_path / "parts"
    passes.made, passes.fatal = 0, begin + 1 + int(share * (ends[evaluation] - begin - 1))
    result = train(config, run, store=store)
    assert (result.stopped, passes.made) == ("interrupted", passes.fatal)
    assert result.steps == 4 * (evaluation + 1) == checkpoint_steps(run)[-1]
    assert evaluations(run) == Counter(range(4, result.steps, 4))
    assert RunDirectory.open(run).check() == []

    # and the one that is made anew, too
    passes.made, passes.fatal = 0, 3
    assert resume(run, store=store).stopped == "interrupted"
    assert passes.made == 3

    passes.fatal = None
    assert resume(run, store=store).stopped == "budget"
    assert evaluations(run) == Counter((4, 8, 12))
    assert content(run) == content(tmp_path / "whole")
    assert RunDirectory.open(run).check() == []


def test_of_texts_made_of_noise_the_batch_is_the_last(
    passes: Passes,
    config_of: ConfigOf,
    store: TokenStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = sampling._made

    def made(*given: Any) -> torch.Tensor:
        result = real(*given)
        passes.count()
        return result

    monkeypatch.setattr(sampling, "_made", made)
    monkeypatch.setattr(sampling, "ROWS", 2)
    config = replace(
        config_of("textgan", budget="4-steps", evaluations=2, samples=1, sequence_length=None),
        model=TEXTGAN,
    )
    train(config, tmp_path / "whole", store=store)
    of_one = passes.made // 2
    assert of_one > 4
    for fatal in (3, of_one):  # after the last batch the texts to look at are still to be written
        run = tmp_path / f"parts-{fatal}"
        passes.made, passes.fatal = 0, fatal
        assert train(config, run, store=store).stopped == "interrupted"
        assert (passes.made, evaluations(run)) == (fatal, Counter())
        passes.fatal = None
        assert resume(run, store=store).stopped == "budget"
        assert content(run) == content(tmp_path / "whole")


@pytest.mark.parametrize("sharded", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("share", [0.3, pytest.param(0.95, marks=pytest.mark.slow)])
def test_all_processes_give_it_up_at_the_same_batch(
    sharded: bool,
    share: float,
    passes: Passes,
    config_of: ConfigOf,
    store: TokenStore,
    tmp_path: Path,
) -> None:
    """One alone is told; three samples are two passes each for one process, one for the other."""
    config = config_of("gpt", budget="4-steps", evaluations=1, samples=3)

    def whole(world: World) -> int:
        train(config, tmp_path / "whole", store=store, world=world)
        return passes.made

    def begin(world: World) -> tuple[str, int]:
        passes.fatal = fatal if world.rank == 1 else None
        result = train(config, tmp_path / "parts", store=store, world=world)
        return result.stopped, passes.made

    def go_on(world: World) -> str:
        return resume(tmp_path / "parts", store=store, world=world).stopped

    fatal = int(share * min(in_world(2, whole, sharded=sharded)))
    (stopped, made), (_, own) = in_world(2, begin, sharded=sharded)
    assert (stopped, own) == ("interrupted", fatal)
    assert made == own, "process 0 goes on by itself"
    assert evaluations(tmp_path / "parts") == Counter()
    assert in_world(2, go_on, sharded=sharded) == ["budget"] * 2
    assert evaluations(tmp_path / "parts") == Counter([4])
    found, expected = (
        [event for event in RunDirectory.open(tmp_path / name).metrics() if "loss" in event]
        for name in ("parts", "whole")
    )
    assert [event["loss"] for event in found] == [event["loss"] for event in expected]


def test_a_disk_that_fails_after_it_leaves_the_checkpoint_from_before_it(
    passes: Passes,
    config_of: ConfigOf,
    store: TokenStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = config_of(keep_checkpoints=1, evaluations=1)
    train(config, tmp_path / "whole", store=store)
    run = tmp_path / "parts"
    passes.made, passes.fatal = 0, 1
    assert train(config, run, store=store).stopped == "interrupted"

    def full(*given: Any) -> None:
        raise DiskError("the disk is full.", "Free some space")

    with monkeypatch.context() as patch, pytest.raises(DiskError):
        patch.setattr(checkpoints, "write_checked_json", full)
        resume(run, store=store)
    assert resume(run, store=store).stopped == "budget"
    assert content(run) == content(tmp_path / "whole")
