"""`/v1/score`: how likely a model finds each token of a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from inklings.generation.engine.request import GenerationRequest, Token
from inklings.serving.api.answers import ScoreList
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
from inklings.serving.api.requests import ScoreBody
from inklings.serving.api.sampling_parameters import usage
from inklings.serving.api.sse import in_time
from inklings.serving.api.strict_json import StrictRoute
from inklings.serving.api.token_texts import Offsets, TokenTexts, entries_of, logprob


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
