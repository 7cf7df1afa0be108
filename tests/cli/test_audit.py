"""`inklings audit`.

One document with every finding, and an exit code that says whether all of them hold.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inklings.auditing.check import CHECKS as REGISTERED
from inklings.cli.main import main
from inklings.cli.templates import architecture
from tests.commands import TINY as TINY_RUN
from tests.commands import Ask

TINY = "n_layer=1,n_head=2,n_embd=16,context_length=6"
CHECKS = list(REGISTERED.places)


def statuses(document: dict[str, Any]) -> dict[str, str]:
    return {finding["check"]: finding["status"] for finding in document["findings"]}


def test_an_honest_architecture_holds(ask: Ask) -> None:
    document = ask("audit", f"gpt:{TINY}")
    assert (document["subject"], document["trained"], document["holds"]) == (
        f"gpt:{TINY}",
        False,
        True,
    )
    found = statuses(document)
    assert list(found) == CHECKS
    needs_more = {"overlap", "coverage", "recorded", "memory", "novelty", "loss"}
    assert found == {check: "not applicable" if check in needs_more else "pass" for check in CHECKS}
    assert all(finding["summary"] for finding in document["findings"])
    assert "--data" in next(
        finding["summary"] for finding in document["findings"] if finding["check"] == "overlap"
    )


def test_a_leak_is_exit_code_3_and_said_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    leaky = f"wavegpt:fusion=leaky_broadcast,wave_layers=2,{TINY}"
    assert main(["audit", leaky, "--json"]) == 3
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert not document["holds"]
    assert statuses(document)["causality"] == statuses(document)["prefixes"] == "fail"
    said = " ".join(err.split())
    assert "the future enters in view (View), from 1 position ahead" in said
    assert f"{leaky} does not hold: causality, prefixes" in said


def test_an_unknown_name_is_a_slip(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "gtp"]) == 2
    assert "Did you mean 'gpt'" in capsys.readouterr().err
    assert main(["audit", f"gpt:{TINY},n_laier=2"]) == 2


BAD_FILES = {
    "does not import": (
        "import nothing_of_the_kind\n",
        "line 1 could not be imported: ModuleNotFoundError",
    ),
    "is no Python": ("class Mine(:\n", "could not be imported: SyntaxError"),
    "has no such class": ("class Other: pass\n", "Mine"),
    "is no model": (
        "class Mine: pass\n",
        "mine.py:Mine makes a Mine; it must make a scorer (begin, predict, observe), a",
    ),
    "has no Config": (
        (
            "from inklings.models.contract import SequenceModel\n\nclass Mine(SequenceModel):\n   "
            " def forward(self, tokens): ...\n"
        ),
        "has no `Config`",
    ),
}


@pytest.mark.parametrize(("text", "said"), BAD_FILES.values(), ids=list(BAD_FILES))
def test_a_file_that_cannot_be_used_breaks_the_contract(ask: Ask, text: str, said: str) -> None:
    Path("mine.py").write_text(text)
    document = ask("audit", "mine.py:Mine", code=3)
    assert statuses(document) == {"contract": "fail"}
    assert said in document["findings"][0]["summary"]


def test_the_text_is_audited_though_the_file_cannot_be_used(ask: Ask) -> None:
    Path("mine.py").write_text("import nothing_of_the_kind\n")
    document = ask("audit", "mine.py:Mine", "--data", "words.txt", code=3)
    assert statuses(document) == {"contract": "fail", "overlap": "pass"}


def test_a_file_that_raises_is_told_what_and_where(ask: Ask) -> None:
    template = Path(architecture.__file__).read_text(encoding="utf-8")
    Path("mine.py").write_text(template.replace("hidden = self.norm(x)", "hidden = self.nrom(x)"))
    document = ask("audit", "mine.py:MyModel:n_embd=16", code=3)
    assert list(statuses(document)) == CHECKS
    assert "forward raises AttributeError" in document["findings"][0]["summary"]
    assert "nrom" in document["findings"][0]["summary"]
    Path("mine.py").write_text(template)
    assert ask("audit", "mine.py:MyModel:n_embd=16,n_layer=1,context_length=4")["holds"]


def test_a_model_that_cannot_be_made_is_reported_by_every_check(ask: Ask) -> None:
    template = Path(architecture.__file__).read_text(encoding="utf-8")
    Path("mine.py").write_text(
        template.replace(
            "super().__init__(config)\n",
            "super().__init__(config)\n        raise KeyError('size')\n",
            1,
        )
    )
    document = ask("audit", "mine.py:MyModel", code=3)
    assert statuses(document)["contract"] == "fail"
    assert "KeyError" in document["findings"][0]["summary"]
    assert list(statuses(document)) == CHECKS


def test_a_text_lets_all_that_needs_one_apply(ask: Ask) -> None:
    document = ask("audit", "mlp:n_embd=6,n_hidden=16,context_length=4", "--data", "words.txt")
    found = statuses(document)
    assert found["overlap"] == found["coverage"] == found["loss"] == "pass"
    assert found["novelty"] == "not applicable"


@pytest.mark.slow
def test_a_run_is_audited_with_its_own_weights_and_text(ask: Ask) -> None:
    ask(
        "train",
        "mlp:n_embd=6,n_hidden=16,context_length=4",
        "--data",
        "words.txt",
        "--budget",
        "30-steps",
        "--run",
        "run",
        *TINY_RUN,
    )
    document = ask("audit", "run")
    assert document["trained"]
    assert ask("doctor", "run")["audits"] == ["audited on validation: it holds"]
    found = statuses(document)
    assert list(found) == CHECKS
    assert {check for check, status in found.items() if status == "not applicable"} == {
        "branches",
        "memory",
    }
    held_out = next(finding for finding in document["findings"] if finding["check"] == "prefixes")
    assert "held-out text" in held_out["summary"]
    evidence = {finding["check"]: finding["evidence"] for finding in document["findings"]}
    assert evidence["loss"]["trained"]
    other = ask("audit", "run", "--split", "test")
    assert {finding["check"]: finding["evidence"] for finding in other["findings"]}["loss"][
        "loss"
    ] != evidence["loss"]["loss"]
