"""What is tried on a GPU, in order of worth: command lines, time limits, and where figures are."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Plan:
    """How the steps are to be made."""

    out: Path
    device: str
    nanogpt: Path | None
    rehearsed: bool
    """Small sizes, to see that every step works."""


@dataclass(frozen=True)
class Step:
    """Something that is tried in a process of its own."""

    name: str
    about: str
    seconds: float
    """It is ended after that; what others found is kept."""
    command: Callable[[Plan], list[str]]
    read: Callable[[Path, str], dict[str, Any]]
    """Makes its figures of its folder and what it printed."""
    environment: Callable[[Plan], dict[str, str]] = lambda plan: {}


def last_line(folder: Path, printed: str) -> dict[str, Any]:
    """The figures of a script that ends with a line of JSON."""
    found: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
    return found


def _script(name: str, plan: Plan, *more: str) -> list[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / name), "--device", plan.device]
    size = "small" if plan.rehearsed else "large64"
    return [*command, "--size", size, "--data", _text(plan), *more]


def _text(plan: Plan) -> str:
    """The text that is trained on; a rehearsal needs no download."""
    return "builtin:python-docs" if plan.rehearsed else "tinyshakespeare"


def _beside(plan: Plan) -> list[str]:
    return [] if plan.nanogpt is None else ["--nanogpt", str(plan.nanogpt)]


def _contracts(plan: Plan) -> list[str]:
    some = ["-k", "mlp and (shapes or device)"] if plan.rehearsed else []
    folder = ROOT / "tests" / "contracts"
    workers = min(8, os.cpu_count() or 1)
    pytest = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-n", str(workers)]
    return [*pytest, "--tb", "short", *some, str(folder)]


def _tests(folder: Path, printed: str) -> dict[str, Any]:
    """How many passed, and which failed; also of tests that were ended before they were through."""
    lines = re.findall(r"^\[gw\d+\] \[ *\d+%\] ([A-Z]+) (\S+)", printed, re.MULTILINE)
    if not lines:
        raise ValueError("no test was run")
    kinds = [kind for kind, _ in lines]
    return {
        "counts": {kind.lower(): kinds.count(kind) for kind in sorted(set(kinds))},
        "failed_tests": sorted({name for kind, name in lines if kind in ("FAILED", "ERROR")}),
    }


def _fsdp(plan: Plan) -> list[str]:
    """One process of torchrun that cuts weights up, beside one without torchrun."""
    size = ["--model.n-layer", "2", "--model.n-embd", "32", "--training.batch-size", "4"]
    if not plan.rehearsed:
        size = ["--model.n-layer", "6", "--model.n-embd", "384", "--training.batch-size", "64"]
    return [
        *(sys.executable, str(ROOT / "scripts" / "gpu_fsdp.py"), str(plan.out / "fsdp")),
        *("gpt", "--data", _text(plan), "--tokenizer", "char", "--no-report"),
        *(*size, "--model.n-head", "2", "--model.context-length", "64"),
        *("--budget", "4-steps" if plan.rehearsed else "60-steps", "--training.evaluations", "1"),
        *("--training.samples", "0", "--training.precision", "float32"),
        *("--training.compile", "off", "--training.threads", "1"),
        *("--training.device", plan.device),
    ]


def _serving(streams: int) -> Callable[[Plan], list[str]]:
    def command(plan: Plan) -> list[str]:
        few = 4 if plan.rehearsed else streams
        tokens, rounds = ("8", "1") if plan.rehearsed else ("128", "3")
        return [
            *(sys.executable, str(ROOT / "benchmarks" / "serving.py"), "--device", plan.device),
            *("--sizes", "1" if plan.rehearsed else "10", "--architectures", "gpt"),
            *("--streams", str(few), "--tokens", tokens, "--rounds", rounds, "--json"),
        ]

    return command


STEPS = (
    Step(
        "contracts",
        "every promise of every architecture, on this device",
        150,
        _contracts,
        _tests,
        lambda plan: {"INKLINGS_TEST_DEVICE": plan.device},
    ),
    Step(
        "precision",
        "bfloat16 and compilation beside float32; whether bits repeat",
        120,
        lambda plan: _script(
            "gpu_precision.py", plan, *(["--steps", "8"] if plan.rehearsed else [])
        ),
        last_line,
    ),
    Step(
        "loss",
        "how long until nanoGPT's 1.4697, beside nanoGPT where a checkout is named",
        320,
        lambda plan: _script(
            "gpu_loss.py",
            plan,
            *_beside(plan),
            *(["--steps", "4", "--seconds", "60"] if plan.rehearsed else ["--seconds", "150"]),
        ),
        last_line,
    ),
    Step(
        "speed",
        "training tokens a second and share of the peak, beside nanoGPT where one is named",
        120,
        lambda plan: _script(
            "gpu_speed.py", plan, *_beside(plan), *(["--rounds", "2"] if plan.rehearsed else [])
        ),
        last_line,
    ),
    Step("serving-64", "64 streams of `inklings serve`", 60, _serving(64), last_line),
    Step("serving-512", "512 streams of `inklings serve`", 60, _serving(512), last_line),
    Step("fsdp", "FSDP2 by one process of torchrun, beside none", 60, _fsdp, last_line),
)


def machine(device: str) -> dict[str, Any]:
    """What figures are figures of."""
    import torch

    from inklings.device import environment

    found = dataclasses.asdict(_card(device)) if device.startswith("cuda") else {}
    return {
        **environment(),
        "device": device,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "card": found,
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
    }


@dataclass(frozen=True)
class Card:
    """What the driver says of a card."""

    name: str
    memory: int
    processors: int
    capability: str


def _card(device: str) -> Card:
    import torch

    found = torch.cuda.get_device_properties(device)
    capability = f"{found.major}.{found.minor}"
    return Card(found.name, found.total_memory, found.multi_processor_count, capability)
