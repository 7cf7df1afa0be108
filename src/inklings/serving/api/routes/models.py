"""`/v1/models`: what is served."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from inklings.serving.api.descriptions import GUARDED, errors
from inklings.serving.api.errors import json_response
from inklings.serving.api.prompts import Serving
from inklings.serving.api.strict_json import StrictRoute
from inklings.serving.process.current_weights import format_progress
from inklings.serving.process.process_pool import Served


class ModelCard(BaseModel):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    progress: str | None = Field(
        description="Of a run that is not done: the step of its weights; null of any other."
    )


class ModelList(BaseModel):
    """All models that are served."""

    object: Literal["list"]
    data: list[ModelCard]


def model_routes(serving: Serving) -> APIRouter:
    """Make the routes that list what is served."""
    router = APIRouter(route_class=StrictRoute, tags=["models"])

    @router.get("/v1/models", response_model=ModelList, responses=GUARDED, summary="All models")
    async def models() -> Response:
        return json_response(
            {"object": "list", "data": [_card(served) for served in serving.models.values()]}
        )

    @router.get(
        "/v1/models/{model}",
        response_model=ModelCard,
        responses={**GUARDED, **errors(404)},
        summary="One model",
    )
    async def model(model: Annotated[str, Path(description="Its name.")]) -> Response:
        return json_response(_card(serving.model(model)))

    return router


def _card(served: Served) -> dict[str, Any]:
    return {
        "id": served.card.name,
        "object": "model",
        "created": served.card.created,
        "owned_by": "inklings",
        "progress": format_progress(served.card, served.run.path),
    }
