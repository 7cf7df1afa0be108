"""Runs that are killed for good, at any moment, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from inklings.config import RunConfig, to_mapping
from inklings.models.objectives import predictor
from inklings.runs.checkpoints import checkpoint_path, checkpoint_steps
from inklings.runs.directory import RunDirectory
from inklings.runs.open_memory import create_memory
from inklings.text.store import TokenStore
from inklings.training.train import resume, train

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")

PREPARATION = """
import json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
from inklings.config import RunConfig
from inklings.values import from_mapping
from inklings.text.store import TokenStore
from inklings.training.train import resume, train
config = from_mapping(RunConfig, json.loads(sys.argv[1]), where="test")
store, run = TokenStore(Path(sys.argv[2])), Path(sys.argv[3])
"""

TRAIN = (
    PREPARATION
    + """
shown = lambda event: print(event["event"], event.get("step"), flush=True)
result = train(config, run, store=store, on_event=shown)
print(result.stopped, result.steps, flush=True)
"""
)

SWEEP = (
    PREPARATION
    + """
from tests.mortal import make_mortal

def child(fatal, after, path):
    make_mortal(fatal, after=after)
    train(config, path, store=store)
    os._exit(0)

stride, fatal = int(sys.argv[4]), int(sys.argv[5])
while True:
    path = run / f"killed-{fatal}"
    pid = os.fork()
    if pid == 0:
        child(fatal, fatal % 2 == 0, path)
    _, status = os.waitpid(pid, 0)
    made = train(config, path, store=store) if not path.exists() else resume(path, store=store)
    print(path, os.WIFSIGNALED(status), made.stopped, made.steps, flush=True)
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0
        break
    fatal += stride
"""
)


def command(script: str, config: RunConfig, store: TokenStore, run: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        "-c",
        script,
        json.dumps(to_mapping(config)),
        str(store.path),
        str(run),
        *more,
    ]


def content(run: Path) -> tuple[bytes, bytes, bytes, list[tuple[int, float]]]:
    last = checkpoint_path(run, checkpoint_steps(run)[-1])
    losses = [
        (event["step"], event["loss"])
        for event in RunDirectory.open(run).metrics()
        if event["event"] in ("step", "evaluation")
    ]
    return (
        (run / "model.safetensors").read_bytes(),
        (last / "model.safetensors").read_bytes(),
        (last / "optimizer.safetensors").read_bytes(),
        losses,
    )


@pytest.mark.parametrize(
    ("stride", "first"),
    [(60, 20), *(pytest.param(11, first, marks=pytest.mark.slow) for first in range(1, 12))],
)
def test_killed_at_any_write_it_goes_on_to_the_same_bits(
    stride: int, first: int, config_of: Callable[..., RunConfig], store: TokenStore, tmp_path: Path
) -> None:
    config = config_of("recurrent", evaluations=4, samples=1, keep_checkpoints=1, budget="8-steps")
    train(config, tmp_path / "whole", store=store)
    made = subprocess.run(
        command(SWEEP, config, store, tmp_path, str(stride), str(first)),
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert made.returncode == 0, made.stderr
    lines = [line.split() for line in made.stdout.splitlines()]
    assert len(lines) * stride > 100, "too few moments were tried"
    assert [killed for _, killed, _, _ in lines] == ["True"] * (len(lines) - 1) + ["False"]
    whole = content(tmp_path / "whole")
    for path, _, stopped, steps in lines:
        assert (stopped, steps) == ("budget", "8")
        assert content(Path(path)) == whole, path
        assert RunDirectory.open(Path(path)).check() == []
        assert not list(Path(path).rglob("*.tmp"))


@pytest.mark.parametrize(
    ("number", "after"),
    [
        (signal.SIGKILL, 37),
        pytest.param(signal.SIGTERM, 23, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 49, marks=pytest.mark.slow),
    ],
)
def test_a_signal_from_outside_loses_no_more_than_it_may(
    number: signal.Signals,
    after: int,
    config_of: Callable[..., RunConfig],
    store: TokenStore,
    tmp_path: Path,
) -> None:
    config = config_of("mlp", budget="120-steps", evaluations=10)
    train(config, tmp_path / "whole", store=store)
    with subprocess.Popen(
        command(TRAIN, config, store, tmp_path / "run"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(after)]
        process.send_signal(number)
        rest, errors = process.communicate()
    lines += [line.split() for line in rest.splitlines()]
    saved = checkpoint_steps(tmp_path / "run")[-1]
    announced = [int(line[1]) for line in lines if line[0] == "checkpoint"]
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        # the last one announced may not have been finished
        assert saved in announced[-2:]
    else:
        assert process.returncode == 0, errors
        assert lines[-1] == ["interrupted", str(saved)]
        assert saved < 120
    assert resume(tmp_path / "run", store=store).steps == 120
    assert content(tmp_path / "run") == content(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("index", ["exact", "hnsw"])
def test_a_killed_varda_goes_on_to_the_same_bits_its_index_included(
    index: Literal["exact", "hnsw"],
    config_of: Callable[..., RunConfig],
    store: TokenStore,
    tmp_path: Path,
) -> None:
    if index == "hnsw":
        pytest.importorskip("faiss")
    model = {
        "backbone": "gpt:n_layer=1,n_head=2,n_embd=8,context_length=32",
        "segment": 4,
        "memory_size": 64,
        "index_type": index,
        "clear_at": "epoch",
        "write": "learned",
        "forgetfulness_factor": 0.2,
    }
    config = replace(config_of("varda", budget="48-steps", evaluations=12), model=model)
    train(config, tmp_path / "whole", store=store)
    with subprocess.Popen(
        command(TRAIN, config, store, tmp_path / "killed"), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("checkpoint") and int(line.split()[1]) >= 12:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    assert 0 < checkpoint_steps(tmp_path / "killed")[-1] < 48
    assert resume(tmp_path / "killed", store=store).steps == 48
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    saved = [remembered(tmp_path / name, index) for name in ("whole", "killed")]
    assert saved[0] == saved[1] and len(saved[0]) > 3


def remembered(run: Path, backend: Literal["exact", "hnsw"]) -> dict[str, bytes]:
    """Every array, those of the index included, of a memory that a run writes of some texts."""
    opened = RunDirectory.open(run)
    made = create_memory(opened, predictor(opened.load_model(), "a memory"), backend=backend)
    made.add([(f"{number}", "annelooirt" * number) for number in range(1, 30)])
    folder = run / "memory" / "store"
    return {path.name.rpartition("-")[0]: path.read_bytes() for path in folder.glob("*.npy")}
