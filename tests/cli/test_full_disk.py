"""A disk that is full at any write: one clear message, nothing half-made, and nothing lost."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inklings.cli.main import main
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.text.store import TokenStore

FORMATS = Path(__file__).parents[1] / "fixtures" / "formats"
OWN = Path(__file__).resolve().parents[1] / "training" / "fixtures" / "remembering.py"
TINY = ["--training.threads", "1", "--training.samples", "0", "--training.precision", "float32"]
ADD = ["memory", "run", "add", "story.txt"]
COMPARE = ["compare", "ngram:order=1", "ngram:order=2", "--data", "words.txt", "--seeds", "1"]
COMPARE += ["--rates", "0", "--points", "1", "--out", "out"]

Room = Callable[[int | None], list[int]]


@pytest.fixture
def room_for(monkeypatch: pytest.MonkeyPatch) -> Room:
    """Lets so many files be made durable and no more; None: all. The list grows with each."""
    calls: list[int] = []

    def after(most: int | None) -> list[int]:
        calls.clear()

        def sync(descriptor: int) -> None:
            calls.append(descriptor)
            if most is not None and len(calls) > most:
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", sync)
        return calls

    return after


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder of its own with a text; jobs are done in this process, and nothing is audited."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INKLINGS_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("home")))
    Path("words.txt").write_text("".join(f"word {n} and {n * 7 % 13}\n" for n in range(60)))
    Path("story.txt").write_text("The lamp in the harbour was lit at nine.")

    def here(jobs: Any, work: Any, *, workers: int, on_event: Any) -> Iterator[tuple[Any, Any]]:
        for job in jobs:
            if (result := work.do(job, on_event)) is not None:
                yield job, result

    monkeypatch.setattr("inklings.lab.comparison.compare.do_jobs", here)
    monkeypatch.setattr(
        "inklings.lab.comparison.compare.audited",
        lambda comparison, contestants, share, report: comparison,
    )
    monkeypatch.setattr("inklings.lab.execution.run_arm.before_training", list)
    monkeypatch.setattr("inklings.lab.execution.run_arm.after_training", list)
    return tmp_path


def fails(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said where the disk is full, once, with what to do."""
    capsys.readouterr()
    assert main(words) == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    message = said.err.strip()
    assert message.startswith("inklings: the disk is full: could not write"), message
    assert message.endswith("Free some space and run the same command again."), message
    assert not list(Path().rglob("*.tmp"))
    return message


def done(words: list[str], room_for: Room) -> int:
    """How many files a command makes durable that has room."""
    synced = room_for(None)
    assert main(words) == 0
    return len(synced)


def test_a_preparation_leaves_nothing_half_made(
    room_for: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, asked = Path(os.environ["INKLINGS_CACHE"]), ["prepare", "words.txt"]
    for most in range(done(asked, room_for)):
        shutil.rmtree(cache, ignore_errors=True)
        room_for(most)
        fails(asked, capsys)
        for left in cache.glob("stores/*"):
            TokenStore(left)  # whole: it was in its place before the disk was full
    done(asked, room_for)


def test_a_memory_is_what_it_was(room_for: Room, capsys: pytest.CaptureFixture[str]) -> None:
    made = ["train", f"{OWN}:Rememberer", "--data", "words.txt", "--tokenizer", "byte", *TINY]
    done([*made, "--budget", "2-steps", "--run", "run"], room_for)
    shutil.copytree("run", "empty")
    for most in range(done(ADD, room_for) - 1):  # after the last one the text is in the memory
        shutil.rmtree("run")
        shutil.copytree("empty", "run")
        room_for(most)
        fails(ADD, capsys)
        assert main(["doctor", "run"]) == 0
        done(ADD, room_for)


@pytest.mark.slow
def test_a_comparison_goes_on(room_for: Room, capsys: pytest.CaptureFixture[str]) -> None:
    done(COMPARE, room_for)  # with the text, which the next ones find prepared
    shutil.rmtree("out")
    syncs = done(COMPARE, room_for)
    whole = [arm.runs[0].loss for arm in read_comparison(Path("out")).arms]
    for most in range(0, syncs, 9):
        shutil.rmtree("out")
        room_for(most)
        fails(COMPARE, capsys)
        done(COMPARE, room_for)
        assert [arm.runs[0].loss for arm in read_comparison(Path("out")).arms] == whole


@pytest.mark.slow
def test_a_report_is_the_one_before(room_for: Room, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(FORMATS / "comparison", "out")
    syncs = done(["report", "out"], room_for)
    before = Path("out/report.html").read_bytes()
    for most in range(0, syncs, max(1, syncs - 1)):
        room_for(most)
        fails(["report", "out"], capsys)
        assert Path("out/report.html").read_bytes() == before
