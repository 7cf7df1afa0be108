"""A comparison that is killed again and again ends as one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inklings.lab.comparison.comparison_file import read_comparison

KILLS = 20


def command(text: Path, out: Path) -> list[str]:
    arms = [
        "mlp:n_embd=4,n_hidden=16,context_length=3",
        "recurrent:n_embd=4,n_hidden=8",
        "ngram:order=2",
    ]
    flags = [
        "--data",
        str(text),
        "--budget",
        "64-steps",
        "--seeds",
        "3",
        "--points",
        "3",
        "--rates",
        "2",
        "--workers",
        "2",
    ]
    training = [
        "--training.batch-size",
        "4",
        "--training.sequence-length",
        "8",
        "--training.evaluations",
        "8",
    ]
    return [
        sys.executable,
        "-m",
        "inklings",
        "compare",
        *arms,
        *flags,
        *training,
        "--out",
        str(out),
    ]


def begin(text: Path, out: Path) -> subprocess.Popen[str]:
    """The command in a process group of its own, so that a kill takes its workers too."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command(text, out),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )


def figures(out: Path) -> list[Any]:
    comparison = read_comparison(out)
    assert comparison.status == "complete"
    return [
        [
            (run.seed, run.status, run.loss, run.weights, [point.loss for point in run.points])
            for run in arm.runs
        ]
        + [arm.search]
        for arm in comparison.arms
    ] + [comparison.differences, comparison.verdict]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups to kill")
def test_killed_twenty_times_at_random_moments_it_ends_the_same(tmp_path: Path) -> None:
    text = tmp_path / "words.txt"
    text.write_text(
        "".join(
            f"{a}{b}{c}\n"
            for a in "kmnst"
            for b in "aeiou"
            for c in ("ra", "lo", "mi", "tu", "en", "si")
        )
    )
    with begin(text, tmp_path / "alone") as undisturbed:
        lines = len((undisturbed.communicate()[0]).splitlines())
    assert undisturbed.returncode == 0
    random = np.random.default_rng(0)
    killed = 0
    for _ in range(KILLS):
        with begin(text, tmp_path / "killed") as process:
            assert process.stdout is not None
            for _ in range(int(random.integers(1, lines // 2))):
                if not process.stdout.readline():
                    break
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
            process.communicate()
    assert killed > KILLS / 2
    with begin(text, tmp_path / "killed") as process:
        said = process.communicate()[0]
    assert process.returncode == 0, said
    assert figures(tmp_path / "killed") == figures(tmp_path / "alone")
