"""Beginning a comparison, or a shard of one, in a folder where other shards may be at work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inklings.durable import disk_errors
from inklings.lab.comparison.request import Request
from inklings.lab.comparison.result import Comparison
from inklings.lab.comparison.resume import begin, refuse_foreign, save
from inklings.lab.comparison.text_facts import describe_text
from inklings.lab.shards.division import refuse_other_division, refuse_other_settings
from inklings.lab.shards.shard import SHARDS, Shard
from inklings.runs.lock import in_turn, locked


@contextmanager
def begun(out: Path, asked: Request, shard: Shard, command: str | None) -> Iterator[Comparison]:
    """Give the comparison as it stands; a shard is held against others that would do it too.

    A shard is written down at once, so that those that begin after it see what it is of.

    Args:
        out: the folder of the comparison.
        asked: the comparison.
        shard: what of it is done here.
        command: the command line that repeats it.

    Raises:
        ConfigError: the comparison cannot be divided so.
        RunError: another process does it, or the folder holds something else.
        DiskError: a link in it leads out of it.
    """
    home = shard.home(out)

    def start() -> Comparison:
        return begin(
            out, asked.plan, asked.contestants, asked.store, asked.split, command, home=home
        )

    refuse_foreign(out)
    refuse_other_division(out, shard, asked)
    if shard.is_whole:
        yield start()
        return
    refuse_other_settings(out, asked.plan, describe_text(asked.store)["hash"])
    with disk_errors(home):
        home.mkdir(parents=True, exist_ok=True)
    with locked(home, doing="made", advice="do another shard"):
        with in_turn(out / SHARDS):  # of two that begin at once, the second sees the first
            refuse_other_division(out, shard, asked)
            refuse_other_settings(out, asked.plan, describe_text(asked.store)["hash"])
            comparison = start()
            save(home, comparison)
        yield comparison
