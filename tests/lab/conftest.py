"""Comparison folders without any training: plausible figures, so that tables and reports can be tested alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inklings.evaluation.units import Sums
from inklings.lab.comparison import ArmPlan, ArmResult, Comparison, Plan, RunResult, write_comparison
from inklings.lab.curves import learning_curve
from inklings.lab.differences import Units, find_differences
from inklings.lab.records import RunRecord, write_record
from inklings.lab.verdict import say

SIZES = {"ngram": (0, 2.31), "mlp": (24_731, 2.12), "recurrent": (63_104, 2.02), "tree_wavenet": (76_579, 2.015), "gpt": (103_936, 1.94)}
NAMES = [
    "LATIN SMALL LETTER TURNED H",
    "CJK RADICAL WHITE",
    "ARABIC LETTER SEEN ISOLATED FORM",
    "CIRCLED IDEOGRAPH NINE",
    "TAG DIGIT <b>ONE</b>",
]


FakeComparison = Callable[..., Comparison]


@pytest.fixture(scope="session")
def write_fake_comparison() -> FakeComparison:
    """A function that fills a folder with a finished comparison."""
    return fill_folder


def fill_folder(
    out: Path,
    *,
    seeds: int = 3,
    layout: str = "lines",
    arms: dict[str, tuple[int, float]] | None = None,
    samples: list[str] | None = None,
    spread: float = 0.006,
    failed: dict[str, str] | None = None,
) -> Comparison:
    """A finished comparison in `out`; arms are given with their parameters and loss, failed ones with their message."""
    arms = SIZES if arms is None else arms
    samples = NAMES if samples is None else samples
    rng = np.random.default_rng(7)
    targets = rng.integers(8, 60, 400)
    results = []
    units = {}
    training = {"budget": "2M-tokens", "batch_size": 32, "learning_rate": 0.01, "betas": [0.9, 0.95], "patience": 0}
    for label, (parameters, loss) in arms.items():
        settings = {"architecture": label, "model": {"n_embd": 16 + parameters // 1000}, "training": training}
        counted = label == "ngram"
        runs = []
        for seed in range(1 if counted else seeds):
            nats = targets * (loss + rng.normal(0, spread)) * np.random.default_rng(1).gamma(60, 1 / 60, len(targets))
            total = float(nats.sum() / targets.sum())
            folder = f"results/{label}/seed-{seed}"
            events = _events(rng, total, steps=1 if counted else 900, speed=0.01 + parameters * 4e-7)
            gain = 0.03 if parameters > 50_000 else 0.0
            positions = [[2.0**i, 2.0 ** (i + 1) - 1, total + 0.9 * 2.0**-i - gain * i, 400.0] for i in range(7)]
            write_record(
                out / folder, RunRecord(curve=learning_curve(events), loss_by_position=positions, settings=settings, samples=samples)
            )
            units[f"runs/{label}/seed-{seed}"] = Sums(nats, targets, targets, targets // 3)
            runs.append(
                RunResult(
                    seed=seed,
                    status="done",
                    run=f"runs/{label}/seed-{seed}",
                    weights=f"{label}-{seed}",
                    parameters=parameters,
                    steps=900,
                    tokens=1_843_200,
                    seconds=float(str(events[-1]["seconds"])),
                    targets=int(targets.sum()),
                    loss=total,
                    loss_interval=(total - 0.021, total + 0.022),
                    bits_per_byte=total / float(np.log(2)),
                    accuracy=0.62 - 0.12 * (total - 1.9),
                    top5_accuracy=0.8,
                    macro_f1=0.4,
                    results=folder,
                )
            )
        results.append(ArmResult(label=label, architecture=label, kind="counted" if counted else "trained", runs=runs))
    for label, message in (failed or {}).items():
        run = RunResult(seed=0, status="failed", run=f"runs/{label}/seed-0", message=message)
        results.append(ArmResult(label=label, architecture="gpt", kind="trained", runs=[run]))
    differences = find_differences(results, unit="nats per token", units_of=lambda run: Units("documents", units[run.run]))
    plans = [ArmPlan(label=label, config={"architecture": label, "model": {}, "training": training}) for label in [*arms, *(failed or {})]]
    plan = Plan(arms=plans, seeds=list(range(seeds)), data={"source": "builtin:unicode-names", "layout": "auto"}, budget="2M-tokens")
    comparison = Comparison(
        plan=plan,
        created="2030-01-02T03:04:05+00:00",
        command="inklings compare ngram mlp recurrent tree_wavenet gpt --budget 2M-tokens --seeds 3 --out names",
        status="complete",
        split="test",
        unit="nats per token",
        environment={"python": "3.11.2", "torch": "2.13.0", "processor": "Imaginary 9000", "cores": 2},
        text={
            "name": "unicode-names",
            "source": "builtin:unicode-names",
            "layout": layout,
            "splits": {
                "train": {"documents": 10_309, "tokens": 271_402, "bytes": 261_093},
                "validation": {"documents": 1288, "tokens": 33_903, "bytes": 32_615},
                "test": {"documents": 1289, "tokens": 34_112, "bytes": 32_823},
            },
            "facts": {"Layout": layout, "Tokenizer": "char, 41 tokens", "Overlap": "0.0% of test also stands in train"},
            "sampling": "temperature 0.8",
        },
        arms=results,
        differences=differences,
        verdict=say(results, differences, unit="nats per token", plan=plan),
    )
    write_comparison(out, comparison)
    return comparison


def _events(rng: np.random.Generator, loss: float, *, steps: int, speed: float) -> list[dict[str, object]]:
    """What training writes: every step, and ten evaluations."""
    done = np.arange(1, steps + 1)
    curve = loss + (3.6 - loss) * np.exp(-done / 25) + 0.35 * (1 - done / steps) ** 2 if steps > 1 else np.array([loss])
    events: list[dict[str, object]] = []
    for i, step in enumerate(done.tolist()):
        at = {"step": step, "tokens": step * 2048, "seconds": round(step * speed, 3)}
        if steps > 1:
            events.append({"event": "step", **at, "loss": float(curve[i] - 0.04 + rng.normal(0, 0.06))})
        if step % max(1, steps // 10) == 0:
            events.append({"event": "evaluation", **at, "loss": float(curve[i]), "accuracy": 0.4})
    return events
