"""The server's HTTP application: all routes behind one guard, with a description of every one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI

from inklings.registry import Registry
from inklings.serving.api.chat_template import ChatTemplate
from inklings.serving.api.errors import install
from inklings.serving.api.guard import Guard, open_paths
from inklings.serving.api.prometheus import Counted, ServerMetrics
from inklings.serving.api.prompts import Serving
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

MakeRoutes = Callable[[Serving], APIRouter]
"""Makes the routes of one file."""

ROUTES: Registry[MakeRoutes] = Registry(
    "route",
    {
        "models": "inklings.serving.api.routes.models:model_routes",
        "completions": "inklings.serving.api.routes.completions:completion_routes",
        "chat": "inklings.serving.api.routes.chat:chat_routes",
        "responses": "inklings.serving.api.routes.responses:response_routes",
        "embeddings": "inklings.serving.api.routes.embeddings:embedding_routes",
        "score": "inklings.serving.api.routes.score:score_routes",
        "tokens": "inklings.serving.api.routes.token_routes:token_routes",
        "memory": "inklings.serving.api.routes.memory_routes:memory_routes",
        "watching": "inklings.serving.api.routes.watching:watch_routes",
    },
)
"""In the order of the description."""


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
    # not FastAPI's pages of documentation, which load their scripts from another host: the page has
    # one of its own at /docs
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
    routers = [*(make_routes(serving) for make_routes in ROUTES), page_routes(models)]
    for router in routers:
        app.include_router(router)
    app.add_middleware(Guard, config=config, open_paths=open_paths(routers))
    app.add_middleware(Counted, measures=measures)
    _describe(app, config)
    return app


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
            description.update(made)
        return description

    app.openapi = describe  # type: ignore[method-assign]
