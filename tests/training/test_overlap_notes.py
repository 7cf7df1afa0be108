"""Held-out text that stands in training too is told before anything is trained, once."""

from __future__ import annotations

from pathlib import Path

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.events import Event
from inklings.text.store import TokenStore, prepare
from inklings.training.text_notes import overlap_notes
from inklings.training.train import train


def stored(tmp_path: Path, text: str) -> TokenStore:
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    return prepare(DataConfig(source=str(path)), cache=tmp_path / "cache")


def test_repeated_documents_are_counted(tmp_path: Path) -> None:
    store = stored(tmp_path, "the cat sat on the mat\nthe dog sat on the log\n" * 50)
    validation, test = overlap_notes(store)
    assert validation.startswith(
        "warning: 10 of the 10 validation documents also stand in training"
    )
    assert "the test loss is partly a test of memory" in test


def test_spans_are_told_where_no_document_repeats(tmp_path: Path) -> None:
    shared = "a sentence of more than fifty letters that every document holds whole"
    lines = [f"{number} {shared} {number * 7}" for number in range(100)]
    note = overlap_notes(stored(tmp_path, "\n".join(lines)))[0]
    assert "0 of the 10 validation documents and" in note
    assert "% of their spans of 50 tokens" in note


def test_honest_text_is_passed_over(tmp_path: Path) -> None:
    assert not overlap_notes(stored(tmp_path, "\n".join(f"word {n} {n * n}" for n in range(200))))


def test_train_says_it_and_a_run_of_prepared_text_does_not_say_it_again(tmp_path: Path) -> None:
    store = stored(tmp_path, "the cat sat on the mat\nthe dog sat on the log\n" * 50)
    config = RunConfig(
        architecture="mlp",
        data=DataConfig(source=str(tmp_path / "text.txt")),
        training=TrainingConfig(
            budget="1-steps", batch_size=2, evaluations=1, samples=0, threads=1, precision="float32"
        ),
    )
    told: dict[str, list[Event]] = {"own": [], "given": []}
    train(config, tmp_path / "own", on_event=told["own"].append)
    train(config, tmp_path / "given", store=store, on_event=told["given"].append)
    said = {
        name: sum("partly a test of memory" in str(event.get("text")) for event in events)
        for name, events in told.items()
    }
    assert said == {"own": 2, "given": 0}
