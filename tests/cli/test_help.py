"""Help calls values by names, and a shell completes verbs and flags."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from inklings.cli.completion import completion_script
from inklings.cli.main import VERBS, main

HelpOf = Callable[[str, int], str]


@pytest.fixture
def help_of(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> HelpOf:
    """The help of a verb, in a terminal of some width."""

    def shown(verb: str, width: int) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        return capsys.readouterr().out

    return shown


@pytest.mark.parametrize("verb", VERBS)
def test_help_calls_values_by_names_and_not_by_types(verb: str, help_of: HelpOf) -> None:
    said = help_of(verb, 100)
    assert "usage: inklings" in said
    assert not re.findall(r"\b(?:INT|STR|FLOAT|BOOL)\b|\{None\}\|(?:PATH|TEXT|N|X)\b", said)


@pytest.mark.parametrize("verb", VERBS)
def test_help_breaks_lines_where_they_are_full_and_names_no_default_of_nothing(
    verb: str, help_of: HelpOf
) -> None:
    said = help_of(verb, 80)
    assert not re.findall(r"\(default: (?:None|False)?\)", said)
    lines = [line[2:-2].rstrip() for line in said.splitlines() if line.startswith("│")]
    for line, after in itertools.pairwise(lines):
        indent = len(after) - len(after.lstrip())
        if indent >= 14 and line[indent - 1] == " " and line[indent : indent + 1].strip():
            assert len(line) + 1 + len(after.split()[0]) > 76, f"{line} could go on: {after}"


def test_help_speaks_of_no_forerunner(capsys: pytest.CaptureFixture[str]) -> None:
    for architecture in ("textgan", "one_shot", "wavegpt", "varda"):
        with pytest.raises(SystemExit):
            main(["train", architecture, "--help"])
    assert not re.findall(r"[Tt]he seed(?:'s| has| describes| project)", capsys.readouterr().out)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_verbs_and_flags(tmp_path: Path) -> None:
    script = tmp_path / "inklings.bash"
    script.write_text(completion_script("bash"))

    def completed(*words: str) -> list[str]:
        line = " ".join(words)
        ask = (
            f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1};"
            f" COMP_LINE='{line}'; COMP_POINT={len(line)};"
            " $(complete -p inklings | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
            f" inklings {words[-1]} {words[-2]}; echo ${{COMPREPLY[@]}}"
        )
        out = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout
        return out.split()

    assert completed("inklings", "tra") == ["train"]
    assert completed("inklings", "compare", "--se") == ["--seeds"]
    assert "--training.learning-rate" in completed("inklings", "train", "--training.l")


def test_zsh_has_a_script_too() -> None:
    script = completion_script("zsh")
    assert script.startswith("#compdef inklings")
    assert all(verb in script for verb in VERBS)
