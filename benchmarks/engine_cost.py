"""What a comparison takes beside its runs.

The wall time of planning, audits, statistics and report, as shares of the whole.

    python benchmarks/engine_cost.py [--arms ngram mlp recurrent tree_wavenet gpt] [--data names]
    [--seeds 3] [--rates 5]
                                     [--budget 300k-tokens]

Planning is finding sizes, steps and branches, and writing the plan. The text is prepared before the
clock starts.
"""

from __future__ import annotations

import argparse
import collections
import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import inklings.lab.comparison.compare as engine
from inklings.config import DataConfig, RunConfig
from inklings.lab.comparison.settings import Method
from inklings.lab.report.page import write_report
from inklings.runs.arms import parse_arm
from inklings.text.store import prepare

PARTS = {
    "planning": ["plan_before", "settle", "plan_samples", "begin", "_jobs", "finished"],
    "audits": ["audited"],
    "search for learning rates": ["searched"],
    "statistics": ["judged", "with_results", "apart", "save"],
}
"""Functions that `compare` calls, none within another."""


def timing(work: Callable[..., Any], part: str, seconds: dict[str, float]) -> Callable[..., Any]:
    """The same function, which adds what it takes to a part."""

    @functools.wraps(work)
    def timed(*args: Any, **kwargs: Any) -> Any:
        begin = time.perf_counter()
        try:
            return work(*args, **kwargs)
        finally:
            seconds[part] += time.perf_counter() - begin

    return timed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--arms", nargs="+", default=["ngram", "mlp", "recurrent", "tree_wavenet", "gpt"]
    )
    parser.add_argument("--data", default="names")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", type=int, default=5)
    parser.add_argument("--budget", default="300k-tokens")
    options = parser.parse_args()
    data = DataConfig(source=options.data)
    prepare(data)
    base = RunConfig(data=data)
    arms = [parse_arm(text, base=base) for text in options.arms]
    seconds: dict[str, float] = collections.defaultdict(float)
    for part, names in PARTS.items():
        for name in names:
            setattr(engine, name, timing(getattr(engine, name), part, seconds))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "comparison"
        begin = time.perf_counter()
        seeds = range(options.seeds)
        comparison = engine.compare(
            arms,
            out=out,
            seeds=seeds,
            data=data,
            budget=options.budget,
            method=Method(points=4, rates=options.rates),
        )
        timing(write_report, "report", seconds)(out)
        whole = time.perf_counter() - begin
    assert comparison.status == "complete"
    seconds["runs"] = whole - sum(seconds.values())
    for part, took in seconds.items():
        print(f"{part:28} {took:8.2f} s {took / whole:7.2%}")
    own = seconds["planning"] + seconds["statistics"] + seconds["report"]
    print(
        f"{'the engine itself':28} {own:8.2f} s {own / whole:7.2%} of {whole:.0f} s: planning,"
        " statistics and report"
    )


if __name__ == "__main__":
    main()
