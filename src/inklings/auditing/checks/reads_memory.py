"""The check of a memory: its hits were written before, and its gain is its own.

With an empty memory, the model must be its backbone.
"""

from __future__ import annotations

import dataclasses

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding
from inklings.auditing.memory.proof import QUICK, prove
from inklings.auditing.memory.provenance import (
    Provenance,
    provenance,
    random_text,
    touched_backbone,
)
from inklings.auditing.memory.rivals import Provable
from inklings.auditing.memory.verdict import say_proof
from inklings.auditing.subjects import Subject
from inklings.models.contract import SequenceModel
from inklings.text.store import TokenSplit

TARGETS = 4_096
"""Targets of text that are read: enough to see a gain that is not the memory's, in seconds."""


def check_memory(model: SequenceModel, split: TokenSplit | None = None) -> Finding:
    """Return whether a memory is what it claims to be.

    Its gain is looked at where there is a text, which only a trained model can read.

    `inklings audit RUN --memory` carries out the whole proof.
    """
    if not isinstance(model, Provable):
        return Finding(check="memory", status="not applicable", summary="it has no memory")
    touched = touched_backbone(model)
    if touched is not None:
        return Finding(
            check="memory", status="fail", summary=touched, evidence={"touched": touched}
        )
    if split is None:
        return _of(provenance(model, random_text(model)))
    part = split.spread(TARGETS)
    found = _of(provenance(model, part))
    if found.status != "pass":
        return found
    proof = prove(model, part, arms=QUICK)
    return Finding(
        check="memory",
        status="fail" if proof.keeps else "pass",
        summary=f"{found.summary}. {say_proof(proof)}".rstrip("."),
        evidence=proof.plain(),
    )


def _of(found: Provenance) -> Finding:
    evidence = {"provenance": dataclasses.asdict(found)}
    if not found.holds:
        wrong = (
            f"{found.ahead + found.untrue:,} of {found.hits:,} values that were found are not of"
            " the text before their target"
        )
        return Finding(
            check="memory", status="fail", summary=f"{wrong}: {found.example}", evidence=evidence
        )
    if not found.hits:
        said = (
            "nothing was found: its documents are shorter than what is written at once, or it"
            " writes nothing"
        )
        return Finding(check="memory", status="warning", summary=said, evidence=evidence)
    said = (
        f"all {found.hits:,} values that were found stand before their targets, and while it is"
        " empty the model is its backbone"
    )
    return Finding(check="memory", status="pass", summary=said, evidence=evidence)


def _run(subject: Subject) -> Finding:
    finding = check_memory(subject.scrambled)
    if finding.status in ("fail", "not applicable") or subject.trained is None:
        return finding
    return check_memory(
        subject.trained, None if subject.store is None else subject.store.split(subject.split)
    )


MEMORY: Check[Subject] = Check(name="memory", run=_run)
