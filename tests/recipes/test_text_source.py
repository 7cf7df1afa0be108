from __future__ import annotations

import contextlib
import gzip
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from inklings import train
from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import SourceError
from inklings.runs.directory import RunDirectory
from inklings.text.sources.grammar import open_source
from inklings.text.store import prepare
from tests.recipes.pages import add

WORDS = ["an", "el", "oo", "irt", "na", "le", "rti", "ssy", "ton", "ela", "ano", "lea"]
SMALL = RunConfig(
    architecture="recurrent",
    model={"n_embd": 2, "n_hidden": 2},
    training=TrainingConfig(
        budget="2-steps", batch_size=2, sequence_length=4, evaluations=1, samples=0, threads=1
    ),
)


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    assert add("text-source.md", monkeypatch) == ["sqlite", "html"]


def steps_learned(source: str, run: Path) -> int:
    train(replace(SMALL, data=DataConfig(source=source, tokenizer="byte")), run)
    return RunDirectory.open(run).record.steps


def test_a_run_learns_from_a_database(tmp_path: Path) -> None:
    path = tmp_path / "posts.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE posts (body TEXT, kind TEXT)")
        rows = [(word, "good" if word != "oo" else "bad") for word in WORDS]
        database.executemany("INSERT INTO posts VALUES (?, ?)", rows)
        database.commit()
    good, every = (
        f"sqlite:{path}?SELECT body FROM posts{where}" for where in (" WHERE kind = 'good'", "")
    )
    source = open_source(DataConfig(source=good))
    assert [piece.text for piece in source.pieces()] == [word for word in WORDS if word != "oo"]
    assert open_source(DataConfig(source=every)).fingerprint != source.fingerprint
    assert open_source(DataConfig(source=source.address)).fingerprint == source.fingerprint
    assert steps_learned(good, tmp_path / "run") == 2
    for wrong in (f"sqlite:{path}", f"sqlite:{path}?SELECT nothing", f"sqlite:{tmp_path}/no?x"):
        with pytest.raises(SourceError, match="sqlite"):
            list(open_source(DataConfig(source=wrong)).pieces())


def test_a_run_learns_from_pages(tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    for number, word in enumerate(WORDS):
        page = f"<html><style>p {{}}</style><p>{word} <b>bold</b></p><script>x</script></html>"
        (folder / f"{number:02}.html.gz").write_bytes(gzip.compress(page.encode()))
    data = DataConfig(source=str(folder), layout="documents", tokenizer="byte")
    found = [piece.text for piece in open_source(data).pieces()]
    assert found == [f"{word} bold" for word in WORDS]
    assert prepare(data).split("train").n_targets > 0
    assert steps_learned(str(folder), tmp_path / "run") == 2


def test_what_can_be_read_is_told_with_them(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"sqlite:FILE\?QUERY"):
        open_source(DataConfig(source=""))
    with pytest.raises(SourceError, match=r"\.html, \.htm"):
        open_source(DataConfig(source=str(tmp_path)))
