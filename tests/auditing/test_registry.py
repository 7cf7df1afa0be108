"""The registries of checks: names, what hangs on them, and that the reference page has them all."""

from __future__ import annotations

import re
from pathlib import Path

from inklings.auditing.audit import dishonest
from inklings.auditing.check import CHECKS, NOISE_CHECKS
from inklings.auditing.findings import Finding

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "audit.md"


def test_each_is_registered_under_its_name() -> None:
    for registry in (CHECKS, NOISE_CHECKS):
        assert [check.name for check in registry] == list(registry.places)


def test_the_reference_page_has_them_all_in_their_order() -> None:
    of_tokens, of_noise = PAGE.read_text(encoding="utf-8").split("whole texts out of noise", 1)
    for part, registry in ((of_tokens, CHECKS), (of_noise, NOISE_CHECKS)):
        rows = re.findall(r"^\| (`[^|]+) \|", part, re.MULTILINE)
        named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
        statuses = {"pass", "warning", "fail", "not applicable"}
        assert [name for name in named if name not in statuses] == list(registry.places)


def test_who_fails_what_makes_a_loss_meaningless_is_not_ranked() -> None:
    """And the page says which those are."""
    barring = [check.name for check in CHECKS if check.bars_ranking]
    listed = ", ".join(f"`{name}`" for name in barring[:-1]) + f" or `{barring[-1]}`"
    assert listed in " ".join(PAGE.read_text(encoding="utf-8").split())
    failed = [Finding(check=name, status="fail", summary="") for name in CHECKS.places]
    assert [finding.check for finding in dishonest(failed)] == barring
