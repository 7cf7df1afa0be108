"""A run's long-term memory whose vectors are in a database.

No password on disk, and a clear way on after a command that died.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import ConfigError, RunError
from inklings.memory import persistence
from inklings.memory.backends import postgres
from inklings.runs.directory import RunDirectory
from inklings.runs.open_memory import POSTGRES, create_memory, open_memory
from inklings.training.train import train
from tests.built import as_sequence_model

from .postgres import PASSWORD, Server, private_server

FILE = Path(__file__).resolve().parents[1] / "training" / "fixtures" / "remembering.py"
TEXT = "The lamp in the harbour was lit at nine."


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with private_server() as running:
        yield running


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(postgres, "RECONNECT_PAUSES", (0.01, 0.3))
    text = tmp_path / "words.txt"
    text.write_text("\n".join(f"word {number}" for number in range(100)), encoding="utf-8")
    training = TrainingConfig(
        budget="1-steps", samples=0, evaluations=1, threads=1, precision="float32", compile="off"
    )
    data = DataConfig(source=str(text), tokenizer="byte")
    train(
        RunConfig(architecture=f"{FILE}:Rememberer", data=data, training=training), tmp_path / "run"
    )
    return RunDirectory.open(tmp_path / "run")


def test_a_table_is_found_again_and_never_the_password(
    run: RunDirectory, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = as_sequence_model(run.load_model())
    made = create_memory(run, model, backend="pgvector", connection=server.address())
    made.add_text("story", TEXT)
    made.remove([3])
    with pytest.raises(ConfigError, match=POSTGRES):
        open_memory(run, model)
    monkeypatch.setenv(POSTGRES, server.address())
    opened = open_memory(run, model)
    assert (opened.table, len(opened)) == (made.table, len(TEXT))
    hits = opened.search("The lamp in the", 3)
    assert hits == made.search("The lamp in the", 3)
    assert hits[0].position == len("The lamp in the") + 1
    for path in (run.path / "memory").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert PASSWORD.encode() not in content
            assert str(server.folder).encode() not in content
    shutil.rmtree(run.path / "memory")
    with pytest.raises(ConfigError, match="of its own"):
        create_memory(run, model, backend="pgvector", table=made.table)


def test_after_a_command_that_died_another_table_is_filled(
    run: RunDirectory, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(POSTGRES, server.address())
    model = as_sequence_model(run.load_model())
    made = create_memory(run, model, backend="pgvector")
    made.add_text("story", TEXT)
    found = made.search("The lamp", 3)
    with monkeypatch.context() as patch:
        patch.setattr(persistence, "write_json", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            open_memory(run, model).add_text("more", "What the server has and the run has not.")
    with pytest.raises(RunError, match="compact --table NEW"):
        open_memory(run, model)
    mended = open_memory(run, model, table="mended")
    assert mended.search("The lamp", 3) == found
    mended.compact()
    again = open_memory(run, model)
    assert (again.table, again.search("The lamp", 3)) == ("mended", found)
