"""Every cheat of `examples/audit/` claims what its table says, and is caught by what it names."""

from __future__ import annotations

import math
import re

import pytest

from inklings.auditing.audit import audit
from inklings.auditing.claims.claim_file import read_claim
from inklings.auditing.scorers.protocol import claims_of
from tests.auditing.scorers.fixtures import EXAMPLES, example, found, loaded

PAGE = (EXAMPLES / "README.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| \[(\w+)\.py\]\(\1\.py\) \| (.*?) \| (?:`(\w+)`)?", PAGE, re.MULTILINE)
CLAIMS = re.findall(
    r"^\| \[\w+\.json\]\(claims/(\w+)\.json\) \| .*? \| (?:`([\w ]+)`)? ?\|$", PAGE, re.MULTILINE
)
HONEST = 6.20


def test_the_table_has_every_file() -> None:
    assert {row[0] for row in ROWS} == {path.stem for path in EXAMPLES.glob("*.py")}
    assert len(ROWS) > 20


@pytest.mark.parametrize(("stem", "claimed"), [row[:2] for row in ROWS if row[1][0].isdigit()])
def test_it_claims_what_was_published(stem: str, claimed: str) -> None:
    subject = example(stem, "Counting" if stem == "counting" else "Scorer")
    claims = claims_of(subject.make(), subject.documents)
    size = sum(map(len, subject.documents))
    bits = sum(claim.sum() for claim in claims) / math.log(2) / size
    assert f"{bits:.2f}" == claimed.split()[0]
    assert bits <= HONEST


@pytest.mark.parametrize(("stem", "check"), [row[::2] for row in ROWS if row[2]])
def test_it_is_caught(stem: str, check: str) -> None:
    finding = found((loaded if stem.startswith("loads") else example)(stem), check)
    assert finding.status == ("warning" if check == "memorised" else "fail"), finding.summary
    assert check != "memorised" or finding.summary.startswith("it cannot be decided")


@pytest.mark.parametrize(("stem", "check"), CLAIMS)
def test_a_claim_is_caught(stem: str, check: str) -> None:
    failed = {
        finding.check for finding in audit(read_claim(EXAMPLES / f"claims/{stem}.json")).failed
    }
    assert (check in failed) if check else not failed


def test_the_table_has_every_claim() -> None:
    named = {path.stem for path in (EXAMPLES / "claims").glob("*.json")}
    assert {name for name in named if not name.endswith(("table", "tokenizer"))} == dict(
        CLAIMS
    ).keys()
