"""Long work says what it does, how far it is, and when all of it ends."""

from __future__ import annotations

import io
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from rich.console import Console

from inklings.cli import progress
from inklings.cli.evaluations import HEADING, Epochs, Parting
from inklings.cli.progress import Display
from inklings.cli.rows import Row, render_row
from inklings.cli.terminal import Terminal
from inklings.cli.time_left import Work
from inklings.events import EvaluationEvent, Event, WorkItem


def item(run: str, arm: str, stage: str = "run", weight: float = 1.0, trials: int = 1) -> WorkItem:
    return {"run": run, "arm": arm, "stage": stage, "weight": weight, "trials": trials}


def evaluation(step: int, known: float, loss: float) -> EvaluationEvent:
    return {
        "event": "evaluation",
        "step": step,
        "tokens": 64 * step,
        "seconds": 1.0,
        "loss": loss,
        "unit": "nats per token",
        "best": False,
        "train_loss": known,
        "accuracy": 0.5,
        "bits_per_byte": None,
    }


def start(run: str, arm: str, tries: str) -> Event:
    return {
        "event": "start",
        "run": run,
        "arm": arm,
        "tries": tries,
        "step": 0,
        "steps": 10,
        "parameters": 5,
        "receptive_field": 8,
        "tokens_per_step": 64,
        "epoch_tokens": 640,
        "runtime": {},
        "notes": [],
    }


def display(*, live: bool, quiet_runs: bool = False) -> tuple[Display, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=live, color_system=None)
    return Display(Terminal(json=False, console=console), quiet_runs=quiet_runs), out


def shown(board: Display) -> list[str]:
    """What the live part of the screen holds."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(board)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_time_left_is_that_of_all_work_and_arms_take_what_they_took() -> None:
    work = Work([item("a 0", "a"), item("b 0", "b"), item("a 1", "a"), item("b 1", "b")], 1)
    assert work.seconds_left(0.0) is None
    work.at("a 0", 0.0, 0.0)
    work.at("a 0", 0.5, 5.0)
    assert work.seconds_left(5.0) == pytest.approx(
        35.0
    )  # all as long as `a`, of which half is done
    work.end("a 0", 10.0)
    work.at("b 0", 0.0, 10.0)
    work.end("b 0", 12.0)
    assert work.seconds_left(12.0) == pytest.approx(12.0)
    assert work.say(12.0) == "run 3 of 4; about 12.0 s left"


def test_where_nothing_is_left_no_time_is() -> None:
    work = Work.of_one("a")
    work.at("a", 0.0, 0.0)
    assert work.say(1.0) == "run 1 of 1"
    work.at("a", 1.0, 5.0)
    assert work.seconds_left(5.0) is None
    work.end("a", 5.0)
    assert work.say(5.0) == "all done"


def test_a_search_goes_on_from_the_trials_that_ended() -> None:
    work = Work([item("a", "a", "search", weight=4.0, trials=4)], 1)
    work.at("a", 0.0, 0.0)
    work.at("a", 0.5, 4.0)
    assert work.seconds_left(4.0) == pytest.approx(28.0)
    work.end_trial("a", 6.0)  # it was given up
    assert work.seconds_left(6.0) == pytest.approx(18.0)
    work.at("a", 0.0, 6.0)
    work.at("a", 0.5, 12.0)
    assert work.say(12.0) == "search 1 of 1; about 20.0 s left"
    for _ in range(9):  # more of them than were foreseen
        work.end_trial("a", 12.0)
        work.at("a", 0.5, 12.0)
    assert work.seconds_left(12.0) is None


def test_side_by_side_takes_less_and_never_less_than_the_longest_piece() -> None:
    items = [item("a", "a"), item("b", "b", weight=10.0)]
    two = Work(items, 2)
    two.at("a", 0.0, 0.0)
    two.end("a", 3.0)
    assert two.seconds_left(3.0) == pytest.approx(30.0)


def test_what_was_done_before_it_began_costs_nothing() -> None:
    work = Work([item("a", "a")], 1)
    work.at("a", 0.8, 0.0)
    work.at("a", 0.9, 10.0)
    assert work.seconds_left(10.0) == pytest.approx(10.0)


@pytest.mark.parametrize("width", [40, 80, 100, 140])
@pytest.mark.parametrize("title", ["training", "gpt:n_layer=12,n_embd=768,n_head=12,dropout=0.1"])
def test_a_row_fits_and_keeps_how_far_it_is_and_the_time_left(width: int, title: str) -> None:
    note = ("loss 1.2345", "validation 1.3456", "123,456 tokens/s")
    row = Row(title, "learning rate 0.005" if width >= 80 else "", done=45, total=100, note=note)
    text = render_row(row, width, 0.0, "…", 3723.0).plain
    assert cell_len(text) <= width
    assert " 45%" in text
    assert "1 h 02 min left" in text
    assert ("learning rate 0.005" in text) == (width >= 80)
    assert ("loss 1.2345" in text) or width < 100


def hear(board: Display, events: Sequence[Event]) -> None:
    for event in events:
        board(event)


def test_a_row_says_what_is_tried_and_leaves_when_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now))
    board, _ = display(live=True, quiet_runs=True)
    name = "gpt learning rate"
    search = item(name, "gpt", "learning-rate search", 5.0, 5)
    hear(
        board,
        [
            {"event": "work", "items": [search, item("gpt seed 0", "gpt")], "workers": 2},
            start(name, "gpt", "learning rate 0.02"),
        ],
    )
    assert any("gpt, learning rate 0.02" in line for line in shown(board))
    assert shown(board)[-1].startswith("learning-rate search 1 of 1, then 1 run")
    now += 8.0
    board(
        {
            "event": "rate",
            "run": name,
            "factor": 2.0,
            "status": "pruned",
            "losses": [3.0],
            "message": None,
            "loss": None,
        }
    )
    assert not any("0.02" in line for line in shown(board))
    assert shown(board)[-1].endswith("then 1 run; about 32.0 s left")  # four trials more
    board({"event": "result", "run": name, "loss": None})
    assert shown(board)[-1].startswith("run 1 of 1")


def test_where_the_losses_part_it_is_said_once() -> None:
    parting = Parting()
    losses = [(2.0, 2.1), (1.8, 2.0), (1.6, 2.05), (1.4, 2.2), (1.2, 2.4)]
    said = [parting.look(evaluation(step, *pair)) for step, pair in enumerate(losses, start=1)]
    assert [sentence is not None for sentence in said] == [False, False, False, True, False]
    assert "since step 2 the training loss fell from 1.8000 to 1.4000" in (said[3] or "")


def test_losses_that_wobble_together_have_not_parted() -> None:
    parting = Parting()
    losses = [(2.0, 2.1), (1.8, 2.0), (1.9, 2.1), (1.95, 2.2), (1.79, 2.001), (1.7, 1.9)]
    assert not any(parting.look(evaluation(step, *pair)) for step, pair in enumerate(losses))


def test_epochs_are_summed_up_and_many_of_them_in_about_ten_lines() -> None:
    epochs = Epochs(tokens=100, total=250, step=0, tokens_per_step=50)
    said = [epochs.look(50 * step, float(step), 1.0) for step in range(1, 6)]
    assert [line is not None for line in said] == [False, True, False, True, False]
    assert said[1] == "epoch 1 of 2.5: mean training loss 1.5000, 1.0 s"
    many = Epochs(tokens=100, total=100_000, step=0, tokens_per_step=50)
    lines = [many.look(50 * step, 1.0, 1.0) for step in range(1, 2001)]
    assert sum(line is not None for line in lines) == 10
    assert "epochs 1 to 100 of 1,000" in next(line for line in lines if line)


def test_training_loss_stands_beside_validation_loss_and_a_note_is_not_coloured() -> None:
    board, out = display(live=False)
    hear(
        board,
        [
            {"event": "note", "text": "a sentence"},
            start("", "", ""),
            evaluation(5, 1.25, 1.5),
        ],
    )
    lines = out.getvalue().splitlines()
    assert lines[0] == "a sentence"
    assert lines[-2].split() == HEADING.split()
    assert lines[-1].split()[:4] == ["5", "1.2500", "1.5000", "50.0%"]


def test_each_task_of_a_probe_is_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    board, _ = display(live=True, quiet_runs=True)
    items = [item("probes a", "a", "probe", weight=2.0, trials=2)]
    board({"event": "work", "items": items, "workers": 1})
    for now, task, step in ((0, "copy", 0), (10, "copy", 10), (10, "recall", 0), (15, "recall", 5)):
        clock.now = float(now)
        board(
            {
                "event": "probe",
                "run": "probes a",
                "arm": "a",
                "task": task,
                "step": step,
                "steps": 10,
                "loss": 1.0,
            }
        )
    assert board.work is not None
    assert board.work.say(15.0) == "probe 1 of 1; about 5.0 s left"


def test_what_is_said_while_a_run_compiles_leaves_it_its_bar() -> None:
    board, _ = display(live=True)
    board(start("a", "a", "rate 0.1"))
    board({"event": "stage", "run": "a", "text": "compiling"})
    assert board.rows["a"].total == 10
    assert board.rows["a"].note == ("compiling",)
