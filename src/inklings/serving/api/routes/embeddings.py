"""`/v1/embeddings`: the mean of a text's hidden vectors, where a model has some."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from inklings.errors import DivergedError
from inklings.generation.engine.request import GenerationRequest
from inklings.serving.api.answers import Usage
from inklings.serving.api.descriptions import ASKING
from inklings.serving.api.errors import json_response, refused
from inklings.serving.api.prompts import (
    MOST_TEXTS,
    Serving,
    check_predicts,
    client_of,
    read_of,
    read_prompts,
)
from inklings.serving.api.request_fields import ModelBody, Texts, WholeNumber
from inklings.serving.api.sampling_parameters import usage
from inklings.serving.api.sse import in_time
from inklings.serving.api.strict_json import StrictRoute


class EmbeddingBody(ModelBody):
    """Texts whose hidden vectors are wanted."""

    input: Annotated[
        Texts,
        Field(
            description="A text, the numbers of its tokens, or several of either.", examples=["A"]
        ),
    ]
    encoding_format: Annotated[
        Literal["float", "base64"] | None,
        Field(
            description="Numbers, or float32 in little-endian order as base64. Numbers if left out."
        ),
    ] = None
    dimensions: Annotated[
        WholeNumber | None,
        Field(description="Refused unless it is the model's own.", examples=[None]),
    ] = None


class Embedding(BaseModel):
    """The mean of a text's hidden vectors."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingList(BaseModel):
    """A list with an embedding for each text."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


def embedding_routes(serving: Serving) -> APIRouter:
    """Make the route of embeddings."""
    router = APIRouter(route_class=StrictRoute, tags=["texts"])

    @router.post(
        "/v1/embeddings",
        response_model=EmbeddingList,
        responses=ASKING,
        summary="The mean of a text's hidden vectors",
    )
    async def embed(request: Request, body: EmbeddingBody) -> Response:
        served = serving.model(body.model)
        check_predicts(served, "an embedding")
        card = served.card
        if not card.hidden_size:
            raise refused(
                f"{card.name} ({card.architecture}) has no hidden vectors, so there is nothing to"
                " embed a text in.",
                "model",
            )
        if body.dimensions not in (None, card.hidden_size):
            raise refused(
                f"dimensions is {body.dimensions}; the vectors of {card.name} have"
                f" {card.hidden_size}, and are not cut.",
                "dimensions",
            )
        prompts = await read_prompts(served, body.input, serving.config, "input", most=MOST_TEXTS)
        seconds = serving.config.timeout
        jobs = [
            GenerationRequest(
                number=0,
                client=client_of(request),
                prompt=prompt.tokens,
                embed=True,
                seconds=seconds,
            )
            for prompt in prompts
        ]
        found = await in_time(request, read_of(serving, served, jobs), seconds=seconds)
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": _written(progress.embedding or (), body.encoding_format),
            }
            for index, progress in enumerate(found)
        ]
        return json_response(
            {"object": "list", "data": data, "model": card.name, "usage": usage(prompts, 0)}
        )

    return router


def _written(vector: tuple[float, ...], encoding: str | None) -> Any:
    numbers = np.array(vector, dtype="<f4")
    if not np.isfinite(numbers).all():
        raise DivergedError("the hidden vectors of this text are not finite numbers.")
    return (
        base64.b64encode(numbers.tobytes()).decode() if encoding == "base64" else numbers.tolist()
    )
