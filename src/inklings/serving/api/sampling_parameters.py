"""Common parts of completions and chats: their requests to a model, limits, and endings."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from fastapi import Request

from inklings.generation.engine.request import Ending, GenerationRequest
from inklings.generation.sampling import SamplingConfig
from inklings.serving.api.errors import refused
from inklings.serving.api.prompts import Prompt, Serving, client_of
from inklings.serving.api.requests import DrawingBody
from inklings.serving.process.process_pool import Served

FINISH: dict[Ending, str] = {"boundary": "stop", "stop": "stop", "length": "length"}

ASKED = tuple(f for f in fields(SamplingConfig) if f.name in DrawingBody.model_fields)
"""The sampling parameters that a request may name."""


def seed_of(body: DrawingBody) -> int:
    """Return the seed that was given, or a random one."""
    return secrets.randbits(63) if body.seed is None else body.seed % 2**64


def sampling_of(body: DrawingBody) -> SamplingConfig:
    """Return how tokens are drawn: the request's own fields, and defaults for the others."""
    given = {f.name: getattr(body, f.name) for f in ASKED}
    asked = {name: value for name, value in given.items() if value is not None}
    return SamplingConfig(**{**asked, "seed": seed_of(body)})


def stops_of(body: DrawingBody) -> tuple[str, ...]:
    """Return the stop strings that were given, which reading the body has made a list."""
    return tuple(body.stop or ())


def check_drawing(
    serving: Serving,
    served: Served,
    body: DrawingBody,
    *,
    prompts: int,
    tokens: int,
    tokens_field: str,
) -> None:
    """Refuse what is beyond this server's limits or cannot be done.

    Args:
        serving: has the limits.
        served: has the places that texts take.
        body: what is asked for.
        prompts: how many texts are continued.
        tokens: most tokens that are drawn of each.
        tokens_field: the client's name for that.

    Raises:
        ApiError: there are too many texts or tokens, or a field is given that has no effect here.
    """
    config = serving.config
    samples = body.n or 1
    each = (
        f"n is {samples:,}" if prompts == 1 else f"n is {samples:,} for each of {prompts:,} prompts"
    )
    if samples * prompts > config.max_samples:
        raise refused(
            f"{each}; this server writes {config.max_samples:,} texts at most for one request.", "n"
        )
    # a text out of noise takes no place of its own
    if served.card.predicts and samples * prompts > served.places:
        raise refused(
            f"{each}; this server has {served.places:,} places for texts of {served.card.name}, "
            "those that wait included (--rows, --queue). Ask for fewer.",
            "n",
        )
    if tokens > config.max_new_tokens:
        raise refused(
            f"{tokens_field} is {tokens:,}; this server draws {config.max_new_tokens:,} at most.",
            tokens_field,
        )
    if body.stream_options is not None and body.stream_options.include_usage and not body.stream:
        raise refused(
            "stream_options says how a stream is made, and stream is not true; set it, or leave"
            " stream_options out.",
            "stream_options",
        )
    if body.logit_bias:
        raise refused(
            "logit_bias is not supported: no logit is changed by hand here. Leave it out.",
            "logit_bias",
        )


def jobs_of(
    request: Request,
    serving: Serving,
    body: DrawingBody,
    prompts: Sequence[Prompt],
    *,
    tokens: int,
    stop: tuple[str, ...],
    alternatives: int | None,
    prompt_alternatives: int | None = None,
) -> list[GenerationRequest]:
    """Make one request to the model for each text.

    The n of the first prompt, then those of the next.

    Args:
        request: the HTTP request; its client is the one for the fair queue.
        serving: models, limits and measures.
        body: the sampling parameters.
        prompts: the prompts.
        tokens: most tokens that are drawn of each.
        stop: strings that end a text before them.
        alternatives: how many likely tokens are shown with each drawn one; None for no
            log-probability.
        prompt_alternatives: the same for the tokens of the prompt.
    """
    sampling = sampling_of(body)
    if body.entries and alternatives is None:
        alternatives = 0
    return [
        GenerationRequest(
            number=0,
            client=client_of(request),
            prompt=prompt.tokens,
            one_document=prompt.one_document,
            max_new_tokens=tokens,
            sampling=sampling,
            row=row,
            stop=stop,
            stop_at_boundary=not body.ignore_eos,
            alternatives=alternatives,
            prompt_alternatives=prompt_alternatives,
            entries=body.entries or 0,
            branches=body.factors,
            seconds=serving.config.timeout,
        )
        for prompt in prompts
        for row in range(body.n or 1)
    ]


def frame_of(served: Served, prefix: str) -> dict[str, Any]:
    """Return what an answer and all events of a stream begin with; `prefix` is that of its id."""
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}",
        "created": int(time.time()),
        "model": served.card.name,
    }


def usage(prompts: Sequence[Prompt], drawn: int) -> dict[str, int]:
    """Return how many tokens there were: each prompt once, however many texts go on from it."""
    read = sum(prompt.count for prompt in prompts)
    return {"prompt_tokens": read, "completion_tokens": drawn, "total_tokens": read + drawn}
