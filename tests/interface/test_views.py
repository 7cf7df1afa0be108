"""Who is shown how far long work is, and what is drawn."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.events import Event, StartEvent, WorkItem, stage
from inklings.interface import notebook
from inklings.interface.curve import HEIGHT, WIDTH, curve_svg, learning_lines
from inklings.interface.notebook import STEPS, NotebookView, in_notebook
from inklings.interface.watching import watched

START: StartEvent = {
    "event": "start",
    "step": 0,
    "steps": 50,
    "parameters": 3,
    "receptive_field": None,
    "tokens_per_step": 10,
    "epoch_tokens": 100,
    "runtime": {},
    "notes": [],
}


def step_event(step: int, run: str | None = None) -> Event:
    event: Event = {
        "event": "step",
        "step": step,
        "loss": 3.0 / step,
        "learning_rate": 0.1,
        "gradient_norm": None,
        "tokens": 10 * step,
        "seconds": 0.1 * step,
    }
    if run is not None:
        event["run"] = run
    return event


def work_item(run: str) -> WorkItem:
    return {"run": run, "arm": run, "stage": "run", "weight": 1.0, "trials": 1}


class Kernel:
    """A notebook as far as a view can tell: what is displayed, and what takes its place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[str] = []
        shell = SimpleNamespace(kernel=object())
        ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
        ipython.get_ipython = lambda: shell  # type: ignore[attr-defined]  # made here
        display.display = self.display  # type: ignore[attr-defined]  # made here
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", display)

    def display(self, bundle: dict[str, str], *, raw: bool, display_id: bool) -> Kernel:
        assert raw and display_id and not self.shown, "one place, updated"
        self.shown.append(bundle["text/html"])
        return self

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        assert raw and "text/plain" in bundle
        self.shown.append(bundle["text/html"])


def test_a_notebook_gets_one_chart_that_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    monkeypatch.setattr(notebook, "REFRESH", 0.0)
    heard: list[Event] = []
    assert in_notebook()
    with watched(heard.append, show=True) as listener:
        for event in (START, *(step_event(step) for step in range(1, 5))):
            listener(event)
    assert len(heard) == 5 and len(kernel.shown) == 6
    assert "step 4 of 50" in kernel.shown[-1] and "svg" in kernel.shown[-1]


@pytest.mark.parametrize("many", [False, True])
def test_the_time_left_is_that_of_the_steps_made_here_and_goes_when_they_stop(
    monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    now = 100.0
    Kernel(monkeypatch)
    monkeypatch.setattr(notebook, "time", SimpleNamespace(monotonic=lambda: now))
    with NotebookView(many=many) as view:
        if many:
            view({"event": "work", "items": [work_item("a")], "workers": 1})
        view({**START, "run": "a", "step": 30})
        now += 10.0
        view(step_event(40, "a"))
        assert "about 10.0 s left" in view.html()
    assert "left" not in view.html() and "10.0 s" in view.html()


def test_what_is_done_now_stands_there_until_steps_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Kernel(monkeypatch)
    view = NotebookView()
    view(stage("measuring threads"))
    assert "measuring threads" in view.html()
    view(START)
    view(stage("compiling"))
    assert "measuring threads" not in view.html() and "compiling" in view.html()
    view(step_event(1))
    assert "compiling" not in view.html()


def test_a_chart_is_redrawn_by_the_clock_and_not_by_the_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel(monkeypatch)
    monkeypatch.setattr(notebook, "REFRESH", 1e9)
    with NotebookView() as view:
        for event in (START, *(step_event(step) for step in range(1, 3 * STEPS))):
            view(event)
    assert len(kernel.shown) <= 2
    assert len(view._logged) <= STEPS


def test_several_runs_are_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    Kernel(monkeypatch)
    view = NotebookView(many=True)
    view(stage("auditing"))
    assert "auditing" in view.html()
    view({"event": "work", "items": [*map(work_item, ("c", "a <b>", "d"))], "workers": 2})
    assert "auditing" not in view.html() and "run 1 of 3" in view.html()
    view({**stage("measuring"), "run": "c"})
    assert "c: measuring" in view.html()
    for run in ("a <b>", "c"):
        view({**START, "run": run})
        view(step_event(25, run))
    html = view.html()
    assert "a &lt;b&gt;" in html and html.count("width:60px") == 2
    view({"event": "result", "run": "c", "loss": 1.0})
    assert "run 2 of 3" in view.html() and view.html().count("width:60px") == 1


def test_a_trial_of_a_search_that_ended_is_not_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    Kernel(monkeypatch)
    monkeypatch.setattr(notebook, "time", SimpleNamespace(monotonic=lambda: now))
    view = NotebookView(many=True)
    search: WorkItem = {**work_item("s"), "stage": "search", "weight": 4.0, "trials": 4}
    view({"event": "work", "items": [search], "workers": 1})
    view({**START, "run": "s"})
    now += 8.0
    rate: Event = {
        "event": "rate",
        "run": "s",
        "status": "done",
        "losses": [2.0],
        "message": None,
        "loss": 2.0,
    }
    view(rate)
    assert "after 8.0 s: search 1 of 1; about 24.0 s left" in view.html()
    view({"event": "result", "run": "s", "loss": None})
    assert "after 8.0 s: all done<" in view.html()


def test_each_task_of_a_probe_is_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    Kernel(monkeypatch)
    monkeypatch.setattr(notebook, "time", SimpleNamespace(monotonic=lambda: clock.now))
    view = NotebookView(many=True)
    probes: WorkItem = {**work_item("p"), "stage": "probe", "weight": 2.0, "trials": 2}
    view({"event": "work", "items": [probes], "workers": 1})
    for now, task, step in ((0, "copy", 0), (10, "copy", 10), (10, "recall", 0), (15, "recall", 5)):
        clock.now = float(now)
        told: Event = {
            "event": "probe",
            "run": "p",
            "arm": "a",
            "task": task,
            "step": step,
            "steps": 10,
            "loss": 1.0,
        }
        view(told)
    assert "probe 1 of 1; about 5.0 s left" in view.html()


def test_nothing_is_shown_where_nothing_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = Kernel(monkeypatch)
    heard: list[Event] = []
    with watched(heard.append, show=False) as listener:
        listener(START)
    assert not kernel.shown and heard == [START] and capsys.readouterr() == ("", "")


def test_outside_a_notebook_the_error_output_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert not in_notebook()
    with watched(lambda event: None, show=True) as listener:
        listener({"event": "note", "text": "kept here"})
    out, err = capsys.readouterr()
    assert not out and "kept here" in err


@given(
    losses=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50),
    scored=st.lists(st.floats(0, 100), max_size=5),
)
def test_every_curve_is_a_picture_within_its_frame(
    losses: list[float], scored: list[float]
) -> None:
    records: list[dict[str, Any]] = [
        {"split": split, "tokens": 7 * (number + 1), "loss": loss}
        for split, values in (("train", losses), ("validation", scored))
        for number, loss in enumerate(values)
    ]
    picture = ElementTree.fromstring(curve_svg(learning_lines(records), unit="<nats>"))
    texts = [one for one in picture.iter() if one.tag.endswith("text")]
    assert any(one.text == "<nats>" for one in texts)
    assert all(
        0 <= float(one.attrib["x"]) <= WIDTH and 0 <= float(one.attrib["y"]) <= HEIGHT
        for one in texts
    )
