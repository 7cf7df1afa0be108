"""The same comparison on a Ray cluster has the same losses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import ConfigError
from inklings.events import Event
from inklings.lab.comparison.compare import compare
from inklings.lab.comparison.result import Comparison, RunResult
from inklings.lab.comparison.settings import Method
from inklings.lab.execution.processes import TaskHandler
from inklings.lab.execution.ray_cluster import do_jobs_on_cluster
from inklings.lab.execution.run_arm import ArmRun, failed
from inklings.runs.arms import parse_arm

MLP = "mlp:n_embd=4,n_hidden=16,context_length=3"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),  # Ray's own
]


@pytest.fixture(autouse=True, scope="module")
def no_audit() -> Iterator[None]:
    """The audit of arms has tests of its own, and takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "inklings.lab.comparison.compare.audited",
            lambda comparison, contestants, share, report: comparison,
        )
        yield


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    ray = pytest.importorskip("ray")
    context = ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    yield context.address_info["address"]
    ray.shutdown()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text(
        "".join(f"{a}{b}{c}\n" for a in "kmnst" for b in "aeiou" for c in ("ra", "lo", "mi", "tu"))
    )
    training = TrainingConfig(
        budget="8-steps", batch_size=4, sequence_length=8, evaluations=2, samples=0, threads=1
    )
    return RunConfig(data=DataConfig(source=str(path)), training=training)


def losses(comparison: Comparison) -> list[Any]:
    return [
        (arm.label, run.seed, run.status, run.loss, [point.loss for point in run.points])
        for arm in comparison.arms
        for run in arm.runs
    ]


def test_a_cluster_finds_the_same_losses(cluster: str, base: RunConfig, tmp_path: Path) -> None:
    arms = [parse_arm(text, base=base) for text in (MLP, "ngram:order=2")]
    notes: list[Event] = []
    here = compare(arms, out=tmp_path / "here", seeds=[0, 1], workers=1, method=Method(points=2))
    there = compare(
        arms,
        out=tmp_path / "there",
        seeds=[0, 1],
        cluster=cluster,
        method=Method(points=2),
        on_event=notes.append,
    )
    assert there.status == "complete"
    assert losses(there) == losses(here)
    assert {event["run"] for event in notes if event["event"] == "start"} == {
        f"{MLP} seed 0",
        f"{MLP} seed 1",
        "ngram:order=2 seed 0",
    }


def die(job: ArmRun, on_event: Any) -> RunResult | None:
    if job.arm == "dies":
        sys.exit(1)
    return RunResult(seed=job.seed, status="done", run=job.arm)


def test_a_task_that_dies_takes_no_other_with_it(cluster: str) -> None:
    here = Path("nowhere")
    jobs = [
        ArmRun(
            arm=arm,
            seed=0,
            config=None,
            out=here,
            run=here,
            results="results",
            store=here,
            split="test",
            first=False,
        )
        for arm in ("a", "dies", "b")
    ]
    found = {
        job.arm: r
        for job, r in do_jobs_on_cluster(
            jobs, TaskHandler(die, failed), address=cluster, on_event=lambda event: None
        )
    }
    assert (found["a"].status, found["b"].status, found["dies"].status) == (
        "done",
        "done",
        "failed",
    )
    assert "its process died" in (found["dies"].message or "")


def test_no_cluster_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def refuse(**settings: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ConfigError, match=r"no Ray cluster at 'auto'.*leave --cluster out"):
        list(
            do_jobs_on_cluster(
                [], TaskHandler(die, failed), address="auto", on_event=lambda event: None
            )
        )
