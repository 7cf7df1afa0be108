"""How a shard of a comparison is told on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from inklings.cli.terminal import Terminal
from inklings.lab.comparison.result import Comparison
from inklings.lab.shards.shard import Shard


def without_shard(arguments: Sequence[str]) -> list[str]:
    """Return the arguments that repeat the whole comparison, whose report shows them."""
    kept = [argument for argument in arguments if not argument.startswith("--shard=")]
    if "--shard" in kept:
        place = kept.index("--shard")
        del kept[place : place + 2]
    return kept


def show_shard(shard: Shard, done: Comparison, missing: Sequence[Shard], terminal: Terminal) -> int:
    """Say what a shard did and which others are not done; return the exit code.

    Args:
        shard: which.
        done: its comparison, with its own runs.
        missing: the shards that are not done.
        terminal: where to say it.
    """
    interrupted = done.status == "interrupted"
    runs = sum(len(arm.runs) for arm in [*done.arms, *done.smaller])
    for label, run in done.failed:
        terminal.say(f"warning: {label}, seed {run.seed} failed: {run.message}", style="yellow")
    others = ", ".join(str(other) for other in missing if other != shard)
    terminal.say(
        f"\nshard {shard}: {runs} runs{'; interrupted, the same command goes on' * interrupted}.",
        style="bold",
    )
    if others:
        terminal.say(f"Not done yet: {others}. The last one makes the verdict and the report.")
    terminal.result(
        {
            "shard": str(shard),
            "status": done.status,
            "runs": runs,
            "failed": len(done.failed),
            "missing": [str(other) for other in missing],
        }
    )
    return 1 if done.failed or interrupted else 0
