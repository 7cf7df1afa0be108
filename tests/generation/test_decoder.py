from __future__ import annotations

import pytest
import torch

from inklings.device import Runtime
from inklings.errors import ConfigError
from inklings.generation import decoder as module
from inklings.generation.decoder import choose_decoder
from inklings.generation.packed_weights import PackedLinear, can_pack
from inklings.models.contract import SequenceModel
from tests.built import build_sequence_model

pytestmark = pytest.mark.skipif(not can_pack("float32"), reason="this PyTorch has no oneDNN")
needs_bfloat16 = pytest.mark.skipif(
    not can_pack("bfloat16"), reason="oneDNN has no bfloat16 for this processor"
)


@pytest.fixture
def model() -> SequenceModel:
    torch.manual_seed(0)
    fields = {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 8}
    return build_sequence_model("gpt", fields, vocab_size=11).eval()


def in_bfloat16(model: SequenceModel) -> bool:
    return any(
        isinstance(part, PackedLinear) and part.dtype == torch.bfloat16 for part in model.modules()
    )


def test_small_models_are_taken_as_they_are(model: SequenceModel) -> None:
    made = choose_decoder(model)
    assert made.model is model
    assert made.runtime == Runtime()


@needs_bfloat16
def test_what_was_asked_for_is_taken_unmeasured(
    model: SequenceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_probe", None)
    made = choose_decoder(model, precision="bfloat16")
    assert in_bfloat16(made.model)
    assert made.runtime.reasons == ("bfloat16: as asked",)
    assert choose_decoder(model, precision="float32").model is model


@pytest.mark.parametrize(
    ("precision", "tried"),
    [
        pytest.param("auto", {"float32", "bfloat16"}, marks=needs_bfloat16),
        ("float32", {"float32"}),
    ],
)
def test_large_models_are_measured(
    model: SequenceModel, monkeypatch: pytest.MonkeyPatch, precision: str, tried: set[str]
) -> None:
    monkeypatch.setattr(module, "WORTH_MEASURING", 0)
    monkeypatch.setattr(module, "SECONDS", 0.0)
    monkeypatch.setattr(module, "bfloat16_is_fast", lambda device: True)
    seen: list[Runtime] = []

    def first(choices, probe, seconds, bfloat16_worth):  # type: ignore[no-untyped-def]
        measured = [probe(choice) for choice in choices for _ in range(3)]
        assert all(
            step.seconds > 0 and abs(step.loss - measured[0].loss) < 0.05 for step in measured
        )
        seen.extend(choices)
        return choices[-1], "said"

    monkeypatch.setattr(module, "fastest", first)
    made = choose_decoder(model, rows=3, precision=precision)  # type: ignore[arg-type]
    assert {choice.precision for choice in seen} == tried
    assert in_bfloat16(made.model) is ("bfloat16" in tried)
    assert made.runtime.reasons == ("said",)
    assert not in_bfloat16(model)


def test_bfloat16_is_refused_where_weights_cannot_be_packed(
    model: SequenceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "can_pack", lambda precision: False)
    with pytest.raises(ConfigError, match="float32 or auto"):
        choose_decoder(model, precision="bfloat16")
    monkeypatch.setattr(module, "WORTH_MEASURING", 0)
    monkeypatch.setattr(module, "SECONDS", 0.0)
    assert choose_decoder(model, precision="float32").model is model


def test_a_processor_without_bfloat16_decodes_in_float32(
    model: SequenceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "can_pack", lambda precision: precision == "float32")
    monkeypatch.setattr(module, "bfloat16_is_fast", lambda device: True)
    monkeypatch.setattr(module, "WORTH_MEASURING", 0)
    monkeypatch.setattr(module, "SECONDS", 0.0)
    with pytest.raises(ConfigError, match="AVX-512"):
        choose_decoder(model, precision="bfloat16")
    assert choose_decoder(model).runtime.precision == "float32"
