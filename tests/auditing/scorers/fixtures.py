"""Subjects made of the scorers of `examples/audit/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from inklings.auditing.audit import audit
from inklings.auditing.check import Auditable
from inklings.auditing.findings import Finding
from inklings.auditing.scorers.subject import ScorerSubject
from inklings.auditing.user_objects import factory, made_by, of_object
from inklings.config import TrainingConfig

EXAMPLES = Path(__file__).parents[3] / "examples" / "audit"
TEXT = tuple((EXAMPLES / "text.txt").read_text(encoding="ascii").splitlines())


def example(stem: str, name: str = "Scorer") -> ScorerSubject:
    """One of the scorers, with their text."""
    make = factory(f"{EXAMPLES / stem}.py:{name}")
    assert make is not None
    return ScorerSubject(label=stem, make=make, texts=TEXT)


def loaded(stem: str) -> Auditable:
    """What a function `make` loads."""
    make = factory(f"{EXAMPLES / stem}.py:make")
    assert make is not None
    made = made_by(stem, make)
    return of_object(stem, make, made, None, training=TrainingConfig())


def found(subject: Auditable, check: str) -> Finding:
    """What one check finds."""
    (finding,) = audit(subject, only=[check]).findings
    return finding


class Uniform:
    """The shortest scorer that there can be."""

    vocab_size = 16

    def begin(self) -> None:
        self.read: list[int] = []

    def predict(self) -> Any:
        return np.full(16, -np.log(16))

    def observe(self, token: int) -> None:
        self.read.append(token)


def subject(make: Any, texts: tuple[str, ...] | None = None) -> ScorerSubject:
    """A scorer of a test's own."""
    return ScorerSubject(label="a scorer", make=make, texts=texts)
