"""Flags from a dataclass, by tyro."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import tyro

T = TypeVar("T")

Json = Annotated[
    bool,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.arg(help="Print one JSON document on stdout; people read stderr."),
]


def parse(arguments_type: type[T], arguments: Sequence[str], *, verb: str, description: str) -> T:
    """Parse a verb's arguments to a dataclass.

    Wrong ones end the process with tyro's message and exit code 2.

    Args:
        arguments_type: the dataclass.
        arguments: of the command line.
        verb: its name.
        description: of the verb, for `--help`.
    """
    parsed: T = tyro.cli(
        arguments_type,
        prog=f"inklings {verb}",
        description=description,
        args=list(arguments),
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return parsed
