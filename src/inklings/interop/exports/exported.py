"""What an export made and found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inklings.evaluation.likelihood.evaluate import LikelihoodResult, finite
from inklings.evaluation.statistics import Interval
from inklings.interop.exports.agreement import Agreement
from inklings.text.sources.scheme import known_sources


@dataclass(frozen=True, kw_only=True)
class Export:
    """An exported model: where it is, and what was found."""

    path: Path
    """The folder or the file."""
    target: str
    becomes: str
    """What it is, in words."""
    run: str
    form: str
    class_name: str
    loading: str
    """What loading it takes, in a sentence."""
    precision: str
    """What its weights are stored as."""
    notes: tuple[str, ...]
    """In what the exported model is other than the run."""
    without_tokenizer: str | None
    """Why there is no tokenizer; None where there is one."""
    lines: int
    """Lines of held-out text that both tokenizers read alike."""
    agreement: Agreement
    likelihood: LikelihoodResult | None
    """Of the whole validation part, for the card; None where there is none."""
    interval: Interval | None
    """The loss lies in it; None where there are too few units to tell both ends."""
    versions: dict[str, str]

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON; what was compared is under `compared`."""
        return {
            "format_version": 1,
            "run": self.run,
            "target": self.target,
            "form": self.form,
            "class": self.class_name,
            "loading": self.loading,
            "precision": self.precision,
            "versions": self.versions,
            "compared": {**self.agreement.to_mapping(), "tokenizer_lines": self.lines},
            "without_tokenizer": self.without_tokenizer,
            "notes": list(self.notes),
            "loss": None if self.likelihood is None else finite(self.likelihood.loss),
            "interval": None if self.interval is None else self.interval.to_mapping(),
        }

    def __repr__(self) -> str:
        return f"Export({str(self.path)!r}: {self.class_name}; {self.agreement})"


def named(source: str) -> str:
    """Return the source of a text without the folders of whoever trained on it."""
    return source if source in known_sources() or ":" in source else Path(source).name


def in_words(versions: Mapping[str, str]) -> str:
    """Return the versions of the libraries that wrote and read an export."""
    return ", ".join(
        f"{name} {version}" for name, version in versions.items() if name != "inklings"
    )
