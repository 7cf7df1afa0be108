"""A/A tests on real text: an arm against its copy with other first weights, many times over.

How often is a difference claimed?

    python benchmarks/no_difference.py --data names --arm recurrent --comparisons 20

Each comparison has five seeds of its own, so the comparisons are independent; at most one in twenty
may claim anything.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.lab.comparison.compare import compare
from inklings.lab.comparison.settings import Method
from inklings.runs.arms import parse_arm


def main() -> None:
    """Make the comparisons and print what they say."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="builtin:unicode-names")
    parser.add_argument("--arm", default="recurrent")
    parser.add_argument("--budget", default="40k-tokens")
    parser.add_argument("--comparisons", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=None)
    given = parser.parse_args()
    training = TrainingConfig(budget=given.budget, evaluations=1, samples=0, device="cpu")
    base = RunConfig(data=DataConfig(source=given.data), training=training)
    claims, began = 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.comparisons):
            seeds = range(number * given.seeds, (number + 1) * given.seeds)
            arms = [parse_arm(given.arm, base=base) for _ in range(2)]
            found = compare(
                arms,
                out=Path(folder) / str(number),
                seeds=seeds,
                workers=given.workers,
                method=Method(),
            )
            difference = found.differences[0]
            claims += difference.finding == "better"
            print(
                f"{number:3}  {difference.mean:.4f} nats  p = {difference.p:.3f} "
                f" {difference.finding}",
                flush=True,
            )
    print(
        f"{claims} of {given.comparisons} comparisons claim a difference;"
        f" {time.perf_counter() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
