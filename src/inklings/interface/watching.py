"""Who hears the events of long work: a view in the notebook or the terminal, and the caller."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from inklings.cli.progress import Display
from inklings.cli.terminal import open_terminal
from inklings.events import Event, OnEvent
from inklings.interface.notebook import NotebookView, in_notebook


@contextlib.contextmanager
def watched(on_event: OnEvent, *, show: bool, many: bool = False) -> Iterator[OnEvent]:
    """Give a listener that shows how far the work is, and tells the caller's own.

    In a notebook it shows a live chart, in a terminal a bar on the error output.

    Args:
        on_event: the caller's.
        show: whether anything is shown.
        many: whether several runs tell of themselves.
    """
    if not show:
        yield on_event
        return
    with _view(many) as shown:

        def both(event: Event) -> None:
            shown(event)
            on_event(event)

        yield both


def _view(many: bool) -> NotebookView | Display:
    if in_notebook():
        return NotebookView(many=many)
    return Display(open_terminal(True), quiet_runs=many)
