"""Signals to the whole process group of a command.

Nothing half-made stays, no traceback, and the last words say how to go on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
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

IMPORTS = ("-X", "importtime")
"""Has Python say what it has imported: moments at which nothing else is said."""


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
    arguments: list[str],
    number: signal.Signals,
    *,
    at: str,
    prefix: tuple[str, ...] = (),
    options: tuple[str, ...] = (),
    times: int = 1,
) -> tuple[int, str]:
    """Exit code and output of a command whose group gets a signal as soon as it has printed `at`.

    Nothing of the group is left when it has ended. `options` are those of Python.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    command = [*prefix, sys.executable, *options, "-m", "inklings", *arguments]
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
        for _ in range(times):
            os.killpg(process.pid, number)
        said += process.communicate()[0]  # to the end: whoever is left holds the pipe open
    assert "Traceback" not in said, said
    assert alive_in(process.pid) == []
    return process.returncode, said


def alive_in(group: int) -> list[psutil.Process]:
    """The processes of a group that have not ended, nor end within half a minute.

    Where nobody collects orphans at once, those that ended are still listed, as zombies.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return [
        process
        for process in psutil.wait_procs(found, timeout=30)[1]
        if process.status() != psutil.STATUS_ZOMBIE
    ]


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


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_sweep_says_last_how_to_go_on(
    number: signal.Signals, workers: int, words: Path, tmp_path: Path
) -> None:
    flags = ["--data", str(words), "--workers", str(workers), "--out", str(tmp_path / "out")]
    code, said = stopped(
        ["sweep", "mlp:n_embd=4,n_hidden=8", *flags, *TRAINING], number, at=" parameters"
    )
    assert code == 1
    last = said.strip().splitlines()[-1]
    assert "the same command" in last.lower(), said
    assert list(tmp_path.rglob("*.tmp")) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_audit_ends_at_once(number: signal.Signals) -> None:
    code, said = stopped(
        ["audit", "builtin:reference"], number, at="inklings.auditing", options=IMPORTS
    )
    assert code == 1
    assert said.strip().splitlines()[-1].endswith("The same command begins again."), said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_preparation_leaves_nothing_half_made(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INKLINGS_CACHE", str(tmp_path / "cache"))
    text = tmp_path / "long.txt"
    text.write_text("".join(f"{n * 7919 % 100_003} {n}\n" for n in range(300_000)))
    code, said = stopped(
        ["prepare", str(text), "--tokenizer", "bpe:3000"], number, at="tokenizers", options=IMPORTS
    )
    assert code == 1
    assert said.strip().splitlines()[-1].endswith("The same command begins again."), said
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [text]


@pytest.mark.parametrize(
    "at",
    [
        "torch._C",
        pytest.param("numpy", marks=pytest.mark.slow),
        pytest.param("torch.nn", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_while_libraries_are_loaded(at: str, words: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    training = ["train", "mlp", "--data", str(words), "--run", str(run), *TRAINING]
    code, said = stopped(training, signal.SIGINT, at=at, options=IMPORTS)
    assert code == 1
    assert said.strip().splitlines()[-1].endswith("The same command begins again."), said
    assert not run.exists()


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["train", "compare", "sweep"])
def test_a_second_ctrl_c_ends_it_too(verb: str, words: Path, tmp_path: Path) -> None:
    place = ["--run" if verb == "train" else "--out", str(tmp_path / "out")]
    arms = COMPARE if verb == "compare" else ["mlp:n_embd=4,n_hidden=8"]
    code, said = stopped(
        [verb, *arms, "--data", str(words), *place, *TRAINING],
        signal.SIGINT,
        at="training mlp" if verb == "train" else " parameters",
        times=2,
    )
    assert code == 1
    assert "inklings resume" in said or "he same command" in said, said


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


def test_the_exit_code_is_ours_wherever_the_interruption_came(tmp_path: Path) -> None:
    program = (
        "import sys; from inklings.cli import main, models; sys.argv = ['inklings', 'models'];"
        " models.main = lambda rest: exec('raise KeyboardInterrupt'); main.run()"
    )
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "program"], cwd=tmp_path, capture_output=True, check=False
    )
    assert ended.returncode == 1 and b"interrupted" in ended.stderr, ended.stderr


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
