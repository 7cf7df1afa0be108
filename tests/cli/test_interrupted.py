"""Signals to the whole process group of a command.

Nothing half-made stays, no traceback, and the last words say how to go on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="signals and process groups are those of POSIX"
)

TRAINING = [
    "--training.batch-size",
    "4",
    "--training.sequence-length",
    "8",
    "--budget",
    "200k-steps",
]
COMPARE = [
    "mlp:n_embd=4,n_hidden=8,context_length=3",
    "recurrent:n_embd=4,n_hidden=8",
    "--points",
    "1",
    "--no-floor",
]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text(
        "".join(
            f"{a}{b}{c}\n"
            for a in "kmnst"
            for b in "aeiou"
            for c in ("ra", "lo", "mi", "tu", "en", "si")
        )
    )
    return path


def stopped(
    arguments: list[str], number: signal.Signals, *, at: str, prefix: tuple[str, ...] = ()
) -> tuple[int, str]:
    """Exit code and output of a command that gets a signal as soon as it has printed `at`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    command = [*prefix, sys.executable, "-m", "inklings", *arguments]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if at in line:
                break
        os.killpg(process.pid, number)
        said += process.communicate()[0]
    assert "Traceback" not in said, said
    return process.returncode, said


@pytest.mark.parametrize(
    ("at", "workers", "rates", "number"),
    [
        ("auditing", 2, 2, signal.SIGINT),
        # of the search for rates
        pytest.param(" parameters", 2, 2, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("seed 0", 2, 0, signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param("seed 0", 2, 0, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(" parameters", 1, 2, signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_comparison_says_last_how_to_go_on(
    at: str, workers: int, rates: int, number: signal.Signals, words: Path, tmp_path: Path
) -> None:
    flags = [
        "--data",
        str(words),
        "--seeds",
        "2",
        "--rates",
        str(rates),
        "--workers",
        str(workers),
        "--out",
        str(tmp_path / "out"),
    ]
    code, said = stopped(["compare", *COMPARE, *flags, *TRAINING], number, at=at)
    assert code == 1
    last = said.strip().splitlines()[-1]
    assert "interrupted" in last and "The same command goes on where it stopped." in last, said
    assert list(tmp_path.rglob("*.tmp")) == []


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
)
def test_before_the_first_step_nothing_is_left(
    number: signal.Signals, words: Path, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "mine"
    code, said = stopped(
        ["train", "mlp", "--data", str(words), "--run", str(run), *TRAINING],
        number,
        at="training mlp",
    )
    assert code == 1
    if (run / "config.json").is_file():  # it was quicker than the signal
        assert f"inklings resume {run}" in said
    else:
        assert "The same command begins again." in said
        assert not (tmp_path / "runs").exists()
    assert list(tmp_path.rglob("*.tmp")) == []


@pytest.mark.slow
def test_under_nohup_a_closed_terminal_does_not_end_it(words: Path, tmp_path: Path) -> None:
    training = [*TRAINING[:-1], "20-steps"]
    arguments = ["train", "mlp", "--data", str(words), "--run", str(tmp_path / "run"), *training]
    code, said = stopped(arguments, signal.SIGHUP, at="training mlp", prefix=("nohup",))
    assert (code, "done after 20 steps" in said) == (0, True), said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_an_output_that_is_full_is_said() -> None:
    with open("/dev/full", "w") as full:
        made = subprocess.run(
            [sys.executable, "-m", "inklings", "models"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert made.returncode == 1
    assert (
        made.stderr.strip()
        == "inklings: the disk is full: could not write the output. Free some space and run the"
        " same command again."
    )
