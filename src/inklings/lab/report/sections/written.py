"""The section of what the arms write: texts of each arm's first run."""

from __future__ import annotations

from inklings.lab.comparison.result import ArmResult
from inklings.lab.report.section import Results, Section
from inklings.lab.report.sections.samples import was_measured
from inklings.lab.report.table import rank


def make_section(results: Results) -> Section | None:
    """Return the section of texts, or None where no run has any."""
    texts = written_texts(results)
    if not texts:
        return None
    sampling = results.comparison.text.get("sampling")
    lead = (
        f"What each arm writes when it is given nothing{f', at {sampling}' if sampling else ''}."
        " A low loss and good text are two things: look."
    )
    return Section(
        "samples",
        "Samples",
        lead,
        template="written",
        content=texts,
        heading="What they write" if was_measured(results.out, results.comparison) else None,
        under_legend=False,
    )


def written_texts(results: Results) -> list[tuple[ArmResult, list[str]]]:
    """Return texts of each arm's first run that has some, arms in the order of the table."""
    texts = []
    for row in rank(results.comparison):
        for run in row.arm.runs:
            record = results.records.get((row.arm.label, run.seed))
            if record is not None and record.samples:
                texts.append((row.arm, record.samples))
                break
    return texts
