"""Whether an existing run was trained on the text of a comparison: by what its layout came to."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.durable import read_checked_json, write_checked_json
from inklings.errors import RunError
from inklings.lab.comparison.arms import Terms, settle
from inklings.runs.arms import Arm
from inklings.runs.directory import CONFIG
from inklings.text.store import prepare
from inklings.training.train import train

OTHER = "split its own way"


@pytest.fixture
def run(word_list: Path, tmp_path: Path) -> Path:
    """A run on words, a line each; the layout was left open."""
    text = tmp_path / "words.txt"
    text.write_text(word_list.read_text())
    config = RunConfig(
        architecture="ngram",
        data=DataConfig(source=str(text), tokenizer="byte"),
        training=TrainingConfig(budget="1-epochs", samples=0, threads=1),
    )
    train(config, tmp_path / "run")
    return tmp_path / "run"


def notes_beside(run: Path, data: DataConfig) -> str:
    """Settle the run as an arm of a comparison on a text, and return what is noted of it."""
    store = prepare(data)
    terms = Terms(data=data, budget=None, store=store, points=1, parameters=None, before=None)
    return " ".join(settle(Arm("run", run=run), "run", 0, terms, lambda event: None).notes)


def test_a_layout_that_was_guessed_is_the_one_that_is_named(run: Path) -> None:
    text = DataConfig(source=str(run.parent / "words.txt"), tokenizer="byte")
    assert OTHER not in notes_beside(run, text)
    assert OTHER not in notes_beside(run, replace(text, layout="lines"))
    assert OTHER in notes_beside(run, replace(text, layout="documents"))
    content = read_checked_json(run / CONFIG)
    del content["layout"]  # as runs had it before: its store tells
    write_checked_json(run / CONFIG, content)
    assert OTHER not in notes_beside(run, replace(text, layout="lines"))


def test_a_text_whose_guess_has_changed_is_refused_and_says_so(run: Path) -> None:
    text = run.parent / "words.txt"
    text.write_text("a preface\n\n" + text.read_text())
    said = "not what it was when .* began (its layout was lines, and is documents now)"
    with pytest.raises(RunError, match=re.escape(said).replace(r"\.\*", ".*")):
        notes_beside(run, DataConfig(source=str(text), tokenizer="byte"))
