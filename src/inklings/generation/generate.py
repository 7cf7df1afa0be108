"""Writing text with any architecture that streams: several samples at once, or one as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from inklings.errors import ConfigError
from inklings.generation.engine.engine import Engine
from inklings.generation.engine.request import GenerationRequest
from inklings.generation.sampling import SamplingConfig
from inklings.generation.session import Session, check_length, reraise
from inklings.generation.text_stream import TextStream
from inklings.models.contract import SequenceModel
from inklings.text.tokenizers import Tokenizer

ROWS = 256
"""Most samples that are written side by side, to bound memory; more come as some end."""


@dataclass(frozen=True)
class Generation:
    """One generated text, and why it ended."""

    text: str
    """What follows the prompt, without the stop string that ended it."""
    tokens: list[int]
    """What was drawn: without the boundary that ended it, but with all tokens of a stop string."""
    finished: Literal["boundary", "length", "stop"]
    """Why it ended: the model ended the document, enough tokens were drawn, or a stop string came.
    """


def generate(
    model: SequenceModel,
    tokenizer: Tokenizer,
    prompt: str = "",
    *,
    max_new_tokens: int,
    sampling: SamplingConfig | None = None,
    samples: int = 1,
    first: int = 0,
    stop: tuple[str, ...] = (),
    stop_at_boundary: bool = True,
    use_cache: bool = True,
) -> list[Generation]:
    """Write `samples` texts that go on from the prompt; an empty prompt begins a document.

    Sample r depends on the seed and on r alone, not on how many are written beside it. A prompt
    longer than the model's context is read to its end all the same; the model looks back as far as
    it can.

    Args:
        model: any architecture; it is used in evaluation mode, and left in the mode it was in.
        tokenizer: the one that the model was trained with.
        prompt: encoded as it is, with the boundary before it.
        max_new_tokens: how many tokens are drawn at most.
        sampling: how; None is `SamplingConfig()`, plain draws at temperature 1.
        samples: how many texts.
        first: number of the first of them, where others are written elsewhere.
        stop: strings that end a text before them; only what is new is searched.
        stop_at_boundary: whether the end of a document ends the text. Otherwise it shows as a
            newline, and the next document begins.
        use_cache: False reads the whole text anew for every token, to check the state against.

    Raises:
        TokenizerError: the tokenizer does not belong to the model, or lacks a character of the
            prompt and its policy is to refuse it. (Where its policy is to go on,
            `tokenizer.unknown_characters(prompt)` tells what it lacks.)
        ConfigError: a number is out of range, or a stop string is empty.
    """
    engine = Engine(
        model, tokenizer, rows=max(1, min(samples, ROWS)), failure=reraise, use_cache=use_cache
    )
    check_request(tokenizer, prompt, max_new_tokens=max_new_tokens, samples=samples, stop=stop)
    request = GenerationRequest(
        number=samples,
        client="",
        prompt=(tokenizer.boundary, *tokenizer.encode(prompt).tolist()),
        sampling=sampling or SamplingConfig(),
        stop=stop,
        stop_at_boundary=stop_at_boundary,
        keep=samples > 1,
    )
    if samples > 1:  # what the texts have in common is read once
        engine.submit(request)
        for _ in engine.deltas():
            pass
    for row in range(samples):
        engine.submit(
            replace(request, number=row, row=first + row, max_new_tokens=max_new_tokens, keep=False)
        )
    pieces: list[list[str]] = [[] for _ in range(samples)]
    made = [Generation("", [], "length") for _ in range(samples)]
    for delta in engine.deltas():
        pieces[delta.number].append(delta.text)
        text = made[delta.number]
        text.tokens.extend(delta.drawn)
        if delta.ending is not None and delta.ending != "deadline":
            if delta.ending == "boundary":
                text.tokens.pop()
            made[delta.number] = replace(
                text, text="".join(pieces[delta.number]), finished=delta.ending
            )
    return made


def check_request(
    tokenizer: Tokenizer,
    prompt: str,
    *,
    max_new_tokens: int,
    samples: int = 1,
    stop: tuple[str, ...] = (),
) -> None:
    """Refuse what `generate` would refuse, without a model. Errors are those of `generate`.

    Args:
        tokenizer: the one that the model was trained with.
        prompt: the beginning of the text.
        max_new_tokens: most tokens that are drawn.
        samples: how many texts.
        stop: strings that end a text before them.
    """
    check_length(max_new_tokens)
    if samples < 1:
        raise ConfigError(f"samples is {samples}; it must be at least 1.")
    TextStream(stop)
    tokenizer.encode(prompt)


def stream(
    model: SequenceModel,
    tokenizer: Tokenizer,
    prompt: str = "",
    *,
    max_new_tokens: int,
    sampling: SamplingConfig | None = None,
    stop: tuple[str, ...] = (),
    stop_at_boundary: bool = True,
    use_cache: bool = True,
) -> Iterator[str]:
    """Write one text and yield it as it comes.

    Only whole characters are yielded, and nothing that may still begin a stop string. The pieces
    together are the text of `generate` with one sample. Errors are those of `generate`, raised at
    the call, before the first piece.

    Args:
        model: any architecture that streams.
        tokenizer: the one that the model was trained with.
        prompt: encoded as it is, with the boundary before it.
        max_new_tokens: most tokens that are drawn.
        sampling: how they are drawn; None is `SamplingConfig()`.
        stop: strings that end the text before them.
        stop_at_boundary: whether the end of a document ends the text.
        use_cache: False reads the whole text anew for every token.
    """
    session = Session(
        model,
        tokenizer,
        sampling=sampling or SamplingConfig(),
        max_new_tokens=max_new_tokens,
        stop=stop,
        stop_at_boundary=stop_at_boundary,
        use_cache=use_cache,
    )
    return session.say(prompt)
