"""`comparison.json`.

What is written is read back, and what is not a comparison is refused in clear words.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inklings.errors import RunError
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.records import read_record
from inklings.lab.comparison.result import FILE_NAME
from tests.lab.conftest import FakeComparison


def test_what_is_written_is_read_back(
    tmp_path: Path, write_fake_comparison: FakeComparison
) -> None:
    comparison = write_fake_comparison(tmp_path / "x")
    assert read_comparison(tmp_path / "x") == comparison


def test_a_folder_without_a_comparison_names_the_nearest_that_has_one(
    tmp_path: Path, write_fake_comparison: FakeComparison
) -> None:
    write_fake_comparison(tmp_path / "names")
    with pytest.raises(RunError, match="Did you mean 'names'"):
        read_comparison(tmp_path / "nmaes")


def test_a_newer_format_is_refused(tmp_path: Path, write_fake_comparison: FakeComparison) -> None:
    write_fake_comparison(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 99}))
    with pytest.raises(RunError, match="Upgrade Inklings"):
        read_comparison(tmp_path)


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"format_version": 1}', '{"format_version": 1, "plan": 3}']
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    (tmp_path / FILE_NAME).write_text(damage)
    with pytest.raises(RunError):
        read_comparison(tmp_path)


def test_a_damaged_record_is_refused(tmp_path: Path, write_fake_comparison: FakeComparison) -> None:
    write_fake_comparison(tmp_path)
    path = tmp_path / "results/gpt/seed-0"
    assert read_record(path).samples
    (path / "record.json").write_text('{"format_version": 1, "curve": 5}')
    with pytest.raises(RunError, match="damaged"):
        read_record(path)
