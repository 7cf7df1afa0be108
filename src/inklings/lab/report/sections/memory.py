"""The section of memories: the proof of each arm that has one, as a figure and a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from inklings.auditing.memory.proof import Change, MemoryProof, Part
from inklings.auditing.memory.verdict import say_proof
from inklings.lab.comparison.records import Records
from inklings.lab.comparison.result import Comparison
from inklings.lab.report.chart import Figure, Rows, arm_color, focus_opacity, layered
from inklings.lab.report.section import Results, Section


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
    """What was resampled, such as `62 documents`."""
    traced: str


def make_section(results: Results) -> Section | None:
    """Return the section of memories, or None where no arm has the proof of one."""
    memories = memory_sections(results.comparison, results.records)
    if not memories:
        return None
    lead = (
        f"What an arm's memory is worth, on documents of the {results.comparison.split} split that"
        f" hold some {memories[0].proof.targets:,} tokens: its first run, with its memory, without"
        " it, and with what should undo the gain. Every document begins with an empty memory."
    )
    return Section(
        "memory",
        "Memory",
        lead,
        tuple(memory.figure for memory in memories),
        "memory",
        memories,
        under_legend=False,
    )


def memory_sections(comparison: Comparison, records: Records) -> list[MemorySection]:
    """Return the sections of all arms with a memory, in the order in which the arms were given."""
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
    """Make the figure's rows, in per cent of perplexity.

    The ends of an interval that is not known are the value itself.
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
    """Return the change and its interval."""
    if change is None:
        return "", ""
    value, low, high = change.percent
    return (
        f"{value:+.1f}%",
        "not known" if low is None or high is None else f"{low:+.1f} to {high:+.1f}%",
    )


def memory_figure(name: str, arms: Sequence[str], rows: Rows, caption: str) -> Figure:
    """Draw what each way of reading the text costs against no memory.

    Args:
        name: of the figure.
        arms: the arms, in the order of their colours.
        rows: of `arm, way, value, low, high`, per cent of perplexity.
        caption: of the figure.
    """
    y = alt.Y(
        "way:N",
        sort=[row["way"] for row in rows],
        title=None,
        axis=alt.Axis(labelFontSize=13, labelPadding=10, labelLimit=150),
    )
    grid = alt.Axis(
        grid=True,
        domain=False,
        tickCount=6,
        labelExpr="(datum.value > 0 ? '+' : '') + datum.label + '%'",
    )
    x = alt.X(
        "low:Q",
        scale=alt.Scale(zero=True, nice=True, padding=12),
        title="change of perplexity",
        axis=grid,
    )
    base = alt.Chart(alt.NamedData(name=name)).encode(
        y=y, color=arm_color(arms), opacity=focus_opacity()
    )
    zero = (
        alt.Chart(alt.NamedData(name=name))
        .mark_rule(strokeDash=[2, 3], strokeWidth=1.2)
        .encode(x=alt.datum(0), color=arm_color(arms))
    )
    rule = base.mark_rule(strokeWidth=2, strokeCap="round").encode(x=x, x2="high:Q")
    dot = base.mark_circle(size=80, opacity=1).encode(
        x="value:Q",
        tooltip=[
            alt.Tooltip("way:N", title="with"),
            alt.Tooltip("value:Q", format="+.1f", title="per cent"),
            alt.Tooltip("low:Q", format="+.1f", title="from"),
            alt.Tooltip("high:Q", format="+.1f", title="to"),
        ],
    )
    return Figure(
        name,
        "What the memory is worth, and what else would do",
        "per cent of perplexity, lower is better",
        caption,
        {"": layered(zero, rule, dot, height=30 * len(rows))},
        wide=True,
        legend=False,
        data={name: rows},
    )
