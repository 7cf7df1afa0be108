"""Each model that misbehaves on some condition only is caught by the check that is about it."""

from __future__ import annotations

import pytest

from inklings.auditing.audit import audit
from inklings.auditing.check import CHECKS
from inklings.auditing.findings import Finding
from inklings.models.contract import SequenceModel

from .fixtures import (
    breaks_states,
    declares_wrongly,
    keeps_outside,
    opens_at_tokens,
    opens_by_shape,
    opens_in_training,
)
from .fixtures.subject import models_of, subject_of

FAMILIES = {
    opens_by_shape: "causality",
    opens_at_tokens: "causality",
    opens_in_training: "causality",
    keeps_outside: "repeatable",
    breaks_states: "state",
    declares_wrongly: "declarations",
}
ELSEWHERE = {
    "UnderAutocast": "autocast",
    "FaintUnderAutocast": "autocast",
    "NotANumberUnderAutocast": "autocast",
    "WritesUnderGradients": "contract",
    "MarksWhatItHasRead": "contract",
    "DriftsAfterAThousand": "streaming",
    "DriftsSlowly": "streaming",
    "BetterInParallel": "generation",
}
"""Of some models another check says what is wrong."""
REFUSED = {"MisspeltObjective", "CountsWithoutCounting"}
"""What no check gets to: the declaration is an error wherever it is looked at."""

FAST = {
    "ManyTokens",
    "RareTokenNext",
    "StartsInTraining",
    "InEveryTenthPass",
    "UnderAutocast",
    "RemembersTextsOfTraining",
    "SelectsInItsOwnOrder",
    "DriftsAfterAThousand",
    "FewOperations",
    "ShortField",
    "LikelihoodByMistake",
}
"""One of each kind; the others are slow only because they are many."""

KINDS = [
    pytest.param(
        kind,
        ELSEWHERE.get(kind.__name__, check),
        marks=[] if kind.__name__ in FAST else [pytest.mark.slow],
        id=kind.__name__,
    )
    for family, check in FAMILIES.items()
    for kind in models_of(family)
]


def asked(kind: type[SequenceModel], check: str) -> Finding:
    (finding,) = audit(subject_of(kind), only=[check]).findings
    return finding


@pytest.mark.parametrize(("kind", "check"), KINDS)
def test_what_is_wrong_is_found(kind: type[SequenceModel], check: str) -> None:
    finding = asked(kind, check)
    assert finding.status == "fail", finding.summary
    ended = "the check ended with" in finding.summary
    assert ended == (kind.__name__ in REFUSED), finding.summary


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "check"), KINDS)
def test_the_whole_audit_finds_it_and_ends(kind: type[SequenceModel], check: str) -> None:
    result = audit(subject_of(kind))
    assert [finding.check for finding in result.findings] == list(CHECKS.places)
    assert check in {finding.check for finding in result.failed}


def test_what_a_leak_waits_for_is_said() -> None:
    finding = asked(opens_by_shape.FarPositions, "causality")
    assert "the future enters in the model (FarPositions), from 1 position ahead" in finding.summary
    assert "rows of 256 tokens" in finding.summary


@pytest.mark.slow
def test_what_a_leak_counts_is_said() -> None:
    finding = asked(opens_in_training.OpensAfterAHundredSteps, "causality")
    assert "once steps has counted 10,000" in finding.summary


def test_batch_statistics_hide_no_leak_and_it_is_located() -> None:
    finding = asked(opens_in_training.HidesBehindBatchNorm, "causality")
    assert finding.evidence["mode"] == "training"
    assert finding.evidence["module"] == "finish (BatchNormThatSeesTheNext)"


def test_what_a_module_keeps_is_named() -> None:
    finding = asked(keeps_outside.CountsPasses, "repeatable")
    assert finding.evidence["kept"] == ["passes"]


def test_a_misspelt_objective_is_an_error_of_every_check() -> None:
    finding = asked(declares_wrongly.MisspeltObjective, "causality")
    assert "Did you mean 'likelihood'" in finding.summary
