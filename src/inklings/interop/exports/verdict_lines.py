"""The verdict of the comparison that a run was made in, for its model card."""

from __future__ import annotations

from pathlib import Path

from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.result import FILE_NAME, Comparison

_DEEPEST = 5
"""Folders between a comparison and its runs: points/ARM/seed-N/share-S is the longest way."""


def verdict_lines(run: Path) -> list[str]:
    """Return the verdicts, and what they are of; none where the run lies in no comparison.

    Raises:
        RunError: it does, and the comparison's file is damaged.
    """
    run = run.resolve()
    for folder in run.parents[:_DEEPEST]:
        if not (folder / FILE_NAME).is_file():
            continue
        comparison = read_comparison(folder)
        place = _place(comparison, folder, run)
        return [] if place is None else [*_said(comparison), place]
    return []


def _said(comparison: Comparison) -> list[str]:
    verdicts = [one for one in (comparison.verdict, comparison.sample_verdict) if one is not None]
    return [line for one in verdicts for line in (one.headline, *one.sentences)]


def _place(comparison: Comparison, folder: Path, run: Path) -> str | None:
    """Say which of the runs this is; None where it is none of those that were scored."""
    for arm in [*comparison.arms, *comparison.smaller]:
        for result in arm.runs:
            ends = [result.run, *(point.run for point in result.points)]
            if any((folder / end).resolve() == run for end in ends):
                unfinished = "" if comparison.status == "complete" else ", which was interrupted"
                seed = "" if result.seed is None else f" with seed {result.seed}"
                return (
                    f"That is the verdict of the comparison `{folder.name}`{unfinished}, on its"
                    f" {comparison.split} text; this run is the arm {arm.label}{seed}."
                )
    return None
