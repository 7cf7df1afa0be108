"""The trackers themselves, as they come from the registry: what their own packages read back."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import inklings
from inklings.events import Event
from inklings.interop.trackers.tracker import TRACKERS
from inklings.runs.directory import RunDirectory
from tests.commands import words

from .test_tracking import ARM, TINY

NAMES = list(TRACKERS.places)
OTHER = "mlp:n_embd=4,n_hidden=6"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(find_spec(tracker.package) is None for tracker in TRACKERS),
        reason="not all trackers are installed: the extra `trackers` brings them",
    ),
]

Held = dict[str, dict[str, Any]]


def read(name: str, folder: Path) -> Held:
    """What the tracker of that name holds in a folder of trackers, by run."""
    command = [sys.executable, "-m", "tests.interop.read_trackers", name, str(folder / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    held: Held = json.loads(done.stdout)
    return held


def points(values: list[list[float]]) -> list[tuple[int, Any]]:
    """Figures as they were logged; TensorBoard has them in float32."""
    return [(int(step), pytest.approx(value, rel=1e-6)) for step, value in values]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text(words(120))
    return path


class Trained:
    """A run that was stopped, read while it went on, and read at its end."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.run = folder / "runs" / "mine"
        self.trackers = self.run.parent / "trackers"
        self.live: dict[str, Held] = {}
        budget: dict[str, Any] = {"budget": "8-steps", "log_to": NAMES}
        self.notes: list[str] = []
        inklings.train(ARM, self.run, data=data, on_event=self.hear, **TINY, **budget)
        self.first = {name: read(name, self.trackers) for name in NAMES}
        inklings.resume(self.run, budget="16-steps", log_to=NAMES, on_event=self.go_on, show=False)
        self.held = {name: read(name, self.trackers) for name in NAMES}
        self.log = RunDirectory.open(self.run).metrics()

    def hear(self, event: Event) -> None:
        if event["event"] == "note":
            self.notes.append(event["text"])

    def go_on(self, event: Event) -> None:
        """Hold the training at its last checkpoint until each tracker shows what came before."""
        self.hear(event)
        if event["event"] == "checkpoint" and event["step"] == 16:
            for name in NAMES:
                for _ in range(60):
                    self.live[name] = read(name, self.trackers)
                    if self.seen(name):
                        break

    def seen(self, name: str) -> bool:
        figures = self.live[name].get("mine", {}).get("figures", {})
        return any(step > 8 for step, _ in figures.get("train/loss", []))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(data, tmp_path_factory.mktemp("trained"))


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_read_back_and_goes_on_in_the_same_log(trained: Trained, name: str) -> None:
    assert not [note for note in trained.notes if "is told no more" in note]
    assert list(trained.first[name]) == list(trained.held[name]) == ["mine"]
    found = trained.held[name]["mine"]
    for kind, prefix in (("step", "train"), ("evaluation", "evaluation")):
        lines = [line for line in trained.log if line["event"] == kind]
        logged = [(line["step"], line["loss"]) for line in lines]  # type: ignore[typeddict-item]
        assert points(found["figures"][f"{prefix}/loss"]) == logged
        last = [(line["step"], line["tokens"]) for line in lines]  # type: ignore[typeddict-item]
        assert points(found["figures"][f"{prefix}/tokens"]) == last
    settings = found["settings"]
    assert str(settings["training.batch_size"]) == "2"
    assert settings["architecture"] == "mlp"


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_there_while_the_training_goes_on(trained: Trained, name: str) -> None:
    assert trained.seen(name)


@pytest.fixture(scope="module")
def compared(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("compared") / "contest"
    notes: list[str] = []

    def hear(event: Event) -> None:
        if event["event"] == "note":
            notes.append(event["text"])

    method = inklings.Method(points=1, rates=2)
    arms = {"small": ARM, "large": OTHER}
    asked: dict[str, Any] = {
        "data": data,
        "budget": "6-steps",
        "seeds": 2,
        "out": folder,
        "workers": 2,
    }
    inklings.compare(arms, method=method, log_to=NAMES, on_event=hear, **TINY, **asked)
    return folder, notes


@pytest.mark.parametrize("name", NAMES)
def test_a_comparison_is_a_group_of_its_runs(compared: tuple[Path, list[str]], name: str) -> None:
    folder, notes = compared
    assert not [note for note in notes if "is told no more" in note]
    held = read(name, folder / "trackers")
    comparison = inklings.load_comparison(folder)
    runs = {
        f"{arm.label} seed {run.seed}": (arm.label, run.seed, run.loss)
        for arm in comparison.arms
        for run in arm.runs
    }
    assert len(runs) == 4
    searches = held.keys() - runs.keys()
    assert runs.keys() <= held.keys()
    assert {search.partition(" ")[0] for search in searches} == {"small", "large"}
    assert len(searches) >= 4
    for run, (arm, seed, loss) in runs.items():
        found = held[run]
        assert [value for _, value in points(found["figures"]["held_out/loss"])] == [loss]
        assert (found["settings"]["arm"], str(found["settings"]["seed"])) == (arm, str(seed))
        if name != "tensorboard":  # its groups are folders
            assert found["group"] == "contest"


@pytest.mark.parametrize("name", ["tensorboard", "trackio"])
def test_a_sweep_is_a_group_of_its_trials(data: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "search"
    asked: dict[str, Any] = {
        "data": data,
        "budget": "4-steps",
        "trials": 2,
        "out": folder,
        "workers": 1,
    }
    inklings.sweep(ARM, space=["n_hidden=4..6"], log_to=[name], **TINY, **asked)
    held = read(name, folder / "trackers")
    assert sorted(run.partition(" (")[0] for run in held) == ["trial 0", "trial 1"]
    for run, found in held.items():
        assert f"({found['settings']['tries']})" in run
        assert found["figures"]["evaluation/loss"]
        assert name == "tensorboard" or found["group"] == "search"
