"""An exported file, read by the library `gguf` and computed by `transformers`."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inklings.interop.exports.target import Leaving, Reader
from inklings.interop.to_gguf import as_llama_cpp
from inklings.interop.to_gguf.gguf_forms import GgufForm, names_in_file
from inklings.interop.to_gguf.gguf_vocabulary import Vocabulary
from inklings.interop.to_transformers.rotary_model import halves


def read(leaving: Leaving) -> Reader:
    """Make the twin's class of what the file says, with its weights in float32."""
    import gguf

    form = leaving.form
    assert isinstance(form, GgufForm)
    file = gguf.GGUFReader(leaving.path)
    vocabulary = _vocabulary(file)
    model = _model(form, file, vocabulary)

    def logits(tokens: Int[Tensor, "1 T"]) -> Float[Tensor, "1 T V"]:
        computed: Tensor = model(input_ids=tokens).logits
        return computed

    return Reader(
        logits=logits,
        encode=lambda text: as_llama_cpp.encode(vocabulary, text),
        decode=lambda tokens: as_llama_cpp.decode(vocabulary, tokens),
    )


def _model(form: GgufForm, file: Any, vocabulary: Vocabulary) -> Any:
    import gguf
    import transformers

    weights = {
        tensor.name: torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
        for tensor in file.tensors
    }
    said = {name: _said(file, f"{form.name}.{key}") for key, name in form.keys.items()}
    kind: Any = getattr(transformers, form.twin.class_name)
    settings = kind.config_class(
        **said,
        vocab_size=len(vocabulary.tokens),
        bos_token_id=vocabulary.opening,
        eos_token_id=vocabulary.boundary,
        tie_word_embeddings="output.weight" not in weights,
    )
    model = kind(settings).eval()
    names = names_in_file(form, _said(file, f"{form.name}.block_count"))
    for theirs, parameter in model.named_parameters():
        name = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        assert name is not None, theirs
        tensor = weights.pop(name)
        if theirs.endswith(form.paired):
            tensor = halves(tensor, said["num_attention_heads"])
        parameter.data = tensor.T if theirs.endswith(form.turned) else tensor
    assert not weights, "the class has no place for these"
    return model


def _vocabulary(file: Any) -> Vocabulary:
    def said(key: str) -> Any:
        return _said(file, f"tokenizer.ggml.{key}")

    model = said("model")
    return Vocabulary(
        model=model,
        tokens=said("tokens"),
        types=said("token_type"),
        merges=said("merges") if model == "gpt2" else [],
        opening=said("bos_token_id"),
        boundary=said("eos_token_id"),
    )


def _said(file: Any, key: str) -> Any:
    return file.get_field(key).contents()
