"""Causal models of `transformers`: honest ones hold, and each way to be wrong is caught."""

from __future__ import annotations

import pytest
import torch

from inklings.auditing.audit import audit
from inklings.auditing.hugging_face.hugging_face_checks import HUGGING_FACE_CHECKS
from tests.auditing.hugging_face.tiny import TINY, TOKENS, broken, subject_of_model, tiny

OWN = ["contract", "padding", "cache", "tied weights"]
FAST = ["gpt2", "mistral"]


def test_each_is_registered_under_its_name() -> None:
    assert [check.name for check in HUGGING_FACE_CHECKS] == list(HUGGING_FACE_CHECKS.places)


@pytest.mark.parametrize("name", FAST)
def test_an_architecture_keeps_what_only_it_is_asked(name: str) -> None:
    result = audit(subject_of_model(tiny(name)), only=OWN)
    assert {finding.status for finding in result.findings} == {"pass"}
    assert (result.kind, result.trained) == ("Hugging Face model", False)


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_no_architecture_raises_an_alarm(name: str) -> None:
    assert not audit(subject_of_model(tiny(name))).failed


def test_rwkv_is_found_to_read_padding_and_to_mix_rows_that_are_generated_together() -> None:
    """Faults of its own: no mask is looked at, and a cached step of two rows is one of four."""
    sizes = {"hidden_size": 16, "attention_hidden_size": 16, "num_hidden_layers": 2}
    model = tiny("rwkv", **TOKENS, **sizes)
    tokens, mask = torch.randint(1, 61, (2, 9)), torch.ones(2, 9, dtype=torch.int64)
    mask[:, :4] = 0
    with torch.no_grad():
        assert torch.equal(model(tokens, attention_mask=mask).logits, model(tokens).logits)
        state = model(tokens, use_cache=True).state
        assert model(tokens[:, :1], state=state, use_cache=True).logits.shape[:2] == (2, 2)
    result = audit(subject_of_model(model), only=OWN)
    assert {finding.check for finding in result.failed} == {"padding", "cache"}


@pytest.mark.parametrize(
    ("how", "check"),
    [("leaks", "causality"), ("sees padding", "padding"), ("forgets its cache", "cache")],
)
def test_a_fault_is_caught(how: str, check: str) -> None:
    result = audit(subject_of_model(broken(how)), only=["causality", "padding", "cache"])
    assert check in [finding.check for finding in result.failed]


def test_weights_that_are_not_tied_as_declared_are_told() -> None:
    model = tiny("llama")
    model.config.tie_word_embeddings = True
    (finding,) = audit(subject_of_model(model), only=["tied weights"]).failed
    assert "two that differ" in finding.summary
    model.lm_head.weight = model.model.embed_tokens.weight
    assert not audit(subject_of_model(model), only=["tied weights"]).failed
    model.config.tie_word_embeddings = False
    (warned,) = audit(subject_of_model(model), only=["tied weights"]).findings
    assert (warned.status, warned.evidence["shared"]) == ("warning", True)
