"""What does not lie on the CPU trains, is saved, goes on and writes the same texts.

torch cannot forget a device that was made known to it, and then takes it for that of everybody: so
`test_pretended_gpu.py` runs these tests in a process of their own.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from inklings.cli.main import main
from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.events import Event
from inklings.runs.checkpoints import WEIGHTS, checkpoint_path, checkpoint_steps
from inklings.runs.directory import RunDirectory
from inklings.serving.process.model_loader import ServedModel, Spec
from inklings.training.train import resume, train
from tests.pretended_gpu import GPU, Pretended, pretended_gpu

SMALL: dict[str, dict[str, Any]] = {
    "gpt": {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 16},
    "gpt2": {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 16},
    "mlp": {"n_embd": 8, "n_hidden": 8, "context_length": 8},
    "wavenet": {"n_layer": 2, "n_embd": 8, "n_skip": 8, "context_length": 16},
    "varda": {
        "backbone": "gpt:n_layer=1,n_head=2,n_embd=8,context_length=16",
        "memory_size": 32,
        "segment": 8,
    },
    "textgan": {"n_embd": 8, "n_head": 2, "n_hidden": 8, "context_length": 8},
}


def test_it_refuses_what_a_gpu_refuses() -> None:
    with pretended_gpu():
        there = torch.ones(3, device=GPU)
        assert isinstance(there, Pretended) and there.device == GPU
        assert (there + 1).sum().item() == 6
        assert there.cpu().tolist() == [1, 1, 1] and not isinstance(there.cpu(), Pretended)
        with pytest.raises(RuntimeError, match="same device"):
            there + torch.ones(3)
        with pytest.raises(RuntimeError, match="same device"):
            F.embedding(torch.zeros(3, dtype=torch.int64), torch.ones(3, 3, device=GPU))
        with pytest.raises(RuntimeError, match=r"numpy"):
            there.numpy()
        with pytest.raises(RuntimeError, match="generator"):
            torch.rand(3, device=GPU, generator=torch.Generator())
        # numbers of the host may be mixed in, and places that are looked up
        assert there[torch.tensor([0, 2])].sum().item() == 2


def settings(folder: Path, architecture: str, device: str) -> RunConfig:
    text = folder / "names.txt"
    text.write_text("".join(f"{a}{b}na\n" for a in "abcdefgh" for b in "aeiou"), encoding="utf-8")
    return RunConfig(
        architecture=architecture,
        model=SMALL[architecture],
        data=DataConfig(source=str(text), layout="lines"),
        training=TrainingConfig(
            budget="4-steps", batch_size=8, evaluations=1, samples=1, threads=1,
            precision="float32", compile="off", device=device,
            sequence_length=None if architecture == "textgan" else 16,
        ),
    )  # fmt: skip


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoint_path(run, checkpoint_steps(run)[-1]) / WEIGHTS)


def losses(run: Path) -> list[float]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [event["loss"] for event in lines if event["event"] in ("step", "evaluation")]


def halfway(event: Event) -> None:
    if event["event"] == "step" and event["step"] == 2:
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    "architecture",
    [
        name if name in ("gpt", "mlp") else pytest.param(name, marks=pytest.mark.slow)
        for name in SMALL
    ],
)
def test_a_run_is_that_of_the_cpu(
    tmp_path: Path, architecture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train(settings(tmp_path, architecture, "cpu"), tmp_path / "here")
    with pretended_gpu():
        config = settings(tmp_path, architecture, str(GPU))
        train(config, tmp_path / "there")
        train(config, tmp_path / "parts", on_event=halfway)
        resume(tmp_path / "parts")
        texts = []
        for device in ("cpu", str(GPU)):
            asked = ["generate", str(tmp_path / "there"), "--samples", "3", "--seed", "1"]
            assert main([*asked, "--device", device, "--max-new-tokens", "8", "--json"]) == 0
            texts.append(json.loads(capsys.readouterr().out)["samples"])
        spec = Spec(
            name="it", run=str(tmp_path / "there"), rows=2, precision="float32", workers=1,
            trust_code=False, device=str(GPU),
        )  # fmt: skip
        assert ServedModel(spec).model.device == GPU
        assert RunDirectory.open(tmp_path / "there").config.training.device == str(GPU)
    # some sums are made in another order than by what is for CPUs alone
    assert losses(tmp_path / "there") == pytest.approx(losses(tmp_path / "here"), rel=1e-3)
    there, parts = weights(tmp_path / "there"), weights(tmp_path / "parts")
    assert all(torch.equal(parts[name], there[name]) for name in there)
    assert texts[0] == texts[1]
