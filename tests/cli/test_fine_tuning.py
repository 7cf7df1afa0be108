"""`inklings train --from`.

What is inherited, what is refused, and what a vocabulary takes in, as a user sees it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inklings.runs.directory import RunDirectory
from tests.commands import Ask

TINY = (
    *(
        "--training.batch-size=2",
        "--training.sequence-length=8",
        "--training.evaluations=1",
        "--training.samples=0",
    ),
    *(
        "--training.threads=1",
        "--training.precision=float32",
        "--training.compile=off",
        "--budget",
        "1-steps",
    ),
)
SPANISH = "\n".join(f"word {number} y año" for number in range(50))


@pytest.fixture
def first(ask: Ask) -> str:
    ask("train", "mlp:n_hidden=8,n_embd=4", "--data", "words.txt", "--run", "first", *TINY)
    Path("spanish.txt").write_text(SPANISH, encoding="utf-8")
    return "first"


def test_what_cannot_be_had_is_refused_and_not_written_down(ask: Ask, first: str) -> None:
    asked = ("train", "mlp", "--from", first, "--data", "words.txt", "--run", "tuned", *TINY)
    for flags, words in (
        (("--tokenizer", "bpe:400", "--data.unknown", "skip"), "data.tokenizer is 'bpe:400'"),
        (("--data.tokenizer", "byte"), "data.tokenizer is 'byte'"),
        (("--model.n-hidden", "9"), "n_hidden is 9 here and 8 there"),
        (("--training.init-seed", "3"), "no weights are drawn"),
    ):
        assert words in ask(*asked, *flags, code=2)["error"]
        for finder in ("--dry-run", "--find-lr", "--find-batch-size"):
            assert words in ask(*asked, *flags, finder, code=2)["error"]
    assert not Path("tuned").exists()
    assert (
        "needs --from"
        in ask("train", "mlp", "--extend-vocabulary", "--data", "words.txt", *TINY, code=2)["error"]
    )


def test_the_model_is_inherited_with_or_without_an_arm(ask: Ask, first: str) -> None:
    ask("train", "--from", first, "--data", "words.txt", "--run", "a", *TINY)
    ask("train", "mlp", f"--from={first}", "--data", "words.txt", "--run", "b", *TINY)
    Path("mine.toml").write_text("[training]\nbatch_size = 3\n")
    ask(
        "train",
        "--config",
        "mine.toml",
        "--from",
        first,
        "--data",
        "words.txt",
        "--run",
        "c",
        *TINY[1:],
    )
    model = RunDirectory.open(Path(first)).config.model
    for run in "abc":
        assert RunDirectory.open(Path(run)).config.model == model
    assert RunDirectory.open(Path("c")).config.training.batch_size == 3
    written = json.loads(Path("a/config.json").read_text())
    assert written["config"]["data"]["tokenizer"] == "auto" and written["initial"] == first


def test_a_text_with_new_characters(ask: Ask, first: str) -> None:
    asked = ("train", "--from", first, "--data", "spanish.txt", *TINY)
    assert "lacks 'y', 'ñ'" in ask(*asked, "--run", "no", code=2)["error"]
    ask(*asked, "--run", "skips", "--data.unknown", "skip")
    assert RunDirectory.open(Path("skips")).tokenizer().unknown == "skip"
    plan = ask(*asked, "--extend-vocabulary", "--dry-run")
    assert "2 tokens new to the vocabulary: 'y', 'ñ'." in plan["reasons"]
    ask(*asked, "--extend-vocabulary", "--run", "grown")
    assert RunDirectory.open(Path("grown")).record.new_tokens == 2
    assert ask("generate", "grown", "año", "--max-new-tokens", "2")["samples"]
    assert ask("evaluate", "grown")["loss"] > 0


def test_code_of_a_run_is_trusted_before_its_settings_are_read(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "mine"))
    ask("new", "own.py")
    ask("train", "own.py:MyModel:n_layer=1,n_embd=8", "--data", "words.txt", "--run", "own", *TINY)
    Path("moved").mkdir()
    Path("own.py").rename("moved/own.py")
    ask(
        "train",
        "moved/own.py:MyModel",
        "--from",
        "own",
        "--data",
        "words.txt",
        "--run",
        "tuned",
        *TINY,
    )
    assert RunDirectory.open(Path("tuned")).config.model["n_embd"] == 8
    Path("spanish.txt").write_text(SPANISH, encoding="utf-8")
    ask(
        "train",
        "--from",
        "own",
        "--data",
        "spanish.txt",
        "--extend-vocabulary",
        "--run",
        "grown",
        *TINY,
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "somebody-elses"))
    for more in ((), ("--dry-run",)):
        assert (
            "--trust-code"
            in ask("train", "--from", "own", "--data", "words.txt", *TINY, *more, code=2)["error"]
        )
    ask("train", "--from", "own", "--data", "words.txt", *TINY, "--dry-run", "--trust-code")
