"""Comparison folders without any training.

Plausible figures, so that tables and reports can be tested alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, get_args

import numpy as np
import pytest

from inklings.auditing.findings import Finding
from inklings.auditing.memory.proof import ArmName, Change, MemoryProof, Part, ProofArm
from inklings.auditing.memory.provenance import Provenance
from inklings.durable import write_json
from inklings.evaluation.likelihood.units import UnitSums
from inklings.evaluation.samples.calibration import Calibration
from inklings.evaluation.samples.metric import METRICS
from inklings.evaluation.samples.metrics import Measures
from inklings.evaluation.samples.reference_set import SampleSettings
from inklings.evaluation.statistics import Interval, paired_t
from inklings.events import LoggedEvent
from inklings.lab.comparison.comparison_file import write_comparison
from inklings.lab.comparison.plan import ArmPlan, Plan
from inklings.lab.comparison.rates import RateSearch, RateTrial
from inklings.lab.comparison.records import ReportRecord, read_record, write_record
from inklings.lab.comparison.result import (
    CALIBRATION,
    ArmAt,
    ArmResult,
    Comparison,
    Difference,
    EqualBudget,
    Point,
    ProbeResult,
    RunResult,
    Sizing,
)
from inklings.lab.comparison.run_samples import RunSamples, figures_of, write_run_samples
from inklings.lab.probes.tasks import ProbeName
from inklings.lab.report.learning_curve import learning_curve
from inklings.lab.verdict.differences import ResamplingUnits, find_differences
from inklings.lab.verdict.sentences import say

SIZES = {
    "ngram": (0, 2.31),
    "mlp": (24_731, 2.12),
    "recurrent": (63_104, 2.02),
    "tree_wavenet": (76_579, 2.015),
    "gpt": (103_936, 1.94),
}
NAMES = [
    "LATIN SMALL LETTER TURNED H",
    "CJK RADICAL WHITE",
    "ARABIC LETTER SEEN ISOLATED FORM",
    "CIRCLED IDEOGRAPH NINE",
    "TAG DIGIT <b>ONE</b>",
]


FakeComparison = Callable[..., Comparison]
Axis = Literal["tokens", "flops", "seconds"]
AXES: tuple[Axis, ...] = get_args(Axis)


@pytest.fixture(scope="session")
def write_fake_comparison() -> FakeComparison:
    """A function that fills a folder with a finished comparison."""
    return fill_folder


@pytest.fixture(scope="session")
def write_full_comparison() -> FakeComparison:
    """Return a function that writes a comparison with data for every part of the report."""
    return fill_full_folder


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
    """A finished comparison in `out`.

    Arms are given with their parameters and loss, failed ones with their message.
    """
    arms = SIZES if arms is None else arms
    samples = NAMES if samples is None else samples
    rng = np.random.default_rng(7)
    targets = rng.integers(8, 60, 400)
    results = []
    units = {}
    training = {
        "budget": "2M-tokens",
        "batch_size": 32,
        "learning_rate": 0.01,
        "betas": [0.9, 0.95],
        "patience": 0,
    }
    for label, (parameters, loss) in arms.items():
        settings = {
            "architecture": label,
            "model": {"n_embd": 16 + parameters // 1000},
            "training": training,
        }
        counted = label == "ngram"
        runs = []
        for seed in range(1 if counted else seeds):
            nats = (
                targets
                * (loss + rng.normal(0, spread))
                * np.random.default_rng(1).gamma(60, 1 / 60, len(targets))
            )
            total = float(nats.sum() / targets.sum())
            folder = f"results/{label}/seed-{seed}"
            steps, speed = 1 if counted else 900, 0.01 + parameters * 4e-7
            events = _events(rng, total, steps=steps, speed=speed)
            gain = 0.03 if parameters > 50_000 else 0.0
            positions = [
                [2.0**i, 2.0 ** (i + 1) - 1, total + 0.9 * 2.0**-i - gain * i, 400.0]
                for i in range(7)
            ]
            write_record(
                out / folder,
                ReportRecord(
                    curve=learning_curve(events),
                    loss_by_position=positions,
                    settings=settings,
                    samples=samples,
                ),
            )
            units[f"runs/{label}/seed-{seed}"] = UnitSums(nats, targets, targets, targets // 3)
            runs.append(
                RunResult(
                    seed=seed,
                    status="done",
                    run=f"runs/{label}/seed-{seed}",
                    weights=f"{label}-{seed}",
                    parameters=parameters,
                    steps=900,
                    tokens=1_843_200,
                    seconds=round(steps * speed, 3),
                    targets=int(targets.sum()),
                    loss=total,
                    loss_interval=(total - 0.021, total + 0.022),
                    bits_per_byte=total / float(np.log(2)),
                    metrics={
                        "accuracy": 0.62 - 0.12 * (total - 1.9),
                        "top5_accuracy": 0.8,
                        "macro_f1": 0.4,
                    },
                    results=folder,
                )
            )
        results.append(
            ArmResult(
                label=label, architecture=label, kind="counted" if counted else "trained", runs=runs
            )
        )
    for label, message in (failed or {}).items():
        run = RunResult(seed=0, status="failed", run=f"runs/{label}/seed-0", message=message)
        results.append(ArmResult(label=label, architecture="gpt", kind="trained", runs=[run]))
    differences = find_differences(
        results,
        unit="nats per token",
        units_of=lambda run: ResamplingUnits("documents", units[run.run]),
    )
    plans = [
        ArmPlan(label=label, config={"architecture": label, "model": {}, "training": training})
        for label in [*arms, *(failed or {})]
    ]
    plan = Plan(
        arms=plans,
        seeds=list(range(seeds)),
        data={"source": "builtin:unicode-names", "layout": "auto"},
        budget="2M-tokens",
    )
    comparison = Comparison(
        plan=plan,
        created="2030-01-02T03:04:05+00:00",
        command=(
            "inklings compare ngram mlp recurrent tree_wavenet gpt --budget 2M-tokens --seeds 3"
            " --out names"
        ),
        status="complete",
        split="test",
        unit="nats per token",
        environment={
            "python": "3.11.2",
            "torch": "2.13.0",
            "processor": "Imaginary 9000",
            "cores": 2,
            "memory": 2**31,
        },
        text={
            "name": "unicode-names",
            "source": "builtin:unicode-names",
            "layout": layout,
            "splits": {
                "train": {"documents": 10_309, "tokens": 271_402, "bytes": 261_093},
                "validation": {"documents": 1288, "tokens": 33_903, "bytes": 32_615},
                "test": {"documents": 1289, "tokens": 34_112, "bytes": 32_823},
            },
            "facts": {
                "Layout": layout,
                "Tokenizer": "char, 41 tokens",
                "Overlap": "0.0% of test also stands in train",
            },
            "sampling": "temperature 0.8",
        },
        arms=results,
        differences=differences,
        verdict=say(results, differences, unit="nats per token", plan=plan),
    )
    write_comparison(out, comparison)
    return comparison


def _events(
    rng: np.random.Generator, loss: float, *, steps: int, speed: float
) -> list[LoggedEvent]:
    """What training writes: every step, and ten evaluations."""
    done = np.arange(1, steps + 1)
    curve = (
        loss + (3.6 - loss) * np.exp(-done / 25) + 0.35 * (1 - done / steps) ** 2
        if steps > 1
        else np.array([loss])
    )
    events: list[LoggedEvent] = []
    for i, step in enumerate(done.tolist()):
        tokens, seconds = step * 2048, round(step * speed, 3)
        if steps > 1:
            events.append(
                {
                    "event": "step",
                    "step": step,
                    "tokens": tokens,
                    "seconds": seconds,
                    "loss": float(curve[i] - 0.04 + rng.normal(0, 0.06)),
                    "learning_rate": 0.01,
                    "gradient_norm": None,
                }
            )
        if step % max(1, steps // 10) == 0:
            events.append(
                {
                    "event": "evaluation",
                    "step": step,
                    "tokens": tokens,
                    "seconds": seconds,
                    "loss": float(curve[i]),
                    "unit": "nats per token",
                    "best": True,
                    "accuracy": float(0.62 - 0.12 * (curve[i] - 1.9)),
                }
            )
    return events


SHARES = (0.125, 0.25, 0.5, 1.0)
PROBES: dict[ProbeName, float] = {
    "copying": 1 / 16,
    "induction": 1 / 32,
    "associative recall": 1 / 8,
}


def fill_full_folder(
    out: Path, *, seeds: int = 5, arms: dict[str, tuple[int, float]] | None = None
) -> Comparison:
    """`fill_folder`.

    With decayed points, equal budgets, sizes, searches, probes, audits, measured samples and a
    memory.
    """
    base = fill_folder(out, seeds=seeds, arms=arms, spread=0.012)
    results = [_explained(out, arm) for arm in base.arms]
    trained = [arm for arm in results if arm.kind == "trained"]
    write_json(out / CALIBRATION, {"format_version": 1, **_calibration().to_mapping()})
    place = out / "results" / trained[-1].label / "seed-0"
    write_record(place, replace(read_record(place), memory=memory_proof()))
    comparison = replace(
        base,
        arms=results,
        budgets=[_equal(trained, axis) for axis in AXES],
        plan=replace(base.plan, points=len(SHARES), parameters=70_000, rates=6, probes=True),
    )
    write_comparison(out, comparison)
    return comparison


def _explained(out: Path, arm: ArmResult) -> ArmResult:
    audit = [
        Finding(check="causality", status="pass", summary="no later token moves an earlier logit"),
        Finding(check="streaming", status="not applicable", summary="it has no state"),
        Finding(
            check="copies", status="warning", summary="3.1% of samples stand in the training text"
        ),
    ]
    runs = [_with_points(run, counted=arm.kind == "counted") for run in arm.runs]
    for run in runs:
        write_run_samples(
            out / str(run.results), RunSamples(_measures(run.loss or 0.0), _sweep(run))
        )
    runs = [
        replace(run, samples=figures_of(RunSamples(_measures(run.loss or 0.0)))) for run in runs
    ]
    if arm.kind == "counted":
        return replace(arm, runs=runs, audit=audit)
    size = runs[0].non_embedding or 0
    center = -1.0 + (size // 7_000) % 4
    trials = [
        _trial(exponent, (runs[0].loss or 0) + 0.05 + 0.02 * (exponent - center) ** 2)
        for exponent in range(-3, 4)
    ]
    best = min(
        (trial for trial in trials if trial.loss is not None), key=lambda trial: trial.loss or 0.0
    )
    probes = [
        ProbeResult(
            name=name,
            accuracy=chance + (1 - chance) * min(1.0, size / 60_000 / (i + 1)),
            chance=chance,
            steps=300,
        )
        for i, (name, chance) in enumerate(PROBES.items())
    ]
    sizing = Sizing(asked=70_000, reached=size, changed={"n_embd": 48})
    return replace(
        arm,
        runs=runs,
        audit=audit,
        sizing=sizing,
        search=RateSearch(trials=trials, factor=best.factor),
        probes=probes,
    )


def _with_points(run: RunResult, *, counted: bool) -> RunResult:
    if counted:
        return replace(run, non_embedding=0, flops=0)
    assert run.parameters and run.tokens and run.seconds and run.loss
    each = 6 * run.parameters
    points = [
        Point(
            share=share,
            run=run.run,
            weights=f"{run.weights}-{share}",
            steps=int(900 * share),
            tokens=int(run.tokens * share),
            flops=int(each * run.tokens * share),
            seconds=run.seconds * share,
            loss=run.loss + 0.11 * (share**-0.6 - 1),
            bits_per_byte=(run.loss + 0.11 * (share**-0.6 - 1)) / float(np.log(2)),
            accuracy=0.5,
        )
        for share in SHARES
    ]
    return replace(
        run, points=points, flops=each * run.tokens, non_embedding=run.parameters * 7 // 8
    )


def _trial(exponent: int, loss: float) -> RateTrial:
    losses = [loss + 0.5, loss + 0.2, loss]
    if exponent == 3:
        return RateTrial(factor=8.0, status="failed", losses=[4.0], message="it diverged")
    if exponent in (-3, 2):
        return RateTrial(factor=2.0**exponent, status="pruned", losses=losses[:2])
    return RateTrial(factor=2.0**exponent, status="done", losses=losses)


def _equal(arms: list[ArmResult], axis: Axis) -> EqualBudget:
    """At half of what the arm that reached least has reached.

    As if every arm had been decayed there.
    """
    amount = 0.5 * min(float(getattr(run, axis)) for arm in arms for run in arm.runs)

    def at(run: RunResult) -> float:
        costs = [np.log(float(getattr(point, axis))) for point in run.points]
        return float(np.interp(np.log(amount), costs, [point.loss for point in run.points]))

    values = {arm.label: {str(run.seed): at(run) for run in arm.runs} for arm in arms}
    order = sorted(values, key=lambda label: np.mean(list(values[label].values())))
    differences = []
    for other in order[1:]:
        test = paired_t([values[other][seed] - values[order[0]][seed] for seed in values[other]])
        found = test.interval
        differences.append(
            Difference(
                better=order[0],
                worse=other,
                mean=found.estimate,
                low=found.low,
                high=found.high,
                p=test.p_value,
                evidence="seeds",
                count=found.n,
                finding="better" if test.p_value < 0.05 else "no claim",
            )
        )
    at_amount = [ArmAt(label=label, values=values[label]) for label in order]
    return EqualBudget(axis=axis, amount=amount, arms=at_amount, absent=[], differences=differences)


def _measures(loss: float, temperature: float = 1.0) -> Measures:
    """The worse the loss, the worse the samples.

    The lower the temperature, the more plausible and alike.
    """
    worse, alike = loss - 1.9, 1 - temperature
    found = {
        "judge": 2.0 + 0.8 * worse - 0.9 * alike,
        "self_bleu": 0.52 - 0.2 * worse + 0.4 * alike,
        "reverse": 2.1 + worse,
    }
    values = {name: found.get(name, 0.4 + 0.2 * worse) for name in METRICS.places}
    return Measures(
        {
            name: Interval(value, value - 0.01, value + 0.01, 0.95, "resampled", 500)
            for name, value in values.items()
        },
        [],
    )


def _sweep(run: RunResult) -> dict[float, Measures]:
    return (
        {value: _measures(run.loss or 0.0, value) for value in (0.7, 0.85, 1.0)}
        if run.seed == 0
        else {}
    )


def _calibration() -> Calibration:
    rungs = {"uniform": 4.0, "unigram": 2.9, "bigram": 2.4, "trigram": 2.2}
    setting = SampleSettings(
        source="builtin:unicode-names",
        split="test",
        samples=500,
        max_length=64,
        windows=None,
        seed=0,
        reference_documents=1289,
        training_documents=10_309,
    )
    ladder = {name: _measures(loss) for name, loss in rungs.items()}
    return Calibration(
        setting, _measures(1.85), ladder, {"replay": _measures(1.9), "repeat": _measures(3.0)}
    )


def memory_proof(permuted_high: float | None = 0.16, *others: ProofArm) -> MemoryProof:
    """A proof of a memory that helps; what permuted values do has this upper bound."""
    changes: dict[ArmName, tuple[float, float, float | None] | None] = {
        "no memory": None,
        "memory": (-0.2, -0.25, -0.15),
        "permuted values": (0.1, 0.05, permuted_high),
        "temperature": (0.0, -0.1, 0.1),
    }
    of = {
        name: None if ends is None else Change(nats=ends[0], low=ends[1], high=ends[2])
        for name, ends in changes.items()
    }
    arms = [
        ProofArm(name=name, loss=3.0 + (change.nats if change else 0.0), change=change, note="")
        for name, change in of.items()
    ]
    seen = Part(share=0.75, change=Change(nats=-0.3, low=-0.4, high=-0.2))
    return MemoryProof(
        targets=30_000,
        documents=62,
        unit="documents",
        units=62,
        arms=[*arms, *others],
        seen=seen,
        new=Part(share=0.25, change=None),
        provenance=Provenance(queries=9, hits=1234, ahead=0, untrue=0),
    )


@pytest.fixture(scope="session")
def word_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of 300 words of three syllables, a word a line."""
    syllables = ["ka", "ri", "mo", "te", "lu", "san", "ne", "vi", "do", "pa"]
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text(
        "".join(f"{a}{b}{c}\n" for a in syllables for b in syllables for c in syllables[:3])
    )
    return path


@pytest.fixture(scope="module")
def unaudited() -> Iterator[None]:
    """The audit of arms has tests of its own, and takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "inklings.lab.comparison.compare.audited",
            lambda comparison, contestants, share, report: comparison,
        )
        patch.setattr(
            "inklings.lab.execution.run_arm.audit",
            lambda *arguments, **options: SimpleNamespace(findings=()),
        )
        patch.setattr(
            "inklings.lab.comparison.forecast.audit_times",
            lambda *arguments, **options: (0.0, 0.0),
        )
        yield
