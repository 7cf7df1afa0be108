"""What is known of the text that a run was trained on, once it was trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.durable import read_checked_json, write_checked_json
from inklings.runs.directory import CONFIG, RunDirectory
from inklings.runs.own_text import kept_store, layout_of, like_own
from inklings.text.store import TokenStore
from inklings.training.train import train

WORDS = "".join(f"{a}{b}{c}\n" for a in "kmstp" for b in "aeiou" for c in "lnrst")
VERSES = WORDS.replace("a\n", "a\n\n").replace("s\n", "s\n\n")
"""One blank line decides that a file is no list of lines."""


def run_on(path: Path, text: str) -> RunDirectory:
    """Count a text, which takes no time, with the layout left open."""
    path.mkdir()
    (path / "text.txt").write_text(text)
    config = RunConfig(
        architecture="ngram",
        data=DataConfig(source=str(path / "text.txt"), tokenizer="byte", split=(0.8, 0.2, 0.0)),
        training=TrainingConfig(budget="1-epochs", samples=0, threads=1),
    )
    train(config, path / "run")
    return RunDirectory.open(path / "run")


def as_before(run: RunDirectory) -> RunDirectory:
    """Make the folder of a run what it was before the layout was recorded."""
    content = read_checked_json(run.path / CONFIG)
    del content["layout"]
    write_checked_json(run.path / CONFIG, content)
    return RunDirectory.open(run.path)


@pytest.fixture
def lines(tmp_path: Path) -> RunDirectory:
    return run_on(tmp_path / "lines", WORDS)


def test_a_run_records_what_its_layout_came_to_beside_what_was_asked(
    lines: RunDirectory, tmp_path: Path
) -> None:
    verses = run_on(tmp_path / "verses", VERSES)
    assert [run.record.layout for run in (lines, verses)] == ["lines", "documents"]
    for run in (lines, verses):
        assert run.config.data.layout == run.record.given.data.layout == "auto"
        assert layout_of(run, None) == run.record.layout


def test_of_an_older_run_its_store_tells_it_and_else_nothing(lines: RunDirectory) -> None:
    old = as_before(lines)
    assert old.record == replace(lines.record, layout=None)
    assert layout_of(old, kept_store(old)) == "lines"
    assert layout_of(old, None) is None
    asked = replace(old.config, data=replace(old.config.data, layout="documents"))
    named = RunDirectory(old.path, replace(old.record, config=asked), old.environment)
    assert layout_of(named, None) == "documents"


def test_another_text_is_read_in_the_lines_of_a_run_whose_store_is_gone(
    lines: RunDirectory,
) -> None:
    assert like_own(lines, "other.txt", None).layout == "lines"
    assert like_own(as_before(lines), "other.txt", None).layout == "auto"
    store: TokenStore | None = kept_store(lines)
    assert like_own(lines, "other.txt", store).layout == "lines"
