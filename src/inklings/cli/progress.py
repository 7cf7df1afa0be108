"""The live display of long work: what is done now, how far it is, and when all of it ends.

Where there is no terminal it prints plain lines.
"""

from __future__ import annotations

import errno
import math
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from inklings.cli.evaluations import (
    HEADING,
    Epochs,
    Parting,
    adversary_notes,
    evaluation_line,
    single_line,
)
from inklings.cli.rows import Row, render_row
from inklings.cli.terminal import Terminal
from inklings.cli.time_left import Work
from inklings.events import (
    EndEvent,
    EvaluationEvent,
    Event,
    NoteEvent,
    PrepareEvent,
    ProbeEvent,
    RateEvent,
    ResultEvent,
    SampleEvent,
    StageEvent,
    StartEvent,
    StepEvent,
    WorkEvent,
)

REFRESH = 0.1
"""Seconds between two updates of a row: a fast run makes thousands of steps in one."""


@dataclass
class _Session:
    """What is known of the one run that is trained, beside its row."""

    began: float
    parting: Parting
    epochs: Epochs | None = None
    headed: bool = False


class Display:
    """Shows the events of preparing and training.

    One row for each run that is at work, told apart by the event's `run`, and one line for all.
    """

    def __init__(self, terminal: Terminal, *, quiet_runs: bool = False) -> None:
        """Begin to show.

        Args:
            terminal: where.
            quiet_runs: of many runs, evaluations are not printed.
        """
        self.terminal = terminal
        self.quiet_runs = quiet_runs
        self.live = terminal.console.is_terminal
        self.board = Live(
            self, console=terminal.console, transient=True, refresh_per_second=8, auto_refresh=True
        )
        self.rows: dict[str, Row] = {}
        self.work: Work | None = None
        self.validation: dict[str, float] = {}
        self.unit: dict[str, str] = {}
        self.adversary: dict[str, tuple[str, ...]] = {}
        self.shown: dict[str, float] = {}
        self.session = _Session(time.monotonic(), Parting())
        self.left_out: dict[str, Any] | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the run began, evaluations included."""
        return time.monotonic() - self.session.began

    def __enter__(self) -> Display:
        if self.live:
            self.board.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            self.rows.clear()
            self.board.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now, width = time.monotonic(), options.max_width
        most = max(1, (options.height or console.height) - 2)
        rows = list(self.rows.values())
        for row in rows[-most:]:
            left = self.work.seconds_left(now) if self.work is not None and not self.many else None
            yield render_row(row, width, now, self.terminal.dots, left)
        if self.work is not None and self.many:
            yield Text(self.work.say(now)[:width], style="bold")

    @property
    def many(self) -> bool:
        """Whether there are several runs."""
        return self.quiet_runs and self.work is not None

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
        self.terminal.say(text, style=style)

    def _on_note(self, event: NoteEvent, run: str) -> None:
        self._line(f"{run}: {event['text']}" if run else event["text"])

    def _on_stage(self, event: StageEvent, run: str) -> None:
        """Show what is done now, where nothing counts."""
        # what began already keeps its place and its bar
        self.rows.setdefault(run, Row(run)).note = (event["text"],)
        if not self.live and not run:
            self._line(event["text"], "dim")

    def _on_prepare(self, event: PrepareEvent, run: str) -> None:
        """Show the progress of a token store: stage, done, total (or None)."""
        self.left_out = event.get("left_out", self.left_out)
        if event["stage"] == "done":
            self.rows.pop("text", None)
            return
        row = self.rows.setdefault("text", Row("text"))
        row.done, row.total, row.note = event["done"], event["total"], (event["stage"],)

    def _on_work(self, event: WorkEvent, run: str) -> None:
        """Take down all that is to be done."""
        self.rows.pop("", None)
        self.work = Work(event["items"], event["workers"])

    def _on_start(self, event: StartEvent, run: str) -> None:
        """Show that a run begins or goes on."""
        tries = event.get("tries", "")
        title = event.get("arm", run) if tries else run or "training"
        row = self.rows[run] = Row(title, tries, done=event["step"], total=event["steps"])
        now = time.monotonic()
        if not self.quiet_runs:
            total = event["steps"] * event["tokens_per_step"]
            epochs = (
                Epochs(event["epoch_tokens"], total, event["step"], event["tokens_per_step"])
                if event["epoch_tokens"]
                else None
            )
            self.session = _Session(now, Parting(), epochs)
            self.work = Work.of_one(run)
        self._progress(run, event["step"], event["steps"], now)
        if not self.live and run:
            self._line(f"{row.name}: {event['steps']:,} steps, {event['parameters']:,} parameters")

    def _progress(self, run: str, step: int, steps: int, now: float, trial: str = "") -> None:
        if self.work is not None:
            self.work.at(run, step / steps if steps else 0.0, now, trial)

    def _on_step(self, event: StepEvent, run: str) -> None:
        if "critic_gap" in event:
            self.adversary[run] = adversary_notes(event)
        now = time.monotonic()
        if self.session.epochs is not None and not self.quiet_runs:
            said = self.session.epochs.look(event["tokens"], event["loss"], self.seconds)
            if said is not None:
                self._line(f"   {said}", "dim")
        row = self.rows.get(run)
        if row is None or now - self.shown.get(run, -math.inf) < REFRESH:
            return
        self.shown[run] = now
        rate = event["tokens"] / event["seconds"] if event["seconds"] > 0 else 0.0
        validation = (f"validation {self.validation[run]:.4f}",) if run in self.validation else ()
        row.done = event["step"]
        losses = self.adversary.get(run, (f"loss {event['loss']:.4f}",))
        row.note = (*losses, *validation, f"{rate:,.0f} tokens/s")
        self._progress(run, event["step"], row.total or 0, now)

    def _on_probe(self, event: ProbeEvent, run: str) -> None:
        self.rows[run] = Row(
            event.get("arm", run),
            f"probe {event['task']}",
            done=event["step"],
            total=event["steps"],
            note=(f"loss {event['loss']:.4f}",),
        )
        self._progress(run, event["step"], event["steps"], time.monotonic(), event["task"])

    def _on_evaluation(self, event: EvaluationEvent, run: str) -> None:
        self.validation[run] = event["loss"]
        self.unit[run] = event["unit"]
        self.shown.pop(run, None)
        if self.quiet_runs:
            return
        if "train_loss" not in event:
            self._line(single_line(event, self.seconds))
            if run in self.adversary:
                self._line(f"       {', '.join(self.adversary[run])}", "dim")
            for reason in event.get("alarm", []):
                self._line(f"       collapsed: {reason}", "red")
            return
        if not self.session.headed:
            self.session.headed = True
            self._line(HEADING, "bold")
        self._line(evaluation_line(event, self.seconds))
        said = self.session.parting.look(event)
        if said is not None:
            self._line(said, "yellow")

    def _on_sample(self, event: SampleEvent, run: str) -> None:
        if not self.quiet_runs and event["texts"]:
            first = " ".join(event["texts"][0].split())
            self._line(self.terminal.one_line(f"   sample  {first}"), "dim")

    def _on_end(self, event: EndEvent, run: str) -> None:
        row = self.rows.get(run)
        if row is not None and event["stopped"] != "interrupted" and row.total is not None:
            row.done, row.note = row.total, ("scoring",) if run else ()
        if not self.live and run:
            ended = "interrupted" if event["stopped"] == "interrupted" else "done"
            title = run if row is None else row.name
            self._line(f"{title}: {ended}{self._found(run)}")

    def _found(self, run: str) -> str:
        if run not in self.validation:
            return ""
        return f", validation loss {self.validation[run]:.4f} {self.unit[run]}"

    def _on_rate(self, event: RateEvent, run: str) -> None:
        """Show how a trial of a learning rate ended; its row leaves."""
        if self.work is not None:
            self.work.end_trial(run, time.monotonic())
        row = self.rows.pop(run, None)
        title = row.name if row is not None else run
        ended = {"done": f"{event['loss']:.4f}" if event["loss"] is not None else "done"}
        if self.live:
            self._line(f"{title}: {ended.get(event['status'], 'given up')}", "dim")
        self.validation.pop(run, None)

    def _on_result(self, event: ResultEvent, run: str) -> None:
        """Show that a run was scored, or a search is over; its row leaves."""
        self.rows.pop(run, None)
        if self.work is not None:
            self.work.end(run, time.monotonic())
        if event["loss"] is not None:
            after = f"; {self.work.say(time.monotonic())}" if self.work and not self.live else ""
            self._line(f"{run}: {event['loss']:.4f}{after}", "dim")
