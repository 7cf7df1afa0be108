"""Command lines that torchrun starts: its own parser sees every word of them first."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

from inklings.cli.main import main
from inklings.runs.directory import RunDirectory
from tests.commands import TINY, words
from tests.surface.surface import FLAGS
from tests.surface.test_advice import KNOWN

SLOW = pytest.mark.slow
NOT_UNDER_TORCHRUN = {"run"}
"""Flags that torchrun takes for beginnings of its own (`--run-path`, `--run_path`)."""


def passes(*words: str) -> bool:
    """Whether torchrun hands a command line of `inklings train` on as it stands."""
    line = ["-m", "inklings", "train", "gpt", *words]
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            found = get_args_parser().parse_args(["--nproc-per-node", "2", *line])
        except SystemExit:
            return False
    return [found.training_script, *found.training_script_args] == line[1:]


@pytest.mark.parametrize("verb", ["train", "resume"])
def test_torchrun_hands_on_every_flag_but_one(verb: str) -> None:
    refused = {flag for flag in KNOWN[verb] if not passes(f"--{flag}", "3")}
    assert refused == NOT_UNDER_TORCHRUN & KNOWN[verb]


def test_what_torchrun_refuses_has_a_second_name() -> None:
    assert passes("--out", "runs/mine", "--budget", "10-steps")
    line = next(
        line
        for line in FLAGS.read_text(encoding="utf-8").splitlines()
        if re.match(r"train .*--run\b", line)
    )
    assert "--out" in line


MORTAL = """
import os, signal
from inklings.training import loop
from inklings.cli.main import run

attempt, real = os.environ["TORCHELASTIC_RESTART_COUNT"], loop.seed_step

def mortal(seed, step, rank=0):
    if (attempt, os.environ["RANK"], step) in {("0", "1", 7), ("1", "0", 12)}:
        os.kill(os.getpid(), signal.SIGKILL)
    real(seed, step, rank)

loop.seed_step = mortal
run()
"""
"""Inklings, whose process 1 is killed at first, and whose process 0 is after that."""


def torchrun(
    *words: str | Path,
    size: int = 2,
    more: tuple[str, ...] = (),
    program: tuple[str, ...] = ("-m", "inklings"),
) -> tuple[int, str]:
    """Start processes as people do; the exit code, and all that is printed."""
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    ended = subprocess.run(
        [*starter, "--nproc-per-node", str(size), *more, *program, *map(str, words)],
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(words(200), encoding="utf-8")
    return path


def line(text: Path, run: Path, *more: str) -> list[str | Path]:
    """A run of a few steps."""
    small = ("--model.n-embd", "4", "--model.n-hidden", "8", "--training.batch-size", "4")
    return ["train", "mlp", "--data", text, "--out", run, *small, *TINY, *more]


@SLOW
def test_two_processes_train_one_run(text: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, said = torchrun(*line(text, run, "--budget", "20-steps"))
    assert code == 0, said
    assert said.count("done after 20 steps") == 1, "process 0 alone prints"
    assert said.count("by 2 processes") == 1
    assert RunDirectory.open(run).check() == []
    assert (run / "report.html").is_file()
    assert main(["resume", str(run), "--budget", "30-steps", "--no-report"]) == 0
    code, said = torchrun("resume", run, "--budget", "40-steps", "--no-report", size=4)
    assert code == 0 and said.count("done after 40 steps") == 1, said


@SLOW
def test_torchrun_starts_again_and_the_run_goes_on(text: Path, tmp_path: Path) -> None:
    (tmp_path / "mortal.py").write_text(MORTAL, encoding="utf-8")
    command = line(text, tmp_path / "run", "--budget", "20-steps", "--training.evaluations", "10")
    code, said = torchrun(
        *command, more=("--max-restarts", "2"), program=(str(tmp_path / "mortal.py"),)
    )
    assert code == 0 and said.count("done after 20 steps") == 1, said
    assert said.count("ended without a word") == 2, "process 0 says so, and where it was it another"
    code, said = torchrun(*command)
    assert code == 0 and said.count("done after 20 steps") == 1, "a run that is done stays so"
    code, said = torchrun(*command, "--training.seed", "3")
    assert code != 0 and said.count("is a run already") == 1


@SLOW
@pytest.mark.parametrize(
    ("words", "saying"),
    [
        (["compare", "mlp", "gpt"], "several processes share train and resume"),
        (["train", "mlp", "--dry-run"], "--dry-run is for one process"),
        (["train", "mlp"], "say where the run is kept, with --out RUN"),
        (["train", "mlp", "--nonsense"], "nonsense"),
        (["train", "nobody", "--out", "{tmp}/run"], "nobody"),
        (["train", "ngram", "--out", "{tmp}/run"], "it counts the text once"),
        (["resume", "{tmp}/nothing"], "there is no run"),
    ],
)
def test_what_is_wrong_is_said_once(words: list[str], saying: str, tmp_path: Path) -> None:
    code, said = torchrun(*(word.replace("{tmp}", str(tmp_path)) for word in words))
    assert code != 0
    assert said.count(saying) == 1, said
    assert "/inklings/" not in said, "no traceback of ours"
    assert not (tmp_path / "run").exists()


DISSENTER = """
import os, sys
from inklings.cli.main import run

if os.environ["RANK"] == "1":
    sys.argv[1:] = sys.argv[1].split()
    os.environ.update(dict(word.split("=") for word in os.environ["ONE_HAS"].split()))
else:
    del sys.argv[1]
run()
"""
"""Inklings, whose process 1 was started by another command, or somewhere else."""


@SLOW
@pytest.mark.parametrize(
    ("more", "has", "saying"),
    [
        ("--strategy fsdp", "", "differ in the strategy (fsdp and ddp)"),
        ("--training.seed 5", "", "differ in the setting training.seed (5 and 0)"),
        ("--model.n-layer 2", "", "process 1"),
        ("--nonsense 9", "", "its command line is refused: inklings train"),
        ("", "INKLINGS_CACHE=/proc/nowhere", "/proc/nowhere"),
        ("--from {tmp}/nothing", "", "there is no run"),
    ],
)
def test_what_is_wrong_with_one_process_alone_is_said(
    more: str, has: str, saying: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dissenter.py").write_text(DISSENTER, encoding="utf-8")
    monkeypatch.setenv("ONE_HAS", has)
    command = [str(word) for word in line(text, tmp_path / "run", "--budget", "20-steps")]
    other = " ".join([*command, more.replace("{tmp}", str(tmp_path))])
    code, said = torchrun(other, *command, program=(str(tmp_path / "dissenter.py"),))
    assert code != 0
    assert saying in said and "interrupted" not in said, said
    assert not (tmp_path / "run").exists()


@SLOW
def test_the_commands_of_the_guide_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md"
    block = page.read_text(encoding="utf-8").partition("```bash\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    Path("my.txt").write_text(words(1000), encoding="utf-8")
    for command in block.splitlines():
        first, *rest = shlex.split(command)
        if first == "torchrun":
            assert main_of_torchrun(rest) == 0, command
        else:
            assert main(rest) == 0, command


def main_of_torchrun(arguments: list[str]) -> int:
    """The exit code of a command line of torchrun."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *arguments],
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=600,
        check=False,
    ).returncode
