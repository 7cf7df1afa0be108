"""A forecast tells what a comparison would take, and writes nothing."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from inklings.auditing.audit import before_training
from inklings.auditing.findings import Finding
from inklings.cli.forecast import show_forecast
from inklings.cli.terminal import Terminal
from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import RunError
from inklings.events import Event
from inklings.lab.comparison.compare import compare
from inklings.lab.comparison.forecast import ComparisonForecast, audit_times, forecast
from inklings.lab.comparison.settings import Method
from inklings.runs.arms import Arm, parse_arm
from inklings.text.store import TokenStore
from inklings.training.plan import RunPlan, plan_run

MLP = "mlp:n_embd=4,n_hidden=16,context_length=3"
WIDE = "mlp:n_embd=4,n_hidden=64,context_length=3"

pytestmark = pytest.mark.usefixtures("unaudited")


@pytest.fixture(scope="module")
def arms(word_list: Path) -> list[Arm]:
    training = TrainingConfig(
        budget="16-steps", batch_size=4, sequence_length=8, evaluations=2, samples=0, threads=1
    )
    base = RunConfig(data=DataConfig(source=str(word_list)), training=training)
    return [parse_arm(text, base=base) for text in (MLP, WIDE, "ngram:order=2")]


def test_runs_trials_and_time_are_those_of_the_comparison_and_nothing_is_written(
    arms: list[Arm], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    method = Method(rates=3, points=2)
    found = forecast(arms, out=out, seeds=[0, 1], method=method, workers=1)
    assert not list(tmp_path.iterdir())
    assert (found.runs, found.trials, found.workers) == (5, 6, 1)
    small, wide = found.arms
    assert [arm.label for arm in found.arms] == [MLP, WIDE], "what counts is not timed"
    assert (small.runs, small.trials, small.steps, small.tokens) == (2, 3, 16, 512)
    assert small.parameters < wide.parameters
    assert 0 < small.disk < wide.disk
    assert found.disk == small.disk + wide.disk
    assert found.memory == max(small.memory or 0, wide.memory or 0) > 0
    assert found.seconds == pytest.approx(small.seconds + wide.seconds)
    assert found.free_disk > 0
    said = io.StringIO()
    show_forecast(found, Terminal(json=False, console=Console(file=said, width=80)))
    assert "5 runs (1 of them only counted, and not in the table)" in said.getvalue()


def test_what_is_done_is_not_counted_again_and_another_comparison_is_refused(
    arms: list[Arm], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    compare(arms, out=out, seeds=[0], workers=1)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    done = forecast(arms, out=out, seeds=[0], workers=1)
    assert (done.runs, done.seconds, done.arms) == (0, 0.0, [])
    more = forecast(arms, out=out, seeds=[0, 1], workers=1)
    assert (more.runs, [arm.runs for arm in more.arms]) == (2, [1, 1])
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    others = [
        Arm(arm.label, replace(arm.config, training=replace(arm.config.training, batch_size=5)))
        for arm in arms
        if arm.config
    ]
    with pytest.raises(RunError, match="another comparison"):
        forecast(others, out=out, seeds=[0], workers=1)


def test_audits_and_probes_are_among_what_a_comparison_takes(
    arms: list[Arm], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that only they move: steps of training are said to take nothing measured."""
    now, asked = 0.0, list[tuple[str, bool]]()
    failure = Finding(check="causality", status="fail", summary="it looks ahead")

    def pass_time(subject: Any, only: list[str]) -> SimpleNamespace:
        nonlocal now
        now += 8.0 if only == before_training() else 3.0
        asked.append((subject.label, subject.is_trained))
        return SimpleNamespace(findings=(failure,))

    def one_second_a_step(config: RunConfig, *, store: TokenStore) -> RunPlan:
        plan = plan_run(config, store=store)
        return replace(plan, seconds=float(plan.steps))

    place = "inklings.lab.comparison.forecast"
    monkeypatch.setattr(f"{place}.plan_run", one_second_a_step)
    monkeypatch.setattr(f"{place}.probe_seconds", lambda config: 0.0)
    told: list[Event] = []

    def forecast_with(workers: int) -> ComparisonForecast:
        return forecast(
            arms,
            out=tmp_path / "out",
            seeds=[0, 1],
            method=Method(probes=True),
            workers=workers,
            on_event=told.append,
        )

    bare, bare_side_by_side = forecast_with(1), forecast_with(5)
    monkeypatch.setattr(f"{place}.probe_seconds", lambda config: 5.0)
    monkeypatch.setattr(f"{place}.audit_times", audit_times)
    monkeypatch.setattr(f"{place}.audit", pass_time)
    monkeypatch.setattr(f"{place}.perf_counter", lambda: now)
    told.clear()
    found = forecast_with(1)

    labels = [MLP, WIDE, "ngram:order=2"]
    assert asked == [(label, trained) for label in labels for trained in (False, True)]
    assert [(arm.audits, arm.probes) for arm in found.arms] == [(11.0, 5.0)] * 2
    both = zip(found.arms, bare.arms, strict=True)
    assert [arm.seconds - then.seconds for arm, then in both] == pytest.approx([16.0, 16.0])
    assert (found.audits, found.probes) == (33.0, 10.0), "what counts is audited too"
    assert found.seconds - bare.seconds == pytest.approx(43.0)
    # audits before training are carried out one after the other, before all else
    assert forecast_with(5).seconds - bare_side_by_side.seconds == pytest.approx(24.0)
    failed = [event["text"] for event in told if event["event"] == "note"]
    assert failed[:3] == [
        f"{label} fails causality and will not be ranked: it looks ahead" for label in labels
    ]

    said = io.StringIO()
    show_forecast(found, Terminal(json=False, console=Console(file=said, width=200)))
    assert "(33.0 s audits and 10.0 s probes)" in said.getvalue()


def test_text_that_stands_in_training_is_told_once_for_all_runs(
    arms: list[Arm], tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("the cat sat on the mat\nthe dog sat on the log\n" * 50)
    told: list[Event] = []
    text = DataConfig(source=str(tmp_path / "text.txt"))
    compare(arms[:2], data=text, out=tmp_path / "out", seeds=[0], workers=1, on_event=told.append)
    said = [event for event in told if "partly a test of memory" in str(event.get("text"))]
    assert len(said) == 2, "of validation and of test"
