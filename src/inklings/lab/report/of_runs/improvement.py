"""The section of samples: how what a run writes improved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inklings.events import SampleEvent
from inklings.lab.report.of_runs.run_section import RunsShown
from inklings.lab.report.of_runs.run_view import RunView
from inklings.lab.report.section import Section

MOMENTS = 6
"""Most moments of a run of which texts are shown, the first and the last among them."""
TEXTS = 4
"""Texts of each."""


@dataclass(frozen=True)
class WrittenAt:
    """What a run wrote at a moment of its training."""

    step: int
    figure: str
    """The figure on the validation split at that moment."""
    texts: list[str]


@dataclass(frozen=True)
class Improvement:
    """What a run wrote, moment after moment."""

    label: str
    moments: list[WrittenAt]
    long: bool
    """Whether its texts are more than lines."""


def make_section(shown: RunsShown) -> Section | None:
    """Return the section of samples, or None where no run wrote any."""
    found = [_improvement(run) for run in shown.runs if run.samples]
    if not found:
        return None
    lead = "Texts from nothing as the run went on. The figure is that of the validation split."
    return Section("samples", "Samples", lead, template="improvement", content=found)


def _improvement(run: RunView) -> Improvement:
    scored = {event["step"]: event["loss"] for event in run.evaluations}
    moments = [
        WrittenAt(
            event["step"],
            f"{scored[event['step']]:.3f} {run.unit}" if event["step"] in scored else "",
            [str(text) for text in event["texts"][:TEXTS]],
        )
        for event in spread(run.samples)
    ]
    long = any("\n" in text.strip() or len(text) > 60 for each in moments for text in each.texts)
    return Improvement(run.label, moments, long)


def spread(events: Sequence[SampleEvent]) -> list[SampleEvent]:
    """Return at most `MOMENTS` of the events, evenly over them."""
    last = len(events) - 1
    count = min(MOMENTS, len(events))
    places = [round(place * last / max(1, count - 1)) for place in range(count)]
    return [events[place] for place in places]
