"""What cannot be is refused.

And what goes wrong in a pass ends those whom it concerns and nobody else.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from inklings.errors import (
    ArchitectureError,
    ConfigError,
    DivergedError,
    InputError,
    TokenizerError,
)
from inklings.generation.engine.engine import Engine
from inklings.generation.engine.request import Delta, GenerationRequest
from inklings.generation.sampling import SamplingConfig
from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import make_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return make_tokenizer("char", lambda: iter([("abcdefgh", True)]), unknown="error")


class Fragile(SequenceModel):
    """Likes the token after the last one best.

    A row that read the token `bad` predicts NaN, and `raises` is raised once.
    """

    Config = ModelConfig
    traits = Traits(branches=("gate",))

    def __init__(self, tokenizer: Tokenizer, bad: int | None = None) -> None:
        super().__init__(
            ModelConfig(vocab_size=tokenizer.vocab_size, boundary_token=tokenizer.boundary)
        )
        self.register_buffer("where", torch.zeros(1))
        self.gate = torch.nn.Identity()
        self.bad = bad
        self.raises: Exception | None = None
        self.rows: list[int] = []

    def forward(
        self, tokens: Tensor, state: State | None = None, *, starts: Tensor | None = None
    ) -> Output:
        self.rows.append(len(tokens))
        if self.raises is not None:
            error, self.raises = self.raises, None
            raise error
        logits = (
            torch.nn.functional.one_hot(
                (tokens + 1) % self.config.vocab_size, self.config.vocab_size
            ).float()
            * 30
        )
        if self.bad is not None:
            logits[tokens == self.bad] = math.nan
        logits = self.gate(logits)
        return Output(logits, state, hidden=logits)

    def initial_state(self, batch_size: int) -> State:
        return State({"nothing": torch.zeros(batch_size, 1)})

    def flops(self, tokens: int) -> int:
        return 0


def job(tokenizer: Tokenizer, number: int, prompt: str = "a", **settings: Any) -> GenerationRequest:
    """`tokens` stand in for those of a prompt."""
    tokens = settings.pop("tokens", (tokenizer.boundary, *tokenizer.encode(prompt).tolist()))
    sampling = SamplingConfig(temperature=0.0)
    return GenerationRequest(
        **{
            "number": number,
            "client": "x",
            "prompt": tokens,
            "max_new_tokens": 3,
            "sampling": sampling,
            **settings,
        }
    )


def last_of(engine: Engine) -> dict[int, Delta]:
    found: dict[int, Delta] = {}
    texts: dict[int, str] = {}
    while told := engine.step():
        for progress in told:
            texts[progress.number] = texts.get(progress.number, "") + progress.text
            found[progress.number] = progress
    return found


def test_one_row_whose_logits_are_not_finite_ends_alone(tokenizer: Tokenizer) -> None:
    model = Fragile(tokenizer, bad=int(tokenizer.encode("c")[0]))
    engine = Engine(model, tokenizer)
    for number, prompt in enumerate(["e", "b", "d", "c"]):
        engine.submit(job(tokenizer, number, prompt))
    found = last_of(engine)
    assert {number for number, progress in found.items() if progress.error} == {1, 3}
    assert all("not finite" in str(found[number].error) for number in (1, 3))
    assert {found[0].ending, found[2].ending} == {"length"}


@pytest.mark.parametrize(
    "settings",
    [{"prompt_alternatives": 0, "max_new_tokens": 0}, {"embed": True, "max_new_tokens": 0}],
)
def test_a_prompt_that_cannot_be_scored_or_embedded_ends_alone(
    tokenizer: Tokenizer, settings: dict[str, Any]
) -> None:
    engine = Engine(Fragile(tokenizer, bad=int(tokenizer.encode("c")[0])), tokenizer)
    for number, prompt in enumerate(["abcde", "ddddd"]):
        engine.submit(job(tokenizer, number, prompt, **settings))
    found = last_of(engine)
    assert "not finite" in str(found[0].error)
    assert found[1].ending == "length"


@pytest.mark.parametrize("prompt", ["a", "abcdefgh"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DivergedError("it diverged."), "it diverged."),
        (torch.OutOfMemoryError("CUDA"), "memory"),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
            ),
            "memory",
        ),
        (MemoryError(), "memory"),
        (RuntimeError("secret"), "RuntimeError"),
    ],
)
def test_an_error_in_a_pass_ends_its_jobs_and_leaves_the_engine_usable(
    tokenizer: Tokenizer, prompt: str, error: Exception, said: str
) -> None:
    """While they are read, or write; those in a pass of their own (other branches) go on."""
    model = Fragile(tokenizer)
    engine = Engine(model, tokenizer, rows=3)
    engine.submit(job(tokenizer, 1, prompt))
    engine.submit(job(tokenizer, 2, prompt + "b"))
    engine.submit(job(tokenizer, 3, "d", branches=(("gate", 0.5),)))
    engine.submit(job(tokenizer, 4, "e"))
    model.raises = error
    found = last_of(engine)
    failed = [number for number, progress in found.items() if progress.error is not None]
    assert sorted(failed) == [1, 2]
    assert all(
        said in str(found[number].error) and "secret" not in str(found[number].error)
        for number in failed
    )
    assert {found[3].ending, found[4].ending} == {"length"}
    engine.submit(job(tokenizer, 1))
    assert last_of(engine)[1].ending == "length"


def test_one_token_is_never_read_by_one_row_alone(tokenizer: Tokenizer) -> None:
    model = Fragile(tokenizer)
    engine = Engine(model, tokenizer)
    engine.submit(job(tokenizer, 1, ""))
    last_of(engine)
    assert model.rows == [2, 2, 2]


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"tokens": ()}, InputError, "boundary"),
        ({"tokens": (3, 1)}, InputError, "boundary"),
        ({"tokens": (0, 99)}, InputError, "99"),
        ({"tokens": (0, -1)}, InputError, "-1"),
        ({"max_new_tokens": -1}, ConfigError, "max_new_tokens"),
        ({"alternatives": -1}, ConfigError, "alternatives"),
        ({"entries": -1}, ConfigError, "entries"),
        ({"seconds": 0.0}, ConfigError, "seconds"),
        ({"seconds": math.nan}, ConfigError, "seconds"),
        ({"stop": ("a", "")}, ConfigError, "stop string"),
        ({"entries": 2}, ArchitectureError, "no memory"),
        ({"embed": True}, ConfigError, "embedding"),
        ({"branches": (("gatee", 0.0),)}, ConfigError, "Did you mean 'gate'"),
        ({"branches": (("gate", math.nan),)}, ConfigError, "finite"),
        ({"branches": (("gate", 0.0), ("gate", 1.0))}, ConfigError, "twice"),
    ],
)
def test_what_cannot_be_is_refused(
    tokenizer: Tokenizer, settings: dict[str, Any], error: type[Exception], said: str
) -> None:
    assert tokenizer.boundary == 0
    engine = Engine(Fragile(tokenizer), tokenizer)
    with pytest.raises(error, match=said):
        engine.submit(job(tokenizer, 1, **settings))
    assert engine.waiting == 0
    assert engine.step() == []


def test_a_number_in_use_is_refused(tokenizer: Tokenizer) -> None:
    engine = Engine(Fragile(tokenizer), tokenizer)
    engine.submit(job(tokenizer, 1))
    with pytest.raises(InputError, match="number 1"):
        engine.submit(job(tokenizer, 1))
    engine.step()
    with pytest.raises(InputError, match="number 1"):
        engine.submit(job(tokenizer, 1))


def test_an_engine_of_nothing_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="rows"):
        Engine(Fragile(tokenizer), tokenizer, rows=0)
    other = make_tokenizer("char", lambda: iter([("abc", True)]), unknown="error")
    with pytest.raises(TokenizerError):
        Engine(Fragile(tokenizer), other)
