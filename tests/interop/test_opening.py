"""Models whose documents open with another token than they end with are read so, in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import inklings
from inklings.errors import ForeignFormError
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.generation.generate import generate
from inklings.generation.sampling import SamplingConfig
from inklings.interop.any_causal_model import load_any_causal
from inklings.interop.imports.import_model import AS_IT_IS, import_model
from inklings.text.store import TokenSplit
from tests.built import as_sequence_model
from tests.interop.foreign import BEGIN, END, foreign

transformers = pytest.importorskip("transformers")

OPENS: dict[str, Any] = {"bos_token_id": 257}
CASES: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "llama": ("llama", {}, None),
    "mistral, windows": ("mistral", {"sliding_window": 16}, None),
    "nanochat": ("nanochat", {"final_logit_softcapping": None}, None),
    "qwen3, tied": ("qwen3", {"tie_word_embeddings": True}, None),
    "llama, as it is": ("llama", {"attention_bias": True}, AS_IT_IS),
}
TEXTS = ("The first of them.", "Another: 1, 2, 3.", "x")


@pytest.mark.parametrize("case", CASES)
def test_a_document_opens_with_the_token_that_it_was_learned_with(
    case: str, tmp_path: Path
) -> None:
    make, fields, kind = CASES[case]
    source = foreign(tmp_path / "source", make, **OPENS, **fields)
    made = import_model(str(source), tmp_path / "run", kind=kind)
    assert made.boundaries == (BEGIN, END) and BEGIN in str(made)
    run = made.run
    model, tokenizer = as_sequence_model(run.load_model()), run.tokenizer()
    theirs: Any = load_any_causal(str(source)).inner

    # scored: <begin> text, and <end> as the last target, of every document by itself
    documents = [tokenizer.encode(text).astype(np.uint16) for text in TEXTS]
    nats = 0.0
    for document in documents:
        rows = torch.tensor([[257, *document.tolist()]])
        with torch.no_grad():
            logits = theirs(input_ids=rows).logits[0, :, :258]
        nats += float(F.cross_entropy(logits, torch.tensor([*rows[0, 1:], 256]), reduction="sum"))
    found = evaluate(model, TokenSplit.of(documents, tokenizer.boundary), lossless=False)
    assert found.nats == pytest.approx(nats, rel=1e-5)

    # written, one token after the other
    (written,) = generate(
        model, tokenizer, TEXTS[0], max_new_tokens=8, sampling=SamplingConfig(temperature=0.0)
    )
    rows = torch.tensor([[257, *documents[0].tolist()]])
    wanted: list[int] = []
    for _ in range(8):
        with torch.no_grad():
            wanted.append(int(theirs(input_ids=rows).logits[0, -1, :258].argmax()))
        rows = torch.cat((rows, torch.tensor([wanted[-1:]])), dim=1)
    stop = wanted.index(256) if 256 in wanted else 8
    assert written.tokens == wanted[:stop]


@pytest.mark.parametrize("to", ["transformers", pytest.param("onnx", marks=pytest.mark.slow)])
def test_it_leaves_with_both_tokens(to: str, tmp_path: Path) -> None:
    if to == "onnx":
        pytest.importorskip("onnxruntime")
    source = foreign(tmp_path / "source", "llama", **OPENS)
    import_model(str(source), tmp_path / "run")
    text = tmp_path / "text.txt"
    text.write_text("".join(f"line {number} says {number * 37 % 101}\n" for number in range(100)))
    made = inklings.export(tmp_path / "run", tmp_path / "exported", to=to, data=str(text))
    assert made.without_tokenizer is None
    card = (tmp_path / "exported" / "README.md").read_text()
    assert f"`{BEGIN}` in front of every text" in card and f"`{END}` ends a text" in card
    if to == "onnx":
        return  # that its logits agree was seen at the export
    there = transformers.AutoTokenizer.from_pretrained(tmp_path / "exported")
    assert there("a").input_ids[0] == there.bos_token_id == 257 and there.eos_token_id == 256
    again = import_model(str(tmp_path / "exported"), tmp_path / "again")
    assert again.boundaries == (BEGIN, END)
    assert again.run.config.model["opening_token"] == 257


def test_a_gpt2_that_opens_otherwise_is_not_plain(tmp_path: Path) -> None:
    source = foreign(tmp_path / "source", "gpt2", **OPENS)
    with pytest.raises(ForeignFormError, match="opens a text with token 257"):
        import_model(str(source), tmp_path / "run")


def test_a_token_that_the_tokenizer_lacks_opens_nothing(tmp_path: Path) -> None:
    source = foreign(tmp_path / "source", "llama", bos_token_id=260)
    assert import_model(str(source), tmp_path / "run").boundaries == (END, END)
