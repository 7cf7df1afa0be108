"""How much sooner the tree reaches the lecture's loss as convolutions than over windows.

Both are measured on the same machine in the same run.

    python benchmarks/names_tree.py [--rounds 2]

Runs `configs/names-tree-fast.toml`, then the lecture's row 5 (window form, batch 32, 200,000
steps), then the fast one again, each as a process of its own; prints wall time from the first
import to the end, validation loss, and the ratio of the times. About five minutes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from inklings.runs.directory import RunDirectory
from side_by_side import timed

LECTURE, FAST = "configs/lecture/5-tree-large.toml", "configs/names-tree-fast.toml"


def run(config: str) -> float:
    """Seconds of the whole command."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        command = [sys.executable, "-m", "inklings", "train", config, "--run", str(folder)]
        seconds = timed(lambda: subprocess.run(command, check=True, capture_output=True))
        made = RunDirectory.open(folder)
        losses = [event["loss"] for event in made.metrics() if event["event"] == "evaluation"]
    print(f"{config:40} {seconds:6.1f} s, validation loss {min(losses):.4f}", flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    ratios = []
    for _ in range(options.rounds):
        before, window, after = run(FAST), run(LECTURE), run(FAST)
        ratios.append(window / statistics.mean((before, after)))
        print(f"the window form takes {ratios[-1]:.1f} times as long", flush=True)


if __name__ == "__main__":
    main()
