"""A vocabulary is a thing of its own: `--tokenizer FILE|RUN` takes one that is there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import inklings
from inklings.text.store import TokenStore
from inklings.text.tokenizers import Tokenizer
from tests.commands import TINY, Ask, Command

ARM = "mlp:n_hidden=8"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a verb and read what it prints."""
    return Command(capsys)


@pytest.fixture
def kept(ask: Ask) -> Tokenizer:
    """The vocabulary of one text in a file, and another text of other words in other shares."""
    shown = ask(
        *("prepare", "words.txt", "--tokenizer", "word:9", "--save-tokenizer", "vocabulary.json")
    )
    assert shown["saved_tokenizer"] == "vocabulary.json"
    lines = [f"{number % 5} word and that {'new ' * (number % 3)}" for number in range(200)]
    Path("other.txt").write_text("\n".join(lines))
    return Tokenizer.load(Path("vocabulary.json"))


def train(ask: Ask, run: str, *flags: str) -> Any:
    ask("train", ARM, "--data", "other.txt", "--budget", "3-steps", "--run", run, *TINY, *flags)
    return inklings.load(run)


def test_a_run_takes_the_vocabulary_of_a_file_and_keeps_it(ask: Ask, kept: Tokenizer) -> None:
    learned = train(ask, "learned", "--tokenizer", "word:9")
    run = train(ask, "run", "--tokenizer", "vocabulary.json")
    assert run.tokenizer.hash == kept.hash == run.directory.record.tokenizer
    assert learned.tokenizer.hash != kept.hash
    assert run.config.data.tokenizer == "vocabulary.json"
    before = ask("evaluate", "run", "--split", "test")["loss"]
    Path("vocabulary.json").unlink()  # a run has its own copy
    store = TokenStore(Path(run.directory.environment["store"]))
    shutil.rmtree(store.path)  # and needs no file to make its text tokens again
    assert ask("evaluate", "run", "--split", "test")["loss"] == before
    assert ask("resume", "run", "--budget", "5-steps")["steps"] == 5


def test_every_verb_takes_the_vocabulary_of_a_run(ask: Ask, kept: Tokenizer) -> None:
    train(ask, "run", "--tokenizer", "vocabulary.json")
    prepared = ask("prepare", "other.txt", "--tokenizer", "run")
    assert prepared["tokenizer"]["hash"] == kept.hash
    assert train(ask, "again", "--tokenizer", "run/").tokenizer.hash == kept.hash
    text = ("--data", "other.txt", "--tokenizer", "run", "--budget", "3-steps")
    once = ("--seeds", "1", "--points", "1", "--rates", "0", "--workers", "1", "--out", "both")
    both = ask("compare", ARM, "ngram", *text, *once, *TINY)
    assert {arm["tokenizer"] for arm in both["arms"]} == {kept.hash}
    plan = ask("train", ARM, *text, "--from", "run", "--run", "more", "--dry-run")
    assert plan["config"]["data"]["tokenizer"] == "vocabulary.json"
    assert ask("audit", ARM, *text)["subject"]


def test_python_takes_a_run_and_a_path(ask: Ask, kept: Tokenizer) -> None:
    run = train(ask, "run", "--tokenizer", "vocabulary.json")
    for given in (run, Path("run"), "run", Path("vocabulary.json")):
        assert inklings.prepare("other.txt", tokenizer=given, show=False).tokenizer.hash == (
            kept.hash
        )
    made = inklings.train(
        ARM, "python", data="other.txt", budget="2-steps", tokenizer=run, threads=1, show=False
    )
    assert made.tokenizer.hash == kept.hash
    assert made.config.data.tokenizer == "run"


@pytest.mark.usefixtures("kept")
def test_what_holds_no_vocabulary_is_refused_before_anything_is_made(
    ask: Ask, command: Command
) -> None:
    Path("empty").mkdir()
    damaged = Path("vocabulary.json").read_text().replace("word", "sword", 1)
    Path("damaged.json").write_text(damaged)
    for given, saying in (
        ("empty", "the folder empty has no tokenizer.json. Name a run, or the file"),
        ("gone/run", "cannot read the tokenizer: gone/run is missing"),
        ("gone.json", "cannot read the tokenizer: gone.json is missing"),
        ("damaged.json", "damaged.json is damaged"),
        ("words.txt", "words.txt is not a tokenizer.json"),
        ("vocabularies", "unknown tokenizer 'vocabularies'"),
    ):
        command.refuses(
            *("train", ARM, "--data", "other.txt", "--tokenizer", given, "--run", "run"),
            saying=saying,
        )
        assert not Path("run").exists()


def test_a_vocabulary_in_a_file_is_not_lost_to_another(
    ask: Ask, command: Command, kept: Tokenizer
) -> None:
    again = ("prepare", "words.txt", "--save-tokenizer", "vocabulary.json", "--tokenizer")
    ask(*again, "word:9")
    command.refuses(*again, "char", saying="vocabulary.json exists and is not this vocabulary")
    command.refuses(
        *(*again[:3], "words.txt", "--tokenizer", "char"), saying="words.txt exists and is not"
    )
    assert Tokenizer.load(Path("vocabulary.json")).hash == kept.hash


@pytest.mark.slow
def test_a_comparison_says_that_its_vocabulary_changed(
    ask: Ask, command: Command, kept: Tokenizer
) -> None:
    words = ["compare", ARM, "ngram", "--data", "other.txt", "--tokenizer", "vocabulary.json"]
    words += ["--budget", "3-steps", "--seeds", "1", "--points", "1", "--rates", "0"]
    words += ["--workers", "1", "--out", "both", *TINY]
    ask(*words)
    Path("vocabulary.json").unlink()
    command.refuses(*words, saying="cannot read the tokenizer: vocabulary.json is missing")
    ask("prepare", "other.txt", "--tokenizer", "word:3", "--save-tokenizer", "vocabulary.json")
    command.refuses(*words, saying="the vocabulary vocabulary.json, which is not what it was")
    Path("vocabulary.json").unlink()
    kept.save(Path("vocabulary.json"))
    assert ask(*words)["status"] == "complete"


def test_another_rule_for_unknown_text_than_the_vocabulary_was_saved_with(
    ask: Ask, command: Command
) -> None:
    Path("letters.txt").write_text("abc\ncab\nbca\n" * 10)
    Path("more.txt").write_text("abcd\ncab\nbdca\n" * 10)
    ask("prepare", "letters.txt", "--tokenizer", "char", "--save-tokenizer", "letters.json")
    taking = ("prepare", "more.txt", "--tokenizer", "letters.json", "--data.unknown")
    command.refuses(*taking[:4], saying="lacks 'd'")
    skipping = ask(*taking, "skip")["tokenizer"]
    assert (skipping["vocab_size"], skipping["unknown"]) == (4, "skip")
    command.refuses(*taking, "replace", saying="no token that stands for what it lacks")
