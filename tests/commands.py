"""Command lines run in this process, and what several of their tests are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inklings.cli.main import main

Ask = Callable[..., dict[str, Any]]
"""Runs a verb with --json and returns its document."""


def tiny(samples: int = 0) -> list[str]:
    """Flags that keep a run of a few steps quick."""
    return [
        *("--training.threads", "1"),
        *("--training.samples", str(samples)),
        *("--training.evaluations", "1"),
        *("--training.precision", "float32"),
    ]


TINY = tiny()
GAN = "textgan:context_length=24,n_embd=8,n_head=2,n_hidden=12,n_critic_hidden=10,critic_steps=1"


def words(lines: int) -> str:
    """A small honest text."""
    return "\n".join(f"word {number} and {number * 7 % 13}" for number in range(lines))


@dataclass(frozen=True)
class Command:
    """Runs command lines in this process and reads what they print."""

    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path) -> tuple[int, str]:
        """Exit code, and everything printed, as one line."""
        self.capture.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as leaving:  # tyro ends the process itself
            code = int(leaving.code or 0)
        out, err = self.capture.readouterr()
        return code, " ".join((out + err).split())

    def refuses(self, *arguments: str | Path, saying: str, code: int = 2) -> str:
        """The command fails as it should, with one message that holds `saying`."""
        found, text = self(*arguments)
        assert found == code, text
        assert "Traceback" not in text
        assert saying.lower() in text.lower(), text
        return text
