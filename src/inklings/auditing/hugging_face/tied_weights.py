"""Embedding and head are one matrix where the configuration says so, and two where it does not."""

from __future__ import annotations

from typing import Any

import torch

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding, not_applicable
from inklings.auditing.hugging_face.hugging_face_subject import HuggingFaceSubject
from inklings.models.adapters.hugging_face import settings_of


def check_tied_weights(subject: HuggingFaceSubject) -> Finding:
    """Check that weights are tied as declared; who counts parameters relies on it."""
    inner: Any = subject.inner
    embedding, head = inner.get_input_embeddings(), inner.get_output_embeddings()
    if embedding is None or head is None or embedding.weight.shape != head.weight.shape:
        return not_applicable("tied weights", "it has no embedding and head of one shape")
    declared = bool(getattr(settings_of(inner), "tie_word_embeddings", False))
    shared = embedding.weight.data_ptr() == head.weight.data_ptr()
    if declared == shared:
        return Finding(
            check="tied weights",
            status="pass",
            summary=f"embedding and head are {'one matrix' if shared else 'two'}, as declared",
        )
    equal = torch.equal(embedding.weight, head.weight)
    how = "one matrix" if shared else "two with equal values" if equal else "two that differ"
    return Finding(
        check="tied weights",
        status="fail" if declared and not equal else "warning",
        summary=(
            f"the configuration says that embedding and head are {'' if declared else 'not '}tied,"
            f" and they are {how}"
        ),
        evidence={"declared": declared, "shared": shared, "equal": equal},
    )


TIED_WEIGHTS = Check(name="tied weights", run=check_tied_weights)
