"""The last words of `train` and `resume`."""

from __future__ import annotations

import dataclasses
from typing import Any

from inklings.cli.terminal import Terminal
from inklings.lab.report.table import duration
from inklings.training.train import TrainingResult


def report_result(
    result: TrainingResult,
    terminal: Terminal,
    *,
    seconds: float,
    left_out: dict[str, Any] | None = None,
) -> int:
    """Print how the run ended and what to do next; return the exit code, 1 if it was interrupted.

    Args:
        result: of the run.
        terminal: where it is printed.
        seconds: that this session took, evaluations included.
        left_out: what of the text is in no document, for `--json`.
    """
    interrupted = result.stopped == "interrupted"
    if interrupted:
        terminal.say(
            f"interrupted at step {result.steps}; all is saved. Go on with: inklings resume"
            f" {result.run}",
            style="bold yellow",
        )
    else:
        why = (
            "stopped early: the validation loss no longer fell"
            if result.stopped == "patience"
            else "done"
        )
        what = "loss" if result.unit == "nats per token" else "figure"
        found = result.best_validation_loss
        best = "" if found is None else f", best validation {what} {found:.4f} {result.unit}"
        terminal.say(
            f"{why} after {result.steps:,} steps and {result.tokens:,} tokens in"
            f" {duration(seconds)} ({duration(result.seconds)} of training steps){best}",
            style="bold",
        )
        if result.doubt is not None:
            terminal.say(
                f"warning: {result.doubt}. A smaller learning rate or a larger budget may help.",
                style="bold yellow",
            )
        terminal.say(f"next: inklings generate {result.run}", as_is=True)
        terminal.say(f"      inklings evaluate {result.run} --split test", as_is=True)
    terminal.result({**dataclasses.asdict(result), "left_out": left_out})
    return 1 if interrupted else 0
