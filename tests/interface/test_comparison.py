"""`inklings.compare`: arms as they come, a verdict and a table, and all metrics in one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import inklings
from inklings.config import RunConfig
from inklings.errors import InputError
from inklings.interface.arguments import arms_of
from inklings.interface.comparison_folder import ComparisonFolder
from inklings.interface.run import Run

from .conftest import ARM, SETTINGS

NGRAM = "ngram:order=2"


@pytest.fixture(scope="module")
def compared(run: Run, text: Path, tmp_path_factory: pytest.TempPathFactory) -> ComparisonFolder:
    return inklings.compare(
        [ARM, NGRAM, run, RunConfig(architecture="mlp", model={"n_hidden": 8})],
        data=text,
        budget="6-steps",
        seeds=2,
        out=tmp_path_factory.mktemp("comparisons") / "small",
        method=inklings.Method(),
        workers=1,
        show=False,
        **SETTINGS,
    )


@pytest.mark.slow
def test_arms_are_names_runs_or_settings(compared: ComparisonFolder, run: Run) -> None:
    assert [arm.label for arm in compared.arms] == [ARM, NGRAM, run.path.name, "mlp"]
    assert {label: len(runs) for label, runs in compared.runs.items()} == {
        ARM: 2,
        NGRAM: 1,
        run.path.name: 1,
        "mlp": 2,
    }
    assert compared.runs[run.path.name][0].path == run.path


def test_it_shows_its_verdict_and_its_table(compared: ComparisonFolder) -> None:
    assert compared.verdict is not None
    for shown in (repr(compared), compared._repr_html_()):
        assert compared.verdict.headline in shown
        assert all(arm.label in shown for arm in compared.arms)
    ranked = [row["arm"] for row in compared.table if row["rank"]]
    losses = [row["loss"] for row in compared.table if row["rank"]]
    assert losses == sorted(losses) and len(ranked) == 4


def test_the_metrics_of_all_runs_are_one_table(compared: ComparisonFolder) -> None:
    records = compared.metrics
    assert len({tuple(record) for record in records}) == 1
    assert {(one["arm"], one["seed"]) for one in records if one["arm"] == ARM} == {
        (ARM, 0),
        (ARM, 1),
    }
    of_one = [one for one in records if (one["arm"], one["seed"]) == (ARM, 1)]
    alone = compared.runs[ARM][1].metrics
    assert [one["loss"] for one in of_one] == [one["loss"] for one in alone]


def test_the_same_call_goes_on(compared: ComparisonFolder) -> None:
    opened = inklings.load_comparison(str(compared.out))
    assert repr(opened) == repr(compared)
    with pytest.raises(InputError, match="load_comparison"):
        inklings.load(compared.out)


def test_contestants_may_be_given_names() -> None:
    arms = arms_of({"mine": ARM, "theirs": RunConfig(architecture="mlp")}, RunConfig(), frozenset())
    assert [arm.label for arm in arms] == ["mine", "theirs"]
    named = arms_of([f"mine={ARM}"], RunConfig(), frozenset())
    assert [arm.label for arm in named] == ["mine"]
    assert arms[0].config is not None and arms[0].config.architecture == "gpt"


def test_a_name_alone_is_no_list_of_arms() -> None:
    with pytest.raises(InputError, match=r"\['gpt', 'mlp'\]"):
        inklings.compare("gpt")


def share(text: Path, out: Path | None, shard: str | None) -> ComparisonFolder:
    """A comparison of two runs, or one of its shards."""
    return inklings.compare(
        ["ngram:order=1", NGRAM],
        data=text,
        seeds=1,
        out=out,
        method=inklings.Method(),
        workers=1,
        show=False,
        shard=shard,
        **SETTINGS,
    )


def test_shards_become_the_whole_in_one_folder_or_by_a_merge(text: Path, tmp_path: Path) -> None:
    alone = share(text, tmp_path / "alone", None)
    first = share(text, tmp_path / "one", "1/2")
    for shown in (repr(first), first._repr_html_()):
        assert "one shard; not done yet: 2/2" in shown
    assert first.verdict is None and [len(arm.runs) for arm in first.arms] == [1, 0]
    with pytest.raises(InputError, match="shard 2/2 is missing or not done"):
        inklings.load_comparison(tmp_path / "one")
    last = share(text, tmp_path / "one", "2/2")
    share(text, tmp_path / "other", "2/2")
    with pytest.raises(InputError, match="shard 1/2 is missing or not done"):
        inklings.merge_comparisons([tmp_path / "other"], tmp_path / "whole")
    share(text, tmp_path / "another", "1/2")
    parts: list[Path | str] = [str(tmp_path / "another"), tmp_path / "other"]
    merged = inklings.merge_comparisons(parts, tmp_path / "whole")
    for whole in (last, merged, inklings.load_comparison(tmp_path / "one")):
        assert whole.verdict == alone.verdict and whole.verdict is not None
        assert [row["loss"] for row in whole.table] == [row["loss"] for row in alone.table]


def test_a_shard_says_where_it_is_kept(text: Path, folder: Path) -> None:
    with pytest.raises(InputError, match=r"shard='1/2' needs an out"):
        share(text, None, "1/2")
    with pytest.raises(InputError, match=r"must be I/N"):
        share(text, folder / "out", "first")
    assert not list(folder.iterdir())


@pytest.mark.slow
def test_a_script_without_a_guard_compares_in_several_processes(folder: Path, text: Path) -> None:
    """Workers do not run the script that started them."""
    script = folder / "script.py"
    script.write_text(
        "import inklings\n"
        "print('once')\n"
        f"made = inklings.compare([{ARM!r}, 'mlp'], data={str(text)!r}, budget='2-steps', seeds=1,"
        f" workers=2, method=inklings.Method(), out='out', show=False, **{SETTINGS!r})\n"
        "print(len(made.failed))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=folder
    )
    assert done.stdout.split() == ["once", "0"]
