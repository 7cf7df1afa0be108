"""Samples of any generator come in the form that real text has."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from inklings.config import DataConfig
from inklings.errors import ConfigError, SourceError
from inklings.evaluation.samples.sampling import draw
from inklings.models.contract import ModelConfig, SequenceModel
from inklings.models.from_noise import Critic, Drawn, Noise, SampleModel
from inklings.models.ngram import NGram, NGramConfig
from inklings.text.store import TokenStore, prepare
from inklings.text.tokenizers import Tokenizer


class Fixed(SampleModel):
    """Writes 1, 1 2, 1 2 3, ... with what its noise says before."""

    def __init__(self, boundary: int, length: int = 100) -> None:
        super().__init__(ModelConfig(vocab_size=40, boundary_token=boundary, context_length=length))

    def noise(
        self,
        n: int,
        length: int,
        *,
        generator: torch.Generator | None = None,
        style: torch.Generator | None = None,
    ) -> Noise:
        raise NotImplementedError

    def forward(self, noise: Noise) -> Drawn:
        raise NotImplementedError

    def make_critic(self) -> Critic:
        raise NotImplementedError

    def text_flops(self, length: int) -> tuple[int, int, int]:
        raise NotImplementedError

    def sample(
        self,
        n: int,
        length: int,
        *,
        generator: torch.Generator | None = None,
        style: torch.Generator | None = None,
    ) -> Tensor:
        assert not self.training and not torch.is_grad_enabled()
        rows = torch.arange(1, length + 1).repeat(n, 1)
        rows[:, 0] = torch.randint(1, 30, (n,), generator=generator)
        rows[torch.arange(n), torch.arange(n) % (length + 1) % length] = self.config.boundary_token
        return rows


@pytest.fixture(scope="module")
def store() -> TokenStore:
    return prepare(DataConfig(source="builtin:unicode-names"))


def counted(order: int, tokenizer: Tokenizer, tokens: npt.NDArray[Any]) -> NGram:
    """An n-gram model of the tokens."""
    sizes = {"vocab_size": tokenizer.vocab_size, "boundary_token": tokenizer.boundary}
    made = NGram(NGramConfig(order=order, **sizes))
    made.count(tokens)
    return made


@pytest.fixture(scope="module")
def model(store: TokenStore) -> SequenceModel:
    return counted(3, store.tokenizer, store.split("train").tokens)


def test_documents_end_or_are_cut(store: TokenStore, model: SequenceModel) -> None:
    drawn = draw(model, store.tokenizer, 60, max_length=15, seed=1)
    assert len(drawn) == 60 and drawn.ended.any() and not drawn.ended.all()
    assert (drawn.lengths[~drawn.ended] == 15).all() and (drawn.lengths <= 15).all()
    assert store.tokenizer.boundary not in np.concatenate([drawn.document(i) for i in range(60)])
    longer = draw(model, store.tokenizer, 60, max_length=400, seed=1)
    for i in range(60):
        assert drawn.document(i).tolist() == longer.document(i)[:15].tolist()
        assert bool(drawn.ended[i]) == (longer.lengths[i] <= 15)


def test_draws_repeat_with_the_seed_and_change_with_seed_and_temperature(
    store: TokenStore, model: SequenceModel
) -> None:
    def tokens(seed: int, temperature: float = 1.0) -> tuple[int, ...]:
        return tuple(
            draw(
                model, store.tokenizer, 5, max_length=20, seed=seed, temperature=temperature
            ).tokens.tolist()
        )

    assert tokens(seed=1) == tokens(seed=1)
    assert len({tokens(seed=1), tokens(seed=2), tokens(seed=1, temperature=0.5)}) == 3


def test_windows_are_full_and_without_end_marks(store: TokenStore, model: SequenceModel) -> None:
    drawn = draw(model, store.tokenizer, 100, max_length=1, windows=8)
    assert (
        (drawn.sizes == 8).all()
        and not drawn.ended.any()
        and store.tokenizer.boundary not in drawn.tokens
    )
    assert len(np.unique(drawn.fingerprints())) > 50


def test_a_generator_without_a_likelihood_is_sampled(store: TokenStore) -> None:
    model = Fixed(store.tokenizer.boundary).train()
    drawn = draw(model, store.tokenizer, 300, max_length=6, seed=1)
    assert len(drawn) == 300 and model.training
    assert (drawn.lengths[:8] == [0, 1, 2, 3, 4, 5, 6, 0]).all() and drawn.ended.all()
    assert drawn.document(3)[1:].tolist() == [2, 3]
    assert (
        drawn.tokens.tolist()
        == draw(model, store.tokenizer, 300, max_length=6, seed=1).tokens.tolist()
    )
    assert (
        drawn.tokens.tolist()
        != draw(model, store.tokenizer, 300, max_length=6, seed=2).tokens.tolist()
    )


def test_what_cannot_be_drawn_says_so(store: TokenStore, model: SequenceModel) -> None:
    with pytest.raises(ConfigError, match="0 samples were asked for"):
        draw(model, store.tokenizer, 0, max_length=5)
    with pytest.raises(ConfigError, match="samples of 0 tokens"):
        draw(model, store.tokenizer, 2, max_length=0)
    with pytest.raises(ConfigError, match=r"Fixed has no likelihood, so no temperature; 0\.7"):
        draw(Fixed(0), store.tokenizer, 2, max_length=5, temperature=0.7)
    ends = counted(1, store.tokenizer, np.full(1000, store.tokenizer.boundary))
    with pytest.raises(SourceError, match="of 3 windows of 9 tokens"):
        draw(ends, store.tokenizer, 3, max_length=5, windows=9)
