"""The page and what it shows of the runs: `/`, `/docs`, `/page/...` and `/v1/runs`.

The page's files are read once, from the package; a request chooses among them by name, and no part
of one ever becomes a path of the file system. The same holds for the report of a comparison, whose
place is found when the server starts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
import shlex
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from inklings.generation.engine.request import Card
from inklings.runs.directory import RunDirectory
from inklings.serving.api.descriptions import GUARDED, OPEN, errors
from inklings.serving.api.errors import ApiError
from inklings.serving.page.run_facts import (
    ComparedWith,
    RunFacts,
    RunLocation,
    compared_with,
    run_facts,
)
from inklings.serving.process.current_weights import format_progress

REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline';"
    " img-src 'self' data:; sandbox allow-scripts"
)
"""A report is one file with its scripts inside; it is shut off from everything else on this server,
the page's key included.
"""
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""Media types by suffix. The operating system's own table differs between machines."""
PLACES = {"index.html": "/", "docs.html": "/docs"}
"""Addresses of the files that are pages; all others are below `/page/`."""


@runtime_checkable
class Shown(Protocol):
    """Everything that the page needs of a served model."""

    @property
    def card(self) -> Card:
        """The model's card as it is now."""

    @property
    def run(self) -> RunDirectory:
        """The run as the server opened it."""


class CardBody(BaseModel):
    """A description of a served model."""

    name: str = Field(description="What requests call it.")
    run: str = Field(description="The folder of its run, as it was given.")
    architecture: str
    parameters: int
    vocab_size: int
    context_length: int
    receptive_field: int | None = Field(
        description="How many tokens back can matter; null without a limit."
    )
    predicts: bool = Field(
        description="Whether it goes on from a prompt; otherwise it makes whole texts out of noise."
    )
    hidden_size: int
    branches: list[str] = Field(description="Parts that a request can weaken or knock out.")
    memory: int | None = Field(
        description="Entries of its long-term memory when the server started; null without one."
    )
    remembers: bool = Field(
        description="Whether its predictions read a memory, so that entries can be asked for."
    )
    precision: str
    threads: int | None
    created: int = Field(description="Seconds since 1970.")
    weights: Literal["best", "newest"] = Field(
        description="`newest` are those of a run that is not done."
    )
    step: int = Field(description="Of training, that the weights are of.")
    steps: int = Field(description="Steps that the budget of its run pays for.")
    progress: str | None = Field(
        description="Of a model with its newest weights: step, steps, and whether it trains still."
    )


class RunBody(BaseModel):
    """A served model and the run that it is of."""

    id: str = Field(description="The name of the model.")
    object: Literal["run"] = "run"
    card: CardBody
    facts: RunFacts
    page: str | None = Field(
        description="Path of the run's own page on this server; null where none was written."
    )
    compared: ComparedWith | None = Field(
        description="The comparison that the run is a part of; null where there is none."
    )
    audit_command: str = Field(description="The command that audits the run.")


class RunList(BaseModel):
    """A list of all served models."""

    object: Literal["list"] = "list"
    data: list[CardBody]


@dataclass(frozen=True)
class PageFile:
    """A file of the page."""

    content: bytes
    media_type: str
    etag: str


def page_files() -> Mapping[str, PageFile]:
    """Return all files of the page by name, read from the package."""
    folder = importlib.resources.files("inklings.serving.page") / "static"
    found = {}
    for entry in folder.iterdir():
        if not entry.is_file():
            continue
        content = entry.read_bytes()
        found[entry.name] = PageFile(
            content, _media_type(entry.name), f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        )
    return found


def page_routes(models: Sequence[Shown]) -> APIRouter:
    """Make the routes of the page.

    Args:
        models: what is served, in the order in which the page lists it.
    """
    router = APIRouter()
    for name, file in page_files().items():
        path = PLACES.get(name, f"/page/{name}")
        router.add_api_route(
            path,
            _file_route(file),
            methods=["GET", "HEAD"],
            include_in_schema=False,
            openapi_extra=OPEN,  # the page's files hold nothing of the models
            response_class=Response,
        )
    shown = {model.card.name: (model, RunLocation.of(model.run.path)) for model in models}

    def find(model: str) -> tuple[Shown, RunLocation]:
        if model not in shown:
            raise ApiError(
                404,
                f"there is no model {model!r} here; there are: {', '.join(shown)}.",
                param="model",
                code="model_not_found",
            )
        return shown[model]

    # these read files, so they are plain functions: the server gives each a thread of its own
    @router.get(
        "/v1/runs", tags=["runs"], responses=GUARDED, summary="All served models with what they are"
    )
    def list_runs() -> RunList:
        return RunList(data=[_card(model) for model, _ in shown.values()])

    @router.get(
        "/v1/runs/{model}",
        tags=["runs"],
        summary="A model's run: facts, learning curve, samples, audit and verdict",
        responses={**GUARDED, **errors(404)},
    )
    def one_run(model: str) -> RunBody:
        served, place = find(model)
        path = f"/v1/runs/{urllib.parse.quote(model, safe='')}"
        return RunBody(
            id=model,
            card=_card(served),
            facts=run_facts(served.run, served.card.unit),
            page=None if place.page is None else f"{path}/page",
            compared=compared_with(place, f"{path}/report"),
            audit_command=f"inklings audit {_said(served.run.path)}",
        )

    @router.get(
        "/v1/runs/{model}/page",
        tags=["runs"],
        summary="A run's own page",
        response_class=Response,
        responses=_html("The page."),
    )
    def page(model: str) -> Response:
        served, place = find(model)
        if place.page is None:
            raise ApiError(
                404,
                f"the run of {model!r} has no page; `inklings report {_said(served.run.path)}`"
                " writes one.",
            )
        return _of_report(place.page)

    @router.get(
        "/v1/runs/{model}/report",
        tags=["runs"],
        summary="The report of the comparison that a run is a part of",
        response_class=Response,
        responses=_html("The report."),
    )
    def report(model: str) -> Response:
        _, place = find(model)
        if place.report is None:
            raise ApiError(
                404,
                f"the run of {model!r} is not part of a comparison that has a report; `inklings"
                " report DIR` writes one.",
            )
        return _of_report(place.report)

    @router.get("/v1/runs/{model}/figures/{figure}", include_in_schema=False)
    def figure(model: str, figure: str) -> Response:
        _, place = find(model)
        folder = None if place.report is None else place.report.parent / "figures"
        # looked up among what is there: the name from the request is compared, never opened
        found = (
            {}
            if folder is None or not folder.is_dir()
            else {path.name: path for path in folder.iterdir() if path.is_file()}
        )
        if figure not in found:
            raise ApiError(404, f"the report of {model!r} has no figure {figure!r}.")
        return _of_report(found[figure])

    return router


def _file_route(file: PageFile) -> Callable[[Request], Response]:
    headers = {"ETag": file.etag, "Cache-Control": "no-cache"}

    def give(request: Request) -> Response:
        asked = [
            tag.strip().removeprefix("W/")
            for tag in request.headers.get("if-none-match", "").split(",")
        ]
        if file.etag in asked or "*" in asked:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)

    return give


def _html(description: str) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a route that gives a file of HTML."""
    content = {"text/html": {"schema": {"type": "string"}}}
    return {**GUARDED, **errors(404), 200: {"description": description, "content": content}}


def _of_report(path: Path) -> Response:
    headers = {"Content-Security-Policy": REPORT_POLICY, "Cache-Control": "no-cache"}
    return Response(path.read_bytes(), media_type=_media_type(path.name), headers=headers)


def _said(run: Path) -> str:
    """Return how a command line names a run.

    The one that ships with the package has a name of its own.
    """
    return (
        "builtin:reference"
        if run.resolve() == Path(str(importlib.resources.files("inklings"))) / "reference"
        else shlex.quote(str(run))
    )


def _media_type(name: str) -> str:
    return MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")


def _card(model: Shown) -> CardBody:
    card = model.card
    return CardBody(
        **dataclasses.asdict(card), progress=format_progress(card, Path(model.run.path))
    )
