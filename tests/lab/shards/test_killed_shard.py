"""Three shards as processes, one of them killed and begun again, are the comparison of one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inklings.lab.comparison.comparison_file import read_comparison

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from inklings.cli.main import main
from tests.brief import brief_comparisons
with brief_comparisons():
    sys.exit(main(sys.argv[1:]))
"""


def begin(text: Path, out: Path, *flags: str) -> subprocess.Popen[str]:
    """The comparison, in a process group of its own, so that a kill takes its workers too."""
    arms = ["mlp:n_embd=4,n_hidden=16,context_length=3", "recurrent:n_embd=4,n_hidden=8"]
    settings = {
        "--data": str(text),
        "--budget": "64-steps",
        "--seeds": "3",
        "--points": "2",
        "--rates": "2",
        "--workers": "1",
        "--training.batch-size": "4",
        "--training.sequence-length": "8",
        "--training.evaluations": "8",
        "--out": str(out),
    }
    given = [word for pair in settings.items() for word in pair]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "compare", *arms, *given, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            # the shards of a folder prepare the text at once, each as if it were alone
            "INKLINGS_CACHE": str(out.with_suffix(".cache")),
        },
        start_new_session=True,
    )


def figures(out: Path) -> list[Any]:
    """Everything but times, and what is said of an equal time."""
    comparison = read_comparison(out)
    assert comparison.status == "complete"
    assert comparison.verdict is not None
    return [
        [
            (run.seed, run.status, run.loss, run.weights, [point.loss for point in run.points])
            for run in arm.runs
        ]
        + [arm.search, arm.audit, arm.notes]
        for arm in comparison.arms
    ] + [comparison.differences, comparison.verdict.headline]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups to kill")
def test_three_shards_of_which_one_was_killed_are_the_whole(tmp_path: Path) -> None:
    text, alone, out = tmp_path / "words.txt", tmp_path / "alone", tmp_path / "shared"
    text.write_text(
        "".join(
            f"{a}{b}{c}\n"
            for a in "kmnst"
            for b in "aeiou"
            for c in ("ra", "lo", "mi", "tu", "en", "si")
        )
    )
    with begin(text, alone) as process:
        said = process.communicate()[0]
    assert process.returncode == 0, said

    shards = [begin(text, out, "--shard", f"{number}/3") for number in (1, 2, 3)]
    killed = shards[1]
    assert killed.stdout is not None
    for line in killed.stdout:
        if "seed 1: " in line and "parameters" in line:  # its first run is done, its last is not
            os.killpg(killed.pid, signal.SIGKILL)
    for process in shards:
        said = process.communicate()[0]
        if process is not killed:
            assert process.returncode == 0, said
            assert "Not done yet" in said, said
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "comparison.json").exists()

    refused = subprocess.run(
        [sys.executable, "-m", "inklings", "compare", "--merge", str(out), "--out", str(out)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "shard 2/3 is missing or not done" in " ".join(refused.stderr.split())

    with begin(text, out, "--shard", "2/3", "--json") as again:
        said = again.communicate()[0]
    assert again.returncode == 0, said
    assert json.loads(said[said.index("\n{") :])["report"] == str(out / "report.html")
    assert (out / "report.html").is_file()
    assert figures(out) == figures(alone)


@pytest.mark.slow
def test_the_file_for_slurm_does_a_comparison_in_any_order(tmp_path: Path) -> None:
    """Tried by a plain shell: each task of the array is the file with its number."""
    page = (ROOT / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
    begin = r"^```bash\n(#!/bin/bash\n#SBATCH --job-name=compare\n"
    match = re.search(begin + r".*?)^```", page, re.M | re.S)
    assert match is not None
    small = {
        "source /shared/inklings/.venv/bin/activate": "",
        "gpt mlp recurrent": "mlp:n_embd=4,n_hidden=8 ngram:order=2",
        "/shared/": f"{tmp_path}/",
        "--budget 2M-tokens": "--budget 3-steps --points 1 --rates 0",
        "--seeds 4": "--seeds 1",
        "/8": "/2",
    }
    script = match[1]
    for long, short in small.items():
        assert long in script
        script = script.replace(long, short)
    (tmp_path / "my.txt").write_text("".join(f"{i} and {i * 7 % 13}\n" for i in range(200)))
    program = tmp_path / "bin" / "inklings"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}{PROGRAM}")
    program.chmod(0o755)
    said = []
    for task in ("2", "1"):
        done = subprocess.run(
            ["bash", "-c", script],
            env={
                **os.environ,
                "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
                "SLURM_ARRAY_TASK_ID": task,
                "SLURM_CPUS_PER_TASK": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout + done.stderr)
    assert "Not done yet: 1/2" in said[0]
    assert (tmp_path / "comparison" / "report.html").is_file()
