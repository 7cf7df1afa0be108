"""The reference page has every check of what somebody else made, in its order."""

from __future__ import annotations

import re
from pathlib import Path

from inklings.auditing.claims.claim_checks import CLAIM_CHECKS
from inklings.auditing.hugging_face.hugging_face_checks import HUGGING_FACE_CHECKS
from inklings.auditing.scorers.scorer_checks import SCORER_CHECKS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "audit-of-others.md").read_text(
    encoding="utf-8"
)
PARTS = {
    "A scorer": SCORER_CHECKS,
    "A Hugging Face model": HUGGING_FACE_CHECKS,
    "A claim": CLAIM_CHECKS,
}


def test_the_page_has_them_all_in_their_order() -> None:
    for heading, registry in PARTS.items():
        part = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
        said, table = part.split("| check |", 1)
        named = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
        assert named == [name for name in registry.places if name in named]
        assert set(registry.places) - set(named) <= set(re.findall(r"`([^`]+)`", said))
