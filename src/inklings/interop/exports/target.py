"""A target of exports: a library or an engine that opens what is written for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor

from inklings.config import RunConfig
from inklings.errors import ArchitectureError
from inklings.interop.exports.form import Form
from inklings.models.contract import SequenceModel
from inklings.registry import Registry
from inklings.text.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """A model that is being exported."""

    model: SequenceModel
    config: RunConfig
    """Settings of the run; a file of code that they name is the run's own copy."""
    tokenizer: Tokenizer
    form: Any
    """One of the target's forms, with what that target adds to them."""
    precision: str
    """What its weights are stored as: one of the target's."""
    path: Path
    """Where it is written, before it appears."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What was written, as the other side reads it."""

    logits: Callable[[Int[Tensor, "1 T"]], Float[Tensor, "1 T V"]]
    encode: Callable[[str], list[int]] | None
    """The tokens of a text, the one that opens it in front; None where no tokenizer was written."""
    decode: Callable[[list[int]], str] | None
    """The text of tokens, without the boundary."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a run is exported to."""

    name: str
    """As whoever exports names it."""
    path: Literal["DIR", "FILE"]
    """Whether a folder is written, with a card, or one file."""
    becomes: str
    """What that is, in words: "a model of transformers"."""
    forms: Registry[Form]
    """Every form that it knows; the first that takes a run is the one."""
    why_not: Callable[[RunConfig, str | None], str]
    """Why it does not take a run with these settings, whose weights began as those of the second:
    the middle of a sentence.
    """
    precisions: Mapping[str, float | None]
    """What weights can be stored as, and how far logits may then be off, as a share of one plus the
    largest; None where that is stated and not bounded. The first is the default.
    """
    prepare: Callable[[Form], dict[str, str]]
    """Return the versions of the libraries that write and read a form; refuse if one is missing."""
    why_no_tokenizer: Callable[[Tokenizer], str | None]
    """Why a tokenizer has no form there; None if it has one."""
    needs_tokenizer: bool = False
    """Whether a run whose tokenizer has no form there is refused."""
    write: Callable[[Leaving, bool], None]
    """Write the model, and its tokenizer if the second says so."""
    read: Callable[[Leaving], Reader]
    """Read what was written, by other code than ours."""
    use: Callable[[Form, str, bool], str] | None
    """How what was written under a name is used, as Markdown; with its tokenizer or without. None
    where a file is written: it has no card.
    """
    next: Callable[[Form, Path], str]
    """A command that goes on from there."""

    def form_of(self, config: RunConfig, *, initial: str | None = None) -> Form:
        """Return the form in which a run with these settings is exported.

        Args:
            config: the settings.
            initial: what the run's weights began as, if it is known.

        Raises:
            ArchitectureError: there is none; the message names what can be exported.
        """
        for form in self.forms:
            if form.takes(config):
                return form
        reason = self.why_not(config, initial)
        can = ", ".join(f"{form.arm} (as {form.class_name})" for form in self.forms)
        raise ArchitectureError(
            f"{config.architecture} cannot be exported to {self.name}: {reason}."
            f" What can be exported: {can}."
        )


TARGETS: Registry[Target] = Registry(
    "target of exports",
    {
        "transformers": "inklings.interop.to_transformers.model_folder:TRANSFORMERS",
        "onnx": "inklings.interop.to_onnx.onnx_folder:ONNX",
        "gguf": "inklings.interop.to_gguf.gguf_file:GGUF",
    },
)
"""Every target by its name."""
