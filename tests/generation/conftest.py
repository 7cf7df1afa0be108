"""Small real models and tokenizers, and one model whose every word is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import make_tokenizer
from tests.built import SMALL, build_opinionated

TEXT = "the cat sat on the mat\nthe dog sat on the log\n\u00e9t\u00e9 \u4e2d\U0001f600\n"


def texts() -> Iterator[tuple[str, bool]]:
    return iter([(TEXT, True)])


@pytest.fixture(scope="session", params=["char", "char+bytes", "byte", "word:20", "bpe:270"])
def any_tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return make_tokenizer(
        request.param, texts, unknown="replace" if request.param == "word:20" else "auto"
    )


@pytest.fixture(scope="session")
def characters() -> Tokenizer:
    return make_tokenizer("char", texts, unknown="error")


def make_model(architecture: str, tokenizer: Tokenizer, *, seed: int = 0) -> SequenceModel:
    """A model with weights large enough that its next tokens are anything but equally likely."""
    return build_opinionated(
        architecture,
        SMALL[architecture],
        vocab_size=tokenizer.vocab_size,
        boundary_token=tokenizer.boundary,
        seed=seed,
    )


@pytest.fixture(params=sorted(SMALL))
def any_model(request: pytest.FixtureRequest, characters: Tokenizer) -> SequenceModel:
    return make_model(request.param, characters)


class Recital(SequenceModel):
    """Recites a text by heart from the beginning of each document, then ends it.

    It counts the positions that it reads, writes its state in place, as it may, and is interrupted
    once, after it has read `interrupt_at` positions.
    """

    Config = ModelConfig
    traits = Traits()
    script: Tensor

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        super().__init__(
            ModelConfig(vocab_size=tokenizer.vocab_size, boundary_token=tokenizer.boundary)
        )
        script = [*tokenizer.encode(text).tolist(), tokenizer.boundary]
        self.register_buffer("script", torch.tensor(script))
        self.positions_read = 0
        self.calls: list[tuple[int, int]] = []
        self.interrupt_at: int | None = None

    def forward(
        self, tokens: Tensor, state: State | None = None, *, starts: Tensor | None = None
    ) -> Output:
        state_given = state is not None
        place = (
            state.tensors["place"]
            if state is not None
            else torch.zeros(len(tokens), dtype=torch.int64)
        )
        logits = torch.full(
            (*tokens.shape, self.config.vocab_size), -20.0
        )  # like log-probabilities, none is positive
        for t in range(tokens.shape[1]):
            if starts is not None:
                place.masked_fill_(starts[:, t], 0)
            logits[:, t].scatter_(
                1, self.script[place.clamp(max=len(self.script) - 1)][:, None], -0.01
            )
            place += 1
            self.positions_read += len(tokens)
            if self.positions_read == self.interrupt_at:
                raise KeyboardInterrupt
        self.calls.append((tokens.shape[0], tokens.shape[1]))
        return Output(logits, State({"place": place}) if state_given else None, hidden=logits)

    def initial_state(self, batch_size: int) -> State:
        return State({"place": torch.zeros(batch_size, dtype=torch.int64)})

    def flops(self, tokens: int) -> int:
        return 0

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")


@pytest.fixture
def recite(characters: Tokenizer) -> Callable[[str], Recital]:
    """Makes a model that recites a text."""
    return lambda text: Recital(characters, text)


@pytest.fixture(scope="session")
def model_for() -> Callable[..., SequenceModel]:
    """Makes a small model of an architecture for a tokenizer."""
    return make_model
