"""The server's HTTP application: all routes behind one guard, with a description of every one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path
from starlette.responses import Response

from inklings.serving.api.answers import Health, ModelCard, ModelList
from inklings.serving.api.chat_template import ChatTemplate
from inklings.serving.api.descriptions import GUARDED, Responses, errors
from inklings.serving.api.errors import ApiError, install, json_response
from inklings.serving.api.guard import Guard
from inklings.serving.api.prometheus import Counted, ServerMetrics
from inklings.serving.api.prompts import Serving
from inklings.serving.api.routes.chat import chat_routes
from inklings.serving.api.routes.completions import completion_routes
from inklings.serving.api.routes.embeddings import embedding_routes
from inklings.serving.api.routes.memory_routes import memory_routes
from inklings.serving.api.routes.responses import response_routes
from inklings.serving.api.routes.score import score_routes
from inklings.serving.api.routes.token_routes import token_routes
from inklings.serving.api.strict_json import StrictRoute
from inklings.serving.page.routes import page_routes
from inklings.serving.process.process_pool import Served
from inklings.serving.settings import ServeConfig

ABOUT = """\
Text generators, served to clients of OpenAI's API: `/v1/models`, `/v1/completions`,
`/v1/chat/completions` and `/v1/embeddings` take what they take there, as far as the models can do
it, and say why where they cannot. Fields that are not described here are refused. Beyond it there
are scores of texts, long-term memories, the page at `/`, health and measures.

Errors have OpenAI's form. Prompts begin with the token that separates documents,
whether they are given as text or as tokens.
"""


def make_app(
    models: Sequence[Served], config: ServeConfig, *, template: ChatTemplate | None = None
) -> FastAPI:
    """Return the application that serves some models.

    Args:
        models: the models, ready; they are not closed with the app.
        config: limits, and who may ask.
        template: how conversations become texts; None takes a plain one.
    """
    measures = ServerMetrics(models)
    serving = Serving(
        {served.card.name: served for served in models},
        config,
        template or ChatTemplate(),
        measures,
    )
    # no pages of documentation: they would load their scripts from another host
    app = FastAPI(
        title="Inklings",
        summary="Text generators, served.",
        description=ABOUT,
        version="1",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    install(app)
    routers = (
        model_routes(serving),
        completion_routes(serving),
        chat_routes(serving),
        response_routes(serving),
        embedding_routes(serving),
        score_routes(serving),
        token_routes(serving),
        memory_routes(serving),
        watch_routes(serving),
        page_routes(models),
    )
    for router in routers:
        app.include_router(router)
    app.add_middleware(Guard, config=config)
    app.add_middleware(Counted, measures=measures)
    _describe(app, config)
    return app


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


def watch_routes(serving: Serving) -> APIRouter:
    """Make the routes for those who watch the server: health and measures."""
    router = APIRouter(tags=["watching"])
    failing: Responses = {503: {"description": "A model cannot be asked; the message says which."}}

    @router.get(
        "/health",
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


def _card(served: Served) -> dict[str, Any]:
    return {
        "id": served.card.name,
        "object": "model",
        "created": served.card.created,
        "owned_by": "inklings",
    }


def _describe(app: FastAPI, config: ServeConfig) -> None:
    """Make the description say what this server does.

    No 422, which it never answers, and the key where it wants one.
    """
    description: dict[str, Any] = {}

    def describe() -> dict[str, Any]:
        if not description:
            made = FastAPI.openapi(app)
            for operations in made["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                made["components"]["schemas"].pop(name, None)
            if config.key is not None:
                made["components"]["securitySchemes"] = {
                    "key": {"type": "http", "scheme": "bearer"}
                }
                made["security"] = [{"key": []}]
                for path in ("/health", "/"):
                    for operation in made["paths"].get(path, {}).values():
                        operation["security"] = []
            description.update(made)
        return description

    app.openapi = describe  # type: ignore[method-assign]
