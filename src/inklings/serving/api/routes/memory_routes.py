"""`/v1/memory/...`: look into the long-term memory of a model, add to it, or forget."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from inklings.errors import InklingsError
from inklings.serving.api.descriptions import ASKING, GUARDED, errors
from inklings.serving.api.errors import as_api_error, json_response, refused
from inklings.serving.api.prompts import Serving, read_prompts
from inklings.serving.api.request_fields import Body
from inklings.serving.api.sse import in_time
from inklings.serving.api.strict_json import StrictRoute
from inklings.serving.process.process_pool import Served

HITS = 5
"""Hits of a search where the request does not say."""
T = TypeVar("T")
Name = Annotated[str, Path(description="A model that reads a memory.")]


class SearchBody(Body):
    """A search in a long-term memory."""

    text: Annotated[
        str,
        Field(
            min_length=1, description="What stands before the place that is sought.", examples=["A"]
        ),
    ]
    k: Annotated[
        int | None,
        Field(ge=1, le=1000, description="How many entries, the nearest first; 5 if left out."),
    ] = None


class DocumentBody(Body):
    """A document for a long-term memory."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=200,
            pattern=r"^[^\x00-\x1f\x7f]+$",
            description="For people; it names no file.",
            examples=["notes"],
        ),
    ]
    text: Annotated[str, Field(min_length=1, examples=["A"])]


class RemovalBody(Body):
    """Entries of a long-term memory to forget."""

    ids: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**63)]],
        Field(
            min_length=1,
            max_length=100_000,
            description="As `search` and `info` show them.",
            examples=[[0]],
        ),
    ]


class MemoryDocument(BaseModel):
    """What the memory holds of a document."""

    name: str
    tokens: int
    entries: int
    first_id: int
    last_id: int


class MemoryFacts(BaseModel):
    """What a long-term memory is."""

    model: str
    entries: int
    capacity: int
    dimension: int
    backend: str
    ready: Annotated[
        bool,
        Field(
            description=(
                "Whether the backend answers by its own means yet; until then it searches"
                " everything."
            )
        ),
    ]
    eviction: str
    clock: int
    recall: Annotated[
        float | None,
        Field(description="Share of the truly nearest that a search finds; null when empty."),
    ]
    recall_at: int
    bytes: Annotated[int, Field(description="On disk.")]
    documents: list[MemoryDocument]


class MemoryHit(BaseModel):
    """An entry that a search found."""

    id: int
    distance: float | None
    age: int
    document: str
    position: int
    value: str
    before: str
    after: str


class MemoryHits(BaseModel):
    """The entries that were found, the nearest first."""

    model: str
    hits: list[MemoryHit]


class MemoryAddition(BaseModel):
    """The entries that were added."""

    model: str
    added: Annotated[int, Field(description="Entries.")]
    first_id: int | None
    last_id: int | None
    evicted: Annotated[int, Field(description="Entries that gave way.")]


class MemoryRemoval(BaseModel):
    """The entries that were removed."""

    model: str
    removed: list[int]


def memory_routes(serving: Serving) -> APIRouter:
    """Make the routes of long-term memories."""
    router = APIRouter(route_class=StrictRoute, tags=["memory"], prefix="/v1/memory/{model}")
    looking = {**GUARDED, **errors(400, 404, 409, 429, 500, 503, 504)}
    asking = {**ASKING, **errors(409)}
    changing = {**asking, **errors(507)}

    async def done(request: Request, served: Served, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await in_time(request, work, seconds=serving.config.timeout)
        except InklingsError as error:
            answer = as_api_error(error)
            # where the run lies is nobody's business but the owner's
            answer.detail = str(answer.detail).replace(str(served.run.path), served.card.name)
            raise answer from None

    @router.get("", response_model=MemoryFacts, responses=looking, summary="What the memory is")
    async def info(request: Request, model: Name) -> Response:
        served = _remembering(serving, model)
        _check_filled(served)
        found = await done(request, served, served.memory_info())
        memory = found.memory
        documents = [
            {
                "name": d.name,
                "tokens": d.tokens,
                "entries": d.entries,
                "first_id": d.first_id,
                "last_id": d.last_id,
            }
            for d in found.documents
        ]
        return json_response(
            {
                "model": served.card.name,
                "entries": memory.count,
                "capacity": memory.capacity,
                "dimension": memory.dimension,
                "backend": memory.backend,
                "ready": memory.ready,
                "eviction": memory.eviction,
                "clock": memory.clock,
                "recall": memory.recall,
                "recall_at": memory.recall_at,
                "bytes": found.bytes,
                "documents": documents,
            }
        )

    @router.post(
        "/search",
        response_model=MemoryHits,
        responses=asking,
        summary="Find the entries nearest to the end of a text",
    )
    async def search(request: Request, model: Name, body: SearchBody) -> Response:
        served = _remembering(serving, model)
        count = _check_filled(served)
        await read_prompts(
            served, body.text, serving.config, "text", most=1
        )  # refused here where it is too long to be read
        hits = await done(
            request, served, served.memory_search(body.text, min(body.k or HITS, count))
        )
        found = [
            {
                **dataclasses.asdict(hit),
                "distance": hit.distance if math.isfinite(hit.distance) else None,
            }
            for hit in hits
        ]
        return json_response({"model": served.card.name, "hits": found})

    @router.post(
        "/documents",
        response_model=MemoryAddition,
        responses=changing,
        summary="Have the model write of a document",
    )
    async def add(request: Request, model: Name, body: DocumentBody) -> Response:
        served = _remembering(serving, model)
        await read_prompts(served, body.text, serving.config, "text", most=1)
        added = await done(request, served, served.memory_add(body.name, body.text))
        ids = added.ids.tolist()
        return json_response(
            {
                "model": served.card.name,
                "added": len(ids),
                "first_id": min(ids, default=None),
                "last_id": max(ids, default=None),
                "evicted": added.evicted,
            }
        )

    @router.post(
        "/remove",
        response_model=MemoryRemoval,
        responses=changing,
        summary="Forget entries for good",
    )
    async def remove(request: Request, model: Name, body: RemovalBody) -> Response:
        served = _remembering(serving, model)
        _check_filled(served)
        await done(request, served, served.memory_remove(body.ids))
        return json_response({"model": served.card.name, "removed": body.ids})

    return router


def _remembering(serving: Serving, name: str) -> Served:
    served = serving.model(name)
    if not served.card.remembers:
        raise refused(
            f"{served.card.name} is a {served.card.architecture}, which reads no memory.", "model"
        )
    return served


def _check_filled(served: Served) -> int:
    """Return how many entries there are; refused where there is none."""
    count = served.card.memory
    if not count:
        raise refused(
            f"the long-term memory of {served.card.name} is empty. POST"
            f" /v1/memory/{served.card.name}/documents adds to it.",
            "model",
            "empty_memory",
        )
    return count
