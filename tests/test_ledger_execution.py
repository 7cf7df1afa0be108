"""Every claim's command runs to its end, but with little text, few steps and one seed."""

from __future__ import annotations

import random
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inklings.cli.main import main

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from ledger_claims import Claim, read_claims  # noqa: E402  # the scripts are no package

OURS = {
    name: claim for name, claim in read_claims().items() if claim.command.startswith("inklings ")
}
NOT_HERE = {"varda-pretrained", "wavegpt-openwebtext"}
"""Weights of the hub, and a model that is made for a GPU."""
LITTLE = {
    "--seeds": "1",
    "--rates": "0",
    "--points": "1",
    "--samples": "20",
    "--targets": "300",
    "--max-new-tokens": "5",
    "--parameters": "10k",
    "--workers": "1",
}
FEW = {
    "train": {
        "--budget": "2-steps",
        "--training.batch-size": "4",
        "--training.accumulate": "1",
        "--training.evaluations": "1",
        "--training.samples": "0",
    },
    "compare": {
        "--budget": "2-steps",
        "--training.batch-size": "4",
        "--training.accumulate": "1",
        "--training.evaluations": "1",
        "--workers": "1",
    },
}
Run = Callable[[str], None]


def small(claim: Claim, out: Path, text: Path) -> list[str]:
    """The command's words with text and amounts replaced; a budget of no steps stays one."""
    words = shlex.split(
        re.sub(r"\{(?!out)\w+\}", str(out), claim.command.replace("{out}", str(out)))
    )[1:]
    verb = words[0]
    for place, word in enumerate(words[:-1]):
        if word in LITTLE:
            words[place + 1] = LITTLE[word]
        elif word == "--data":
            words[place + 1] = str(text)
    given = dict(FEW.get(verb, {}))
    if verb in FEW and "--dry-run" not in words:
        for flag, value in given.items():
            if flag not in words:
                words += [flag, value]
            elif words[words.index(flag) + 1] != "0-steps":
                words[words.index(flag) + 1] = value
    if verb in ("train", "compare") and "--data" not in words:
        words += ["--data", str(text)]
    if "--from" not in words and verb in ("train", "compare", "prepare"):
        tokenizer = "word:20" if "word:" in claim.command else "byte"
        words = [*words, "--tokenizer", tokenizer] if "--tokenizer" not in words else words
        words[words.index("--tokenizer") + 1] = tokenizer
    if verb == "prepare":
        words[1] = str(text)
    return words


@pytest.fixture(scope="module")
def execute(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a claim after those whose runs it reads, each once."""
    out = tmp_path_factory.mktemp("ledger")
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefgh", k=draw.randint(1, 4))) for _ in range(40)]
    text = out / "text.txt"
    # most documents are short, as generators of whole ones want; some are long enough for windows
    lines = [" ".join(draw.choices(words, k=30 if number % 4 == 0 else 3)) for number in range(400)]
    text.write_text("\n".join(lines) + "\n")
    done: set[str] = set()

    def run(name: str) -> None:
        for needed in OURS[name].needs:
            run(needed)
        if name not in done:
            done.add(name)
            assert main(small(OURS[name], out, text)) in (0, 3), name

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OURS.keys() - NOT_HERE))
def test_a_command_of_the_ledger_runs_to_its_end(
    name: str, execute: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    execute(name)


@pytest.mark.slow
def test_the_claims_that_once_compared_one_arm_run(
    execute: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    execute("makemore-smoothing")
