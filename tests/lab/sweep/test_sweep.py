"""A sweep finds, survives any end of its process, keeps what failed apart.

And is shared through a database.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from inklings.config import DataConfig, RunConfig, TrainingConfig, load_run_config, to_mapping
from inklings.errors import ConfigError, RunError
from inklings.events import TRACKERS_FOLDER, Event
from inklings.lab.execution.processes import do_jobs
from inklings.lab.execution.run_arm import ArmRun, failed
from inklings.lab.sweep import trial_jobs
from inklings.lab.sweep.space import parse_space
from inklings.lab.sweep.storage import JOURNAL, check_storage, hidden_password
from inklings.lab.sweep.sweep import sweep
from inklings.lab.sweep.sweep_figures import sweep_figures
from inklings.lab.sweep.sweep_report import write_sweep_report
from inklings.lab.sweep.sweep_results import Sweep, SweepTrial, read_sweep
from inklings.training.train import train

SPACE = ["training.lr=1e-3..1:log", "n_hidden=4..16:4", "training.optimizer=adamw|sgd"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text(
        "".join(
            f"{first}{middle}{last}\n"
            for first in "abcde"
            for middle in ("an", "el", "irt")
            for last in ("a", "ssy", "ton")
        )
    )
    return path


@pytest.fixture(scope="module")
def config(text: Path) -> RunConfig:
    return RunConfig(
        architecture="mlp",
        model={"n_embd": 4, "context_length": 4},
        data=DataConfig(source=str(text), layout="lines"),
        training=TrainingConfig(
            budget="8-steps",
            batch_size=4,
            evaluations=4,
            sequence_length=16,
            threads=1,
            precision="float32",
            compile="off",
            seed=3,
        ),
    )


@pytest.fixture(scope="module")
def whole(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sweep]:
    """A sweep that nobody disturbed, in a folder where a tracker had begun."""
    out = tmp_path_factory.mktemp("whole") / "s"
    (out / TRACKERS_FOLDER).mkdir(parents=True)
    return out, sweep(
        config, space=SPACE, trials=9, out=out, workers=1, command="inklings sweep mlp"
    )


def test_the_best_of_a_sweep_is_a_run_file_that_gives_its_loss(
    whole: tuple[Path, Sweep], tmp_path: Path
) -> None:
    out, made = whole
    assert (made.status, len(made.trials)) == ("complete", 9)
    assert read_sweep(out) == made
    best = made.best
    assert best is not None
    assert best.loss == min(trial.losses[-1] for trial in made.trials if trial.status == "done")
    again = load_run_config(out / "best.toml")
    assert again.training.learning_rate == best.values["training.learning_rate"]
    assert train(again, tmp_path / "run").final_validation_loss == best.loss
    assert [run.name for run in (out / "runs").iterdir()] == [f"trial-{best.number}"], (
        "of the others the losses are kept"
    )
    assert sum(made.importance.values()) == pytest.approx(1)
    assert len({json.dumps(trial.values) for trial in made.trials}) == 9, (
        "no two trials are the same point"
    )
    for trial in made.trials:
        assert 1e-3 <= trial.values["training.learning_rate"] <= 1
        assert trial.values["model.n_hidden"] in (4, 8, 12, 16)
        assert trial.values["training.optimizer"] in ("adamw", "sgd")


def test_what_is_behind_the_median_is_given_up_late(whole: tuple[Path, Sweep]) -> None:
    given_up = [trial for trial in whole[1].trials if trial.status == "pruned"]
    assert given_up
    assert all(2 < len(trial.losses) < 4 and trial.loss is None for trial in given_up)
    assert min(trial.number for trial in given_up) >= 5


def test_more_trials_go_on_from_those_that_are_there(
    config: RunConfig, whole: tuple[Path, Sweep], tmp_path: Path
) -> None:
    events: list[Event] = []
    few = sweep(config, space=SPACE, trials=3, out=tmp_path / "s", workers=1)
    assert few.trials == whole[1].trials[:3]
    more = sweep(
        config, space=SPACE, trials=9, out=tmp_path / "s", workers=1, on_event=events.append
    )
    assert more.trials == whole[1].trials
    assert {event["run"] for event in events if event["event"] == "start"} == {
        f"trial {number}" for number in range(3, 9)
    }
    assert (
        sweep(config, space=SPACE, trials=4, out=tmp_path / "s", workers=1).trials == more.trials
    ), "fewer take none away"


@pytest.mark.slow
def test_two_workers_finish_the_same_number_with_the_losses_of_one(
    config: RunConfig, tmp_path: Path
) -> None:
    many = sweep(
        config, space=["training.lr=1e-3..1:log"], trials=4, out=tmp_path / "two", workers=2
    )
    one = sweep(
        config, space=["training.lr=1e-3..1:log"], trials=4, out=tmp_path / "one", workers=1
    )
    assert many.trials == one.trials, (
        "the first trials are drawn at random, and none is given up yet"
    )


@pytest.mark.slow
def test_stopped_in_good_order_it_goes_on_to_the_same_end(
    config: RunConfig, whole: tuple[Path, Sweep], tmp_path: Path
) -> None:
    for after in (6, 3, 11):
        left = after

        def stop(event: Event) -> None:
            nonlocal left
            left -= event["event"] == "evaluation"
            if left == 0 and event["event"] == "evaluation":
                signal.raise_signal(signal.SIGTERM)

        assert (
            sweep(
                config, space=SPACE, trials=9, out=tmp_path / "s", workers=1, on_event=stop
            ).status
            == "unfinished"
        )
    assert (
        sweep(config, space=SPACE, trials=9, out=tmp_path / "s", workers=1).trials
        == whole[1].trials
    )


KILLED = """
import json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from inklings.config import RunConfig
from inklings.values import from_mapping
from inklings.lab.sweep.sweep import sweep

config = from_mapping(RunConfig, json.loads(sys.argv[1]), where="test")
space, out = json.loads(sys.argv[2]), Path(sys.argv[3])

def child(fatal):
    calls = 0
    def mortal(descriptor):
        nonlocal calls
        calls += 1
        if calls == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
    os.fsync = mortal
    sweep(config, space=space, trials=9, out=out, workers=1)
    os._exit(0)

for fatal in json.loads(sys.argv[4]):
    pid = os.fork()
    if pid == 0:
        child(fatal)
    _, status = os.waitpid(pid, 0)
    finished = []
    for line in (out / "trials.journal").read_text().splitlines():
        entry = json.loads(line)
        if entry.get("state", 0) in (1, 2, 3):
            finished.append(entry["trial_id"])
    print(os.WIFSIGNALED(status), json.dumps(finished), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="it forks")
def test_killed_at_any_write_no_finished_trial_is_lost_and_the_end_is_the_same(
    config: RunConfig, whole: tuple[Path, Sweep], tmp_path: Path
) -> None:
    fatal = json.dumps([5, 17, 29, 41, 53, 67, 31, 80, 100_000])
    command = [
        sys.executable,
        "-c",
        KILLED,
        json.dumps(to_mapping(config)),
        json.dumps(SPACE),
        str(tmp_path / "s"),
        fatal,
    ]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    lines = [line.split(" ", 1) for line in made.stdout.splitlines()]
    finished = [json.loads(rest) for _, rest in lines]
    assert [killed for killed, _ in lines].count("True") >= 4
    for before, after in itertools.pairwise(finished):
        assert after[: len(before)] == before
    assert len(finished[-1]) == len(set(finished[-1])) == 9, "none is finished twice"
    assert read_sweep(tmp_path / "s").trials == whole[1].trials


def test_a_torn_last_line_of_the_journal_is_cut_off(
    config: RunConfig, whole: tuple[Path, Sweep], tmp_path: Path
) -> None:
    sweep(config, space=SPACE, trials=2, out=tmp_path / "s", workers=1)
    with open(tmp_path / "s" / JOURNAL, "ab") as file:
        file.write(b'{"op_code":4,"wor')
    assert (
        sweep(config, space=SPACE, trials=3, out=tmp_path / "s", workers=1).trials
        == whole[1].trials[:3]
    )


def test_a_point_that_does_not_fit_fails_with_its_words_and_the_others_go_on(
    config: RunConfig, tmp_path: Path
) -> None:
    gpt = replace(
        config,
        architecture="gpt",
        model={"n_layer": 1, "n_embd": 8, "n_head": 2, "context_length": 8},
    )
    notes: list[str] = []
    made = sweep(
        gpt,
        space=["n_head=1|2|3", "n_embd=8|16"],
        trials=5,
        out=tmp_path / "s",
        workers=1,
        on_event=lambda event: notes.append(event["text"]) if event["event"] == "note" else None,
    )
    bad = [trial for trial in made.trials if trial.values["model.n_head"] == 3]
    assert bad, "the seed draws one"
    assert [trial.status for trial in bad] == ["failed"] * len(bad)
    assert all("n_embd" in (trial.message or "") for trial in bad)
    assert {trial.status for trial in made.trials if trial not in bad} <= {"done", "pruned"}
    assert made.status == "complete"
    assert any("n_embd" in note for note in notes)
    page = write_sweep_report(tmp_path / "s").read_text()
    assert "What failed" in page


@pytest.mark.slow
def test_a_trial_whose_process_dies_twice_is_given_up(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def deadly(jobs: list[ArmRun], *how: Any, **more: Any) -> Iterator[Any]:
        for job in jobs:
            tried.append(job.arm)
            yield (
                (job, failed(job, "its process died (SIGKILL)"))
                if job.arm == "trial 1"
                else next(iter(do_jobs([job], *how, **more)))
            )

    monkeypatch.setattr(trial_jobs, "do_jobs", deadly)
    made = sweep(config, space=SPACE, trials=3, out=tmp_path / "s", workers=1)
    assert [(trial.number, trial.status) for trial in made.trials] == [
        (0, "done"),
        (1, "failed"),
        (2, "done"),
    ]
    assert made.trials[1].message == "its process died (SIGKILL)"
    assert tried.count("trial 1") == 2


def test_what_cannot_be_begun_is_refused_at_once(
    config: RunConfig, whole: tuple[Path, Sweep], tmp_path: Path
) -> None:
    out = tmp_path / "s"
    with pytest.raises(ConfigError, match="n_embd"):
        sweep(
            replace(config, architecture="gpt", model={"n_embd": 9, "n_head": 2}),
            space=["lr=1..2"],
            trials=3,
            out=out,
        )
    refused: list[dict[str, Any]] = [
        {"trials": 0},
        {"trials": 1, "workers": 0},
        {"trials": 1, "storage": "sqlite:///x"},
        {"trials": 1, "space": ["depth=1..2"]},
    ]
    for wrong in refused:
        with pytest.raises(ConfigError):
            sweep(config, **{"space": SPACE, "out": out, **wrong})
    assert not out.exists(), "nothing was begun"
    with pytest.raises(RunError, match="differs in the settings; the space"):
        sweep(
            replace(config, training=replace(config.training, batch_size=2)),
            space=SPACE[:1],
            trials=9,
            out=whole[0],
        )
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="not a sweep"):
        sweep(config, space=SPACE, trials=1, out=tmp_path / "full")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:s3cr3t@host:5/db", "postgresql://me:***@host:5/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("gpt", "gpt"),
    ],
)
def test_a_password_is_never_shown(address: str, shown: str) -> None:
    assert hidden_password(address) == shown


def test_only_postgresql_is_a_storage() -> None:
    with pytest.raises(ConfigError, match="postgresql://"):
        check_storage("mysql://host/db")


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    # tests are no packages of each other: the server of the memory's tests is loaded from its file
    spec = importlib.util.spec_from_file_location(
        "private_postgres", Path(__file__).parents[2] / "memory" / "postgres.py"
    )
    assert spec is not None and spec.loader is not None
    postgres = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(postgres)
    with postgres.private_server() as running:
        yield running


@pytest.mark.slow
def test_machines_share_a_database_and_a_lost_one_is_replaced(
    config: RunConfig, server: Any, tmp_path: Path
) -> None:
    address = server.address()

    def lose(event: Event) -> None:
        if event["event"] == "evaluation" and event["run"] == "trial 1":
            raise KeyboardInterrupt

    space = SPACE[:1]
    begun = sweep(
        config, space=space, trials=4, out=tmp_path / "a", workers=1, storage=address, on_event=lose
    )
    assert (begun.status, len(begun.trials)) == ("unfinished", 1)
    partly = sweep(config, space=space, trials=4, out=tmp_path / "b", workers=1, storage=address)
    assert (partly.status, [trial.number for trial in partly.trials]) == (
        "unfinished",
        [0, 2, 3],
    ), "trial 1 is the first machine's"
    with psycopg.connect(address) as connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 day'")
    whole = sweep(config, space=space, trials=4, out=tmp_path / "b", workers=1, storage=address)
    assert (whole.status, [trial.number for trial in whole.trials]) == ("complete", [0, 2, 3, 4])
    alone = sweep(config, space=space, trials=4, out=tmp_path / "c", workers=1)
    by_number = {trial.number: trial for trial in alone.trials}
    assert {trial.number: trial.losses for trial in whole.trials if trial.number < 4} == {
        n: by_number[n].losses for n in (0, 2, 3)
    }
    assert (whole.trials[-1].values, whole.trials[-1].losses) == (
        by_number[1].values,
        by_number[1].losses,
    ), "the lost point is done again"
    events: list[Event] = []
    assert (
        sweep(
            config,
            space=space,
            trials=4,
            out=tmp_path / "a",
            workers=1,
            storage=address,
            on_event=events.append,
        ).trials
        == whole.trials
    )
    assert not [event for event in events if event["event"] == "start"]
    for path in tmp_path.glob("*/*"):
        if path.is_file():
            assert "s3cr3t" not in path.read_text()


MACHINE = """
import json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from inklings.config import RunConfig
from inklings.values import from_mapping
from inklings.lab.sweep.sweep import sweep

config = from_mapping(RunConfig, json.loads(sys.argv[1]), where="test")

def die(event):
    if event["event"] == "evaluation" and event["run"] == "trial 1":
        os.killpg(0, signal.SIGKILL)

sweep(
    config, space=json.loads(sys.argv[2]), trials=4, out=Path(sys.argv[3]), workers=1,
    storage=sys.argv[4], on_event=die,
)
"""
"""A machine of a sweep, all of whose processes are killed within trial 1."""


@pytest.mark.slow
def test_a_machine_that_is_killed_is_replaced_by_another(
    config: RunConfig, server: Any, tmp_path: Path
) -> None:
    address = server.address()
    # each sweep of a shared storage has a study of its own name, made of its settings
    config = replace(config, training=replace(config.training, batch_size=3))
    mapping, space = json.dumps(to_mapping(config)), SPACE[:1]
    command = [sys.executable, "-c", MACHINE, mapping, json.dumps(space), str(tmp_path / "killed")]
    killed = subprocess.run(
        [*command, address], capture_output=True, text=True, start_new_session=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    other = sweep(config, space=space, trials=4, out=tmp_path / "b", workers=1, storage=address)
    assert (other.status, [trial.number for trial in other.trials]) == ("unfinished", [0, 2, 3])
    with psycopg.connect(address) as connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 day'")
    whole = sweep(config, space=space, trials=4, out=tmp_path / "b", workers=1, storage=address)
    alone = sweep(config, space=space, trials=4, out=tmp_path / "c", workers=1)
    assert whole.status == "complete"
    found = sorted((trial.losses, trial.values) for trial in whole.trials)
    assert found == sorted((trial.losses, trial.values) for trial in alone.trials)


def test_a_server_that_is_not_there_is_named_without_its_password(
    config: RunConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as raised:
        sweep(
            config,
            space=SPACE,
            trials=1,
            out=tmp_path / "s",
            storage=f"postgresql://me:s3cr3t@/db?host={tmp_path}",
        )
    assert "me:***@" in str(raised.value)
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.slow
def test_the_report_has_every_figure_and_asks_no_host(
    whole: tuple[Path, Sweep], tmp_path: Path
) -> None:
    out, made = whole
    report = write_sweep_report(out)
    page = report.read_text()
    names = [
        "history",
        "importance",
        "parallel",
        "slice_training_learning_rate",
        "slice_model_n_hidden",
        "slice_training_optimizer",
    ]
    for name in names:
        assert f'data-figure="{name}"' in page
        for kind in ("svg", "png", "csv"):
            assert (out / "figures" / f"{name}.{kind}").stat().st_size > 50
    assert "default-src 'none'" in page
    assert "src=" not in page.partition("<script>")[0]
    assert len(page) < 3_000_000
    before = report.read_bytes()
    assert write_sweep_report(out).read_bytes() == before, "the same folder gives the same bytes"
    space = parse_space(made.space, RunConfig(architecture=made.architecture))
    for figure in sweep_figures(made, space):
        for chart in figure.charts.values():
            chart.to_dict(validate=True)  # a report does not ask
    history = (out / "figures" / "history.csv").read_text().splitlines()
    assert len([line for line in history if line.startswith("trials,")]) == len(
        [t for t in made.trials if t.losses and t.status != "failed"]
    )


def test_text_from_outside_is_escaped_in_the_report(
    whole: tuple[Path, Sweep], tmp_path: Path
) -> None:
    from inklings.lab.sweep.sweep_results import write_sweep

    evil = "<script>alert(1)</script>"
    trials = [
        *whole[1].trials,
        SweepTrial(
            number=9, status="failed", values=whole[1].trials[0].values, losses=[], message=evil
        ),
    ]
    write_sweep(tmp_path, replace(whole[1], trials=trials, command=evil))
    assert evil not in write_sweep_report(tmp_path).read_text()
