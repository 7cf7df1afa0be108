"""The audit of generators of whole texts finds each known way to be wrong.

And nothing wrong with an honest one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from inklings.auditing.audit import audit
from inklings.auditing.checks.from_noise import (
    check_both_learn,
    check_made,
    check_real_texts,
    check_texts_apart,
)
from inklings.auditing.subjects import NoiseSubject
from inklings.config import DataConfig
from inklings.models.from_noise import SampleModel
from inklings.models.one_shot import OneShot
from inklings.models.registry import build
from inklings.text.store import TokenStore, prepare

BROKEN = Path(__file__).parent.parent / "contracts" / "fixtures" / "broken_from_noise.py"
FIELDS: dict[str, Any] = {
    "context_length": 10,
    "n_hidden": 24,
    "n_noise": 12,
    "n_critic_hidden": 24,
    "n_embd": 12,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    """Five hundred lines, every fifth of which is longer than ten tokens."""
    path = tmp_path_factory.mktemp("text") / "lines.txt"
    path.write_text(
        "\n".join(
            f"{'far too long ' if number % 5 == 0 else ''}w{number * 7919 % 10007}"
            for number in range(500)
        )
        + "\n"
    )
    return prepare(DataConfig(source=str(path), layout="lines", tokenizer="char"))


def maker(name: str, **fields: Any) -> Callable[[int], SampleModel]:
    def fresh(seed: int, vocab_size: int = 23, boundary: int = 0) -> SampleModel:
        torch.manual_seed(seed)
        made = build(
            f"{BROKEN}:{name}", {**FIELDS, **fields}, vocab_size=vocab_size, boundary_token=boundary
        )
        assert isinstance(made, SampleModel)
        return made

    return fresh


def fitted(name: str, store: TokenStore, **fields: Any) -> SampleModel:
    return maker(name, **fields)(0, store.tokenizer.vocab_size, store.tokenizer.boundary)  # type: ignore[call-arg]


CAUGHT = {
    "Honest": (set(), ""),
    "DrawsInForward": ({"contract", "rows"}, "drawn in forward"),
    "LooksAtNeighbours": ({"rows"}, "made beside it"),
    "SilentParameter": ({"gradients"}, "generator.unused"),
    "SilentCritic": ({"gradients"}, "critic.unused"),
    "OneTokenMore": ({"contract"}, "rows of shape (5, 11, 23)"),
    "ScoresInAColumn": ({"contract"}, "scores of shape (5, 1)"),
    "RowsOfLogits": ({"contract"}, "neither a distribution nor empty"),
}


@pytest.mark.parametrize("name", CAUGHT)
def test_each_bug_is_found_by_the_checks_named_after_it(name: str) -> None:
    checks, saying = CAUGHT[name]
    result = audit(
        NoiseSubject(label=name, fresh=maker(name)), only=("contract", "rows", "gradients")
    )
    failed = {finding.check: finding.summary for finding in result.failed}
    assert set(failed) == checks, failed
    assert saying in " ".join(failed.values())


def test_a_bug_that_only_training_brings_is_found_in_the_run() -> None:
    model = maker("Honest")(0)
    assert isinstance(model, OneShot)
    last = model.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight[0] = math.nan
    result = audit(
        NoiseSubject(label="run", fresh=maker("Honest"), trained=model), only=("contract",)
    )
    assert [finding.summary for finding in result.failed] == [
        "the model gives logits that are not finite"
    ]


def test_one_unlucky_text_is_no_alarm_and_two_are(monkeypatch: pytest.MonkeyPatch) -> None:
    model = maker("Honest")(0)
    plain = type(model).forward
    for unlucky, status in ((1, "pass"), (2, "fail")):
        calls = iter(range(100))

        def forward(self, noise, calls=calls, unlucky=unlucky):  # type: ignore[no-untyped-def]
            drawn = plain(self, noise)
            if noise.size == 1 and next(calls) < unlucky:
                drawn.logits.add_(1.0)
            return drawn

        with monkeypatch.context() as patch:
            patch.setattr(type(model), "forward", forward)
            assert check_texts_apart(model).status == status


def test_the_checks_leave_the_model_as_it_was() -> None:
    model = maker("Honest")(0).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for check in (check_made, check_texts_apart, check_both_learn):
        assert check(model).status == "pass"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.training


def test_documents_left_out_are_a_warning_with_their_share(store: TokenStore) -> None:
    split = store.split("train")
    found = check_real_texts(fitted("Honest", store), split)
    assert found.status == "warning"
    assert found.evidence["documents"] == split.n_documents
    assert 0.7 < found.evidence["texts"] / split.n_documents < 0.9
    assert "left out" in found.summary
    assert check_real_texts(fitted("Honest", store, context_length=40), split).status == "pass"
    assert (
        check_real_texts(fitted("Honest", store, context_length=5, reads="windows"), split).status
        == "pass"
    )


def collapse_of(name: str, store: TokenStore) -> Any:
    model = fitted(name, store).eval()
    subject = NoiseSubject(label=name, fresh=maker(name), trained=model, store=store)
    (finding,) = audit(subject, only=("collapse",)).findings
    return finding


def test_a_generator_that_repeats_itself_is_warned_of(store: TokenStore) -> None:
    found = collapse_of("Constant", store)
    assert found.status == "warning", found.summary
    assert "100.0% of the samples" in found.summary


def test_what_needs_a_text_or_a_run_says_so(store: TokenStore) -> None:
    without = audit(NoiseSubject(label="x", fresh=maker("Honest"))).findings
    assert [finding.check for finding in without if finding.status == "not applicable"] == [
        "overlap",
        "coverage",
        "collapse",
        "novelty",
    ]
    untrained = audit(
        NoiseSubject(label="x", fresh=maker("Honest"), store=store), only=("collapse", "novelty")
    ).findings
    assert all("audit a run" in finding.summary for finding in untrained)
