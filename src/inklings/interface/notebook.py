"""The live view of long work in a notebook: a curve that grows, or a bar for each run at work."""

from __future__ import annotations

import html
import sys
import time
from types import TracebackType
from typing import Any

from inklings.amounts import duration
from inklings.cli.time_left import Work
from inklings.events import EvaluationEvent, Event, NoteEvent, StartEvent, StepEvent
from inklings.interface.curve import as_image, curve_svg, learning_lines
from inklings.interface.records import metric_records
from inklings.showing import html_line

REFRESH = 0.7
"""Seconds between two updates: each is a message to the browser, and drawn anew there."""
STEPS = 4000
"""Most steps that a growing curve keeps; of more, every second one is dropped, again and again."""
BAR = 120
"""Width of a bar, in pixels."""


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookView:
    """Shows the events of preparing, training and comparing in the cell that they come from.

    One run alone is its curve; of several, those at work are bars.
    """

    def __init__(self, *, many: bool = False) -> None:
        self.many = many
        self._handle: Any = None
        self._shown = 0.0
        self._notes: list[str] = []
        self._stages: dict[str, str] = {}
        self._start: StartEvent | None = None
        self._logged: list[StepEvent | EvaluationEvent] = []
        self._running: dict[str, tuple[int, int, float | None]] = {}
        self._work: Work | None = None
        self._began = time.monotonic()
        self._over = False

    def __enter__(self) -> NotebookView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.clear()
        self._stages.clear()
        self._over = True
        if self._handle is not None or self._notes:
            self._show()

    def __call__(self, event: Event) -> None:
        """Take in one event, and show how far the work is, if it is time to."""
        run, now = event.get("run", ""), time.monotonic()
        match event["event"]:
            case "note":
                self._note(event)
            case "stage":
                self._stages[run] = event["text"]
            case "prepare" if event["stage"] == "done":
                self._stages.pop("", None)
            case "prepare":
                self._stages[""] = f"{event['stage']} {_share(event)}"
            case "work":
                self._stages.pop("", None)
                self._work = Work(event["items"], event["workers"])
            case "start":
                self._start = event
                if not self.many:
                    self._work = Work.of_one(run)
                self._progress(run, event["step"], event["steps"], None, now)
            case "step":
                if not self.many:
                    self._keep(event)
                if run in self._running:
                    steps = self._running[run][1]
                    self._progress(run, event["step"], steps, event["loss"], now)
            case "evaluation":
                if not self.many:
                    self._logged.append(event)
            case "find_lr":
                self._progress(run, event["step"], event["steps"], event["loss"], now)
            case "probe":
                self._progress(
                    run, event["step"], event["steps"], event["loss"], now, event["task"]
                )
            case "rate":
                self._leave(run)
                if self._work is not None:
                    self._work.end_trial(run, now)
            case "end":
                self._leave(run)
            case "result":
                self._leave(run)
                if self._work is not None:
                    self._work.end(run, now)
            case _:
                return
        if now - self._shown >= REFRESH:
            self._shown = now
            self._show()

    def _progress(
        self, run: str, step: int, steps: int, loss: float | None, now: float, trial: str = ""
    ) -> None:
        self._stages.pop(run, None)
        self._running[run] = (step, steps, loss)
        if self._work is not None:
            self._work.at(run, step / steps if steps else 0.0, now, trial)

    def _leave(self, run: str) -> None:
        self._stages.pop(run, None)
        self._running.pop(run, None)

    def _note(self, event: NoteEvent) -> None:
        run = event.get("run", "")
        self._notes.append(f"{run}: {event['text']}" if run else event["text"])

    def _keep(self, event: StepEvent) -> None:
        self._logged.append(event)
        if len(self._logged) > STEPS:
            self._logged = [
                one
                for number, one in enumerate(self._logged)
                if number % 2 or one["event"] == "evaluation"
            ]

    def _show(self) -> None:
        """Draw how far the work is, in the place of what was drawn before."""
        from IPython.display import display  # there is one, since this is a notebook

        bundle = {"text/html": self.html(), "text/plain": self._words()}
        if self._handle is None and not bundle["text/html"]:
            return
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def html(self) -> str:
        """Return the view as it stands."""
        parts = [html_line(text, faint=True) for text in self._notes]
        for run, text in self._stages.items():
            parts.append(html_line(f"{run}: {text}" if run else text))
        if words := self._words():
            parts.append(html_line(words, faint=self.many))
        if self.many:
            return "".join(parts) + "".join(
                _bar(name, *progress) for name, progress in self._running.items()
            )
        lines = learning_lines(metric_records(self._logged))
        if lines and self._start is not None:
            total = self._start["steps"] * self._start["tokens_per_step"]
            parts.append(as_image(curve_svg(lines, unit="loss", total=total), "learning curve"))
        return "".join(parts)

    def _words(self) -> str:
        """Return how far the work is, in a line."""
        now = time.monotonic()
        took = duration(now - self._began)
        if self._work is None:
            return ""  # a text alone, whose stage says it
        if self.many or self._start is None:
            said = self._work.place() if self._over else self._work.say(now)
            return f"after {took}: {said}"
        steps = self._start["steps"]
        step = self._logged[-1]["step"] if self._logged else self._start["step"]
        seconds = None if self._over else self._work.seconds_left(now)
        left = "" if seconds is None else f", about {duration(seconds)} left"
        return f"step {step:,} of {steps:,}, {took}{left}"


def _share(event: Any) -> str:
    return f"{event['done'] / event['total']:.0%}" if event["total"] else f"{event['done']:,}"


def _bar(name: str, step: int, steps: int, loss: float | None) -> str:
    share = step / steps if steps else 1.0
    figure = "" if loss is None else f"loss {loss:.4f}"
    return (
        '<div style="margin:2px 0"><span style="display:inline-block;vertical-align:middle;'
        f'width:{BAR}px;height:8px;margin-right:8px;background:rgba(128,128,128,.3)"><span'
        f' style="display:block;height:8px;width:{share * BAR:.0f}px;background:#4f8fd9"></span>'
        f'</span>{html.escape(name)} <span style="color:#808080">{figure}</span></div>'
    )
