"""A finite loss that means nothing is said in words, wherever the run is shown.

One that means something is not.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.cli.main import main
from inklings.config import DataConfig
from inklings.text.store import TokenStore, prepare
from inklings.training.doubt import FAR, doubt_of, unigram_loss
from tests.cli.conftest import ask  # noqa: F401  # the fixture
from tests.commands import Ask

MLP = (
    "mlp:n_embd=4,n_hidden=8,context_length=2",
    "--training.samples",
    "0",
    "--training.optimizer",
    "sgd",
    "--training.clip",
    "0",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    """Two letters of which one is nine times as frequent, and two that are rare."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    draw = random.Random(0)
    path.write_text(
        "\n".join("".join(draw.choices("abcd", [90, 10, 1, 1], k=30)) for _ in range(200))
    )
    return prepare(DataConfig(source=str(path), tokenizer="char"))


@given(st.floats(0, 1e35), st.none() | st.floats(0, 10))
def test_a_doubt_says_beside_what_the_loss_is_high(
    store: TokenStore, loss: float, first: float | None
) -> None:
    said = doubt_of(store, loss=loss, first=first, likelihood=True)
    guessing, unigram = math.log(store.tokenizer.vocab_size), unigram_loss(store)
    assert unigram < guessing - 2 * FAR
    far = loss > unigram + FAR
    assert (said is not None) == (far or (first is not None and loss > first))
    if said is not None:
        assert ("above where the run began" in said) == (first is not None and loss > first)
        assert ("guessing gets" in said) == (loss > guessing + FAR)
        assert ("how often each token occurs" in said) == (far and loss <= guessing + FAR)


def test_exactly_guessing_is_doubtful_unless_nothing_more_can_be_known(
    store: TokenStore, tmp_path: Path
) -> None:
    guessing = math.log(store.tokenizer.vocab_size)
    assert "how often each token occurs" in (
        doubt_of(store, loss=guessing, first=None, likelihood=True) or ""
    )
    draw = random.Random(1)
    (tmp_path / "even.txt").write_text(
        "\n".join("".join(draw.choices("abcdefg", k=7)) for _ in range(300))
    )
    even = prepare(DataConfig(source=str(tmp_path / "even.txt"), tokenizer="char"))
    assert doubt_of(even, loss=unigram_loss(even), first=None, likelihood=True) is None


@pytest.mark.slow
@pytest.mark.parametrize("rate", ["1e9", "1e4"])
def test_a_run_that_ends_in_finite_nonsense_says_so_wherever_it_is_shown(
    rate: str,
    ask: Ask,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ("--data", "words.txt", "--budget", "8-steps", "--training.learning-rate", rate)
    assert main(["train", *MLP, *flags, "--run", "runs/wild"]) == 0
    assert "warning: the validation loss ended at" in capsys.readouterr().out
    assert main(["runs"]) == 0
    assert "warning: runs/wild: the validation loss ended at" in " ".join(
        capsys.readouterr().out.split()
    )
    (listed,) = ask("runs")["runs"]
    assert "above where the run began" in listed["doubt"]
    assert ask("resume", "runs/wild")["doubt"] == listed["doubt"]
    found = ask(
        "compare",
        "runs/wild",
        "ngram:order=2",
        "--data",
        "words.txt",
        "--workers",
        "1",
        "--out",
        "out",
    )
    assert found["arms"][0]["runs"][0]["message"] == listed["doubt"]
    assert "the validation loss ended at" in Path("out/report.html").read_text(encoding="utf-8")


def test_a_run_that_learns_is_not_doubted(ask: Ask) -> None:  # noqa: F811
    made = ask(
        "train",
        "ngram:order=2",
        "--data",
        "words.txt",
        "--run",
        "runs/fine",
        "--training.samples",
        "0",
    )
    assert made["doubt"] is None
    assert ask("runs")["runs"][0]["doubt"] is None
