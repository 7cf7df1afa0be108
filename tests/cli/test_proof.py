"""`inklings audit RUN --memory`.

A table and a sentence, one document for machines, and an exit code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inklings.cli.main import main
from tests.commands import TINY as TINY_RUN
from tests.commands import Ask

TINY = "context_length=8,segment=4,num_search_results=4,backbone=[gpt:n_layer=1,n_head=2,n_embd=16]"
BAD = Path(__file__).parents[1] / "auditing" / "fixtures" / "bad_memories.py"


@pytest.fixture
def repeating(ask: Ask) -> Ask:
    """`ask`, in a folder with a text whose lines each say one string twice."""
    rng = np.random.default_rng(0)
    strings = ["".join(rng.permutation(list("abcdefghijkl"))) for _ in range(120)]
    Path("twice.txt").write_text("\n".join(2 * string for string in strings) + "\n")
    return ask


def train(ask: Ask, arm: str, run: str) -> None:
    ask(
        "train",
        arm,
        "--data",
        "twice.txt",
        "--data.layout",
        "lines",
        "--tokenizer",
        "char",
        "--budget",
        "3-steps",
        "--run",
        run,
        *TINY_RUN,
    )


@pytest.mark.slow
def test_a_run_with_a_memory_is_put_to_the_proof(
    repeating: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    train(repeating, f"varda:share=0.6,{TINY}", "run")
    document = repeating("audit", "run", "--memory", "--targets", "200")
    assert document["holds"]
    assert document["verdict"].startswith("The memory lowers perplexity by")
    arms = {arm["name"]: arm for arm in document["arms"]}
    assert len(arms) == 8
    assert arms["memory"]["percent"][2] < 0
    assert arms["permuted values"]["percent"][0] > 0
    assert document["provenance"]["ahead"] == 0
    assert 200 <= document["targets"] < 250
    assert main(["audit", "run", "--memory", "--targets", "60"]) == 0
    out = capsys.readouterr().out
    assert "permuted values" in out
    assert "95% interval" in out


@pytest.mark.slow
def test_a_memory_that_holds_the_answer_is_exit_code_3(repeating: Ask) -> None:
    train(repeating, f"{BAD}:Foresees", "run")
    document = repeating("audit", "run", "--memory", "--targets", "60", code=3)
    assert not document["holds"]
    assert document["verdict"].startswith("No gain counts")
    assert document["provenance"]["ahead"] > 0


def test_what_cannot_be_proved_says_what_to_do(
    repeating: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    train(repeating, "gpt:n_layer=1,n_head=2,n_embd=16,context_length=8", "plain")
    capsys.readouterr()
    assert main(["audit", "plain", "--memory"]) == 2
    assert "inklings train varda --from plain --run NEW" in " ".join(
        capsys.readouterr().err.split()
    )
    assert main(["audit", "varda", "--memory"]) == 2
    assert "is not trained" in " ".join(capsys.readouterr().err.split())
    assert main(["audit", "plain", "--targets", "60"]) == 2
    assert "Add --memory" in " ".join(capsys.readouterr().err.split())
