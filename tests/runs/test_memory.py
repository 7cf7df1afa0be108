"""The long-term memory of a run.

It finds what it was given, forgets what it should, and survives whatever stops it.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jaxtyping import Int
from torch import Tensor

from inklings.config import DataConfig, RunConfig
from inklings.errors import ArchitectureError, ConfigError, DiskError, InputError, RunError
from inklings.generation.packed_weights import with_packed_weights
from inklings.memory import persistence
from inklings.models.contract import SequenceModel
from inklings.models.remembering import Remembering, Written
from inklings.runs import memory_documents
from inklings.runs import open_memory as memory_opening
from inklings.runs.directory import RunDirectory
from inklings.runs.lock import locked
from inklings.runs.memory import Hit, RunMemory
from inklings.runs.open_memory import (
    attach,
    changing,
    check_memory,
    create_memory,
    has_memory,
    open_memory,
)
from inklings.training.train import train
from tests.built import as_sequence_model

from ..training.conftest import small_config

FILE = Path(__file__).parents[1] / "training" / "fixtures" / "remembering.py"
SENTENCES = [
    "The lamp in the harbour was lit at nine.",
    "Nobody had seen the café door open since May.",
    "A kettle boiled over while the clerk slept.",
    "Seven grey geese crossed the frozen canal.",
    "Her letters came back with the wrong stamps.",
]
TEXT = " ".join(SENTENCES)
OTHER = "Under the bridge a boy sold maps of towns that were never built."


def config_of(text: Path, seed: int) -> RunConfig:
    config = small_config(text, f"{FILE}:Rememberer", seed=seed)
    return dataclasses.replace(
        config, data=DataConfig(source=str(text), layout="lines", tokenizer="byte")
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, text: Path) -> list[Path]:
    """Two runs of the same architecture with different weights."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "home"))
        for seed in (0, 1):
            train(config_of(text, seed), folder / str(seed))
    return [folder / "0", folder / "1"]


@pytest.fixture
def run(finished: list[Path], tmp_path: Path) -> RunDirectory:
    """A finished run that the test may change."""
    return RunDirectory.open(Path(shutil.copytree(finished[0], tmp_path / "run")))


def model_of(run: RunDirectory) -> SequenceModel:
    return as_sequence_model(run.load_model(trust_code=True))


@pytest.fixture
def memory(run: RunDirectory) -> RunMemory:
    """With two documents."""
    made = create_memory(run, model_of(run), capacity=1000)
    made.add_text("town.txt", TEXT)
    made.add_text("other.txt", OTHER)
    return made


def again(run: RunDirectory) -> RunMemory:
    return open_memory(run, model_of(run))


def content(run: RunDirectory) -> dict[str, bytes]:
    """Every byte of the memory, but for the lock and what no reader looks at."""
    store = run.path / "memory" / "store"
    return {path.name: path.read_bytes() for path in sorted(store.rglob("*"))}


def answers(memory: RunMemory) -> list[list[Hit]]:
    return [memory.search(text, 4) for text in (*SENTENCES, OTHER[:20], "geese")]


def place(sentence: str, text: str = TEXT) -> int:
    """Position of the token after a sentence."""
    return len(text[: text.index(sentence) + len(sentence)].encode()) + 1


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_leads_to_its_place(run: RunDirectory, memory: RunMemory, sentence: str) -> None:
    for opened in (memory, again(run)):
        first, second = opened.search(sentence, 2)
        assert (first.document, first.position, first.age) == ("town.txt", place(sentence), 1)
        assert first.distance < second.distance
        assert first.before.endswith(sentence[-10:])
        following = TEXT.partition(sentence)[2]
        assert first.value == (following[:1] or "<|endoftext|>")
        assert following[1:].startswith(first.after)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=15,
)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
        min_size=1,
        max_size=4,
        unique=True,
    )
)
def test_any_text_leads_to_its_own_end(run: RunDirectory, texts: list[str]) -> None:
    shutil.rmtree(run.path / "memory", ignore_errors=True)
    added = create_memory(run, model_of(run)).add(
        [(str(number), text) for number, text in enumerate(texts)]
    )
    ends = [len(text.encode()) + 1 for text in texts]
    assert len(added.ids) == sum(ends)
    opened = again(run)
    for number, text in enumerate(texts):
        hits = opened.search(text, len(opened))
        # what ends alike is as near
        near = [
            (hit.document, hit.position, hit.value)
            for hit in hits
            if hit.distance < hits[0].distance + 1e-5
        ]
        assert (str(number), ends[number], "<|endoftext|>") in near
        assert hits[0].distance < 1e-5


def test_age_counts_additions(run: RunDirectory, memory: RunMemory) -> None:
    memory.add_text("third", "quite another text")
    opened = again(run)
    assert [opened.search(text, 1)[0].age for text in (TEXT, OTHER, "quite another text")] == [
        2,
        1,
        0,
    ]
    assert opened.info().memory.clock == 3


def test_searching_changes_nothing(run: RunDirectory, memory: RunMemory) -> None:
    before = content(run)
    opened = again(run)
    assert answers(opened) == answers(opened) == answers(memory)
    assert content(run) == before


def test_what_is_removed_is_never_found(run: RunDirectory, memory: RunMemory) -> None:
    gone = [hit.id for hit in memory.search(SENTENCES[1], 7)]
    memory.remove(gone)
    opened = again(run)
    assert not {hit.id for hit in opened.search(SENTENCES[1], len(opened))} & set(gone)
    assert len(opened) == len(TEXT.encode()) + len(OTHER.encode()) + 2 - 7


def test_forgetting_depends_on_the_seed_alone(run: RunDirectory, memory: RunMemory) -> None:
    first, second, third = again(run), again(run), again(run)
    forgotten = first.forget(0.3, 5)
    np.testing.assert_array_equal(forgotten, second.forget(0.3, 5))
    assert forgotten.tolist() != third.forget(0.3, 6).tolist()
    assert 0.15 < len(forgotten) / len(memory) < 0.45
    assert len(again(run)) == len(third)


def test_a_text_that_is_there_is_refused_until_it_is_gone(
    run: RunDirectory, memory: RunMemory
) -> None:
    before = content(run)
    with pytest.raises(InputError, match="in the memory already"):
        memory.add_text("the same under another name", TEXT)
    assert content(run) == before
    added = memory.add([("a", TEXT), ("b", "new"), ("c", "new")])
    assert (added.documents, added.known) == (["b"], ["a", "c"])
    memory.remove(
        [entry for entry in again(run).memory.ids.tolist() if entry <= len(TEXT.encode())]
    )
    assert len(again(run).add_text("town.txt", TEXT))


def test_the_oldest_give_way_and_their_documents_are_not_listed(run: RunDirectory) -> None:
    made = create_memory(run, model_of(run), capacity=80)
    made.add_text("a", "a" * 39)
    assert made.add([("b", "b" * 59)]).evicted == 20
    made.add_text("c", "c" * 39)
    assert [(d.name, d.tokens, d.entries) for d in again(run).info().documents] == [
        ("b", 59, 40),
        ("c", 39, 40),
    ]
    before = content(run)
    with pytest.raises(InputError, match="80 at most"):
        again(run).add_text("d", "d" * 80)
    assert content(run) == before


def test_compacting_keeps_answers_and_drops_documents_without_entries(
    run: RunDirectory, memory: RunMemory
) -> None:
    memory.add([("x", "a text that goes"), ("y", "a text that stays")])
    memory.remove([hit.id for hit in memory.search("a text", len(memory)) if hit.document == "x"])
    before = answers(memory)
    assert memory.compact() == 1
    assert answers(memory) == answers(again(run)) == before
    assert {
        d.name for d in memory_documents.read_documents(run.path / "memory" / "documents").values()
    } == {"town.txt", "other.txt", "y"}
    memory.forget(1.0)
    assert memory.compact() == 3
    assert not list((run.path / "memory" / "documents").iterdir())
    assert len(again(run).add_text("town.txt", TEXT)) == len(TEXT.encode()) + 1


def full_disk(*arguments: object, **named: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


class Killed(BaseException):
    """A process that is gone handles nothing."""


def kill(*arguments: object, **named: object) -> NoReturn:
    raise Killed


@pytest.mark.parametrize("where", ["documents", "between", "arrays", "manifest"])
def test_a_kill_leaves_the_memory_that_was_there(
    run: RunDirectory, memory: RunMemory, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, found = content(run), answers(memory)
    victim = again(run)
    with monkeypatch.context() as patch:
        if where == "documents":
            patch.setattr(memory_documents, "write_json", kill)
        elif where == "between":
            patch.setattr(persistence, "_arrays", kill)
        elif where == "arrays":
            patch.setattr(persistence, "_write", kill)
        else:
            patch.setattr(persistence, "write_json", kill)
        with pytest.raises(Killed):
            victim.add_text("new.txt", "A text that never arrives.")
    assert content(run) == before
    opened = again(run)
    assert answers(opened) == found
    # what the killed addition left is in nobody's way, and goes
    opened.add_text("new.txt", "A text that never arrives.")
    assert again(run).search("A text that never arrives", 1)[0].document == "new.txt"
    assert opened.compact() == (where != "documents")


def test_a_kill_after_the_rename_leaves_the_new_memory(
    run: RunDirectory, memory: RunMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", kill)  # old arrays are removed last
        patch.setattr(persistence, "_refuse_others", lambda folder: None)
        with pytest.raises(Killed):
            again(run).add_text("new.txt", "A text that arrives.")
    assert again(run).search("A text that arrives", 1)[0].document == "new.txt"


def test_a_full_disk_is_one_clear_error(
    run: RunDirectory, memory: RunMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(run)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(DiskError, match="disk is full"):
            again(run).add_text("new.txt", "A text that finds no room.")
        with pytest.raises(DiskError, match="disk is full"):
            again(run).remove([0])
    assert content(run) == before


def test_the_memory_of_other_weights_is_refused(
    run: RunDirectory, memory: RunMemory, finished: list[Path]
) -> None:
    other = RunDirectory.open(finished[1])
    shutil.copytree(run.path / "memory", other.path / "memory")
    with pytest.raises(RunError, match="other weights"):
        open_memory(other, model_of(other))
    with pytest.raises(RunError, match="other weights"):
        attach(other, model_of(other))
    shutil.rmtree(other.path / "memory")
    # the last weights of a run need not be its best
    weights = run.path / "checkpoints" / "step_12" / "model.safetensors"
    weights.write_bytes((other.path / "checkpoints" / "step_12" / "model.safetensors").read_bytes())
    with pytest.raises(RunError, match="other weights"):
        last = as_sequence_model(run.load_model("last", trust_code=True))
        attach(run, last, weights="last")


def test_attaching_gives_the_model_its_memory(run: RunDirectory, memory: RunMemory) -> None:
    model = model_of(run)
    assert isinstance(model, Remembering)
    before = model.long_term
    opened = attach(run, model)
    assert before is None and opened is not None
    assert model.long_term is opened.memory
    assert len(opened.memory) == len(memory)
    packed = with_packed_weights(model, "float32")
    assert isinstance(packed, Remembering)
    assert packed.long_term is opened.memory
    shutil.rmtree(run.path / "memory")
    assert attach(run, model_of(run)) is None


def test_a_model_without_a_memory_is_told_how_to_get_one(
    finished: list[Path], text: Path, tmp_path: Path
) -> None:
    train(small_config(text), tmp_path / "plain")
    plain = RunDirectory.open(tmp_path / "plain")
    model = model_of(plain)
    assert attach(plain, model) is None
    for use in (open_memory, create_memory):
        with pytest.raises(ArchitectureError, match=f"train varda --from {plain.path}"):
            use(plain, model)


def test_what_cannot_be_done_is_said_and_nothing_is_changed(
    run: RunDirectory, memory: RunMemory
) -> None:
    before = content(run)
    size = f"{len(memory)}"
    refused: dict[str, Callable[[], object]] = {
        f"has {size} entries": lambda: memory.search("lamp", len(memory) + 1),
        "k is 0": lambda: memory.search("lamp", 0),
        "to search for is empty": lambda: memory.search(""),
        "no entry with id 99999": lambda: memory.remove([1, 99999]),
        "given twice": lambda: memory.remove([1, 1]),
        "factor is 1.5": lambda: memory.forget(1.5),
        "seed is -1": lambda: memory.forget(0.5, -1),
        "e.txt holds no text": lambda: memory.add([("d.txt", "text"), ("e.txt", "")]),
        "holds no text": lambda: memory.add([]),
    }
    for message, act in refused.items():
        with pytest.raises(InputError, match=message):
            act()
        assert content(run) == before
    with pytest.raises(RunError, match="already"):
        create_memory(run, model_of(run))
    memory.forget(1.0)
    with pytest.raises(InputError, match="is empty"):
        again(run).search("lamp")
    assert again(run).info().documents == []


def test_before_the_first_addition_there_is_nothing(run: RunDirectory) -> None:
    create_memory(run, model_of(run))
    assert not has_memory(run)
    with pytest.raises(RunError, match="no long-term memory yet"):
        again(run)
    with pytest.raises(ConfigError, match="capacity"):
        create_memory(run, model_of(run), capacity=0)


def test_a_damaged_or_missing_document_is_named(run: RunDirectory, memory: RunMemory) -> None:
    path = run.path / "memory" / "documents" / "0.json"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace("104,", "105,", 1), encoding="utf-8")
    with pytest.raises(RunError, match=r"0\.json is damaged"):
        again(run).search("lamp")
    path.write_text(whole.replace('"tokens"', '"token"'), encoding="utf-8")
    with pytest.raises(RunError, match=r"0\.json is damaged"):
        again(run).info()
    path.unlink()
    with pytest.raises(RunError, match="document 0 is missing"):
        again(run).info()


@pytest.mark.parametrize(
    "pattern", ["store/vectors-*.npy", "store/manifest.json", "documents/0.json"]
)
def test_every_byte_is_checked(run: RunDirectory, memory: RunMemory, pattern: str) -> None:
    assert check_memory(run) == []
    (path,) = (run.path / "memory").glob(pattern)
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2 + 1] ^= 1
    path.write_bytes(bytes(changed))
    assert len(check_memory(run)) == 1
    assert path.name in check_memory(run)[0]
    path.unlink()
    assert has_memory(run) and len(check_memory(run)) == 1


def test_a_memory_that_lost_its_manifest_is_not_passed_over(
    run: RunDirectory, memory: RunMemory
) -> None:
    (run.path / "memory" / "store" / "manifest.json").unlink()
    assert "manifest.json" in check_memory(run)[0] and has_memory(run)
    uses: list[Callable[[], object]] = [lambda: again(run), lambda: attach(run, model_of(run))]
    for use in uses:
        with pytest.raises(RunError, match=r"manifest\.json.*is missing.*--no-memory"):
            use()
    with pytest.raises(RunError, match="already"):
        create_memory(run, model_of(run))


def test_a_model_that_misplaces_its_values_is_refused(
    run: RunDirectory, memory: RunMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = type(memory.model).written

    def shifted(self: Remembering, tokens: Int[Tensor, "1 T"]) -> Written:
        written = honest(self, tokens)
        return dataclasses.replace(written, positions=written.positions - 1)

    monkeypatch.setattr(type(memory.model), "written", shifted)
    before = content(run)
    with pytest.raises(ArchitectureError, match=r"Rememberer\.written"):
        memory.add_text("new.txt", "A text that is misread.")
    assert content(run) == before


def test_one_command_changes_a_memory_at_a_time(run: RunDirectory, memory: RunMemory) -> None:
    with (
        changing(run),
        pytest.raises(RunError, match="being changed by another process"),
        changing(run),
    ):
        pass
    with locked(run.path), pytest.raises(RunError, match="being trained"), changing(run):
        pass
    assert len(again(run)) == len(memory)


def test_a_reader_waits_for_a_memory_that_is_replaced(
    run: RunDirectory, memory: RunMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced: list[int] = []

    def slow(folder: Path) -> persistence.Manifest:
        manifest = persistence.read_manifest(folder)
        if len(replaced) < 2:  # after the weights were compared, and after the files were named
            memory.remove([len(replaced)])
            replaced.append(len(replaced))
        return manifest

    monkeypatch.setattr(memory_opening, "read_manifest", slow)
    assert len(again(run)) == len(memory)


def test_vectors_do_not_need_gradients(run: RunDirectory, memory: RunMemory) -> None:
    """A model that builds a graph for what it writes would hold a whole document of it."""
    seen: list[bool] = []
    honest = memory.model.queries

    def watched(tokens: Int[Tensor, "1 T"]) -> np.ndarray:
        seen.append(torch.is_grad_enabled())
        return honest(tokens)

    memory.model.queries = watched  # type: ignore[method-assign]
    memory.search("lamp", 1)
    assert seen == [False]
