"""What the benchmarks share.

Rivals timed in turn within one process, ratios with intervals, and peak memory of a process.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes, what it left to a GPU included."""
    finish()
    start = time.perf_counter()
    work()
    finish()
    return time.perf_counter() - start


def finish() -> None:
    """Wait until a GPU, if one is used, has done all queued work."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def interleaved(
    rivals: Mapping[str, Callable[[], object]], rounds: int, *, warmups: int = 1
) -> dict[str, np.ndarray]:
    """Seconds of each rival in each round; every round takes them in another order."""
    names = list(rivals)
    for name in names:
        for _ in range(warmups):
            rivals[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    for index in range(rounds):
        for place in range(len(names)):
            name = names[(place + index) % len(names)]
            times[name].append(timed(rivals[name]))
    return {name: np.array(seconds) for name, seconds in times.items()}


def ratio(slower: np.ndarray, faster: np.ndarray) -> tuple[float, float, float]:
    """Median over rounds of `slower / faster`, with the 95% bootstrap interval of that median."""
    ratios = slower / faster
    drawn = np.median(np.random.default_rng(0).choice(ratios, (2000, len(ratios))), axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.median(ratios)), float(low), float(high)


def show(times: Mapping[str, np.ndarray], *, base: str, units: float, unit: str) -> None:
    """One line a rival: its median speed, and how many times that of `base` it is."""
    rounds = len(times[base])
    for name, seconds in times.items():
        middle, low, high = ratio(times[base], seconds)
        speed = units / float(np.median(seconds))
        print(
            f"{name:44} {speed:10,.0f} {unit}   x{middle:.2f} of {base} ({low:.2f} to {high:.2f},"
            f" {rounds} rounds)",
            flush=True,
        )


def peak_mebibytes() -> float:
    """The most memory that this process, or one that it has waited for, has held."""
    most = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def in_own_process(arguments: list[str]) -> dict[str, float]:
    """Run this script again with other arguments; its last line of output is a JSON object."""
    answer = subprocess.run(
        [sys.executable, sys.argv[0], *arguments], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found
