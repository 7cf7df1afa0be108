"""A shard: one of N shares of a comparison's runs, each done by a command of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inklings.errors import ConfigError
from inklings.lab.execution.run_arm import ArmRun

SHARDS = "shards"
"""The folder, in that of a comparison, where each shard writes down what it did."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one command does of a comparison."""

    runs: list[ArmRun]
    begun: frozenset[str]
    """Arms whose first run is among them: these are audited and probed here, and nowhere else."""

    @property
    def arms(self) -> frozenset[str]:
        """Arms that have a run here, so that their learning rate must be known."""
        return frozenset(run.arm for run in self.runs)


@dataclass(frozen=True)
class Shard:
    """Shard `number` of `count`, counted from 1; the only one of one is the whole comparison."""

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def is_whole(self) -> bool:
        """Whether there is no other."""
        return self.count == 1

    def home(self, out: Path) -> Path:
        """Return where it writes down what it did, in the folder of the comparison."""
        return out if self.is_whole else out / SHARDS / f"{self.number}-of-{self.count}"

    def share(self, runs: Sequence[ArmRun]) -> Share:
        """Return its share of all runs of a comparison: every `count`-th."""
        mine = list(runs[self.number - 1 :: self.count])
        first = {run.arm: run.seed for run in reversed(runs)}
        return Share(
            runs=mine, begun=frozenset(run.arm for run in mine if run.seed == first[run.arm])
        )


WHOLE = Shard()


def parse_shard(text: str) -> Shard:
    """Return a shard as it is written: `2/8`.

    Raises:
        ConfigError: it is not written so, or there is no such shard.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if match is None:
        raise ConfigError(
            f"--shard is {text!r}; it must be I/N, such as 2/8 for the second of eight."
        )
    number, count = int(match[1]), int(match[2])
    if not 1 <= number <= count:
        raise ConfigError(
            f"--shard is {text}; the first number must be from 1 to the second. A scheduler that"
            " counts from 0 needs 1 added."
        )
    return Shard(number, count)
