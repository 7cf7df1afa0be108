"""`/v1/score`: how likely a model finds each token of a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from inklings.generation.engine.request import GenerationRequest, Token
from inklings.serving.api.answers import LOWEST, EntryOut, Usage
from inklings.serving.api.descriptions import ASKING
from inklings.serving.api.errors import json_response, refused
from inklings.serving.api.prompts import (
    MOST_TEXTS,
    Prompt,
    Serving,
    check_inside,
    check_predicts,
    client_of,
    read_of,
    read_prompts,
)
from inklings.serving.api.request_fields import MOST_ALTERNATIVES, InsideBody
from inklings.serving.api.sampling_parameters import usage
from inklings.serving.api.sse import in_time
from inklings.serving.api.strict_json import StrictRoute
from inklings.serving.api.token_texts import Offsets, TokenTexts, entries_of, logprob


class ScoreBody(InsideBody):
    """Texts whose tokens' probabilities are wanted."""

    input: Annotated[
        str | Annotated[list[str], Field(min_length=1)],
        Field(description="A text or several; each begins a document.", examples=["A"]),
    ]
    alternatives: Annotated[
        int | None,
        Field(
            ge=0,
            le=MOST_ALTERNATIVES,
            description="With each token so many of the likeliest in its place.",
        ),
    ] = None


class Alternative(BaseModel):
    """A token that could have stood in a place."""

    text: str
    logprob: Annotated[float, Field(description=LOWEST)]


class ScoredToken(BaseModel):
    """A token of a scored text."""

    token: Annotated[int, Field(description="Its number in the vocabulary.")]
    text: str
    offset: Annotated[int, Field(description="Where in the text it begins, in characters.")]
    logprob: Annotated[
        float,
        Field(description=f"Natural logarithm of its probability, given all before it. {LOWEST}"),
    ]
    alternatives: list[Alternative]
    entries: Annotated[
        list[EntryOut] | None, Field(description="Where asked for: what it took of the memory.")
    ] = None


class Score(BaseModel):
    """What a model makes of a text."""

    index: int
    tokens: list[ScoredToken]
    nats: Annotated[
        float | None,
        Field(
            description=(
                "Sum over the tokens; the end of the document is not among them. Null: impossible."
            )
        ),
    ]
    bytes: int
    bits_per_byte: Annotated[
        float | None,
        Field(
            description=(
                "Null for an empty text, an impossible one, and a tokenizer that loses bytes."
            )
        ),
    ]


class ScoreList(BaseModel):
    """A list with a score for each text."""

    object: Literal["list"]
    model: str
    data: list[Score]
    usage: Usage


def score_routes(serving: Serving) -> APIRouter:
    """Make the route of scores."""
    router = APIRouter(route_class=StrictRoute, tags=["texts"])

    @router.post(
        "/v1/score",
        response_model=ScoreList,
        responses=ASKING,
        summary="Find where a model is surprised by a text",
    )
    async def score(request: Request, body: ScoreBody) -> Response:
        served = serving.model(body.model)
        check_predicts(served, "a score")
        check_inside(served, body)
        prompts = await read_prompts(served, body.input, serving.config, "input", most=MOST_TEXTS)
        _check_size(serving, prompts)
        jobs = [
            GenerationRequest(
                number=0,
                client=client_of(request),
                prompt=prompt.tokens,
                prompt_alternatives=body.alternatives or 0,
                entries=body.entries or 0,
                branches=body.factors,
                seconds=serving.config.timeout,
            )
            for prompt in prompts
        ]
        found = await in_time(
            request, read_of(serving, served, jobs), seconds=serving.config.timeout
        )
        texts = TokenTexts(served.tokenizer)
        scores = [
            {
                "index": index,
                **_score(prompt, progress.prompt or (), texts, entries=bool(body.entries)),
            }
            for index, (prompt, progress) in enumerate(zip(prompts, found, strict=True))
        ]
        return json_response(
            {
                "object": "list",
                "model": served.card.name,
                "data": scores,
                "usage": usage(prompts, 0),
            }
        )

    return router


def _check_size(serving: Serving, prompts: Sequence[Prompt]) -> None:
    """Refuse more tokens than one answer can hold: each is a part of it."""
    most = serving.config.max_samples * serving.config.max_prompt_tokens
    total = sum(prompt.count for prompt in prompts)
    if total > most:
        raise refused(
            f"the texts have {total:,} tokens together; this server scores {most:,} in one request."
            " Send them in parts.",
            "input",
        )


def _score(
    prompt: Prompt, tokens: tuple[Token, ...], texts: TokenTexts, *, entries: bool
) -> dict[str, Any]:
    offsets = Offsets(texts.tokenizer, prompt.tokens[0])
    size = len(prompt.text.encode())
    nats = -sum(token.logprob for token in tokens)
    possible = math.isfinite(nats)
    return {
        "tokens": [
            {
                "token": token.token,
                "text": texts(token.token),
                "offset": offsets.next(token.token, drawn=False),
                "logprob": logprob(token.logprob),
                "alternatives": [
                    {"text": texts(number), "logprob": logprob(value)}
                    for number, value in token.alternatives
                ],
                **({"entries": entries_of(token)} if entries else {}),
            }
            for token in tokens
        ],
        "nats": nats if possible else None,
        "bytes": size,
        "bits_per_byte": (
            nats / math.log(2) / size if possible and size and texts.tokenizer.lossless else None
        ),
    }
