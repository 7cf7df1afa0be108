"""The events are what the reference says they are, and what training writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.events import Event, EventOrigin, LoggedEvent, note, silent
from inklings.runs.directory import RunDirectory
from inklings.training.train import train

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "run-directory.md"
ORIGIN = set(EventOrigin.__annotations__)


def keys_of(event_type: Any) -> set[str]:
    return set(get_type_hints(event_type)) - ORIGIN - {"event"}


def kinds_of(event_type: Any) -> tuple[str, ...]:
    return get_args(get_type_hints(event_type)["event"])


def test_the_reference_names_every_key_of_every_event() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## The events")[2].partition("\n## ")[0]
    told = {}
    for row in re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.MULTILINE):
        kinds, keys = (tuple(re.findall(r"`(\w+)`", cell)) for cell in row)
        told[kinds] = set(keys)
    assert told == {kinds_of(kind): keys_of(kind) for kind in get_args(LoggedEvent)}


def test_no_two_kinds_of_events_share_a_name() -> None:
    kinds = [kind for event_type in get_args(Event) for kind in kinds_of(event_type)]
    assert len(kinds) == len(set(kinds))


def test_training_writes_what_the_types_say(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a red river\nthe sea\na stone\n" * 30, encoding="utf-8")
    heard: list[Event] = []
    config = RunConfig(
        architecture="mlp",
        data=DataConfig(source=str(tmp_path / "text.txt")),
        training=TrainingConfig(budget="3-steps", batch_size=2, evaluations=1, device="cpu"),
    )
    train(config, tmp_path / "run", on_event=heard.append)
    types = {kind: made for made in get_args(Event) for kind in kinds_of(made)}
    logged = RunDirectory.open(tmp_path / "run").metrics()
    assert {event["event"] for event in logged} >= {"start", "step", "evaluation", "end"}
    for event in (*heard, *logged):
        made = types[event["event"]]
        assert set(event) - ORIGIN - {"event"} <= keys_of(made)
        assert made.__required_keys__ <= set(event)
    told = [event for event in heard if event["event"] not in ("note", "prepare", "stage")]
    assert json.loads(json.dumps(told)) == logged


def test_a_note_is_an_event_and_silence_is_a_listener() -> None:
    silent(note("a sentence"))
    assert note("a sentence") == {"event": "note", "text": "a sentence"}
