"""The choice of how a run computes: device, precision, compilation and threads.

What the user leaves open is chosen by measuring, and the reasons are recorded.
"""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch

from inklings.config import DEVICES, TrainingConfig
from inklings.errors import ConfigError, InklingsError

Precision = Literal["float32", "bfloat16"]

WORTH = 1.1
"""Another choice must be this much faster than the plain one (one thread, float32) to be taken:
less is noise.
"""
BFLOAT16_WORTH = 1.25
"""The same for bfloat16, which also costs digits."""
LOSS_AGREES = 0.02
"""A choice whose loss on the same batch differs by more than this share from that of the plain one
is not taken.
"""


@dataclass(frozen=True)
class Measured:
    """One step of the real model under some runtime."""

    seconds: float
    loss: float
    """Nats per target; of the first batch, at the initial weights."""


Measure = Callable[["Runtime"], Measured]


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """How a run computes: chosen once, recorded with the run, and used again when it is resumed."""

    device: str = "cpu"
    precision: Precision = "float32"
    """Of the matrix products under autocast; weights and evaluation are float32."""
    compile: bool = False
    threads: int = 1
    muon_precision: Precision = "float32"
    """Of the orthogonalisation inside Muon, which never needs the digits."""
    reasons: tuple[str, ...] = ()
    """Why each choice was made, in words."""


def choose_runtime(
    training: TrainingConfig, probe: Measure | None = None, *, seconds: float = 1.0, steps: int = 0
) -> Runtime:
    """Settle what the configuration leaves open, by timing steps of the real model.

    Args:
        training: what the user asked for; anything but `auto` (0 for threads) is taken as it is.
        probe: makes one training step under a runtime; None measures nothing.
        seconds: about how long the measuring may take, a compilation not counted.
        steps: how many steps the run has, if a compilation may be tried out: it is taken if it pays
            for itself.

    Raises:
        ConfigError: a device was asked for that is not there.
        InklingsError: compilation was asked for and fails.
    """
    device, reason = choose_device(training.device)
    on_cpu, fast = device == "cpu", bfloat16_is_fast(device)
    plain = Runtime(
        device=device,
        precision="float32" if training.precision == "auto" else training.precision,
        # one thread is never far from the best for the small models of short runs; several can be,
        # on a busy machine
        threads=training.threads or 1,
        muon_precision="bfloat16" if fast else "float32",
    )
    counts = thread_counts() if on_cpu and not training.threads else [plain.threads]
    precisions: list[Precision] = (
        ["float32", "bfloat16"] if fast and training.precision == "auto" else [plain.precision]
    )
    choices = [
        replace(plain, threads=count, precision=precision)
        for precision in precisions
        for count in counts
    ]
    reasons = [reason]
    if training.threads:
        reasons.append(f"{_threads(plain)}: as asked")
    if training.precision != "auto":
        reasons.append(f"{plain.precision}: as asked")
    elif not fast:
        reasons.append("float32: no fast bfloat16 on this hardware")
    runtime = plain
    if len(choices) > 1 and probe is not None:
        runtime, said = fastest(choices, probe, seconds)
        reasons.append(said)
    elif len(choices) > 1:
        reasons.append(f"{_name(plain)}: not measured")
    runtime, said = _compilation(training, runtime, probe, steps)
    return replace(runtime, reasons=(*reasons, said))


def thread_counts() -> list[int]:
    """Return numbers of CPU threads that are worth trying, one first."""
    available = torch.get_num_threads()
    return sorted({1, min(4, available), min(16, available), available})


def _name(runtime: Runtime) -> str:
    return f"{runtime.precision} on {_threads(runtime)}"


def _threads(runtime: Runtime) -> str:
    return f"{runtime.threads} thread{'s' * (runtime.threads > 1)}"


def choose_device(asked: str) -> tuple[str, str]:
    """Return the device and why it is that one, without initialising one that is absent.

    Raises:
        ConfigError: it is not there.
    """
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if asked == "auto":
        if has_cuda:
            return "cuda", "cuda: present"
        return ("mps", "mps: present") if has_mps else ("cpu", "cpu: no GPU present")
    kind, _, index = asked.partition(":")
    if DEVICES.fullmatch(asked) is None:
        raise ConfigError(f"device {asked!r} is unknown. Allowed: auto, cpu, cuda, cuda:N, mps.")
    if kind == "cuda" and (not has_cuda or int(index or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count() if has_cuda else 0
        raise ConfigError(
            f"device {asked!r} is not there: torch {torch.__version__} sees {count} CUDA devices."
            " Use auto or cpu."
        )
    if kind == "mps" and not has_mps:
        raise ConfigError(
            "device 'mps' is not there: it needs macOS on Apple silicon. Use auto or cpu."
        )
    return asked, f"{asked}: as asked"


def onednn_has_bfloat16() -> bool:
    """Return whether oneDNN computes in bfloat16 here: with AVX-512 or AVX-NE-CONVERT alone."""
    return torch._C._has_mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def bfloat16_is_fast(device: str) -> bool:
    """Return whether this device has units of its own for products in bfloat16."""
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)


def _compilation(
    training: TrainingConfig, runtime: Runtime, probe: Measure | None, steps: int
) -> tuple[Runtime, str]:
    """Return the runtime, compiled where that was asked for or saves more time than it takes."""
    if training.compile == "off":
        return runtime, "not compiled: as asked"
    asked = training.compile == "on"
    if not asked and (probe is None or not steps):
        return runtime, "not compiled: the run is too short for it to pay"
    compiled = replace(runtime, compile=True)
    if probe is None:
        return compiled, "compiled: as asked"
    start = time.perf_counter()
    try:
        first = probe(compiled)
    except Exception as error:  # whatever a compiler can raise: there is no common class
        what = str(error).strip().partition("\n")[0]
        if asked:
            raise InklingsError(
                f"torch.compile fails here: {type(error).__name__}: {what}. Train without"
                " --training.compile on."
            ) from error
        return runtime, f"not compiled: it fails here ({type(error).__name__}: {what})"
    if asked:
        return compiled, "compiled: as asked"
    cost = time.perf_counter() - start
    pairs = [(probe(runtime), probe(compiled)) for _ in range(5)]
    plain_step, compiled_step = (
        statistics.median(step.seconds for step in side) for side in zip(*pairs, strict=True)
    )
    figures = (
        f"a step takes {compiled_step * 1e3:.3g} ms against {plain_step * 1e3:.3g}, compiling"
        f" {cost:.0f} s"
    )
    if not _agree(first, pairs[0][0]):
        return (
            runtime,
            f"not compiled: the loss is another ({first.loss:.4f} against {pairs[0][0].loss:.4f})",
        )
    pays = (plain_step - compiled_step) * steps > 2 * cost
    return (
        (compiled, f"compiled: {figures}")
        if pays
        else (runtime, f"not compiled: {figures}, in {steps} steps")
    )


def _agree(one: Measured, other: Measured) -> bool:
    return abs(one.loss - other.loss) <= LOSS_AGREES * abs(other.loss)


def fastest(
    choices: list[Runtime],
    probe: Measure,
    seconds: float,
    *,
    bfloat16_worth: float = BFLOAT16_WORTH,
) -> tuple[Runtime, str]:
    """Return the fastest of the choices, and the figures that say so.

    They are timed in turn. A later one must beat those before it clearly, bfloat16 more clearly.

    Args:
        choices: the plain one first.
        probe: times one training step under a runtime.
        seconds: about how long the timing may take.
        bfloat16_worth: how many times as fast bfloat16 must be to be taken.
    """
    first = [probe(choice) for choice in choices]  # which also allocates and warms caches
    times: list[list[float]] = [[] for _ in choices]
    # what was measured is added up: several processes that share a step measure the same, and stop
    # with the same one
    while len(times[0]) < 2 or (sum(map(sum, times)) < seconds and len(times[0]) < 50):
        for choice, measured in zip(choices, times, strict=True):
            measured.append(probe(choice).seconds)
    medians = [statistics.median(measured) for measured in times]
    agrees = [_agree(step, first[0]) for step in first]

    best = 0
    for index in range(1, len(choices)):
        worth = WORTH if choices[index].precision == choices[best].precision else bfloat16_worth
        if agrees[index] and medians[index] * worth < medians[best]:
            best = index
    figures = ", ".join(
        f"{_name(choice)} {median * 1e3:.3g} ms"
        for choice, median in zip(choices, medians, strict=True)
    )
    left_out = "".join(
        f"; the loss with {_name(choice)} is another"
        for choice, same in zip(choices, agrees, strict=True)
        if not same
    )
    return choices[best], f"{_name(choices[best])}: measured a step at {figures}{left_out}"


def autocast(runtime: Runtime) -> AbstractContextManager[Any]:
    """Return the context in which a model's forward pass runs."""
    if runtime.precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(runtime.device).type, dtype=torch.bfloat16)


@contextlib.contextmanager
def threads_of(runtime: Runtime) -> Iterator[None]:
    """Use the runtime's number of threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(runtime.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread within the block, for products of numpy and scipy too.

    Many small operations may take several times as long on two, and many times as long where other
    processes compute.
    """
    from threadpoolctl import threadpool_limits

    with threads_of(Runtime(threads=1)), threadpool_limits(1, user_api="blas"):
        yield


def environment() -> dict[str, Any]:
    """Return versions and hardware, as plain values."""
    packages = ("inklings", "torch", "numpy", "tokenizers", "safetensors")
    found: dict[str, Any] = {name: _version(name) for name in packages}
    found |= {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory": memory_bytes(),
        "devices": ["cpu"],
    }
    if torch.cuda.is_available():
        found["devices"] += [
            f"cuda:{index} {torch.cuda.get_device_name(index)}"
            for index in range(torch.cuda.device_count())
        ]
    if torch.backends.mps.is_available():
        found["devices"].append("mps")
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """Return the name of the processor, where the system tells it."""
    if sys.platform == "linux":
        for line in (
            Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        ):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Return the bytes of main memory that this process may use."""
    if not hasattr(os, "sysconf"):
        return None
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else ""
    return min(physical, int(text)) if text.isdigit() else physical
