"""A run is scored on its text as it was when it began, whatever became of the file."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from inklings.cli.main import main
from inklings.runs.directory import RunDirectory
from inklings.runs.own_text import kept_store
from inklings.text.store import TokenStore
from tests.commands import Ask

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SCORING: dict[str, tuple[str, ...]] = {
    "evaluate": ("evaluate", "run", "--split", "test"),
    "audit": ("audit", "run"),
    "compare": ("compare", "run", "other", "--workers", "1", "--out", "out"),
}
# the store has one owner, so one verb is enough where time is short
EACH = [
    pytest.param(verb, marks=[] if verb == "evaluate" else [pytest.mark.slow]) for verb in SCORING
]


def _lines(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(LETTERS, k=30)) for _ in range(count)]


def _write(lines: list[str]) -> None:
    Path("text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _in_front() -> None:
    _write(["a" * 30, *_lines(400, 0)])


def _shuffled() -> None:
    _write(_lines(400, 0)[::-1])


def _another() -> None:
    _write(_lines(300, 1))


def _gone() -> None:
    Path("text.txt").unlink()


def _in_other_letters() -> None:
    _write(["0 1 2"] * 20)


CHANGES = [_in_front, _shuffled, _another, _gone, _in_other_letters]


@pytest.fixture
def trained(ask: Ask) -> Ask:
    """Two runs on 400 lines of random letters, where nothing but memory can beat guessing."""
    _write(_lines(400, 0))
    for run, order in (("run", 6), ("other", 2)):
        ask(
            "train",
            f"ngram:order={order}",
            "--data",
            "text.txt",
            "--run",
            run,
            "--training.samples",
            "0",
        )
    return ask


def _figures(document: dict[str, Any]) -> Any:
    """What a document says of the model, without where and when it was made."""
    if "findings" in document:
        return [
            (finding["check"], finding["status"], finding["summary"])
            for finding in document["findings"]
        ]
    if "arms" in document:
        return [
            (arm["label"], [(run["loss"], run["loss_interval"]) for run in arm["runs"]])
            for arm in document["arms"]
        ]
    return document["loss"], document["targets"], document["accuracy"]


@pytest.mark.parametrize("verb", EACH)
def test_a_changed_text_changes_no_figure(verb: str, trained: Ask) -> None:
    before = _figures(trained(*SCORING[verb]))
    for change in {"evaluate": CHANGES, "audit": [_in_front, _gone], "compare": [_in_front]}[verb]:
        change()
        shutil.rmtree("out", ignore_errors=True)
        assert _figures(trained(*SCORING[verb])) == before, change.__name__


@pytest.mark.parametrize("verb", EACH)
def test_without_the_store_a_changed_text_is_refused(
    verb: str, trained: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _figures(trained(*SCORING[verb]))
    _lose_store("run")
    shutil.rmtree("out", ignore_errors=True)
    assert _figures(trained(*SCORING[verb])) == before, "an unchanged text is prepared again"
    shutil.rmtree("out", ignore_errors=True)
    capsys.readouterr()
    for change in CHANGES:
        change()
        assert main([*SCORING[verb]]) == 2
        said = capsys.readouterr().err
        assert "run was trained beside is gone" in said or "is not what it was" in said, (
            change.__name__
        )


def test_a_new_arm_beside_a_run_on_the_changed_text_is_refused(
    trained: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    _in_front()
    assert (
        main(
            [
                "compare",
                "run",
                "ngram:order=3",
                "--data",
                "text.txt",
                "--workers",
                "1",
                "--out",
                "out",
            ]
        )
        == 2
    )
    assert "what is held out now may be what it learned from" in capsys.readouterr().err


@pytest.mark.slow
def test_runs_in_other_tokens_share_the_text_as_it_was(trained: Ask) -> None:
    trained(
        "train",
        "ngram:order=2",
        "--data",
        "text.txt",
        "--tokenizer",
        "byte",
        "--run",
        "bytes",
        "--training.samples",
        "0",
    )
    arguments = ("compare", "run", "bytes", "--workers", "1", "--out", "out")
    before = _figures(trained(*arguments))
    _gone()
    shutil.rmtree("out")
    assert _figures(trained(*arguments)) == before


@pytest.mark.parametrize(("split", "share"), [("all", 320 / 401), ("test", None)])
def test_of_another_text_it_is_said_how_much_the_run_was_trained_on(
    split: str, share: float | None, trained: Ask
) -> None:
    _in_front()
    found = trained("evaluate", "run", "--data", "text.txt", "--split", split)["trained_on"]
    assert found["flatters"]
    assert share is None or found["documents"] / found["text_documents"] == share
    _another()
    new = trained("evaluate", "run", "--data", "text.txt", "--split", split)["trained_on"]
    assert new["documents"] == 0
    assert not new["flatters"]


def test_a_whole_text_is_scored_as_one(trained: Ask) -> None:
    lines = _lines(90, 7)
    Path("new.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    whole = trained("evaluate", "run", "--data", "new.txt", "--split", "all")
    assert whole["targets"] == sum(len(line) + 1 for line in lines)
    parts = [
        trained("evaluate", "run", "--data", "new.txt", "--split", part)
        for part in ("train", "validation", "test")
    ]
    assert sum(part["targets"] * part["loss"] for part in parts) == pytest.approx(
        whole["targets"] * whole["loss"]
    )


def test_a_whole_text_is_asked_for_of_another_text_only(
    trained: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "run", "--split", "all"]) == 2
    assert "--data FILE" in capsys.readouterr().err
    assert main(["evaluate", "run", "--split", "all", "--data", "text.txt", "--samples", "10"]) == 2
    assert "--split validation or test" in capsys.readouterr().err


@pytest.mark.slow
def test_an_audit_with_another_text_looks_for_what_the_run_was_trained_on(trained: Ask) -> None:
    """The text as such is clean.

    What it holds out stands nowhere else in it, but the run knows most of it.
    """
    _in_front()
    findings = {
        finding["check"]: finding
        for finding in trained("audit", "run", "--data", "text.txt")["findings"]
    }
    assert findings["overlap"]["status"] == "warning"
    _lose_store("run")
    Path("other.txt").write_text("\n".join(_lines(100, 3)) + "\n", encoding="utf-8")
    findings = {
        finding["check"]: finding
        for finding in trained("audit", "run", "--data", "other.txt")["findings"]
    }
    assert findings["overlap"]["status"] == "not applicable"


def test_training_that_begins_with_a_run_says_what_that_run_knows(trained: Ask) -> None:
    def told() -> list[str]:
        shutil.rmtree("tuned", ignore_errors=True)
        trained(*flags)
        events = [json.loads(line) for line in Path("tuned/metrics.jsonl").read_text().splitlines()]
        return [note for note in events[0]["notes"] if "test of memory" in note]

    tiny = (
        "mlp:n_embd=4,n_hidden=8,context_length=2",
        "--training.samples",
        "0",
        "--budget",
        "2-steps",
    )
    trained("train", *tiny, "--data", "text.txt", "--run", "trunk")
    flags = ("train", *tiny, "--from", "trunk", "--data", "text.txt", "--run", "tuned")
    assert not told()
    _in_front()
    assert told()


def _lose_store(run: str) -> None:
    store = kept_store(RunDirectory.open(Path(run)))
    assert isinstance(store, TokenStore)
    shutil.rmtree(store.path)
