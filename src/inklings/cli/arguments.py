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
    """The verb's arguments as a dataclass.

    Wrong ones end the process with tyro's message and exit code 2.
    """
    parsed: T = tyro.cli(
        arguments_type,
        prog=f"inklings {verb}",
        description=description,
        args=list(arguments),
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return parsed
