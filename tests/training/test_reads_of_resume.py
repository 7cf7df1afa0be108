"""A run that goes on reads, and hashes, each block of its checkpoint once."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from inklings.events import Event
from inklings.runs.checkpoints import checkpoint_files, checkpoint_path, checkpoint_steps
from inklings.runs.tensors import checked_files
from inklings.runs.tensors.checked_files import TensorFile
from inklings.text.store import TokenStore
from inklings.training.train import resume, train
from inklings.world import ALONE, World
from tests.training.conftest import small_config
from tests.worlds import in_world

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes are copied as POSIX does")

BLOCK = 256
"""Bytes of a block here, so that a small file has many."""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, int]]:
    """How often each block of a file was read, by this process."""
    monkeypatch.setattr(checked_files, "BLOCK", BLOCK)
    counted: Counter[tuple[str, int]] = Counter()
    real = TensorFile._data

    def data(file: TensorFile, number: int) -> bytes:
        counted[f"{file.path.parent.name}/{file.path.name}", number] += 1
        return real(file, number)

    monkeypatch.setattr(TensorFile, "_data", data)
    return counted


def stop(event: Event) -> None:
    if event["event"] == "step" and event["step"] == 5:
        signal.raise_signal(signal.SIGTERM)


def all_blocks(path: Path) -> dict[tuple[str, int], int]:
    """Each block of a checkpoint's tensors, with one read of it."""
    found: dict[tuple[str, int], int] = {}
    for file in checkpoint_files(path):
        if file.suffix == ".safetensors":
            with checked_files.open_tensor_file(file) as opened:
                size = sum(facts.row * facts.rows for facts in opened.facts.values())
            found |= {(f"{path.name}/{file.name}", n): 1 for n in range(-(-size // BLOCK))}
    assert len(found) > 20, "too few blocks to tell one read from another"
    return found


@pytest.mark.parametrize(
    ("saved_by", "size"),
    [
        (1, 1),
        (1, 2),
        # in parts
        (2, 1),
        pytest.param(2, 2, marks=pytest.mark.slow),
    ],
)
def test_each_block_is_read_once_in_each_process(
    saved_by: int,
    size: int,
    reads: Counter[tuple[str, int]],
    text: Path,
    store: TokenStore,
    tmp_path: Path,
) -> None:
    config, run = small_config(text, "mlp", budget="6-steps", evaluations=1), tmp_path / "run"

    def begin(world: World) -> str:
        return train(config, run, store=store, world=world, on_event=stop).stopped

    def go_on(world: World) -> dict[tuple[str, int], int]:
        reads.clear()
        assert resume(run, store=store, world=world).stopped == "budget"
        return {place: n for place, n in reads.items() if place[0].startswith("step_5/")}

    if saved_by == 1:
        begin(ALONE)
    else:
        in_world(saved_by, begin, sharded=True)
    assert checkpoint_steps(run)[-1] == 5
    expected = all_blocks(checkpoint_path(run, 5))
    for found in [go_on(ALONE)] if size == 1 else in_world(size, go_on):
        assert found == expected
