"""A text out of noise depends on the seeds and its number alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inklings.errors import ConfigError, TokenizerError
from inklings.generation.from_noise import write
from inklings.models.from_noise import Noise, SampleModel
from inklings.models.registry import build
from inklings.text.tokenizers import Tokenizer

T = 6
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "textgan": ("textgan", {"context_length": T, "n_embd": 8, "n_head": 2, "n_hidden": 12}),
    "described": (
        "textgan",
        {"context_length": T, "n_embd": 8, "n_head": 2, "n_hidden": 12, "preset": "described"},
    ),
    "one_shot": ("one_shot", {"context_length": T, "n_hidden": 12}),
}


def make(kind: str, tokenizer: Tokenizer) -> SampleModel:
    torch.manual_seed(0)
    architecture, fields = MODELS[kind]
    model = build(
        architecture, fields, vocab_size=tokenizer.vocab_size, boundary_token=tokenizer.boundary
    )
    assert isinstance(model, SampleModel)
    return model


@pytest.mark.parametrize("kind", MODELS)
def test_a_text_does_not_depend_on_how_many_are_written_beside_it(
    kind: str, characters: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(kind, characters)
    three, seven = (write(model, characters, n, seed=4) for n in (3, 7))
    assert seven[:3] == three
    monkeypatch.setattr(
        "inklings.generation.from_noise.ROWS", 2
    )  # nor on how many are made at a time
    assert write(model, characters, 7, seed=4) == seven
    assert write(model, characters, 7, seed=5) != seven
    assert len({tuple(made.tokens) for made in seven}) > 1


@settings(max_examples=10)
@given(st.integers(0, 50), st.integers(1, T))
def test_a_shorter_text_is_the_beginning_of_the_longer_one(
    characters: Tokenizer, seed: int, length: int
) -> None:
    model = make("textgan", characters)
    for short, long in zip(
        write(model, characters, 3, seed=seed, length=length),
        write(model, characters, 3, seed=seed),
        strict=True,
    ):
        assert short.tokens == long.tokens[:length]
        assert len(short.tokens) <= length
        assert characters.boundary not in short.tokens
        assert short.text == characters.decode(short.tokens)
        assert short.finished == ("boundary" if len(long.tokens) < length else "length")


def test_with_a_style_seed_all_texts_share_their_style(
    characters: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make("textgan", characters)
    given_noise = []
    plain = model.make

    def watched(noise: Noise) -> torch.Tensor:
        given_noise.append(noise.tensors)
        return plain(noise)

    monkeypatch.setattr(model, "make", watched)
    write(model, characters, 4, seed=0, style_seed=9)
    write(model, characters, 4, seed=1, style_seed=9)
    write(model, characters, 4, seed=0)
    one, two, free = given_noise
    style = one["style"][:1]
    assert torch.equal(one["style"], style.expand_as(one["style"]))
    assert torch.equal(two["style"], one["style"])
    assert len({tuple(row.tolist()) for row in free["style"]}) == 4
    assert not torch.equal(one["word"], two["word"])
    assert len({tuple(row.flatten().tolist()) for row in one["word"]}) == 4


def test_writing_leaves_the_mode_and_torchs_generator_as_they_were(characters: Tokenizer) -> None:
    model = make("textgan", characters).train()
    state = torch.get_rng_state()
    write(model, characters, 2)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("length", [0, -1, T + 1])
def test_a_length_that_the_model_cannot_make_is_refused(characters: Tokenizer, length: int) -> None:
    with pytest.raises(ConfigError, match=f"length is {length}.*1 to {T}"):
        write(make("textgan", characters), characters, 1, length=length)


def test_a_tokenizer_of_another_size_is_refused(characters: Tokenizer) -> None:
    model = build(
        "one_shot", MODELS["one_shot"][1], vocab_size=characters.vocab_size + 1, boundary_token=0
    )
    assert isinstance(model, SampleModel)
    with pytest.raises(TokenizerError):
        write(model, characters, 1)
