"""The live display of long work: a bar with loss, speed and time left.

Where there is no terminal it prints plain lines.
"""

from __future__ import annotations

import errno
import time
from types import TracebackType
from typing import Any

from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from inklings.cli.terminal import Terminal
from inklings.events import (
    EndEvent,
    EvaluationEvent,
    Event,
    NoteEvent,
    PrepareEvent,
    SampleEvent,
    StartEvent,
    StepEvent,
)

REFRESH = 0.1
"""Seconds between two updates of a bar: a fast run makes thousands of steps in one."""


class Display:
    """Shows the events of preparing and training.

    One bar for each run, told apart by the event's `run`.
    """

    def __init__(self, terminal: Terminal, *, quiet_runs: bool = False) -> None:
        self.terminal = terminal
        self.quiet_runs = quiet_runs
        self.live = terminal.console.is_terminal
        self.progress = Progress(
            SpinnerColumn(
                "dots" if terminal.console.encoding.startswith("utf") else "line", finished_text=" "
            ),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(elapsed_when_finished=True, compact=True),
            console=terminal.console,
            disable=not self.live,
        )
        self.tasks: dict[str, TaskID] = {}
        self.validation: dict[str, float] = {}
        self.measure: dict[str, str] = {}
        self.shown: dict[str, float] = {}
        self.left_out: dict[str, Any] | None = None

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event; events of unknown kinds are skipped."""
        show = getattr(self, f"_on_{event['event']}", None)
        if show is not None:
            try:
                show(event, event.get("run", ""))
            except OSError as error:
                if (
                    error.errno != errno.EIO
                ):  # a terminal that was closed; the work goes on until it is saved
                    raise

    def _line(self, text: str, style: str | None = None) -> None:
        self.progress.console.print(Text(text, style=style or ""), soft_wrap=not self.live)

    def _on_note(self, event: NoteEvent, run: str) -> None:
        self._line(f"{run}: {event['text']}" if run else event["text"], "yellow")

    def _on_prepare(self, event: PrepareEvent, run: str) -> None:
        """Show the progress of a token store: stage, done, total (or None)."""
        task = self.tasks.get("prepare")
        if task is None:
            task = self.tasks["prepare"] = self.progress.add_task(
                "text", total=event["total"], note=""
            )
        finished = event["stage"] == "done"
        self.left_out = event.get("left_out", self.left_out)
        total = event["total"]
        self.progress.update(
            task,
            completed=total if finished else event["done"],
            total=total,
            note=event["stage"],
        )

    def _on_start(self, event: StartEvent, run: str) -> None:
        """Show that a run begins or goes on."""
        self.tasks[run] = self.progress.add_task(
            run or "training", total=event["steps"], completed=event["step"], note=""
        )
        if not self.live and run:
            self._line(f"{run}: {event['steps']} steps, {event['parameters']:,} parameters")

    def _on_step(self, event: StepEvent, run: str) -> None:
        now = time.monotonic()
        if run not in self.tasks or now - self.shown.get(run, 0.0) < REFRESH:
            return
        self.shown[run] = now
        rate = event["tokens"] / event["seconds"] if event["seconds"] > 0 else 0.0
        validation = f"  validation {self.validation[run]:.4f}" if run in self.validation else ""
        note = f"loss {event['loss']:.4f}{validation}  {rate:,.0f} tokens/s"
        self.progress.update(self.tasks[run], completed=event["step"], note=note)

    def _on_evaluation(self, event: EvaluationEvent, run: str) -> None:
        self.validation[run] = event["loss"]
        self.measure[run] = "divergence" if "divergences" in event else "validation loss"
        self.shown.pop(run, None)
        if not self.quiet_runs:
            if "divergences" in event:
                self._line(_divergence(event))
                for reason in event["alarm"]:
                    self._line(f"       collapsed: {reason}", "red")
                return
            bits = (
                f", {event['bits_per_byte']:.4f} bits per byte"
                if event.get("bits_per_byte") is not None
                else ""
            )
            score = (
                f"validation loss {event['loss']:.4f} nats, accuracy {event['accuracy']:.1%}{bits}"
            )
            self._line(f"step {event['step']:>6}  {score}, {event['seconds']:.1f} s")

    def _on_sample(self, event: SampleEvent, run: str) -> None:
        if not self.quiet_runs and event["texts"]:
            first = " ".join(event["texts"][0].split())
            self._line(self.terminal.one_line(f"       sample  {first}"), "dim")

    def _on_end(self, event: EndEvent, run: str) -> None:
        if run in self.tasks:
            loss = f"validation {self.validation[run]:.4f}" if run in self.validation else ""
            task = self.tasks[run]
            done = None if event["stopped"] == "interrupted" else self.progress.tasks[task].total
            self.progress.update(task, completed=done, note=loss)
        if not self.live and run:
            ended = "interrupted" if event["stopped"] == "interrupted" else "done"
            found = (
                f", {self.measure[run]} {self.validation[run]:.4f}"
                if run in self.validation
                else ""
            )
            self._line(f"{run}: {ended}{found}")


def _divergence(event: EvaluationEvent) -> str:
    """Return an evaluation of a generator without likelihood, in a line."""
    far = " ".join(f"{value:.3f}" for value in event["divergences"])
    return (
        f"step {event['step']:>6}  JS divergence of 1- to 4-grams {far},"
        f" {event['share_unique']:.1%} unique, {event['seconds']:.1f} s"
    )
