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


def only(architecture: str, **fields: object) -> dict[str, Any]:
    """Return `arm` and `takes` of a form for one architecture, with these of its fields alone.

    A field with a tuple may have any of its values. What a run of an earlier version does not name
    has its default.
    """
    allowed = {
        name: value if isinstance(value, tuple) else (value,) for name, value in fields.items()
    }

    def takes(config: RunConfig) -> bool:
        if config.architecture != architecture:
            return False
        defaults = load_class(architecture).Config
        return all(
            config.model.get(name, getattr(defaults, name)) in values
            for name, values in allowed.items()
        )

    said = {name: values[0] for name, values in allowed.items() if len(values) == 1}
    return {"arm": written_out(architecture, said), "takes": takes}
