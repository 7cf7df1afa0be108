"""`inklings sweep`.

One JSON document, a run file that trains, and clear words for what cannot be searched.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from inklings.cli import sweep as verb
from inklings.cli.main import main
from inklings.cli.progress import Display
from inklings.events import Event
from tests.commands import Ask

TINY = [
    "--data",
    "words.txt",
    "--training.threads",
    "1",
    "--training.evaluations",
    "2",
    "--training.precision",
    "float32",
    "--workers",
    "1",
]
ASKED = [
    "sweep",
    "mlp:n_hidden=8",
    *TINY,
    "--budget",
    "3-steps",
    "--space",
    "n_embd=2..6:2",
    "lr=1e-3..1:log",
    "--trials",
    "2",
    "--out",
    "s",
]


def test_a_sweep_ends_with_a_run_file_that_trains_and_goes_on_when_asked_again(
    ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    made = ask(*ASKED)
    assert (made["status"], len(made["trials"])) == ("complete", 2)
    assert made["best"]["losses"][-1] == min(trial["losses"][-1] for trial in made["trials"])
    assert Path(made["report"]).is_file()
    assert made["left_out"] == {"files": {}, "records": {}}
    again = ask(*ASKED[:-3], "3", *ASKED[-2:])
    assert again["trials"][:2] == made["trials"]
    assert len(again["trials"]) == 3
    trained = ask("train", "--config", "s/best.toml", "--run", "r")
    assert trained["final_validation_loss"] == again["best"]["losses"][-1]
    capsys.readouterr()
    assert main(ASKED) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "next: inklings train --config s/best.toml" in said
    assert "it was chosen for this figure" in said


def test_a_dry_run_shows_the_space_and_makes_nothing(
    ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = ask(*ASKED, "--dry-run")
    assert [dimension["field"] for dimension in shown["space"]] == [
        "model.n_embd",
        "training.learning_rate",
    ]
    assert not Path("s").exists()
    assert main([*ASKED, "--dry-run"]) == 0
    assert "numbers, on a logarithmic scale" in capsys.readouterr().out
    default = ask("sweep", "gpt", "--data", "words.txt", "--dry-run")
    assert [dimension["field"] for dimension in default["space"]] == [
        "training.learning_rate",
        "training.matrix_learning_rate",
    ]


def test_an_interruption_leaves_with_1_and_says_how_to_go_on(
    ask: Ask, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Display.__call__

    def interrupt(self: Any, event: Event) -> None:
        real(self, event)
        if event["event"] == "evaluation":
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Display, "__call__", interrupt)
        assert main(ASKED) == 1
    assert "0 of 2 trials ended; all is saved. Go on with the same command" in " ".join(
        capsys.readouterr().out.split()
    )
    assert ask(*ASKED)["status"] == "complete"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--space", "n_embed=2..4"], "Did you mean 'n_embd'"),
        (["--trials", "0"], "at least 1"),
        (["--storage", "redis://host"], "postgresql://"),
        (["--budget", "soon"], "soon"),
    ],
)
def test_wrong_input_leaves_with_2_and_makes_nothing(
    ask: Ask, flags: list[str], words: str
) -> None:
    assert words in ask("sweep", "mlp", *TINY, *flags, "--out", "s", code=2)["error"]
    assert not Path("s").exists()


def test_a_run_is_no_arm_of_a_sweep_and_counting_needs_a_space(ask: Ask) -> None:
    assert "Say what to search" in ask("sweep", "ngram", *TINY, "--out", "s", code=2)["error"]
    counted = ask("sweep", "ngram", *TINY, "--space", "order=1|2|3", "--trials", "2", "--out", "s")
    assert counted["status"] == "complete"


def test_a_password_does_not_reach_the_recorded_command() -> None:
    for argument in ("postgresql://me:s3cr3t@host/db", "--storage=postgresql://me:s3cr3t@host/db"):
        assert "s3cr3t" not in verb._without_password(argument)
        assert "me:***@host/db" in verb._without_password(argument)
