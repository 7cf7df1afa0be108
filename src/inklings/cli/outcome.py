"""The last words of `train` and `resume`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from inklings.amounts import duration
from inklings.cli.terminal import Terminal
from inklings.errors import InklingsError
from inklings.models.objectives import objective_of
from inklings.models.registry import load_class
from inklings.runs.directory import RunDirectory
from inklings.training.training_result import TrainingResult


def report_page(result: TrainingResult, terminal: Terminal, *, trust_code: bool) -> Path | None:
    """Write the page of a run that ended, and return its path.

    The run is whole without it: where it cannot be written, that is a warning.

    Args:
        result: of the run.
        terminal: where a warning is printed.
        trust_code: whether an architecture's file may be executed that another machine made.
    """
    if result.stopped == "interrupted":
        return None
    from inklings.lab.report.of_runs.run_page import write_run_report  # charts take a moment

    try:
        return write_run_report([result.run], result.run, figures=False, trust_code=trust_code)
    except InklingsError as error:
        terminal.say(f"warning: the page of the run was not written: {error}", style="yellow")
        return None


def report_result(
    result: TrainingResult,
    terminal: Terminal,
    *,
    seconds: float,
    left_out: dict[str, Any] | None = None,
    page: Path | None = None,
) -> int:
    """Print how the run ended and what to do next; return the exit code, 1 if it was interrupted.

    Args:
        result: of the run.
        terminal: where it is printed.
        seconds: that this session took, evaluations included.
        left_out: what of the text is in no document, for `--json`.
        page: the page of the run.
    """
    interrupted = result.stopped == "interrupted"
    if interrupted:
        terminal.say(
            f"interrupted at step {result.steps}; all is saved. Go on with: {result.advice}",
            style="bold yellow",
        )
    else:
        why = (
            "stopped early: the validation loss no longer fell"
            if result.stopped == "patience"
            else "done"
        )
        found = result.best_validation_loss
        earlier = " in all" if result.seconds > seconds else ""  # those of a run that was resumed
        best = "" if found is None else f", best validation loss {found:.4f} {result.unit}"
        terminal.say(
            f"{why} after {result.steps:,} steps and {result.tokens:,} tokens in"
            f" {duration(seconds)} ({duration(result.seconds)} of training steps{earlier}){best}",
            style="bold",
        )
        if result.doubt is not None:
            terminal.say(
                f"warning: {result.doubt}. A smaller learning rate or a larger budget may help.",
                style="bold yellow",
            )
        if page is not None:
            terminal.say(f"report: {page}", as_is=True)
        for before, command in zip(("next: ", "      "), _uses(result.run), strict=False):
            terminal.say(f"{before}{command}", as_is=True)
    terminal.result({**dataclasses.asdict(result), "left_out": left_out, "report": page})
    return 1 if interrupted else 0


def _uses(run: Path) -> list[str]:
    """Return the commands that use a trained run; none where no verb does, or nothing is known."""
    try:
        config = RunDirectory.open(run).usable_config()
        kind = objective_of(load_class(config.architecture))
    except InklingsError:  # code that may not be run here does not say what it is
        return []
    if kind.predicts_tokens:
        return [f"inklings generate {run}", f"inklings evaluate {run} --split test"]
    if kind.makes_texts:
        return [f"inklings generate {run}", f"inklings evaluate {run} --samples 3000"]
    return []
