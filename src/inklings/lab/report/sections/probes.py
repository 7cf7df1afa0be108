"""The section of probes: what each architecture is able to do, against guessing."""

from __future__ import annotations

from dataclasses import dataclass

from inklings.lab.comparison.result import Comparison
from inklings.lab.report.section import Results, Section


@dataclass(frozen=True)
class ProbeCell:
    """An arm's result on a task, as text."""

    accuracy: str
    solved: float
    """How much of the way from guessing to all right, from 0 to 1."""


@dataclass(frozen=True)
class ProbeTable:
    """A row for each arm that was probed."""

    columns: list[tuple[str, str]]
    """Task, and what guessing gives."""
    rows: list[tuple[str, dict[str, ProbeCell]]]
    """Arm, and its results by task."""
    steps: str


def make_section(results: Results) -> Section | None:
    """Return the section of probes, or None where nothing was probed."""
    table = probe_table(results.comparison)
    if table is None:
        return None
    lead = (
        "What each architecture is able to do: small tasks, learned from nothing in"
        f" {table.steps} steps. The share of deciding tokens right, on sequences that were not"
        " trained on."
    )
    return Section("probes", "Probes", lead, template="probes", content=table)


def probe_table(comparison: Comparison) -> ProbeTable | None:
    """Return the table; None where nothing was probed."""
    probed = [arm for arm in comparison.arms if arm.probes]
    if not probed:
        return None
    chances: dict[str, list[float]] = {}
    for arm in probed:
        for probe in arm.probes:
            chances.setdefault(probe.name, []).append(probe.chance)
    steps = sorted({probe.steps for arm in probed for probe in arm.probes})
    return ProbeTable(
        [
            (name, _range([f"{value:.1%}" for value in sorted(set(values))]))
            for name, values in chances.items()
        ],
        [
            (
                arm.label,
                {
                    p.name: ProbeCell(f"{p.accuracy:.1%}", _solved(p.accuracy, p.chance))
                    for p in arm.probes
                },
            )
            for arm in probed
        ],
        _range([f"{value:,}" for value in steps]),
    )


def _solved(accuracy: float, chance: float) -> float:
    return min(1.0, max(0.0, (accuracy - chance) / (1 - chance)))


def _range(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}"
