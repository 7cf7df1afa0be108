"""The page of single runs: one HTML file, and its figures as pictures and CSV.

It needs no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inklings.durable import write_bytes
from inklings.lab.report import chart as charts
from inklings.lab.report.of_runs.run_section import RunsShown, make_run_sections
from inklings.lab.report.of_runs.run_view import RunView, read_runs
from inklings.lab.report.page import drawn_page, figures_of, write_figures
from inklings.lab.report.section import Section

FILE = "report.html"


def write_run_report(
    paths: Sequence[Path],
    out: Path,
    *,
    window: int | None = None,
    figures: bool = True,
    trust_code: bool = False,
) -> Path:
    """Write the page of some runs from their files alone; return its path.

    Args:
        paths: the directories of the runs.
        out: the folder of the page.
        window: steps of a window of the smoothed curves; None chooses.
        figures: whether each figure is written as files too, to `OUT/figures/`.
        trust_code: whether an architecture's file may be executed that another machine made.

    Raises:
        RunError: one is no run, or is damaged.
        DiskError: the page cannot be written.
    """
    shown = RunsShown(read_runs(paths, trust_code=trust_code), window)
    with charts.unchecked():
        sections = make_run_sections(shown)
        if figures:
            write_figures(out, figures_of(sections))
        write_bytes(out / FILE, render_runs(shown, sections, files=figures).encode())
    return out / FILE


def render_runs(shown: RunsShown, sections: Sequence[Section], *, files: bool) -> str:
    """Render the page.

    Args:
        shown: the runs.
        sections: of the page.
        files: whether the figures are there as files.
    """
    runs = shown.runs
    return drawn_page(
        "run.html.jinja",
        sections,
        labels=shown.labels,
        files=files,
        title=page_title(runs),
        headline=headline(runs),
        notices=notices(runs),
        facts=run_facts(runs) if len(runs) == 1 else [],
        several=len(runs) > 1,
        long=False,
    )


def page_title(runs: Sequence[RunView]) -> str:
    """Return the title: architecture and text of a run, or how many runs there are."""
    if len(runs) > 1:
        return f"{len(runs)} runs"
    config = runs[0].directory.config
    name = config.architecture.rpartition("/")[2]
    return f"{name} on {config.data.source}"


def headline(runs: Sequence[RunView]) -> str:
    """Return what the best weights came to, in a sentence."""
    scored = [(run.best["loss"], run) for run in runs if run.best is not None]
    if not scored:
        return "Not evaluated yet."
    if len({run.unit for _, run in scored}) > 1:
        return "The runs are measured in different units: each is judged by its own."
    if _texts_differ(runs):
        return "Each run is judged on its own text."
    loss, run = min(scored, key=lambda pair: pair[0])
    assert run.best is not None
    bits = run.best.get("bits_per_byte")
    also = f", {bits:.4f} bits per byte" if bits is not None else ""
    where = f"at step {run.best['step']:,}"
    if len(runs) > 1:
        return f"The lowest figure on the validation split is {loss:.4f} {run.unit}: {run.label}."
    return f"{loss:.4f} {run.unit} on the validation split{also}, {where}."


def notices(runs: Sequence[RunView]) -> list[str]:
    """Say what a reader must know first: what is unfinished, diverged or in doubt."""
    found = []
    if _texts_differ(runs):
        found.append(
            "The runs read different texts or tokens: their losses are not to be compared."
        )
    for run in runs:
        name = f"{run.label}: " if len(runs) > 1 else ""
        progress = run.progress
        found += [f"{name}{e['message']}" for e in run.events if e["event"] == "diverged"][-1:]
        if progress is not None and progress.doubt is not None:
            found.append(f"{name}{progress.doubt}.")
        if progress is None or not run.directory.record.is_complete(progress):
            found.append(f"{name}not complete: what follows is what was done so far.")
    return found


def run_facts(runs: Sequence[RunView]) -> list[tuple[str, str]]:
    """Return what a reader must know before the figures of a single run."""
    (run,) = runs
    record, environment = run.directory.record, run.directory.environment
    cores = f", {environment['cores']} cores" if environment.get("cores") else ""
    ended = {"budget": "its budget was spent", "patience": "the loss no longer fell"}
    stopped = run.progress.stopped if run.progress is not None else None
    found = [
        ("Architecture", record.config.architecture),
        ("Text", record.config.data.source),
        ("Budget", record.config.training.budget.replace("-", " ")),
        ("Seed", str(record.config.training.seed)),
        ("Ended", ended.get(stopped or "", "not yet")),
        ("Machine", f"{environment.get('processor', 'not recorded')}{cores}"),
    ]
    return [*found, *([("Begun with", record.initial)] if record.initial else [])]


def _texts_differ(runs: Sequence[RunView]) -> bool:
    return len({(run.directory.record.data, run.directory.record.tokenizer) for run in runs}) > 1
