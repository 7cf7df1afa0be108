"""Trackers are told of each run what it told, and none of them can stop a training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inklings
from inklings.cli.main import main
from inklings.errors import ConfigError, MissingExtraError
from inklings.events import Event
from inklings.interop.trackers import tracking
from inklings.interop.trackers.figures import figures_of
from inklings.interop.trackers.run_logs import KEYS, RunLogs
from inklings.interop.trackers.tracker import TRACKERS, Outcome, TrackedRun, Tracker
from inklings.interop.trackers.tracking import tracked
from inklings.runs.directory import RunDirectory
from tests.commands import Command, words

ARM = "mlp:n_embd=4,n_hidden=4"
TINY: dict[str, Any] = {
    "threads": 1,
    "samples": 0,
    "batch_size": 2,
    "evaluations": 2,
    "precision": "float32",
    "show": False,
}


@dataclass
class Heard:
    """A log that keeps what it hears."""

    run: TrackedRun
    key: str | None = None
    told: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)
    outcome: Outcome | None = None

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        assert self.outcome is None
        self.told.append((step, figures))

    def close(self, outcome: Outcome) -> None:
        assert self.outcome is None
        self.outcome = outcome


@dataclass
class Listening:
    """The logs of a made-up tracker, in the order in which they were opened."""

    opened: list[Heard] = field(default_factory=list)

    def logs(self, folder: Path, *, group: str | None = None) -> RunLogs:
        def begin(place: Path, run: TrackedRun) -> Heard:
            assert place == folder
            self.opened.append(Heard(run, run.key or f"number {len(self.opened)}"))
            return self.opened[-1]

        tracker = Tracker(name="heard", package="json", environment=lambda _: {}, open=begin)
        return RunLogs(tracker, folder, group=group)


def start(run: str, step: int = 0, **more: Any) -> dict[str, Any]:
    return {"event": "start", "run": run, "step": step, "settings": {"steps": 9}, **more}


def step(run: str, number: int, loss: float = 1.0) -> dict[str, Any]:
    return {"event": "step", "run": run, "step": number, "loss": loss, "gradient_norm": None}


def test_the_figures_of_an_event_are_its_finite_numbers() -> None:
    told = {"step": 3, "loss": 2.0, "gradient_norm": None, "tokens": 8, "seed": 1, "entropy": [1.0]}
    assert figures_of({"event": "step", **told}) == {"train/loss": 2.0, "train/tokens": 8.0}
    scored = {"step": 3, "loss": float("inf"), "train_loss": 1.5, "unit": "nats", "best": True}
    assert figures_of({"event": "evaluation", **scored}) == {"evaluation/train_loss": 1.5}
    assert figures_of({"event": "result", "loss": 1.25}) == {"held_out/loss": 1.25}
    assert figures_of({"event": "rate", "loss": 1.25}) == {}


@given(order=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 9)), max_size=40))
def test_runs_side_by_side_are_kept_apart(
    tmp_path_factory: pytest.TempPathFactory, order: list[tuple[str, float]]
) -> None:
    listening = Listening()
    logs = listening.logs(tmp_path_factory.mktemp("heard"), group="mine")
    for run in "abc":
        logs.take(start(run))
    for number, (run, loss) in enumerate(order):
        logs.take(step(run, number, loss))
    logs.close()
    for log in listening.opened:
        own = [
            (n, {"train/loss": loss}) for n, (run, loss) in enumerate(order) if run == log.run.name
        ]
        assert log.told == own
        assert log.run.group == "mine"


def test_a_log_ends_as_its_run_does(tmp_path: Path) -> None:
    listening = Listening()
    logs = listening.logs(tmp_path)
    ends = {
        "done": {"event": "end", "step": 2, "stopped": "budget"},
        "stopped": {"event": "end", "step": 2, "stopped": "interrupted"},
        "broken": {"event": "diverged", "step": 2, "message": "no"},
        "killed": {"event": "step", "step": 2, "loss": 1.0},
    }
    for run, event in ends.items():
        logs.take(start(run))
        logs.take({"run": run, **event})
        assert listening.opened[-1].outcome is None
    logs.take({"event": "result", "run": "done", "loss": 1.5})
    assert listening.opened[0].told == [(2, {"held_out/loss": 1.5})]
    assert listening.opened[0].outcome == "finished"
    logs.take({"event": "step", "run": "done", "step": 3, "loss": 1.0})  # nobody hears it
    logs.take({"event": "result", "run": "unknown", "loss": 1.5})
    logs.close()
    outcomes = [log.outcome for log in listening.opened]
    assert outcomes == ["finished", "interrupted", "failed", "interrupted"]


def test_trials_of_a_search_have_logs_of_their_own(tmp_path: Path) -> None:
    """They share the `run` of their events, one after the other."""
    listening = Listening()
    logs = listening.logs(tmp_path)
    for tries in ("lr times 1", "lr times 2"):
        logs.take(start("gpt search", tries=tries))
        logs.take(step("gpt search", 1))
    logs.take({"event": "rate", "run": "gpt search", "loss": 1.0})
    names = [(log.run.name, log.outcome, len(log.told)) for log in listening.opened]
    assert names == [
        ("gpt search (lr times 1)", "interrupted", 1),
        ("gpt search (lr times 2)", "interrupted", 1),
    ]


def test_a_run_that_goes_on_has_the_key_of_its_beginning(tmp_path: Path) -> None:
    listening = Listening()
    for beginning in (start("mine"), start("other"), start("mine", step=4), start("mine")):
        logs = listening.logs(tmp_path)
        logs.take(beginning)
        logs.close()
    keys = [log.run.key for log in listening.opened]
    assert keys == [None, None, "number 0", None]
    held = json.loads((tmp_path / KEYS).read_text())
    assert held == {"format_version": 1, "mine": "number 3", "other": "number 1"}


def test_an_unknown_tracker_and_a_missing_package_are_said_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        pytest.raises(ConfigError, match=r"tracker 'wanb'.*Did you mean 'wandb'"),
        tracked(print, ["wanb"], run=Path("runs/mine")),
    ):
        pass
    monkeypatch.setattr(tracking, "is_installed", lambda name: name != "mlflow")
    with (
        pytest.raises(MissingExtraError, match=r"--log-to mlflow .*inklings\[trackers\]"),
        tracked(print, ["mlflow"], run=Path("runs/mine")),
    ):
        pass


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "words.txt").write_text(words(60))
    return tmp_path / "words.txt"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All packages pass for installed; none is reached."""
    monkeypatch.setattr(tracking, "is_installed", lambda name: True)


def trained(tmp_path: Path, data: Path, name: str, **more: Any) -> tuple[RunDirectory, list[str]]:
    """Train some steps; the run and the notes."""
    notes: list[str] = []

    def listen(event: Event) -> None:
        if event["event"] == "note":
            notes.append(event["text"])

    run = tmp_path / "runs" / name
    inklings.train(ARM, run, data=data, budget="6-steps", on_event=listen, **TINY, **more)
    return RunDirectory.open(run), notes


@pytest.mark.usefixtures("installed")
def test_a_tracker_that_fails_costs_a_training_one_note(tmp_path: Path, data: Path) -> None:
    plain, _ = trained(tmp_path, data, "plain")
    (tmp_path / "runs" / "trackers").write_text("no folder can be made here")
    run, notes = trained(tmp_path, data, "mine", log_to=["trackio", "wandb", "trackio"])
    told = [note for note in notes if "is told no more" in note]
    assert sorted(note.split()[0] for note in told) == ["trackio", "wandb"]
    assert all("NotADirectoryError" in note or "FileExistsError" in note for note in told)
    losses = [
        [event["loss"] for event in run.metrics() if event["event"] == "evaluation"]
        for run in (plain, run)
    ]
    assert losses[0] == losses[1]


@pytest.mark.usefixtures("installed")
def test_a_tracker_that_hangs_is_left_behind(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "PROCESS", "tests.interop.stuck_tracker")
    monkeypatch.setattr(tracking, "LAST_SECONDS", 0.1)
    run, notes = trained(tmp_path, data, "mine", log_to=["mlflow"])
    assert [note for note in notes if "mlflow is told no more of this: it was not done" in note]
    assert [event for event in run.metrics() if event["event"] == "end"]


@pytest.mark.parametrize("name", TRACKERS.places)
def test_what_a_user_has_set_wins_and_else_all_stays_on_this_machine(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = TRACKERS[name].environment(tmp_path)
    for variable in variables:
        monkeypatch.delenv(variable, raising=False)
    feed = tracking._Feed(TRACKERS[name], tmp_path, None)
    assert {key: feed._environment[key] for key in variables} == dict(variables)
    for variable in variables:
        monkeypatch.setenv(variable, "theirs")
    feed = tracking._Feed(TRACKERS[name], tmp_path, None)
    assert {feed._environment[key] for key in variables} <= {"theirs"}
    places = [value for value in variables.values() if str(tmp_path) in value]
    assert len(places) == (name != "tensorboard")


@pytest.mark.parametrize(
    "verb",
    [["train", ARM], ["resume", "nothing"], ["compare", ARM, ARM], ["sweep", ARM]],
    ids=lambda verb: verb[0],
)
def test_the_verbs_that_train_know_the_trackers(
    verb: list[str], tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each asks for them before it does anything."""
    place = {"train": "--run", "resume": "", "compare": "--out", "sweep": "--out"}[verb[0]]
    flags = [place, str(tmp_path / "new"), "--data", str(data)] if place else []
    trackers = ["--log-to", "mlflow", "--log-to", "trakio"]
    Command(capsys).refuses(*verb, *flags, *trackers, saying="unknown tracker 'trakio'")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "asked",
    [
        ["train", "mlp", "--dry-run"],
        ["train", "mlp", "--find-lr"],
        ["train", "mlp", "--find-batch-size"],
        ["sweep", "mlp", "--dry-run"],
        ["compare", "ngram", "mlp", "--dry-run"],
        ["compare", "--merge", "nowhere"],
    ],
    ids=" ".join,
)
def test_where_no_run_is_made_a_tracker_is_said_to_be_ignored(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # what it would do else is not looked at: there is no such text
    data = [] if "--merge" in asked else ["--data", "nowhere.txt"]
    with pytest.warns(UserWarning, match="--log-to trackio is ignored: no run is made here"):
        assert main([*asked, *data, "--log-to", "trackio"]) == 2
    assert not list(tmp_path.iterdir())
