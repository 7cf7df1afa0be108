from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from inklings.config import RunConfig
from inklings.durable import disk_errors
from inklings.errors import (
    ConfigError,
    DiskError,
    DivergedError,
    InputError,
    RunError,
    TokenizerError,
)
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.events import Event, OnEvent
from inklings.runs.checkpoints import checkpoint_path, checkpoint_steps
from inklings.runs.directory import RunDirectory
from inklings.runs.interruption import SIGNALS
from inklings.text.store import TokenStore, prepare
from inklings.training import loop
from inklings.training import train as train_module
from inklings.training.objectives import likelihood as objectives
from inklings.training.objectives.base import Objective, make_objective
from inklings.training.train import resume, train
from tests.built import as_sequence_model

ConfigOf = Callable[..., RunConfig]


def stop_at(step: int) -> OnEvent:
    """Sends this process SIGTERM when that step is reported."""

    def listen(event: Event) -> None:
        if event["event"] == "step" and event["step"] == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return listen


def content(run: Path) -> dict[str, Any]:
    """All that must not depend on interruptions.

    Weights, the optimiser's state, and the metrics without times.
    """
    directory = RunDirectory.open(run)
    last = checkpoint_path(run, checkpoint_steps(run)[-1])
    kept = {
        "event",
        "step",
        "loss",
        "learning_rate",
        "gradient_norm",
        "tokens",
        "accuracy",
        "train_loss",
        "texts",
    }
    events = [
        {k: v for k, v in event.items() if k in kept}
        for event in directory.metrics()
        if event["event"] in ("step", "evaluation", "sample")
    ]
    return {
        "best": (run / "model.safetensors").read_bytes(),
        "weights": (last / "model.safetensors").read_bytes(),
        "optimizer": (last / "optimizer.safetensors").read_bytes(),
        "events": events,
    }


@pytest.mark.parametrize("architecture", ["mlp", "recurrent", "gpt"])
def test_a_run_leaves_all_that_is_promised(
    architecture: str, config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    events: list[Event] = []
    config = config_of(architecture, samples=2)
    result = train(config, tmp_path / "run", store=store, on_event=events.append)
    assert (result.steps, result.tokens, result.stopped) == (12, 12 * 64, "budget")
    run = RunDirectory.open(result.run)
    assert run.check() == []
    assert run.record.given == config
    assert run.config.training.order == ("streams" if architecture == "recurrent" else "windows")
    assert [event["event"] for event in events if event["event"] != "step"] == [
        "start",
        *["evaluation", "sample", "checkpoint"] * 3,
        "end",
    ]
    assert run.metrics() == json.loads(json.dumps(events))
    steps = [event for event in events if event["event"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, 13))
    assert steps[-1]["tokens"] == 12 * 64
    evaluations = [event for event in events if event["event"] == "evaluation"]
    assert [event["step"] for event in evaluations] == [4, 8, 12]
    assert evaluations[-1]["loss"] == result.final_validation_loss
    for event in evaluations:
        assert event["accuracy"] is not None and 0 <= event["accuracy"] <= 1
        assert event["train_loss"] is not None and event["train_loss"] > 0
    assert result.best_validation_loss == min(event["loss"] for event in evaluations)
    best, last = (
        evaluate(as_sequence_model(run.load_model(weights)), store.split("validation")).loss
        for weights in ("best", "last")
    )
    assert best == pytest.approx(result.best_validation_loss, rel=1e-6)
    assert last == pytest.approx(evaluations[-1]["loss"], rel=1e-6)
    assert set(run.samples()) == {4, 8, 12} and all(
        len(texts) == 2 for texts in run.samples().values()
    )
    assert not run.load_model().training


@pytest.mark.parametrize(
    "settings",
    [
        {"order": "positions", "sequence_length": None},
        {"accumulate": 2},
        {"optimizer": "sgd", "clip": 0.0},
    ],
)
def test_other_ways_to_train_resume_as_exactly(
    settings: dict[str, Any], config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    config = config_of(**settings)
    train(config, tmp_path / "whole", store=store)
    assert train(config, tmp_path / "parts", store=store, on_event=stop_at(5)).steps == 5
    resume(tmp_path / "parts", store=store)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")
    first, *_, last = (
        event["loss"]
        for event in RunDirectory.open(tmp_path / "whole").metrics()
        if event["event"] == "evaluation"
    )
    assert last < first


def test_counting_goes_through_the_same_loop(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    events: list[Event] = []
    config = config_of("ngram", budget="1-min")
    result = train(config, tmp_path / "run", store=store, on_event=events.append)
    assert result.steps == 1 and result.tokens == store.split("train").n_targets
    assert events[0]["event"] == "note" and "budget" in events[0]["text"]
    assert [event["event"] for event in events[1:]] == ["start", "evaluation", "checkpoint", "end"]
    model = as_sequence_model(RunDirectory.open(result.run).load_model())
    assert evaluate(model, store.split("validation")).loss == pytest.approx(
        result.best_validation_loss
    )


@pytest.mark.parametrize("architecture", ["mlp", "recurrent", "gpt"])
@pytest.mark.parametrize("step", [1, 4, 7])
def test_stopped_and_resumed_is_as_if_never_stopped(
    architecture: str, step: int, config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    config = config_of(architecture, samples=1)
    train(config, tmp_path / "whole", store=store)
    result = train(config, tmp_path / "parts", store=store, on_event=stop_at(step))
    assert (result.stopped, result.steps) == ("interrupted", step)
    assert result.advice is not None and "inklings resume" in result.advice
    assert (
        resume(tmp_path / "parts", store=store, on_event=stop_at(step + 3)).stopped == "interrupted"
    )
    assert resume(tmp_path / "parts", store=store).stopped == "budget"
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_lines_that_span_an_interruption_are_the_same(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LINES", 3)
    seen = []

    def stop_within(event: Event) -> None:
        if event["event"] == "evaluation":
            seen.append(event["step"])
            os.kill(os.getpid(), signal.SIGTERM)

    config = config_of(evaluations=6)
    train(config, tmp_path / "whole", store=store)
    assert (
        train(config, tmp_path / "parts", store=store, on_event=stop_within).stopped
        == "interrupted"
    )
    while resume(tmp_path / "parts", store=store, on_event=stop_within).stopped == "interrupted":
        pass
    assert len(seen) == 6
    assert [
        event["step"]
        for event in RunDirectory.open(tmp_path / "whole").metrics()
        if event["event"] == "step"
    ] == [4, 8, 12]
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_the_same_seed_is_the_same_run_and_another_is_not(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(name) + seed)
        train(config_of("gpt", seed=seed), tmp_path / name, store=store)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a")["weights"] != content(tmp_path / "c")["weights"]


def test_training_leaves_the_process_as_it_was(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    before = (
        torch.get_rng_state(),
        torch.get_num_threads(),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
    )
    train(config_of("gpt", threads=2, budget="1-steps"), tmp_path / "run", store=store)
    after = (
        torch.get_rng_state(),
        torch.get_num_threads(),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
    )
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]


def test_a_run_can_be_trained_in_another_thread(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    results = []
    thread = threading.Thread(
        target=lambda: results.append(train(config_of(), tmp_path / "run", store=store))
    )
    thread.start()
    thread.join()
    assert results[0].stopped == "budget"


def test_a_complete_run_is_left_as_it_is(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    made = train(config_of(), tmp_path / "run", store=store)
    before = content(tmp_path / "run")
    assert resume(tmp_path / "run", store=store) == made
    assert content(tmp_path / "run") == before


def test_more_budget_goes_on_with_a_schedule_for_all_of_it(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    train(config_of(), tmp_path / "run", store=store)
    assert (
        resume(tmp_path / "run", budget="24-steps", store=store, on_event=stop_at(15)).stopped
        == "interrupted"
    )
    assert resume(tmp_path / "run", budget="24-steps", store=store).steps == 24
    run = RunDirectory.open(tmp_path / "run")
    assert run.record.extensions == [{"budget": "24-steps", "steps": 24, "from_step": 12}]
    rates = {
        event["step"]: event["learning_rate"] for event in run.metrics() if event["event"] == "step"
    }
    assert rates[12] < rates[13], "the rate does not belong to the new schedule"
    assert sorted(rates) == list(range(1, 25))
    assert rates[24] < rates[13]
    with pytest.raises(ConfigError, match="24 already"):
        resume(tmp_path / "run", budget="20-steps", store=store)


def test_an_extension_survives_being_killed_before_its_first_step(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    train(config_of(), tmp_path / "run", store=store)

    def die(event: Event) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        resume(tmp_path / "run", budget="16-steps", store=store, on_event=die)
    assert resume(tmp_path / "run", store=store).steps == 16


def test_patience_ends_a_run_early_and_more_budget_goes_on(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    config = config_of(
        evaluations=12,
        patience=2,
        learning_rate=3.0,
        optimizer="sgd",
        clip=0.0,
        schedule="constant",
    )
    result = train(config, tmp_path / "run", store=store)
    assert result.stopped == "patience" and result.steps < 12
    assert result.best_step == result.steps - 2
    assert resume(tmp_path / "run", store=store).steps == result.steps
    assert resume(tmp_path / "run", budget="40-steps", store=store).steps > result.steps


def test_checkpoints_kept_are_the_best_and_the_last(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    config = config_of(
        evaluations=12,
        learning_rate=3.0,
        optimizer="sgd",
        clip=0.0,
        keep_checkpoints=2,
        schedule="constant",
    )
    result = train(config, tmp_path / "run", store=store)
    assert set(checkpoint_steps(tmp_path / "run")) == {result.best_step, 11, 12}


def test_there_is_a_checkpoint_at_least_every_minute(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    events: list[Event] = []
    train(config_of(), tmp_path / "run", store=store, on_event=events.append)
    assert [event["step"] for event in events if event["event"] == "checkpoint"] == list(
        range(1, 13)
    )


# --- starting from another run --------------------------------------------------------------------


def test_fine_tuning_begins_with_weights_and_tokenizer_of_the_other_run(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path, text: Path
) -> None:
    parent = train(config_of("gpt"), tmp_path / "parent", store=store)
    other = tmp_path / "other.txt"
    other.write_text("".join(f"{line[::-1]}\n" for line in text.read_text().splitlines()[:60]))
    config = config_of("gpt", learning_rate=1e-9, matrix_learning_rate=1e-9)
    config = replace(config, data=replace(config.data, source=str(other)))
    train(config, tmp_path / "child", initial=tmp_path / "parent")
    child, made = RunDirectory.open(tmp_path / "child"), RunDirectory.open(parent.run)
    assert child.record.initial == str(tmp_path / "parent")
    assert child.tokenizer().hash == made.tokenizer().hash
    for name, tensor in child.load_model().state_dict().items():
        torch.testing.assert_close(tensor, made.load_model().state_dict()[name], atol=1e-6, rtol=0)


def test_fine_tuning_from_what_does_not_fit_is_refused(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    train(config_of("gpt"), tmp_path / "parent", store=store)
    with pytest.raises(RunError, match="'gpt', not of 'mlp'"):
        train(config_of("mlp"), tmp_path / "run", store=store, initial=tmp_path / "parent")
    wider = config_of("gpt")
    with pytest.raises(RunError, match="n_embd is 32 here and 16 there"):
        train(
            replace(wider, model={**wider.model, "n_embd": 32}),
            tmp_path / "run",
            store=store,
            initial=tmp_path / "parent",
        )
    bytewise = prepare(replace(wider.data, tokenizer="byte"))
    with pytest.raises(TokenizerError, match="another tokenizer"):
        train(wider, tmp_path / "run", store=bytewise, initial=tmp_path / "parent")
    assert not (tmp_path / "run").exists()


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_ends_with_a_diagnosis(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    config = config_of(optimizer="sgd", learning_rate=3e38, clip=0.0, warmup=0.0, evaluations=12)
    with pytest.raises(DivergedError) as caught:
        train(config, tmp_path / "run", store=store)
    message = str(caught.value)
    for part in (
        "at step ",
        "loss",
        "gradient norm",
        "Learning rate 3e+38",
        "not clipped",
        "last good checkpoint is that of step",
        "--training.clip 1",
    ):
        assert part in message
    run = RunDirectory.open(tmp_path / "run")
    assert run.check() == []
    assert all(
        torch.isfinite(tensor).all() for tensor in run.load_model("last").state_dict().values()
    )
    assert run.metrics()[-1]["event"] == "diverged"
    with pytest.raises(DivergedError):
        resume(tmp_path / "run", store=store)


def test_where_reads_are_not_free_the_run_is_the_same_and_divergence_is_found_later(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LINES", 2)
    train(config_of(), tmp_path / "free", store=store)
    for module in (loop, objectives):
        monkeypatch.setattr(module, "reads_are_free", lambda device: False)
    train(config_of(), tmp_path / "waiting", store=store)
    assert content(tmp_path / "waiting") == content(tmp_path / "free")
    config = config_of(optimizer="sgd", learning_rate=3e38, clip=0.0, warmup=0.0, evaluations=1)
    with pytest.raises(
        DivergedError,
        match=(
            r"(?s)at step \d.*Weights that are not finite: embedding.*checkpoint is that of step 0"
        ),
    ):
        train(config, tmp_path / "run", store=store)
    assert checkpoint_steps(tmp_path / "run") == [0]


@pytest.mark.parametrize("fsyncs", [0, 1, 5, 9, 14, 20, 26])
def test_a_full_disk_leaves_a_run_that_goes_on(
    fsyncs: int,
    config_of: ConfigOf,
    store: TokenStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = config_of()
    train(config, tmp_path / "whole", store=store)
    left = fsyncs
    real = os.fsync

    def sync(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", sync)
        with pytest.raises(DiskError, match="full"):
            train(config, tmp_path / "run", store=store)
    if not (tmp_path / "run").exists():
        assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["whole"], (
            "something half-written lies about"
        )
        return
    assert RunDirectory.open(tmp_path / "run").check() == []
    resume(tmp_path / "run", store=store)
    assert content(tmp_path / "run") == content(tmp_path / "whole")


def test_an_existing_run_is_not_touched(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    train(config_of(), tmp_path / "run", store=store)
    before = content(tmp_path / "run")
    with pytest.raises(RunError, match="inklings resume"):
        train(config_of(seed=1), tmp_path / "run", store=store)
    assert content(tmp_path / "run") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(RunError, match="not a run"):
        train(config_of(), tmp_path / "other", store=store)
    (tmp_path / "empty").mkdir()
    assert train(config_of(), tmp_path / "empty", store=store).steps == 12


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "progress.json"])
def test_a_damaged_checkpoint_is_passed_over(
    name: str, config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    config = config_of()
    train(config, tmp_path / "whole", store=store)
    train(config, tmp_path / "run", store=store, on_event=stop_at(9))
    path = checkpoint_path(tmp_path / "run", 9) / name
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(bytes(damaged))
    events: list[Event] = []
    resume(tmp_path / "run", store=store, on_event=events.append)
    assert events[0]["event"] == "note" and "goes on from step 8" in events[0]["text"]
    assert content(tmp_path / "run") == content(tmp_path / "whole")


def test_a_run_without_any_sound_checkpoint_says_so(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    train(config_of(), tmp_path / "run", store=store)
    for step in checkpoint_steps(tmp_path / "run"):
        (checkpoint_path(tmp_path / "run", step) / "progress.json").unlink()
    with pytest.raises(RunError, match="no checkpoint that is whole"):
        resume(tmp_path / "run", store=store)


def test_resume_takes_the_tokens_the_run_began_with_or_the_same_text_never_another(
    config_of: ConfigOf, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INKLINGS_CACHE", str(tmp_path / "cache"))
    mine = tmp_path / "mine.txt"
    mine.write_text(text.read_text())
    config = config_of()
    config = replace(config, data=replace(config.data, source=str(mine)))
    train(config, tmp_path / "run", on_event=stop_at(5))
    mine.write_text(text.read_text().replace("d", "b"))
    assert resume(tmp_path / "run", on_event=stop_at(7)).steps == 7, "the store is still there"
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(RunError, match="not what it was"):
        resume(tmp_path / "run")
    mine.unlink()
    with pytest.raises(InputError, match=r"mine\.txt"):
        resume(tmp_path / "run")
    mine.write_text(text.read_text())
    assert resume(tmp_path / "run").steps == 12


def test_what_is_asked_for_in_vain_is_said(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    events: list[Event] = []
    config = config_of(
        optimizer="adamw",
        matrix_learning_rate=0.5,
        momentum=0.9,
        schedule="constant",
        final_rate=0.1,
        patience=9,
        order="streams",
    )
    train(config, tmp_path / "run", store=store, on_event=events.append)
    said = " ".join(event["text"] for event in events if event["event"] == "note")
    for name in ("matrix_learning_rate", "momentum", "final_rate", "patience", "'streams'"):
        assert name in said
    assert "betas" not in said
    events.clear()
    train(config_of(), tmp_path / "plain", store=store, on_event=events.append)
    assert not [event for event in events if event["event"] == "note"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget": "5-steppes"},
        {"device": "cuda:7"},
        {"device": "gpu"},
        {"order": "positions", "sequence_length": 8},
    ],
)
def test_what_cannot_be_used_leaves_nothing(
    wrong: dict[str, Any], config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    with pytest.raises(InputError):
        train(config_of(**wrong), tmp_path / "run", store=store)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interruption_before_the_first_step_leaves_a_whole_run(
    number: signal.Signals,
    config_of: ConfigOf,
    store: TokenStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the run's appearance on the disk and the loop: it is whole, and says how to go on."""

    def interrupted(*given: Any) -> Objective[Any]:
        signal.raise_signal(number)
        return make_objective(*given)

    monkeypatch.setattr(train_module, "make_objective", interrupted)
    result = train(config_of(), tmp_path / "run", store=store)
    assert (result.stopped, result.steps) == ("interrupted", 0)
    assert result.advice == f"inklings resume {tmp_path / 'run'}"
    monkeypatch.undo()
    assert resume(tmp_path / "run", store=store).stopped == "budget"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("resumed", [False, True])
def test_a_disk_that_fails_in_training_advises_to_resume(
    code: int,
    resumed: bool,
    config_of: ConfigOf,
    store: TokenStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, config = tmp_path / "run", config_of()
    if resumed:
        train(config, run, store=store, on_event=stop_at(5))

    def fail(*given: Any, **named: Any) -> None:
        with disk_errors(run):
            raise OSError(code, os.strerror(code))

    def full(event: Event) -> None:
        if event["event"] == "evaluation":
            monkeypatch.setattr(loop, "write_checkpoint", fail)

    with pytest.raises(DiskError, match=f"and go on with: inklings resume {run}.$"):
        (
            resume(run, store=store, on_event=full)
            if resumed
            else train(config, run, store=store, on_event=full)
        )
    monkeypatch.undo()
    assert resume(run, store=store).stopped == "budget"


def test_a_disk_that_fails_before_there_is_a_run_advises_to_begin_again(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match="run the same command again"):
        train(config_of(), tmp_path / "runs" / "run", store=store)
    assert not (tmp_path / "runs").exists()
