"""What the shards of a comparison have written down, and whether it fits together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from inklings.errors import ConfigError, RunError
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.plan import Plan
from inklings.lab.comparison.request import Request
from inklings.lab.comparison.result import FILE_NAME, Comparison
from inklings.lab.comparison.resume import conflicts
from inklings.lab.shards.shard import SHARDS, Shard


def begun_shards(out: Path) -> list[Shard]:
    """Return the shards that have begun in a comparison's folder, in their order."""
    names = [
        re.fullmatch(r"([1-9]\d*)-of-([1-9]\d*)", path.parent.name, re.ASCII)
        for path in (out / SHARDS).glob(f"*/{FILE_NAME}")
    ]
    return sorted(
        (Shard(int(name[1]), int(name[2])) for name in names if name),
        key=lambda shard: (shard.count, shard.number),
    )


def refuse_other_division(out: Path, shard: Shard, asked: Request) -> None:
    """Refuse a shard that the folder, or the comparison, has no place for.

    Args:
        out: the folder of the comparison.
        shard: what is to begin there.
        asked: the comparison.

    Raises:
        ConfigError: there are more shards than runs.
        RunError: the folder holds a comparison that is divided otherwise.
    """
    begun = begun_shards(out)
    whole = (out / FILE_NAME).is_file()
    if shard.is_whole:
        if begun and not whole:
            raise RunError(
                f"{out} holds shards of a comparison, {_listed(begun)}. Give --shard I/"
                f"{begun[0].count} for those that are not done; without it, choose another --out."
            )
        return
    seeds = len(asked.plan.seeds)
    runs = sum(seeds if arm.kind == "trained" else 1 for arm in asked.contestants)
    if shard.count > runs:
        raise ConfigError(
            f"--shard is {shard}, and the comparison has {runs} runs. Divide it by at most {runs}."
        )
    if any(other.count != shard.count for other in begun):
        raise RunError(
            f"--shard is {shard}, and {out} holds a comparison that is divided by"
            f" {begun[0].count}: {_listed(begun)}. Give --shard I/{begun[0].count}, or choose"
            " another --out."
        )
    if whole and not begun:
        raise RunError(
            f"{out} holds a comparison that was made without --shard. Leave it out to go on, or"
            " choose another --out."
        )


def refuse_other_settings(out: Path, plan: Plan, text: str) -> None:
    """Refuse a shard whose comparison is not that of the shards in the folder.

    Args:
        out: the folder.
        plan: of the shard that is to begin.
        text: the hash of its text.

    Raises:
        RunError: they differ, or one of them is damaged.
    """
    for other in begun_shards(out):
        before = read_comparison(other.home(out))
        found = conflicts(before.plan, plan)
        if not found and len(before.plan.arms) != len(plan.arms):
            found.append(f"the arms ({len(before.plan.arms)}, now {len(plan.arms)})")
        if before.plan.seeds != plan.seeds:
            found.append(f"the seeds ({before.plan.seeds}, now {plan.seeds})")
        if not found and before.text.get("hash") != text:
            found.append("the text itself")
        if found:
            raise RunError(
                f"shard {other} in {out} is of another comparison, which differs in"
                f" {'; '.join(found)}. All shards take the same arms and flags; choose another"
                " --out for others."
            )


def refuse_incomplete(shards: Sequence[tuple[Shard, Comparison]]) -> None:
    """Refuse to bring shards together that are not all of one comparison's, or not all done.

    Raises:
        RunError: some are divided otherwise, missing, or unfinished; with what to do.
    """
    counts = {shard.count for shard, _ in shards}
    if len(counts) > 1:
        raise RunError(
            f"these are shards of comparisons that are divided by {_and(sorted(counts))}. Only"
            " shards of one division fit together."
        )
    if missing := missing_shards(shards):
        raise RunError(
            f"shard {_and(missing)} is missing or not done: the same compare command with --shard"
            f" {missing[0]} makes it or goes on with it."
        )


def missing_shards(shards: Sequence[tuple[Shard, Comparison]]) -> list[Shard]:
    """Return the shards that have not begun or are not done, where one at least has begun."""
    done = {shard for shard, found in shards if found.status == "complete"}
    counts = {shard.count for shard, _ in shards}
    return [
        Shard(number, count)
        for count in sorted(counts)
        for number in range(1, count + 1)
        if Shard(number, count) not in done
    ]


def read_shards(out: Path) -> list[tuple[Shard, Comparison]]:
    """Return all shards that have begun in a folder, each with what it did so far."""
    return [(shard, read_comparison(shard.home(out))) for shard in begun_shards(out)]


def _listed(shards: Sequence[Shard]) -> str:
    return f"{_and(shards)} so far"


def _and(things: Sequence[object]) -> str:
    *others, last = map(str, things)
    return f"{', '.join(others)} and {last}" if others else last
