"""Jobs in turn and side by side.

The same results, faults that stay with their job, and an orderly stop.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from inklings.errors import DivergedError
from inklings.events import Event, OnEvent
from inklings.lab.comparison.result import RunResult
from inklings.lab.execution import run_arm as job_module
from inklings.lab.execution.processes import TaskHandler, do_jobs
from inklings.lab.execution.run_arm import ArmRun, attempt, failed
from inklings.runs.interruption import Interruption

DOERS = '''
import os, signal
from inklings.lab.comparison.result import RunResult
from inklings.runs.interruption import Interruption


def do(job, on_event):
    """A job named after what befalls it."""
    on_event({"event": "start", "steps": 5})
    for step in range(5):
        on_event({"event": "step", "step": step})
    if job.arm == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    return RunResult(seed=job.seed, status="done", run=job.arm, loss=1.0 + (job.seed or 0))


def until_asked(job, on_event):
    """Works until it is asked to stop, as training does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    on_event({"event": "start", "steps": 5})
    signal.sigwait([signal.SIGTERM])
    return None
'''


@pytest.fixture
def doers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module that spawned processes can import: they are given the parent's path."""
    (tmp_path / "lab_doers.py").write_text(DOERS)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("lab_doers")
    del sys.modules["lab_doers"]


def make(arm: str, seed: int | None = 0) -> ArmRun:
    here = Path("nowhere")
    return ArmRun(
        arm=arm,
        seed=seed,
        config=None,
        out=here,
        run=here,
        results="results",
        store=here,
        split="test",
        first=False,
    )


def test_two_workers_do_what_one_does_and_a_process_that_dies_takes_only_its_job_with_it(
    doers: Any,
) -> None:
    jobs = [make("a", 0), make("dies", 0), make("b", 0), make("a", 1)]
    events: list[Event] = []
    found = {
        (job.arm, job.seed): result
        for job, result in do_jobs(
            jobs, TaskHandler(doers.do, failed), workers=2, on_event=events.append
        )
    }
    dead = found.pop(("dies", 0))
    assert dead.status == "failed"
    assert "SIGKILL" in (dead.message or "")
    rest = [job for job in jobs if job.arm != "dies"]
    assert found == {
        (job.arm, job.seed): result
        for job, result in do_jobs(
            rest, TaskHandler(doers.do, failed), workers=1, on_event=lambda event: None
        )
    }
    started = [
        (event["arm"], event["seed"], event["run"]) for event in events if event["event"] == "start"
    ]
    assert sorted(started) == [
        ("a", 0, "a seed 0"),
        ("a", 1, "a seed 1"),
        ("b", 0, "b seed 0"),
        ("dies", 0, "dies seed 0"),
    ]
    steps = [event for event in events if event["event"] == "step" and event["arm"] == "b"]
    assert 1 <= len(steps) <= 5, "steps are thinned, the first one comes"


@pytest.mark.slow
def test_sigterm_stops_the_workers_in_good_order(doers: Any) -> None:
    running: list[str] = []

    def on_event(event: Event) -> None:
        running.append(event["run"])
        if len(running) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    found = list(
        do_jobs(
            [make("a"), make("b"), make("c")],
            TaskHandler(doers.until_asked, failed),
            workers=2,
            on_event=on_event,
        )
    )
    assert found == []
    assert sorted(running) == ["a seed 0", "b seed 0"], "nothing new is begun"
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("workers", [1, 2])
def test_after_an_interruption_nothing_is_begun(workers: int, doers: Any) -> None:
    with Interruption():
        signal.raise_signal(signal.SIGTERM)
        assert (
            list(
                do_jobs(
                    [make("a"), make("b")],
                    TaskHandler(doers.do, failed),
                    workers=workers,
                    on_event=lambda event: None,
                )
            )
            == []
        )


@pytest.mark.parametrize("stop", ["none", "ctrl-c"])
def test_in_turn_an_interruption_ends_the_work(stop: str) -> None:
    def do(job: ArmRun, on_event: OnEvent) -> RunResult | None:
        if job.arm == "b" and stop == "ctrl-c":
            raise KeyboardInterrupt
        return None if job.arm == "b" else RunResult(seed=0, status="done", run=job.arm)

    found = [
        job.arm
        for job, _ in do_jobs(
            [make("a"), make("b"), make("c")],
            TaskHandler(do, failed),
            workers=1,
            on_event=lambda event: None,
        )
    ]
    assert found == ["a"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["training", "scoring", "keeping"])
def test_in_turn_a_signal_lets_training_save_gives_scoring_up_and_spares_what_keeps_results(
    where: str, number: signal.Signals
) -> None:
    said: list[str] = []

    def do(job: ArmRun, on_event: OnEvent) -> RunResult | None:
        with Interruption() as training:
            if where == "training":
                signal.raise_signal(number)
            said.append(f"{job.arm} saved")
        if training.asked:
            return None
        if where == "scoring":
            signal.raise_signal(number)
        said.append(f"{job.arm} scored")
        return RunResult(seed=0, status="done", run=job.arm)

    jobs = [make("a"), make("b")]
    for job, _ in do_jobs(jobs, TaskHandler(do, failed), workers=1, on_event=lambda event: None):
        if where == "keeping":
            signal.raise_signal(number)
        said.append(f"{job.arm} kept")
    assert said == ["a saved", *(["a scored", "a kept"] if where == "keeping" else [])]


def test_a_deliberate_error_becomes_a_failed_result_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(job: ArmRun, on_event: object) -> None:
        raise DivergedError("the loss is not finite")

    monkeypatch.setattr(job_module, "_do", diverge)
    result = attempt(make("a"), lambda event: None)
    assert (
        (result.status, result.message) == ("failed", "the loss is not finite") if result else False
    )


def test_a_fault_is_kept_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(job: ArmRun, on_event: object) -> None:
        raise ZeroDivisionError("somewhere deep")

    monkeypatch.setattr(job_module, "_do", break_down)
    job = ArmRun(
        arm="a",
        seed=0,
        config=None,
        out=tmp_path,
        run=tmp_path / "r",
        results="results/a",
        store=tmp_path,
        split="test",
        first=False,
    )
    result = attempt(job, lambda event: None)
    assert result is not None
    assert (result.message or "").startswith("ZeroDivisionError: somewhere deep (details in ")
    assert "break_down" in (tmp_path / "results/a/failure.txt").read_text()
