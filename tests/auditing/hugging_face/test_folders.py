"""Folders that `transformers` wrote: trained or not, with a tokenizer, and on a text."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from inklings.auditing.audit import audit
from inklings.cli.audited import asked_for, subject_of
from inklings.errors import ArchitectureError
from inklings.models.adapters.hugging_face import load_hugging_face
from tests.auditing.hugging_face.tiny import tiny

ONLY_BYTES = 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of bytes with weights and a tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    place = tmp_path_factory.mktemp("llama")
    config = LlamaConfig(**{**tiny("llama").config.to_dict(), "vocab_size": ONLY_BYTES + 1})
    LlamaForCausalLM(config).save_pretrained(place)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {name: number + 1 for number, name in enumerate(alphabet)}
    backend = tokenizers.Tokenizer(models.BPE(vocab={"<end>": 0, **ids}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")
    tokenizer.save_pretrained(place)
    return place


def test_a_folder_has_weights_and_a_tokenizer(folder: Path) -> None:
    loaded = load_hugging_face(str(folder))
    assert loaded.is_trained
    assert loaded.tokenizer is not None
    assert not load_hugging_face(str(folder), untrained=True).is_trained


def test_a_configuration_alone_is_audited_at_random_weights(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    loaded = load_hugging_face(str(tmp_path), or_drawn=True)
    assert not loaded.is_trained
    assert loaded.tokenizer is None


def test_a_folder_is_judged_on_a_text(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("\n".join(f"line {n}, and {n * 7 % 13}" for n in range(300)))
    subject = subject_of(asked_for(f"hf:{folder}", "text.txt"))
    result = audit(subject, only=["tied weights", "tokenizer", "loss"])
    statuses = {finding.check: finding.status for finding in result.findings}
    assert statuses.pop("loss") in ("pass", "warning")
    assert set(statuses.values()) == {"pass"}
    assert (result.kind, result.trained) == ("Hugging Face model", True)


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArchitectureError, match="no folder"):
        load_hugging_face("./nowhere")
    (tmp_path / "config.json").write_text('{"model_type": "toaster"}')
    with pytest.raises(ArchitectureError, match="toaster"):
        load_hugging_face(str(tmp_path), or_drawn=True)
