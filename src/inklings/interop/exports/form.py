"""A form in which models leave: which runs it takes, and in what it is other than they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inklings.config import RunConfig
from inklings.models.backbone import written_out
from inklings.models.contract import SequenceModel
from inklings.models.registry import load_class

UNLIMITED = int(1e30)
"""Tokens of a text where there is no most, as transformers writes it."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a model becomes. A target adds to it how one is written."""

    name: str
    """As the registry and the report of an export name it."""
    class_name: str
    """What it is there: the class or the architecture that computes the same."""
    arm: str
    """What it takes, as ARM on the command line, or in words."""
    takes: Callable[[RunConfig], bool]
    """Whether a run with these settings can leave in this form."""
    reach: Callable[[SequenceModel], int]
    """How many tokens of one text it reads as the run does."""
    notes: Callable[[Any], tuple[str, ...]]
    """Sentences that say in what the exported model is other than the run."""
    in_the_way: Callable[[RunConfig], tuple[str, ...] | None] = lambda config: None
    """The settings that keep it from taking a run, as `name=value`; None of another architecture,
    and where settings do not decide.
    """
    loading: str = "No code of Inklings is needed to load it."
    """What loading it takes, in a sentence."""


def one_window(model: SequenceModel) -> int:
    """Return the tokens of a window."""
    return model.config.context_length


def any_length(model: SequenceModel) -> int:
    """Return `UNLIMITED`, for a form that computes the same however long the text is."""
    del model
    return UNLIMITED


def no_notes(model: SequenceModel) -> tuple[str, ...]:
    """Return nothing: it is the same in everything."""
    del model
    return ()


@dataclass(frozen=True)
class AnyNumber:
    """Stands for every value of a field but None."""

    example: float
    """The one that a form's `arm` names."""

    def __contains__(self, value: object) -> bool:
        """Return whether something is given."""
        return value is not None


def only(architecture: str, **fields: object) -> dict[str, Any]:
    """Return what a form says of the runs that it takes: one architecture, these fields alone.

    That is `arm`, `takes` and `in_the_way`. A field with a tuple may have any of its values. What a
    run of an earlier version does not name has its default.
    """
    allowed: dict[str, tuple[object, ...] | AnyNumber] = {
        name: value if isinstance(value, tuple | AnyNumber) else (value,)
        for name, value in fields.items()
    }

    def in_the_way(config: RunConfig) -> tuple[str, ...] | None:
        if config.architecture != architecture:
            return None
        defaults = load_class(architecture).Config
        given = {name: config.model.get(name, getattr(defaults, name)) for name in allowed}
        return tuple(
            f"no {name}" if value is None else f"{name}={value}"
            for name, value in given.items()
            if value not in allowed[name]
        )

    said = {
        name: values.example if isinstance(values, AnyNumber) else values[0]
        for name, values in allowed.items()
        if isinstance(values, AnyNumber) or len(values) == 1
    }
    return {
        "arm": written_out(architecture, said),
        "takes": lambda config: in_the_way(config) == (),
        "in_the_way": in_the_way,
    }
