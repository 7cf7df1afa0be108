"""A form in which models leave: which runs it takes, and in what it is other than they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inklings.config import RunConfig
from inklings.models.backbone import written_out
from inklings.models.contract import SequenceModel


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
    """What loading it takes."""


def only(architecture: str, **fields: object) -> dict[str, Any]:
    """Return `arm` and `takes` of a form for one architecture, with these of its fields alone."""

    def takes(config: RunConfig) -> bool:
        return config.architecture == architecture and all(
            config.model.get(name) == value for name, value in fields.items()
        )

    return {"arm": written_out(architecture, fields), "takes": takes}
