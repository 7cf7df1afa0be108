"""How much of the work is done, and how long the rest of it takes.

The time that an arm took so far tells what the rest of it takes; an arm that has not begun is taken
for an average one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inklings.amounts import duration
from inklings.events import WorkItem

KNOWN_FROM = 2.0
"""Seconds of work from which an estimate is made."""


@dataclass
class Item:
    """A piece of work, and how far it is."""

    name: str
    arm: str
    stage: str
    weight: float
    """In runs of its arm."""
    trials: int
    """How many runs it makes, one after the other."""
    ended: int = 0
    """How many of them have."""
    trial: str = ""
    """The one at work, where it has a name."""
    share: float = 0.0
    """How much of it is done."""
    began: float | None = None
    """When; None before it did."""
    first: float = 0.0
    """What was done when it began."""
    took: float | None = None
    """Seconds, once it has ended."""

    def seconds(self, now: float) -> float:
        """Return the seconds that it took so far."""
        if self.took is not None:
            return self.took
        return 0.0 if self.began is None else now - self.began


class Work:
    """All pieces of work there are."""

    def __init__(self, items: Sequence[WorkItem], workers: int) -> None:
        self._items = {
            item["run"]: Item(
                item["run"], item["arm"], item["stage"], item["weight"], item["trials"]
            )
            for item in items
        }
        self._workers = workers

    @classmethod
    def of_one(cls, run: str) -> Work:
        """Return the work of one run alone."""
        return cls([{"run": run, "arm": run, "stage": "run", "weight": 1.0, "trials": 1}], 1)

    def at(self, name: str, share: float, now: float, trial: str = "") -> None:
        """Note how much of a piece of work is done.

        Args:
            name: of the piece.
            share: of its trial at work that is done; of all of it, where it has but one.
            now: in seconds, of any clock.
            trial: the name of its trial at work: another than before has begun when that ended.
        """
        item = self._items.get(name)
        if item is None or item.took is not None:
            return
        if trial:
            item.ended += item.trial not in ("", trial)
            item.trial = trial
        done = min(1.0, (item.ended + share) / item.trials)
        if item.began is None:
            item.began, item.first = now, done
        item.share = max(item.share, done)

    def end_trial(self, name: str, now: float) -> None:
        """Note that a trial of a piece of work is done."""
        item = self._items.get(name)
        if item is not None:
            item.ended += 1
            self.at(name, 0.0, now)

    def end(self, name: str, now: float) -> None:
        """Note that a piece of work is done."""
        item = self._items.get(name)
        if item is not None and item.took is None:
            item.took, item.share = item.seconds(now), 1.0

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds that the rest takes; None where nothing tells yet, or is left."""
        spent, done = dict[str, float](), dict[str, float]()
        for item in self._items.values():
            made = item.weight * (item.share - item.first)
            if made > 0:
                spent[item.arm] = spent.get(item.arm, 0.0) + item.seconds(now)
                done[item.arm] = done.get(item.arm, 0.0) + made
        if sum(spent.values()) < KNOWN_FROM:
            return None
        each = {arm: spent[arm] / done[arm] for arm in done}
        usual = sum(each.values()) / len(each)
        rest = [
            item.weight * (1 - item.share) * each.get(item.arm, usual)
            for item in self._items.values()
        ]
        return max(max(rest), sum(rest) / self._workers) if any(rest) else None

    def say(self, now: float) -> str:
        """Say where the work is, and when all of it ends: `run 7 of 42; about 8.4 s left`."""
        left = self.seconds_left(now)
        return self.place() + ("" if left is None else f"; about {duration(left)} left")

    def place(self) -> str:
        """Say which piece of work is done now: `run 7 of 42`."""
        stages = list(dict.fromkeys(item.stage for item in self._items.values()))
        for number, stage in enumerate(stages):
            of = [item for item in self._items.values() if item.stage == stage]
            ended = sum(item.took is not None for item in of)
            if ended < len(of):
                # what runs side by side is told by the last that began
                begun = max(ended + 1, sum(item.began is not None for item in of))
                then = ""
                for later in stages[number + 1 :]:
                    count = sum(item.stage == later for item in self._items.values())
                    then += f", then {count} {later}{'' if count == 1 else 's'}"
                return f"{stage} {min(begun, len(of))} of {len(of)}{then}"
        return "all done"
