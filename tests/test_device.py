from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from inklings import device
from inklings.config import TrainingConfig
from inklings.device import (
    Measured,
    Runtime,
    autocast,
    choose_runtime,
    environment,
    memory_bytes,
    one_thread,
    threads_of,
    usable_cores,
)
from inklings.errors import ConfigError, InklingsError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU, with sixteen cores and fast bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    monkeypatch.setattr(device, "bfloat16_is_fast", lambda device: True)


def probe(loss_in_bfloat16: float = 2.01, **seconds: float):  # type: ignore[no-untyped-def]
    """A probe of a model that takes these seconds.

    Keys are t1, t4, t16, and bfloat16 and compiled (factors).
    """

    def measure(runtime: Runtime) -> Measured:
        taken = seconds[f"t{runtime.threads}"]
        low = runtime.precision == "bfloat16"
        taken *= (seconds["bfloat16"] if low else 1) * (
            seconds["compiled"] if runtime.compile else 1
        )
        return Measured(taken, loss_in_bfloat16 if low else 2.0)

    return measure


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("seconds", "threads", "precision"),
    [
        ({"t1": 1.0, "t4": 0.5, "t16": 0.2, "bfloat16": 0.5}, 16, "bfloat16"),
        ({"t1": 1.0, "t4": 0.95, "t16": 3.0, "bfloat16": 0.9}, 1, "float32"),
        ({"t1": 1.0, "t4": 0.3, "t16": 0.29, "bfloat16": 2.0}, 4, "float32"),
        (
            {"t1": 1.0, "t4": 0.5, "t16": 0.2, "bfloat16": 0.5, "loss_in_bfloat16": 2.1},
            16,
            "float32",
        ),
        (
            {"t1": 1.0, "t4": 0.5, "t16": 0.2, "bfloat16": 0.5, "loss_in_bfloat16": float("nan")},
            16,
            "float32",
        ),
    ],
)
def test_the_fastest_is_chosen_if_it_is_clearly_faster(
    seconds: dict[str, float], threads: int, precision: str
) -> None:
    runtime = choose_runtime(TrainingConfig(), probe(**seconds), seconds=0.001)
    assert (runtime.threads, runtime.precision, runtime.device, runtime.compile) == (
        threads,
        precision,
        "cpu",
        False,
    )
    assert sum("measured a step at" in reason for reason in runtime.reasons) == 1
    assert any("the loss with bfloat16" in reason for reason in runtime.reasons) is (
        "loss_in_bfloat16" in seconds
    )


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("compiled", "steps", "taken"), [(0.5, 10, True), (0.5, 0, False), (1.1, 10, False)]
)
def test_compilation_is_taken_if_it_saves_more_than_it_takes(
    compiled: float, steps: int, taken: bool
) -> None:
    measure = probe(t1=1.0, t4=1.0, t16=1.0, bfloat16=1.0, compiled=compiled)
    runtime = choose_runtime(TrainingConfig(), measure, seconds=0.001, steps=steps)
    assert runtime.compile is taken


@pytest.mark.usefixtures("machine")
def test_compilation_that_fails_is_no_error_where_it_was_not_asked_for() -> None:
    def broken(runtime: Runtime) -> Measured:
        if runtime.compile:
            raise RuntimeError("no compiler")
        return Measured(1.0, 2.0)

    runtime = choose_runtime(TrainingConfig(), broken, seconds=0.001, steps=10)
    assert not runtime.compile
    assert any("it fails here (RuntimeError: no compiler)" in reason for reason in runtime.reasons)


@pytest.mark.usefixtures("machine")
def test_what_was_asked_for_is_taken_unmeasured() -> None:
    def never(runtime: Runtime) -> Measured:
        raise AssertionError("measured, though nothing was open")

    training = TrainingConfig(threads=3, precision="bfloat16", compile="off")
    runtime = choose_runtime(training, never)
    assert (runtime.threads, runtime.precision, runtime.compile) == (3, "bfloat16", False)
    assert all("as asked" in reason or "no GPU" in reason for reason in runtime.reasons)


@pytest.mark.usefixtures("machine")
def test_without_a_probe_nothing_is_risky() -> None:
    runtime = choose_runtime(TrainingConfig())
    assert (runtime.threads, runtime.precision, runtime.compile) == (1, "float32", False)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", "gpu", "cpu:1", "cuda:x"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cpu"):
        choose_runtime(TrainingConfig(device=name))


@pytest.mark.usefixtures("machine")
def test_compilation_that_fails_is_an_error_where_it_was_asked_for() -> None:
    def broken(runtime: Runtime) -> Measured:
        if runtime.compile:
            raise RuntimeError("no compiler\nmany lines")
        return Measured(1.0, 2.0)

    training = TrainingConfig(threads=1, precision="float32", compile="on")
    with pytest.raises(InklingsError, match="no compiler"):
        choose_runtime(training, broken)
    assert choose_runtime(training, lambda runtime: Measured(1.0, 2.0)).compile


@pytest.mark.slow
def test_no_gpu_is_woken_that_was_not_asked_for() -> None:
    code = """
import torch
from inklings.config import TrainingConfig
from inklings.device import choose_runtime
choose_runtime(TrainingConfig(device="cpu"))
assert not torch.cuda.is_initialized()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_threads_are_those_of_the_runtime_within_the_block_only() -> None:
    before = torch.get_num_threads()
    with threads_of(Runtime(threads=2)):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before


def test_one_thread_is_one_in_products_of_numpy_and_scipy_too() -> None:
    """As those of scipy have a library of their own, which is loaded here."""
    from scipy import linalg

    linalg.cholesky(np.eye(3))
    with threadpool_limits(2, user_api="blas"), threads_of(Runtime(threads=2)):
        with one_thread():
            assert blas_threads() <= {1} and torch.get_num_threads() == 1
        assert blas_threads() <= {2} and torch.get_num_threads() == 2


def blas_threads() -> set[int]:
    """The threads of each library that can be told them: not of Apple's."""
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_autocast_is_for_bfloat16_only() -> None:
    a = torch.ones(4, 4)
    with autocast(Runtime()):
        assert (a @ a).dtype == torch.float32
    with autocast(Runtime(precision="bfloat16")):
        assert (a @ a).dtype == torch.bfloat16


def test_the_environment_is_plain_values() -> None:
    import json

    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["torch"] == torch.__version__
    assert (memory := memory_bytes()) is None or memory > 2**20


def test_cores_that_a_process_may_not_use_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5, 9}, raising=False)
    assert usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")  # a system without
    assert usable_cores() == 64
