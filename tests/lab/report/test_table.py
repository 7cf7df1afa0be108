"""The table: sorted by the ranking figure, formatted with units that a reader can take in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inklings.evaluation.statistics import mean_interval
from inklings.lab.comparison.result import Comparison
from inklings.lab.report.table import rank, render_table, sample_texts
from tests.lab.conftest import FakeComparison


def test_rows_are_sorted_by_loss_and_failed_arms_come_last(
    tmp_path: Path, write_fake_comparison: FakeComparison
) -> None:
    comparison: Comparison = write_fake_comparison(tmp_path, failed={"broken": "no luck"})
    rows = rank(comparison)
    values = [row.value for row in rows if row.value is not None]
    assert values == sorted(values)
    assert len(values) == 5
    assert [row.rank for row in rows] == [1, 2, 3, 4, 5, None]
    assert rows[-1].arm.label == "broken"


def test_with_different_tokenizers_bits_per_byte_rank(
    tmp_path: Path, write_fake_comparison: FakeComparison
) -> None:
    comparison: Comparison = write_fake_comparison(tmp_path)
    reverse = [
        replace(arm, runs=[replace(run, bits_per_byte=9 - (run.loss or 0)) for run in arm.runs])
        for arm in comparison.arms
    ]
    rows = rank(replace(comparison, unit="bits per byte", arms=reverse, differences=[]))
    assert [row.arm.label for row in rows] == [row.arm.label for row in rank(comparison)][::-1]


def test_the_interval_is_students_over_seeds_and_the_runs_own_for_one(
    tmp_path: Path, write_fake_comparison: FakeComparison
) -> None:
    comparison: Comparison = write_fake_comparison(tmp_path)
    for row in rank(comparison):
        losses = [run.loss for run in row.arm.runs]
        if row.arm.kind == "counted":
            assert (row.low, row.high) == pytest.approx(row.arm.runs[0].loss_interval)
        else:
            interval = mean_interval(np.array(losses))
            assert (row.value, row.low, row.high) == pytest.approx(
                (interval.estimate, interval.low, interval.high)
            )


def test_the_table_as_text(tmp_path: Path, write_fake_comparison: FakeComparison) -> None:
    comparison: Comparison = write_fake_comparison(tmp_path, failed={"broken": "no luck"})
    columns, rows = render_table(comparison)
    assert all(len(row) == len(columns) for row in rows)
    cells = [dict(zip(columns, row, strict=True)) for row in rows]
    assert (cells[0]["arm"], cells[0]["verdict"], cells[0]["to the best"]) == ("gpt", "best", "")
    assert (cells[0]["parameters"], cells[0]["tokens"]) == ("103,936", "1.84M")
    assert cells[0]["loss"].count("±") == 1
    assert cells[1]["to the best"].startswith("+0.0")
    assert cells[-1]["verdict"] == "failed: no luck"


def test_the_first_samples_of_every_arm_are_shown(
    tmp_path: Path, write_fake_comparison: FakeComparison
) -> None:
    comparison = write_fake_comparison(tmp_path, samples=["one", "two", "three", "four"])
    shown = sample_texts(comparison, tmp_path, each=2)
    assert shown[:2] == [("gpt", "one"), ("gpt", "two")]
    assert len(shown) == 10
