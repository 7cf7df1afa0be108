"""`/health` and `/metrics`: for those who watch the server."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from inklings.serving.api.descriptions import GUARDED, OPEN, Responses, errors
from inklings.serving.api.errors import ApiError, json_response
from inklings.serving.api.prompts import Serving


class ModelHealth(BaseModel):
    """The state of one model."""

    status: Literal["ok", "failing"]
    workers: int
    running: int
    waiting: int


class Health(BaseModel):
    """The state of all models."""

    status: Literal["ok"]
    models: dict[str, ModelHealth]


def watch_routes(serving: Serving) -> APIRouter:
    """Make the routes for those who watch the server: health and measures."""
    router = APIRouter(tags=["watching"])
    failing: Responses = {503: {"description": "A model cannot be asked; the message says which."}}

    @router.get(
        "/health",
        openapi_extra=OPEN,  # a watcher needs no more than this
        response_model=Health,
        responses={**errors(421), **failing},
        summary="Whether all models can be asked",
    )
    async def health() -> Response:
        loads = {name: served.load for name, served in serving.models.items()}
        models = {
            name: {
                "status": "ok" if load.workers_alive else "failing",
                "workers": load.workers_alive,
                "running": load.running,
                "waiting": load.waiting,
            }
            for name, load in loads.items()
        }
        failed = [name for name, load in loads.items() if not load.workers_alive]
        if failed:
            error = ApiError(
                503,
                f"no engine process is alive for {', '.join(failed)}.",
                type="server_error",
                code="worker_lost",
            )
            return json_response({**error.body, "status": "failing", "models": models}, 503)
        return json_response({"status": "ok", "models": models})

    measured: Responses = {
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "As text."}
    }

    @router.get(
        "/metrics",
        responses={**GUARDED, **measured},
        response_class=Response,
        summary="Measures for Prometheus",
    )
    async def metrics() -> Response:
        return serving.measures.response()

    return router
