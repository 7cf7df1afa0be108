"""A model around another.

It takes the weights of a run of the inner one, and its code, as that of any run.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inklings.config import RunConfig
from inklings.errors import RunError
from inklings.events import Event
from inklings.memory.backends import faiss_index
from inklings.runs.checkpoints import checkpoint_path, checkpoint_steps, read_objective
from inklings.runs.directory import RunDirectory
from inklings.text.store import TokenStore
from inklings.training.train import resume, train

ConfigOf = Callable[..., RunConfig]
OWN = Path(__file__).parents[1] / "contracts" / "fixtures" / "own_architecture.py"


@pytest.fixture
def base(config_of: ConfigOf, store: TokenStore, tmp_path: Path) -> Path:
    train(config_of("gpt"), tmp_path / "base", store=store)
    return tmp_path / "base"


def around(config_of: ConfigOf, **training: object) -> RunConfig:
    return replace(config_of("varda", **training), model={"segment": 4, "num_search_results": 3})


def test_weights_are_attached_as_they_are(
    base: Path, config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    result = train(
        around(config_of, budget="0-steps"), tmp_path / "with", store=store, initial=base
    )
    inner, made = (
        RunDirectory.open(base).load_model(),
        RunDirectory.open(tmp_path / "with").load_model(),
    )
    assert (result.steps, result.stopped) == (
        0,
        "budget",
    ) and result.best_validation_loss is not None
    assert made.config.context_length == inner.config.context_length
    for name, tensor in made.get_submodule("backbone").state_dict().items():
        assert torch.equal(tensor, inner.state_dict()[name])
    assert resume(tmp_path / "with", store=store, budget="3-steps").steps == 3


def test_a_frozen_backbone_learns_nothing_and_the_rest_does(
    base: Path, config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    config = around(config_of, sequence_length=16)
    config = replace(config, model={**config.model, "freeze_backbone": True, "write": "learned"})
    train(config, tmp_path / "tuned", store=store, initial=base)
    inner, made = (
        RunDirectory.open(base).load_model(),
        RunDirectory.open(tmp_path / "tuned").load_model("last"),
    )
    assert all(
        torch.equal(tensor, inner.state_dict()[name])
        for name, tensor in made.get_submodule("backbone").state_dict().items()
    )
    start = RunDirectory.open(tmp_path / "tuned").build_model().state_dict()["reader.bias"]
    assert not torch.equal(made.state_dict()["reader.bias"], start)


def test_weights_of_another_architecture_are_refused(
    base: Path, config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    other = replace(around(config_of), model={"backbone": "recurrent:n_embd=4,n_hidden=8"})
    with pytest.raises(RunError, match=r"is a run of 'gpt', not of 'recurrent"):
        train(other, tmp_path / "with", store=store, initial=base)
    smaller = replace(around(config_of), model={"backbone": "gpt:n_layer=1,n_head=2,n_embd=8"})
    with pytest.raises(RunError, match="n_embd is 8 here and 16 there"):
        train(smaller, tmp_path / "with", store=store, initial=base)
    assert not (tmp_path / "with").exists()


def test_code_of_a_backbone_is_kept_and_trusted_like_any(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_bytes(OWN.read_bytes())
    config = replace(
        around(config_of), model={"backbone": f"{mine}:Convolution:n_embd=8", "segment": 4}
    )
    train(config, tmp_path / "own", store=store)
    mine.write_text("raise SystemExit('this is not the code that the run was made with')")
    run = RunDirectory.open(tmp_path / "own")
    assert run.load_model() is not None and run.check() == []
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another home"))
    with pytest.raises(RunError, match="--trust-code"):
        run.load_model()
    assert run.load_model(trust_code=True) is not None


def test_a_memory_around_a_run_of_own_code_asks_for_trust_before_it_runs_any(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_bytes(OWN.read_bytes())
    config = replace(config_of(), architecture=f"{mine}:Convolution", model={"n_embd": 8})
    train(config, tmp_path / "own", store=store)
    mine.unlink()
    train(
        around(config_of, budget="0-steps"),
        tmp_path / "with",
        store=store,
        initial=tmp_path / "own",
    )
    assert RunDirectory.open(tmp_path / "with").load_model() is not None
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another home"))
    with pytest.raises(RunError, match="--trust-code"):
        train(
            around(config_of, budget="0-steps"),
            tmp_path / "again",
            store=store,
            initial=tmp_path / "own",
        )


@pytest.mark.parametrize(
    "index_type",
    [
        "exact",
        "hnsw",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("flat", "ivf", "ivfpq")),
    ],
)
def test_a_checkpoint_after_an_interruption_is_the_same_to_the_bit(
    index_type: str,
    config_of: ConfigOf,
    store: TokenStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Equal memories and indices, built and with entries that left.

    The documents of a row are one to it.
    """
    if index_type != "exact":
        pytest.importorskip("faiss")
    monkeypatch.setattr(faiss_index, "FEWEST_CLUSTERS", 2)  # the text is short
    config = config_of(
        "varda", budget="6-steps", sequence_length=64, evaluations=2, keep_checkpoints=20
    )
    own = {
        "segment": 32,
        "memory_size": 100,
        "index_type": index_type,
        "clear_at": "epoch",
        "eviction": "least_used",
    }
    rest = {
        "num_search_results": 3,
        "write": "learned",
        "write_budget": 1.0,
        "forgetfulness_factor": 0.01,
        "backbone": "gpt:n_layer=1,n_head=2,n_embd=8",
    }
    config = replace(config, model={**own, **rest}, training=replace(config.training, batch_size=1))
    train(config, tmp_path / "whole", store=store)
    for _ in range(3):  # memories made in between have numbers of their own

        def stop(event: Event) -> None:
            if event["event"] == "step" and event["step"] in (2, 5):
                signal.raise_signal(signal.SIGTERM)

        if not (tmp_path / "stopped").exists():
            train(config, tmp_path / "stopped", store=store, on_event=stop)
        else:
            resume(tmp_path / "stopped", store=store, on_event=stop)
    whole, stopped = (checkpoint_path(tmp_path / run, 6) for run in ("whole", "stopped"))
    assert checkpoint_steps(tmp_path / "stopped") == [0, 2, 3, 5, 6]
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes(), name
    carried = [name for name in read_objective(whole) if name.startswith("carried/store.0.")]
    assert len(carried) > 9, "the memory is in it"
    assert ("carried/store.0.index.faiss" in carried) == (index_type in ("ivf", "ivfpq", "hnsw")), (
        "the index was built"
    )
