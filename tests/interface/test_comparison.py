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
