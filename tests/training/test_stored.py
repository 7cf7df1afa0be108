"""What a run's rows had stored while it was trained, and the long-term memory made of it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inklings.errors import RunError
from inklings.models.contract import SequenceModel
from inklings.models.remembering import Storing
from inklings.runs.checkpoints import checkpoint_path, published_step, read_objective
from inklings.runs.directory import RunDirectory
from inklings.runs.memory import StoredText
from inklings.runs.open_memory import create_memory, open_memory
from inklings.runs.own_text import own_store
from inklings.training.optimizers.optimizers import tensors_below
from inklings.training.stored import stored_by_training
from inklings.training.train import train
from tests.built import as_sequence_model

from .conftest import small_config

BACKBONE = "gpt:n_layer=1,n_head=2,n_embd=16,context_length=16"
MODEL = {
    "backbone": BACKBONE,
    "freeze_backbone": True,  # so that the last weights would store what those before them did
    "clear_at": "epoch",
    "segment": 5,
    "num_search_results": 4,
}


def trained(text: Path, run: Path, **training: Any) -> RunDirectory:
    config = dataclasses.replace(small_config(text, "varda", **training), model=MODEL)
    train(config, run)
    return RunDirectory.open(run)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, text: Path) -> RunDirectory:
    """In the middle of its second epoch, its rows computed in two parts."""
    folder = tmp_path_factory.mktemp("stored")
    return trained(text, folder / "run", budget="15-steps", accumulate=2)


def model_of(run: RunDirectory) -> SequenceModel:
    return as_sequence_model(run.load_model()).eval()


def stored(run: RunDirectory) -> list[StoredText]:
    return stored_by_training(run, model_of(run))


@pytest.mark.slow
def test_all_that_the_rows_held_is_kept_with_the_text_it_is_of(run: RunDirectory) -> None:
    model, texts = model_of(run), stored(run)
    assert isinstance(model, Storing)
    step = published_step(run.path)
    assert step is not None
    tensors = read_objective(checkpoint_path(run.path, step))
    state = model.state_from_tensors(tensors_below("carried/", tensors))
    held = [memory.vectors() for memory in model.row_memories(state)]
    kept = np.concatenate([text.written.vectors for text in texts])
    assert sorted(np.concatenate(held).tolist()) == sorted(kept.tolist())
    split = own_store(run).split("train")
    assert len(texts) > 4  # more documents than rows
    for text in texts:
        document = split.document(int(text.name.removeprefix("training:")) - 1)
        assert text.tokens[1:-1].tolist() == document.tolist()
        assert text.tokens[text.written.positions].tolist() == text.written.values.tolist()


def test_what_was_stored_is_what_the_model_would_store_of_these_documents(
    run: RunDirectory,
) -> None:
    model, whole = model_of(run), 0
    assert isinstance(model, Storing)
    for text in stored(run):
        written = model.written(torch.from_numpy(text.tokens)[None])
        if len(text.written.values) == len(written.values):
            whole += 1
            assert text.written.positions.tolist() == written.positions.tolist()
            np.testing.assert_allclose(text.written.vectors, written.vectors, atol=1e-5)
    assert whole > 4


def test_a_long_term_memory_made_of_it_finds_what_training_read(
    run: RunDirectory, tmp_path: Path
) -> None:
    copy = RunDirectory.open(Path(shutil.copytree(run.path, tmp_path / "run")))
    texts = stored(copy)
    added = create_memory(copy, model_of(copy)).add_stored(texts)
    assert (len(added.ids), added.known) == (sum(len(t.written.values) for t in texts), [])
    opened = open_memory(copy, model_of(copy))
    longest = max(texts, key=lambda text: len(text.written.values))
    word = copy.tokenizer().decode(longest.tokens[1:-1])
    hits = opened.search(word[:-1], 3)
    assert any(hit.value == word[-1] and hit.distance < 1e-3 for hit in hits)
    assert {hit.document for hit in hits} <= set(added.documents)


def test_where_nothing_was_stored_the_reason_is_said(
    run: RunDirectory, text: Path, tmp_path: Path
) -> None:
    train(small_config(text, "gpt", budget="1-steps"), tmp_path / "gpt")
    plain = RunDirectory.open(tmp_path / "gpt")
    with pytest.raises(RunError, match="is a gpt, whose rows store nothing"):
        stored(plain)
    with pytest.raises(RunError, match="those of step 0: nothing was read"):
        stored(trained(text, tmp_path / "none", budget="0-steps"))
    frozen = dataclasses.replace(
        small_config(text, "varda", budget="1-steps"), model={**MODEL, "frozen": True}
    )
    train(frozen, tmp_path / "frozen")
    with pytest.raises(RunError, match="were empty at step 1"):
        stored(RunDirectory.open(tmp_path / "frozen"))
    with pytest.raises(RunError, match="in the order windows, which carries no memory"):
        stored(trained(text, tmp_path / "windows", budget="1-steps", order="windows"))
    copy = RunDirectory.open(Path(shutil.copytree(run.path, tmp_path / "copy")))
    shutil.rmtree(copy.path / "checkpoints")
    with pytest.raises(RunError, match="is missing, which held what was stored"):
        stored(copy)
