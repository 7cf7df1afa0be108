"""A generator without likelihood on the command line.

What it does, and what it cannot do said in one message.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inklings.cli.main import main
from tests.commands import GAN, TINY, Command, words


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, a run of a text GAN on it and one of a model with likelihood."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "words.txt").write_text(words(100))
    for name, arm in (("gan", GAN), ("mlp", "mlp:n_hidden=8")):
        arguments = [
            "train",
            arm,
            "--data",
            str(folder / "words.txt"),
            "--budget",
            "2-steps",
            "--run",
            str(folder / name),
            *TINY,
        ]
        assert main([*arguments, "--training.batch-size", "4"]) == 0
    return folder


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.chdir(runs)
    return Command(capsys)


def test_a_prompt_is_refused_with_the_reason(command: Command) -> None:
    said = command.refuses("generate", "gan", "once upon", saying="cannot go on from a prompt")
    assert "'once upon'" in said


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--temperature", "0.5"], "--temperature"),
        (["--top-k", "3"], "--top-k"),
        (["--repetition-penalty", "1.2"], "--repetition-penalty"),
        (["--interactive"], "--interactive"),
        (["--provenance"], "--provenance"),
        (["--across-documents"], "--across-documents"),
        (["--top-p", "0.5", "--stop", "x"], "--top-p, --stop"),
    ],
    ids=str,
)
def test_flags_of_next_words_are_refused_by_name(
    command: Command, flags: list[str], named: str
) -> None:
    command.refuses("generate", "gan", *flags, saying=f"{named}: gan makes whole texts")


def test_a_style_seed_is_refused_where_there_is_no_style(command: Command) -> None:
    command.refuses("generate", "mlp", "--style-seed", "3", saying="--style-seed")


def test_texts_are_a_function_of_their_seeds(command: Command) -> None:
    def texts(*flags: str) -> list[str]:
        command.capture.readouterr()
        assert main(["generate", "gan", "--json", *flags]) == 0
        document = json.loads(command.capture.readouterr().out)
        return [sample["text"] for sample in document["samples"]]

    two, three = texts("--samples", "2", "--seed", "1"), texts("--samples", "3", "--seed", "1")
    assert three[:2] == two
    assert texts("--samples", "3", "--seed", "2") != three
    assert texts("--samples", "3", "--seed", "1", "--style-seed", "1") != three
    assert all(len(text) <= 4 for text in texts("--samples", "3", "--max-new-tokens", "4"))


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (["memory", "gan", "info"], "no probabilities"),
        (["audit", "gan", "--memory"], "no memory"),
        (["train", GAN, "--data", "words.txt", "--find-lr"], "critic"),
        (["train", GAN, "--data", "words.txt", "--find-batch-size"], "no probabilities"),
        (
            ["train", "varda", "--data", "words.txt", "--from", "gan", "--run", "r"],
            "cannot be a backbone",
        ),
        (
            ["train", "varda:backbone=textgan", "--data", "words.txt", "--run", "r"],
            "cannot be a backbone",
        ),
        (["train", "mlp", "--data", "words.txt", "--from", "gan", "--run", "r"], "textgan"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_needs_probabilities_says_so(
    command: Command, arguments: list[str], saying: str
) -> None:
    command.refuses(*arguments, saying=saying)
    assert not Path("r").exists()


def test_an_audit_of_a_run_ends_well(command: Command) -> None:
    command.capture.readouterr()
    assert main(["audit", "gan", "--json"]) == 0
    findings = {
        finding["check"]: finding
        for finding in json.loads(command.capture.readouterr().out)["findings"]
    }
    assert set(findings) == {
        "contract",
        "rows",
        "gradients",
        "overlap",
        "coverage",
        "collapse",
        "novelty",
    }
    assert all(
        findings[check]["status"] == "pass"
        for check in ("contract", "rows", "gradients", "coverage")
    )


# --- texts that do not fit ------------------------------------------------------------------------


def test_longer_documents_are_left_out_aloud(command: Command) -> None:
    # the training part holds nearly all: its count is said with how many there are
    Path("mixed.txt").write_text(
        "\n".join(f"{'long ' * 8 if number % 2 else 'short'} {number}" for number in range(100))
    )
    code, said = command(
        "train",
        GAN,
        "--data",
        "mixed.txt",
        "--budget",
        "1-steps",
        "--run",
        "mixed",
        "--training.batch-size",
        "4",
        *TINY,
    )
    assert code == 0, said
    assert (
        "have more than 24 tokens with their end mark and are left out: a larger"
        " model.context_length" in said
    )


def test_a_batch_of_one_is_said_to_be_little(command: Command) -> None:
    code, said = command(
        "train",
        GAN,
        "--data",
        "words.txt",
        "--budget",
        "1-steps",
        "--run",
        "one",
        "--training.batch-size",
        "1",
        *TINY,
    )
    assert code == 0, said
    assert "a batch of one text" in said


def test_where_all_documents_are_longer_it_is_one_clear_error(command: Command) -> None:
    Path("long.txt").write_text("\n".join(f"{'long ' * 8} {number}" for number in range(100)))
    said = command.refuses(
        "train",
        GAN,
        "--data",
        "long.txt",
        "--budget",
        "1-steps",
        "--run",
        "long",
        *TINY,
        saying="fits into 24 tokens",
    )
    assert "model.reads be windows" in said
    assert said.count("fits into") == 1
    assert not Path("long").exists()


def test_a_text_too_small_to_learn_from_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "few.txt").write_text("one line\nanother line\nand a third\n")
    code = main(
        [
            "train",
            "textgan",
            "--data",
            str(tmp_path / "few.txt"),
            "--data.layout",
            "lines",
            "--budget",
            "1-steps",
            "--run",
            str(tmp_path / "few"),
            "--training.evaluations",
            "1",
            "--training.threads",
            "1",
        ]
    )
    assert code == 0
    printed = capsys.readouterr()
    assert "has 3 such texts: a generator can hardly learn more" in printed.out + printed.err
