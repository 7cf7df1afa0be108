"""What torchrun tells a process that it started, as far as the command line asks.

Of several processes that train one run, the one of rank 0 talks to people.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from inklings.errors import ConfigError, InklingsError, LostProcessError

Strategy = Literal["ddp", "fsdp"]
"""How processes share a run: all weights in each (PyTorch's DDP), or a part in each (FSDP2)."""

SHARED = ("train", "resume")
"""Verbs that several processes can do together."""


def launched() -> bool:
    """Return whether torchrun, or something like it, started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def processes() -> int:
    """Return how many processes were started together."""
    return int(os.environ["WORLD_SIZE"]) if launched() else 1


def speaks() -> bool:
    """Return whether this process talks to people, and writes what is for them."""
    return not launched() or os.environ["RANK"] == "0"


def format_processes() -> str:
    """Say how many processes do it, where there are several."""
    return f", by {processes()} processes" if processes() > 1 else ""


@contextlib.contextmanager
def one_voice() -> Iterator[None]:
    """Drop what is printed within the block, but in the process of rank 0.

    What is wrong with the program itself (a traceback) is printed by every process.
    """
    if speaks():
        yield
        return
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def loud(error: InklingsError) -> AbstractContextManager[object]:
    """Print within the block what an error says, where no other process can: process 0 is lost."""
    if isinstance(error, LostProcessError) and error.told_here and not speaks():
        return contextlib.redirect_stderr(sys.__stderr__)
    return contextlib.nullcontext()


def leave_word(reason: str) -> None:
    """Leave word of why this process ends, for the one that talks to people."""
    if speaks():
        return
    with contextlib.suppress(KeyboardInterrupt):  # torchrun's: process 0 ended too, and said why
        from inklings.words import words_before_meeting

        words = words_before_meeting()
        if words is not None:
            words.say_failure(reason)


def failure_of_another() -> str | None:
    """Return why another process ended, if one left word: torchrun then interrupts all."""
    if processes() == 1 or not speaks():
        return None
    from inklings.words import words_before_meeting

    words = words_before_meeting()
    return None if words is None else next(map(str, words.failures()), None)


def check_verb(verb: str, arguments: list[str]) -> None:
    """Refuse what several processes would each do by themselves.

    Args:
        verb: the verb.
        arguments: the words after it.

    Raises:
        ConfigError: it is not for several processes.
    """
    if processes() == 1:
        return
    if verb not in SHARED:
        raise ConfigError(
            f"torchrun started {processes()} processes, and `inklings {verb}` is for one. Start it"
            f" without torchrun; several processes share {' and '.join(SHARED)}."
        )
    alone = {"--dry-run", "--find-lr", "--find-batch-size"}.intersection(arguments)
    if alone:
        raise ConfigError(f"{alone.pop()} is for one process. Ask it without torchrun.")


def warn_of_strategy(strategy: Strategy) -> None:
    """Warn where a strategy was asked for that has nothing to share."""
    if strategy == "fsdp" and not launched():
        warnings.warn(
            "--strategy fsdp cuts weights up among processes, and there is one.", stacklevel=2
        )


def folder_given(run: Path | None) -> Path | None:
    """Return the folder of a run as it was given.

    Raises:
        ConfigError: torchrun started this process and none was given: whoever starts again after a
            failure has to find it.
    """
    if run is None and launched():
        raise ConfigError(
            "say where the run is kept, with --out RUN: torchrun starts the same command again"
            " after a failure, and it goes on in that folder."
        )
    return run
