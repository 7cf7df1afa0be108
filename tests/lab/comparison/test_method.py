"""A setting of a comparison is listed once: resuming, merging, the report and the flags follow."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from inklings.cli.compare import Compare
from inklings.cli.run_arguments import parse_settings
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.merge import differences_of
from inklings.lab.comparison.plan import Plan
from inklings.lab.comparison.resume import conflicts
from inklings.lab.comparison.settings import (
    ComparisonMethod,
    Method,
    setting_facts,
)
from tests.test_formats import FORMATS

OTHER: dict[str, Any] = {"points": 3, "parameters": 5000, "rates": 7, "sizes": 2, "probes": True}


def test_every_setting_is_a_flag() -> None:
    other: dict[str, Any] = {**OTHER, "floor": False, "samples": 40}
    assert {field.name for field in dataclasses.fields(Method)} == set(other)
    for name, value in other.items():
        given = [f"--{name}={value}"]
        if isinstance(value, bool):
            given = [f"--{name}"] if value else [f"--no-{name}"]
        parsed = parse_settings(given, Compare, verb="compare", description="")
        usual = Method(points=4, rates=5, floor=True)
        assert vars(parsed.verb.settings) == vars(dataclasses.replace(usual, **{name: value}))


@pytest.mark.parametrize(
    ("text", "size"), [("100k", 100_000), ("2.5M", 2_500_000), ("1_000", 1000), ("auto", "auto")]
)
def test_a_size_is_written_as_people_do(text: str, size: int | str) -> None:
    words = ["--parameters", text]
    parsed = parse_settings(words, Compare, verb="compare", description="")
    assert parsed.verb.settings.parameters == size


def test_a_size_that_is_none_ends_with_what_it_may_be(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_settings(["--parameters", "3x"], Compare, verb="compare", description="")
    assert "100k or 2M" in capsys.readouterr().err


def test_another_value_is_a_conflict_unless_it_may_change() -> None:
    whole = read_comparison(FORMATS / "comparison")
    whole = dataclasses.replace(whole, plan=dataclasses.replace(whole.plan, arms=[]), arms=[])
    for field in dataclasses.fields(ComparisonMethod):
        changed = dataclasses.replace(whole.plan, **{field.name: OTHER[field.name]})
        about = field.metadata["about"]
        merged = differences_of(whole, dataclasses.replace(whole, plan=changed))
        for found in (conflicts(whole.plan, changed), merged):
            assert len(found) == (not about.may_change)
            assert all(text.startswith(f"the {about.title} (") for text in found)


def test_facts_name_what_is_not_at_its_default() -> None:
    plan = Plan(arms=[], seeds=[0], data={}, budget=None)
    assert setting_facts(plan) == []
    assert setting_facts(dataclasses.replace(plan, points=3, rates=5, parameters=1000)) == [
        ("Decayed and scored at", "1/4, 1/2 and all of the budget"),
        ("Size", "1,000 parameters without embedding"),
        ("Learning rates", "5 tried for each arm"),
    ]
