"""Shards: each run is in one of them, and what does not fit together is refused."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import ConfigError, RunError
from inklings.lab.comparison.compare import compare
from inklings.lab.comparison.merge import merge
from inklings.lab.comparison.result import FILE_NAME, Comparison
from inklings.lab.comparison.settings import Method
from inklings.lab.execution.run_arm import ArmRun
from inklings.lab.shards.shard import WHOLE, Shard, parse_shard
from inklings.runs.arms import parse_arm
from inklings.runs.interruption import Interruption
from inklings.runs.lock import in_turn, locked

MLP = "mlp:n_embd=4,n_hidden=16,context_length=3"
RNN = "recurrent:n_embd=4,n_hidden=8"
COUNTS = "ngram:order=2"
NOWHERE = Path("nowhere")


def a_run(arm: str, seed: int) -> ArmRun:
    return ArmRun(
        arm=arm,
        seed=seed,
        config=None,
        out=NOWHERE,
        run=NOWHERE,
        results="results",
        store=NOWHERE,
        split="test",
        first=False,
    )


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 9))
def test_each_run_and_each_audit_is_in_one_shard(arms: int, seeds: int, count: int) -> None:
    runs = [a_run(f"arm {arm}", seed) for seed in range(seeds) for arm in range(arms)]
    shares = [Shard(number, count).share(runs) for number in range(1, count + 1)]
    done = [(run.arm, run.seed) for share in shares for run in share.runs]
    assert sorted(done) == sorted((run.arm, run.seed) for run in runs)
    assert sorted(arm for share in shares for arm in share.begun) == [
        f"arm {arm}" for arm in range(arms)
    ]
    lengths = [len(share.runs) for share in shares]
    assert max(lengths) - min(lengths) <= 1
    assert WHOLE.share(runs).runs == runs


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/0", "3", "a/b", "-1/3", "1/2/3", "1.5/3", "²/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--shard is"):
        parse_shard(text)


def test_a_shard_is_read_as_it_is_written() -> None:
    assert str(parse_shard("2/8")) == "2/8"
    assert parse_shard("1/1") == WHOLE


@pytest.fixture(scope="module")
def base(word_list: Path) -> RunConfig:
    training = TrainingConfig(
        budget="8-steps", batch_size=4, sequence_length=8, evaluations=2, samples=0, threads=1
    )
    return RunConfig(data=DataConfig(source=str(word_list)), training=training)


def make(
    base: RunConfig,
    out: Path,
    shard: Shard = WHOLE,
    texts: tuple[str, ...] = (MLP, RNN),
    **how: Any,
) -> Comparison:
    terms = {"seeds": [0, 1], "workers": 1, "method": Method(points=2, rates=2), **how}
    arms = [parse_arm(text, base=base) for text in (*texts, COUNTS)]
    return compare(arms, out=out, shard=shard, **terms)


@pytest.fixture(scope="module")
def shared(base: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first of two shards."""
    out = tmp_path_factory.mktemp("shards") / "shared"
    assert make(base, out, Shard(1, 2)).status == "complete"
    return out


@pytest.fixture
def half(shared: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(shared, tmp_path / "half"))


def figures(comparison: Comparison) -> list[Any]:
    """Everything but times, and what is said of an equal time."""
    assert comparison.verdict is not None
    return [
        comparison.status,
        comparison.plan,
        comparison.differences,
        comparison.verdict.headline,
        [
            (
                (arm.label, arm.audit, arm.search, arm.probes, arm.notes),
                [
                    (run.seed, run.status, run.loss, run.weights, run.samples, run.metrics)
                    for run in arm.runs
                ],
                [run.audit for run in arm.runs],
            )
            for arm in comparison.arms
        ],
    ]


@pytest.mark.slow
def test_folders_of_their_own_merge_to_what_one_command_makes(
    base: RunConfig, tmp_path: Path
) -> None:
    """With samples, whose scale one shard measures for all."""
    how: dict[str, Any] = {"method": Method(points=1, rates=2, samples=20, probes=False)}
    alone = make(base, tmp_path / "alone", **how)
    for number in (1, 2):
        make(base, tmp_path / f"part-{number}", Shard(number, 2), **how)
    parts = [tmp_path / "part-2", tmp_path / "part-1"]
    whole = merge(parts, tmp_path / "whole")
    assert figures(whole) == figures(alone)
    assert (whole.sample_differences, whole.sample_verdict) == (
        alone.sample_differences,
        alone.sample_verdict,
    )


def test_a_missing_shard_is_named(half: Path) -> None:
    for parts in ([half], [half, half]):
        with pytest.raises(RunError, match=r"shard 2/2 is missing or not done.*--shard 2/2"):
            merge(parts, half)
    shutil.copytree(half / "shards" / "1-of-2", half / "shards" / "1-of-3")
    with pytest.raises(RunError, match="divided by 2 and 3"):
        merge([half], half)
    assert not (half / FILE_NAME).exists()


def test_another_division_is_refused(half: Path, base: RunConfig, tmp_path: Path) -> None:
    before = sorted(half.rglob("*"))
    with pytest.raises(RunError, match=r"--shard is 1/3.*divided by 2: 1/2 so far.*--shard I/2"):
        make(base, half, Shard(1, 3))
    with pytest.raises(RunError, match="holds shards of a comparison"):
        make(base, half)
    with pytest.raises(ConfigError, match=r"--shard is 1/9.*has 5 runs"):
        make(base, tmp_path / "new", Shard(1, 9))
    assert sorted(half.rglob("*")) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("how", "saying"),
    [
        ({"seeds": [0, 1, 2]}, r"the seeds \(\[0, 1\], now \[0, 1, 2\]\)"),
        ({"budget": "9-steps"}, "the budget"),
        ({"method": Method(points=1, rates=2)}, "the points"),
        ({"texts": (MLP, RNN, "mlp:n_embd=8,n_hidden=8")}, r"the arms \(3, now 4\)"),
    ],
    ids=["seeds", "budget", "points", "arms"],
)
@pytest.mark.parametrize("number", [1, 2])
def test_other_settings_are_refused(
    half: Path, base: RunConfig, how: dict[str, Any], saying: str, number: int
) -> None:
    before = sorted(half.rglob("*"))
    with pytest.raises(RunError, match=rf"shard 1/2 .* another comparison.*{saying}"):
        make(base, half, Shard(number, 2), **how)
    assert sorted(half.rglob("*")) == before


def test_a_comparison_that_is_not_divided_stays_so(base: RunConfig, tmp_path: Path) -> None:
    texts = ("ngram:order=1",)
    make(base, tmp_path / "out", texts=texts)
    with pytest.raises(RunError, match="was made without --shard"):
        make(base, tmp_path / "out", Shard(1, 2), texts=texts)
    assert not (tmp_path / "out" / "shards").exists()


def test_a_shard_is_done_by_one_process_at_a_time(half: Path, base: RunConfig) -> None:
    with (
        locked(Shard(1, 2).home(half)),
        pytest.raises(RunError, match="is being made by another process"),
    ):
        make(base, half, Shard(1, 2))


def test_who_waits_for_a_folder_can_be_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AtTheSecondTry(Interruption):
        """An interruption that comes while a lock is waited for."""

        tries = 0

        @property
        def asked(self) -> bool:
            self.tries += 1
            return self.tries > 1

        @asked.setter
        def asked(self, value: bool) -> None:
            self.tries = 0

    monkeypatch.setattr("inklings.runs.lock.Interruption", AtTheSecondTry)
    folder = tmp_path / "folder"
    for _ in range(2):  # it is free again after each
        with locked_folder(folder), pytest.raises(KeyboardInterrupt), in_turn(folder):
            raise AssertionError("two had the folder at once")
        with in_turn(folder):
            pass


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder as another process would: by an open file of its own."""
    folder.mkdir(exist_ok=True)
    with locked(folder):
        yield


def test_the_second_shard_begins_with_the_rates_that_the_first_found(
    half: Path, base: RunConfig
) -> None:
    events: list[Any] = []
    done = make(base, half, Shard(2, 2), on_event=events.append)
    searched = {event["arm"] for event in events if event["event"] == "rate"}
    before = {path.name for path in (half / "search").iterdir()}
    assert done.status == "complete"
    assert not searched, f"searched again: {searched}, of {before}"
