"""`make gpu` without a card: its steps in small, and what a step may do to the others."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import gpu  # noqa: E402  # the scripts are no package
import gpu_steps  # noqa: E402
from gpu_steps import Plan, Step  # noqa: E402

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a step is ended with its process group")


def step(name: str, code: str, seconds: float = 60) -> Step:
    """A step that runs some Python."""

    def command(plan: Plan) -> list[str]:
        return [sys.executable, "-c", code]

    return Step(name, "a test", seconds, command, gpu_steps.last_line)


def results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "gpu.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    made = [
        step("one", "print('{\"figure\": 1}')"),
        step("hangs", "import time; time.sleep(600)", 0.3),
        step("breaks", "raise SystemExit('broken')"),
        step("two", "print('{\"figure\": 3}')"),
    ]
    monkeypatch.setattr(gpu, "STEPS", made)
    monkeypatch.setattr(gpu, "GRACE", 0.5)
    monkeypatch.delenv("INKLINGS_TEST_DATA", raising=False)
    return made


def tried(out: Path, *more: str) -> int:
    return gpu.main(["--out", str(out), "--device", "cpu", *more])


def test_without_a_card_one_message_and_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "has_driver", lambda: False)
    for asked in ([], ["--check"]):
        assert gpu.main(["--out", str(tmp_path / "out"), *asked]) == 2
        said = capsys.readouterr()
        assert "there is no NVIDIA card here" in said.err and not said.out
    monkeypatch.setattr(gpu, "has_driver", lambda: True)
    assert gpu.main(["--check"]) == 0  # torch may not be installed yet
    assert gpu.main(["--out", str(tmp_path / "out")]) == 2  # this torch has no CUDA, or no card
    assert "torch" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_checkout_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tried(tmp_path / "out", "--nanogpt", str(tmp_path)) == 2
    assert "no train.py" in capsys.readouterr().err


def test_what_a_step_does_loses_nothing_of_the_others(tmp_path: Path, steps: list[Step]) -> None:
    assert tried(tmp_path) == 1
    made = results(tmp_path)["steps"]
    assert {name: one["state"] for name, one in made.items()} == {
        "one": "done",
        "hangs": "too slow",
        "breaks": "failed",
        "two": "done",
    }
    assert [made[name]["figures"] for name in ("one", "two")] == [{"figure": 1}, {"figure": 3}]
    assert "broken" in (tmp_path / "breaks.log").read_text(encoding="utf-8")
    assert results(tmp_path)["machine"]["device"] == "cpu"


def test_the_same_command_goes_on(tmp_path: Path, steps: list[Step]) -> None:
    tried(tmp_path)
    before = results(tmp_path)["steps"]
    steps[1:3] = [step("hangs", "print('{}')"), step("breaks", "print('{}')")]
    assert tried(tmp_path) == 0
    after = results(tmp_path)["steps"]
    assert after["one"] == before["one"] and after["hangs"]["state"] == "done"
    assert tried(tmp_path, "--only", "two") == 0
    assert results(tmp_path)["steps"]["one"] == before["one"]


def test_there_is_an_end_to_the_time(
    tmp_path: Path, steps: list[Step], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tried(tmp_path, "--minutes", "0.1") == 1
    assert "no time left" in capsys.readouterr().out
    assert not (tmp_path / "gpu.json").exists()


def test_figures_of_another_machine_are_put_aside(tmp_path: Path, steps: list[Step]) -> None:
    tried(tmp_path, "--only", "one")
    other = results(tmp_path)
    other["machine"]["torch"] = "1.0"
    (tmp_path / "gpu.json").write_text(json.dumps(other), encoding="utf-8")
    tried(tmp_path, "--only", "two")
    assert set(results(tmp_path)["steps"]) == {"two"}
    assert len(list(tmp_path.glob("gpu-*.json"))) == 1


def test_tests_that_were_ended_early_count() -> None:
    printed = (
        "[gw0] [  1%] PASSED tests/contracts/test_contracts.py::test[a]\n"
        "[gw1] [  2%] FAILED tests/contracts/test_contracts.py::test[b]\n"
        "[gw0] [100%] SKIPPED tests/contracts/test_contracts.py::test[c]\n"
    )
    found = gpu_steps._tests(Path(), printed)
    assert found["counts"] == {"passed": 1, "failed": 1, "skipped": 1}
    assert found["failed_tests"] == ["tests/contracts/test_contracts.py::test[b]"]


NANOGPT = {
    "model.py": """
from dataclasses import dataclass
import torch
from torch import nn

@dataclass
class GPTConfig:
    block_size: int = 8
    vocab_size: int = 8
    n_layer: int = 1
    n_head: int = 1
    n_embd: int = 8
    dropout: float = 0.0
    bias: bool = False

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.table = nn.Embedding(config.vocab_size, config.vocab_size)

    def forward(self, tokens, targets):
        logits = self.table(tokens)
        return logits, nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def configure_optimizers(self, decay, rate, betas, device):
        return torch.optim.AdamW(self.parameters(), lr=rate, betas=betas, weight_decay=decay)
""",
    "train.py": """
import sys
from pathlib import Path
assert sys.argv[1] == "config/train_shakespeare_char.py" and Path(sys.argv[1]).exists()
assert Path("data/shakespeare_char/val.bin").stat().st_size
print("step 0: train loss 4.3, val loss 4.2")
print("step 4: train loss 1.3, val loss 1.4")
""",
    "configurator.py": "",
}
"""Stands for a checkout of nanoGPT, as far as it is asked."""


@pytest.mark.slow
def test_every_step_works_in_small(tmp_path: Path) -> None:
    checkout = tmp_path / "nanoGPT"
    (checkout / "config").mkdir(parents=True)
    (checkout / "config" / "train_shakespeare_char.py").touch()
    for name, text in NANOGPT.items():
        (checkout / name).write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    asked = ["--rehearse", "--minutes", "60", "--nanogpt", str(checkout)]
    code = tried(out, *asked)
    made = results(out)["steps"]
    logs = {path.stem: path.read_text(encoding="utf-8")[-2000:] for path in out.glob("*.log")}
    failed = {name: logs[name] for name, one in made.items() if one["state"] != "done"}
    assert not failed
    assert code == 0
    figures = {name: one["figures"] for name, one in made.items()}
    assert set(figures) == {one.name for one in gpu_steps.STEPS}
    assert figures["contracts"]["counts"]["passed"] > 1
    first = figures["precision"]["first_loss_without_dropout"]
    assert first["device"] == first["cpu"]
    assert figures["precision"]["same_bits"] == {"made_again": True, "resumed": True}
    low, plain = (figures["precision"][name]["last_loss"] for name in ("bfloat16", "float32"))
    assert low == pytest.approx(plain, rel=0.02)
    assert figures["loss"]["nanoGPT"]["to_published"]["step"] == 4
    assert figures["loss"]["gpt"]["best"]["loss"] > 1
    assert set(figures["speed"]["rivals"]) == {
        "nanoGPT", "gpt", "gpt compiled", "gpt with AdamW, compiled", "gpt2 compiled"
    }  # fmt: skip
    assert figures["serving-64"]["served"][0]["failed"] == 0
    assert figures["fsdp"]["losses_differ_by"] < 1e-5
