from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from inklings.errors import ForeignFormError, RunError
from inklings.interop.gpt2_weights import load_gpt2, save_gpt2
from inklings.models.gpt2.model import GPT2, GPT2Config

VOCABULARY, WINDOW = 29, 8


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")


def ours(seed: int = 0, **fields: Any) -> GPT2:
    torch.manual_seed(seed)
    sizes = {
        "vocab_size": VOCABULARY,
        "boundary_token": 3,
        "context_length": WINDOW,
        "n_layer": 2,
        "n_head": 2,
        "n_embd": 16,
    }
    model = GPT2(GPT2Config(**(sizes | fields)))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A tiny GPT-2 of the transformers library whose weights are anything.

    And where it is stored.
    """
    transformers = pytest.importorskip("transformers")
    sizes = {
        "vocab_size": VOCABULARY,
        "n_positions": WINDOW,
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 2,
    }
    torch.manual_seed(1)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**sizes, bos_token_id=3, eos_token_id=3)
    ).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    directory = tmp_path_factory.mktemp("transformers") / "gpt2"
    model.save_pretrained(directory)
    return model, directory


def assert_same_logits(model: GPT2, other: Any) -> None:
    tokens = torch.randint(model.config.vocab_size, (3, WINDOW))
    with torch.no_grad():
        expected = other(tokens).logits[..., : model.config.vocab_size]
        torch.testing.assert_close(model(tokens).logits, expected, atol=1e-4, rtol=1e-4)


def changed(
    source: Path,
    target: Path,
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    **settings: Any,
) -> Path:
    """A copy of a stored model with other tensors or settings."""
    target.mkdir()
    tensors = change(safetensors.torch.load_file(source / "model.safetensors"))
    safetensors.torch.save_file(
        {name: tensor.contiguous().clone() for name, tensor in tensors.items()},
        target / "model.safetensors",
    )
    config = json.loads((source / "config.json").read_text()) | settings
    (target / "config.json").write_text(json.dumps(config))
    return target


def test_their_weights_give_their_logits(theirs: tuple[Any, Path]) -> None:
    model, directory = theirs
    loaded = load_gpt2(directory)
    assert loaded.config == GPT2Config(
        vocab_size=VOCABULARY,
        boundary_token=3,
        context_length=WINDOW,
        n_layer=2,
        n_head=2,
        n_embd=16,
        dropout=0.1,
    )
    assert not loaded.training
    assert_same_logits(loaded, model)


def test_our_weights_open_there_with_our_logits(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = ours(dropout=0.25)
    save_gpt2(model, tmp_path / "gpt2")
    loaded, report = transformers.GPT2LMHeadModel.from_pretrained(
        tmp_path / "gpt2", output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert loaded.config.resid_pdrop == 0.25
    assert loaded.config.eos_token_id == 3
    assert_same_logits(model, loaded.eval())


def test_stored_and_loaded_is_the_same_model(tmp_path: Path) -> None:
    model = ours()
    save_gpt2(model, tmp_path / "gpt2")
    loaded = load_gpt2(tmp_path / "gpt2")
    assert loaded.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert all(
        parameter.requires_grad and parameter.is_contiguous() for parameter in loaded.parameters()
    )


def test_weights_of_the_bare_network_and_of_old_files_load_alike(
    tmp_path: Path, theirs: tuple[Any, Path]
) -> None:
    model, directory = theirs

    def bare(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        plain = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
        # files of early versions also hold the causal mask
        return plain | {
            "h.0.attn.bias": torch.ones(1, 1, WINDOW, WINDOW).tril(),
            "h.0.attn.masked_bias": torch.tensor(-1e4),
        }

    def with_head(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors | {"lm_head.weight": tensors["transformer.wte.weight"]}

    assert_same_logits(load_gpt2(changed(directory, tmp_path / "bare", bare)), model)
    assert_same_logits(load_gpt2(changed(directory, tmp_path / "head", with_head)), model)


def test_a_filled_up_vocabulary_is_cut_to_that_of_the_tokenizer(
    tmp_path: Path, theirs: tuple[Any, Path]
) -> None:
    model, directory = theirs

    def padded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors | {
            "transformer.wte.weight": torch.cat(
                (tensors["transformer.wte.weight"], torch.randn(3, 16))
            )
        }

    told = load_gpt2(
        changed(directory, tmp_path / "told", padded, vocab_size=VOCABULARY + 3),
        vocab_size=VOCABULARY,
    )
    untold = load_gpt2(changed(directory, tmp_path / "untold", padded))
    for loaded in (told, untold):
        assert loaded.config.vocab_size == VOCABULARY
        assert_same_logits(loaded, model)
    with pytest.raises(RunError, match="the tokenizer does not belong"):
        load_gpt2(directory, vocab_size=VOCABULARY + 1)


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    save_gpt2(ours(), tmp_path / "gpt2")
    half = changed(
        tmp_path / "gpt2",
        tmp_path / "half",
        lambda tensors: {name: tensor.bfloat16() for name, tensor in tensors.items()},
    )
    loaded = load_gpt2(half)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "llama"}, "model_type is 'llama'"),
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-06"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ({"n_inner": 20}, "n_inner is 20"),
        ({"n_embd": None}, "n_embd is None"),
        ({"n_layer": 3}, "no tensor h.2.ln_1.weight"),
        ({"n_positions": 9}, r"wpe.weight is of shape \(8, 16\)"),
        ({"vocab_size": 30}, r"wte.weight is of shape \(29, 16\)"),
        ({"eos_token_id": 50256}, "give boundary_token"),
    ],
)
def test_what_is_not_plain_gpt2_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    save_gpt2(ours(), tmp_path / "gpt2")
    with pytest.raises(RunError, match=message):
        load_gpt2(changed(tmp_path / "gpt2", tmp_path / "other", dict, **settings))


@pytest.mark.parametrize(
    ("more", "settings", "message"),
    [
        ({"score.weight": (2, 16)}, {}, r"no place for: score\.weight\. "),
        ({}, {"n_layer": 1}, r"of 1 layers has no place for: h\.1\.attn\.c_attn\.bias and 11 more"),
        ({"transformer.h.0.crossattention.c_attn.weight": (16, 32)}, {}, "h.0.crossattention"),
    ],
    ids=["another head", "fewer layers", "another branch"],
)
def test_weights_that_gpt2_has_no_place_for_are_refused(
    tmp_path: Path, more: dict[str, tuple[int, ...]], settings: dict[str, Any], message: str
) -> None:
    save_gpt2(ours(), tmp_path / "gpt2")
    other = changed(
        tmp_path / "gpt2",
        tmp_path / "other",
        lambda tensors: tensors | {name: torch.randn(shape) for name, shape in more.items()},
        **settings,
    )
    with pytest.raises(ForeignFormError, match=message):
        load_gpt2(other)


def test_an_untied_head_is_refused(tmp_path: Path) -> None:
    save_gpt2(ours(), tmp_path / "gpt2")
    other = changed(
        tmp_path / "gpt2",
        tmp_path / "other",
        lambda tensors: tensors | {"lm_head.weight": torch.randn(VOCABULARY, 16)},
    )
    with pytest.raises(RunError, match="head is not tied"):
        load_gpt2(other)


def test_a_boundary_may_be_given(tmp_path: Path) -> None:
    save_gpt2(ours(), tmp_path / "gpt2")
    other = changed(tmp_path / "gpt2", tmp_path / "other", dict, eos_token_id=None)
    assert load_gpt2(other, boundary_token=7).config.boundary_token == 7


def test_several_rates_of_dropout_are_told(tmp_path: Path) -> None:
    save_gpt2(ours(), tmp_path / "gpt2")
    other = changed(tmp_path / "gpt2", tmp_path / "other", dict, attn_pdrop=0.5, resid_pdrop=0.2)
    with pytest.warns(UserWarning, match="several rates of dropout"):
        assert load_gpt2(other).config.dropout == 0.2


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    save_gpt2(ours(), tmp_path / "gpt2")
    weights = tmp_path / "gpt2" / "model.safetensors"
    weights.unlink()
    with pytest.raises(RunError, match="is missing"):
        load_gpt2(tmp_path / "gpt2")
    torch.save({"wte.weight": torch.zeros(1)}, tmp_path / "gpt2" / "pytorch_model.bin")
    with pytest.raises(RunError, match=r"only as a pickle \(pytorch_model.bin\)"):
        load_gpt2(tmp_path / "gpt2")
    torch.save({"wte.weight": torch.zeros(1)}, weights)  # a pickle under the other name
    with pytest.raises(RunError, match="is a pickle"):
        load_gpt2(tmp_path / "gpt2")


def test_damage_is_told(tmp_path: Path) -> None:
    save_gpt2(ours(), tmp_path / "gpt2")
    weights = tmp_path / "gpt2" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(RunError, match="damaged or is not a safetensors file"):
        load_gpt2(tmp_path / "gpt2")
    (tmp_path / "gpt2" / "config.json").write_text("[]")
    with pytest.raises(RunError, match="not a model's configuration"):
        load_gpt2(tmp_path / "gpt2")
    with pytest.raises(RunError, match=r"config.json is missing"):
        load_gpt2(tmp_path / "nowhere")


def test_nothing_is_overwritten_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "gpt2"

    def fail(*args: object, **kwargs: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(safetensors.torch, "save", fail)
        save_gpt2(ours(), target)
    assert list(tmp_path.iterdir()) == []
    save_gpt2(ours(), target)
    before = (target / "model.safetensors").read_bytes()
    with pytest.raises(RunError, match="exists already"):
        save_gpt2(ours(seed=1), target)
    assert (target / "model.safetensors").read_bytes() == before
