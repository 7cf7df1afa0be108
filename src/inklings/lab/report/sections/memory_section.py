"""A report's section on memories.

For each arm that has one the proof of its first run as a sentence, a figure and a table.
"""

from __future__ import annotations

from dataclasses import dataclass

from inklings.auditing.memory.proof import Change, MemoryProof, Part
from inklings.auditing.memory.verdict import say_proof
from inklings.lab.comparison.records import Records
from inklings.lab.comparison.result import Comparison
from inklings.lab.report.chart import Figure, Rows
from inklings.lab.report.sections.memory_chart import memory_figure


@dataclass(frozen=True)
class MemoryTableRow:
    """A line of the table, as text; empty where there is no figure."""

    name: str
    loss: str = ""
    perplexity: str = ""
    change: str = ""
    interval: str = ""
    note: str = ""


@dataclass(frozen=True)
class MemorySection:
    """What the page shows of one arm."""

    label: str
    proof: MemoryProof
    sentence: str
    figure: Figure
    rows: list[MemoryTableRow]
    units: str
    """`62 documents`."""
    traced: str


def memory_sections(comparison: Comparison, records: Records) -> list[MemorySection]:
    """Those of all arms with a memory, in the order in which the arms were given."""
    arms = [arm.label for arm in comparison.arms]
    found: list[MemorySection] = []
    for arm in comparison.arms:
        proofs = [
            records[arm.label, run.seed].memory
            for run in arm.runs
            if (arm.label, run.seed) in records
        ]
        proof = next((proof for proof in proofs if proof is not None), None)
        if proof is not None:
            found.append(_section(arm.label, arms, proof, name=f"memory{len(found) + 1}"))
    return found


def _section(label: str, arms: list[str], proof: MemoryProof, *, name: str) -> MemorySection:
    rows, drawn = [], _figure_rows(label, proof)
    for arm in proof.arms:
        if arm.loss is None or arm.perplexity is None:
            rows.append(MemoryTableRow(arm.name, note=arm.note))
            continue
        change, interval = _changed(arm.change)
        rows.append(
            MemoryTableRow(
                arm.name, f"{arm.loss:.4f}", f"{arm.perplexity:.2f}", change, interval, arm.note
            )
        )
    for part, which in ((proof.seen, "repeated tokens"), (proof.new, "new tokens")):
        change, interval = _changed(part.change)
        rows.append(
            MemoryTableRow(which, change=change, interval=interval, note=_note(part, which))
        )
    units = proof.resampled + (" of 2 KiB" if proof.unit == "blocks" else "")
    of = proof.provenance
    wrong = of.ahead + of.untrue
    traced = f"Of {of.hits:,} values that were found and traced, " + (
        f"{wrong:,} are" if wrong else "every one is"
    )
    caption = (
        "Dots are the change against the same model without its memory; lines are 95% intervals"
        f" from resampling {units}."
    )
    return MemorySection(
        label,
        proof,
        say_proof(proof),
        memory_figure(name, arms, drawn, caption),
        rows,
        units,
        f"{traced} {'not ' if wrong else ''}of the text before the token that it helped to"
        " predict.",
    )


def _figure_rows(label: str, proof: MemoryProof) -> Rows:
    """In per cent of perplexity.

    Of an interval that is not known, the ends are the value itself.
    """
    rows: Rows = []
    for arm in proof.arms:
        if arm.change is not None:
            value, low, high = arm.change.percent
            ends = {"low": value if low is None else low, "high": value if high is None else high}
            rows.append(
                {
                    "arm": label,
                    "way": arm.name,
                    "value": round(value, 3),
                    **{name: round(end, 3) for name, end in ends.items()},
                }
            )
    return rows


def _note(part: Part, which: str) -> str:
    place = (
        "occurred before in their document"
        if which == "repeated tokens"
        else "did not occur before in their document"
    )
    return f"the memory's change for the {part.share:.0%} of targets that {place}"


def _changed(change: Change | None) -> tuple[str, str]:
    """The change and its interval."""
    if change is None:
        return "", ""
    value, low, high = change.percent
    return (
        f"{value:+.1f}%",
        "not known" if low is None or high is None else f"{low:+.1f} to {high:+.1f}%",
    )
