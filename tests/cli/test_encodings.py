"""What an output's encoding lacks is escaped.

A prompt is read as it was meant, and refused before anything is printed.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.cli.generate import read_prompt
from inklings.cli.main import main
from inklings.errors import ConfigError
from tests.commands import tiny

TINY = tiny(samples=1)
TEXT = "\n".join(f"w\u00f6rd {number} \u2192 \u2603\U0001f600" for number in range(60))


def made(folder: Path, *arguments: str, encoding: str) -> tuple[bytes, bytes]:
    """What the command prints where everything is written in the encoding."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "inklings", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_no_encoding_of_the_output_ends_a_command(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "w\u00f6rter\u2192.txt").write_text(TEXT, encoding="utf-8")
    source = "w\u00f6rter\u2192.txt"
    stdout, _ = made(tmp_path, "prepare", source, encoding=encoding)
    assert "\u2192".encode(encoding, "backslashreplace") in stdout
    stdout, _ = made(tmp_path, "prepare", source, "--json", encoding=encoding)
    assert "\U0001f600" in json.loads(stdout)["documents"][0]["text"]
    _, stderr = made(
        tmp_path,
        "train",
        "ngram",
        "--data",
        source,
        "--run",
        "r\u2192",
        *TINY,
        "--json",
        encoding=encoding,
    )
    assert "\u2192".encode(encoding, "backslashreplace") in stderr
    stdout, _ = made(
        tmp_path,
        "generate",
        "r\u2192",
        "w\u00f6rd \u2192",
        "--max-new-tokens",
        "3",
        encoding=encoding,
    )
    assert stdout.startswith("w\u00f6rd \u2192".encode(encoding, "backslashreplace"))
    stdout, _ = made(
        tmp_path, "generate", "r\u2192", "\u2192", "--samples", "2", "--json", encoding=encoding
    )
    assert json.loads(stdout)["prompt"] == "\u2192"


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))


@given(
    st.text(alphabet="a\n\u00e9\U0001f600 ", max_size=8),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_a_prompt_from_stdin_loses_one_newline_and_nothing_else(
    text: str, newline: str, mark: bool
) -> None:
    data = (text + "\n").replace("\n", newline).encode("utf-8-sig" if mark else "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        piped(patch, data)
        assert read_prompt() == text


def test_a_prompt_from_stdin_that_is_not_utf_8_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, b"caf\xe9")
    with pytest.raises(
        ConfigError, match=r"prompt on standard input is not UTF-8: byte 3 \(0xe9\)"
    ):
        read_prompt()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["word", "--stop", ""], "a stop string is empty"),
        (["word", "--stop", "x", ""], "a stop string is empty"),
        (["caf\u00e9"], "lacks 'a', 'c', 'f', '\u00e9'"),
        (["w\udcff"], "half of a character"),
        (["word", "--max-new-tokens", "-1"], "max_new_tokens is -1"),
        (["word", "--samples", "0"], "samples is 0"),
        (["word", "--temperature", "-1"], "temperature"),
        (["word", "--top-k", "-5"], "top_k"),
        (["word", "--provenance"], "has no memory"),
        (["word", "--interactive", "--provenance"], "give one of them"),
        (["word", "--interactive", "--json"], "give one of them"),
    ],
)
def test_what_is_refused_is_refused_before_anything_is_printed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text("\n".join(f"word {number}" for number in range(60)))
    assert (
        main(
            ["train", "ngram", "--data", "words.txt", "--tokenizer", "char", "--run", "run", *TINY]
        )
        == 0
    )
    capsys.readouterr()
    assert main(["generate", "run", *flags]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("inklings: ") and err.count("\n") == 1
    assert not out or "--json" in flags
