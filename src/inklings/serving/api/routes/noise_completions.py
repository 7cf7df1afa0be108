"""`/v1/completions` of a generator that makes whole texts out of noise.

Fields that only a next token has are refused by name.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import Request
from starlette.responses import Response

from inklings.serving.api.errors import json_response, refused
from inklings.serving.api.prompts import Serving
from inklings.serving.api.requests import CompletionBody
from inklings.serving.api.sampling_parameters import ASKED, FINISH, check_drawing, frame_of, seed_of
from inklings.serving.api.sse import event, in_time, stream
from inklings.serving.process.process_pool import Served

UNLIKE: dict[str, tuple[Any, ...]] = {
    **{f.name: (None, f.default) for f in ASKED if f.name != "seed"},
    "top_p": (None, 1),
    "min_p": (None, 0),
    "logprobs": (None,),
    "stop": (None,),
    "ignore_eos": (None, False),
    "entries": (None, 0),
    "branches": (None, {}),
}
"""Fields that say how a next token is drawn or shown, and their values that ask for nothing."""


async def write_whole(
    request: Request, serving: Serving, served: Served, body: CompletionBody
) -> Response:
    """Answer with n texts, each a function of the seeds and its number alone.

    Args:
        request: the HTTP request.
        serving: models, limits and measures.
        served: the model.
        body: its body.

    Raises:
        ApiError: there is a prompt, or a field that such a generator cannot use.
    """
    name = served.card.name
    if body.prompt not in (None, "", [""], [[]]):
        raise refused(
            f"{name} makes whole texts out of noise and cannot go on from a prompt. Leave prompt"
            " out; seed and style_seed choose the text.",
            "prompt",
        )
    given = [field for field, plain in UNLIKE.items() if getattr(body, field) not in plain]
    if given:
        raise refused(
            f"{', '.join(given)}: {name} makes whole texts out of noise; a token is not drawn from"
            " probabilities that could be changed. Leave that out.",
            given[0],
        )
    check_drawing(
        serving, served, body, prompts=1, tokens=body.max_tokens or 0, tokens_field="max_tokens"
    )
    if body.max_tokens == 0:
        raise refused(
            "max_tokens is 0, and a text that is made whole has at least one. Leave it out to have"
            " all of it.",
            "max_tokens",
        )
    if body.stream:
        return await stream(request, _events(serving, served, body), seconds=serving.config.timeout)
    return json_response(
        await in_time(request, _make(serving, served, body), seconds=serving.config.timeout)
    )


async def _make(serving: Serving, served: Served, body: CompletionBody) -> dict[str, Any]:
    # the length is a limit, as everywhere: one above what the model makes asks for all of it
    length = None if body.max_tokens is None else min(body.max_tokens, served.card.context_length)
    made = await served.make(
        body.n or 1, seed=seed_of(body), style_seed=body.style_seed, length=length
    )
    drawn = sum(len(text.tokens) + (text.finished == "boundary") for text in made)
    choices = [
        {"index": i, "text": text.text, "logprobs": None, "finish_reason": FINISH[text.finished]}
        for i, text in enumerate(made)
    ]
    return {
        **frame_of(served, "cmpl"),
        "object": "text_completion",
        "choices": choices,
        "usage": {"prompt_tokens": 0, "completion_tokens": drawn, "total_tokens": drawn},
    }


async def _events(serving: Serving, served: Served, body: CompletionBody) -> AsyncGenerator[bytes]:
    """Yield all texts in one event, and the usage in another if it was asked for."""
    made = await _make(serving, served, body)
    used = made.pop("usage")
    counting = bool(body.stream_options and body.stream_options.include_usage)
    yield event({**made, "usage": None} if counting else made)
    if counting:
        yield event({**made, "choices": [], "usage": used})
