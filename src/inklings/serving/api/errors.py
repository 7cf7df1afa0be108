"""Errors of the API in one form, OpenAI's.

`{"error": {"message", "type", "param", "code"}}`, and the status that belongs to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response

from inklings.errors import DiskError, InklingsError, InputError, MissingExtraError, RunError
from inklings.serving.process.failures import OverloadedError, StoppingError, WorkerLostError

RETRY_AFTER = 1
"""Seconds after which a client that found no room may ask again."""
CLIENT_LEFT = 499
"""The status that the log gives a request whose client left; it is not sent."""
SHOWN = 60
"""Characters of a wrong value that a message repeats."""
ANSWERS: tuple[tuple[type[InklingsError], int, str, str | None], ...] = (
    (OverloadedError, 429, "rate_limit_error", "rate_limit_exceeded"),
    (WorkerLostError, 503, "server_error", "worker_lost"),
    (StoppingError, 503, "server_error", "stopping"),
    (MissingExtraError, 501, "server_error", "not_installed"),
    (RunError, 409, "invalid_request_error", "conflict"),
    (InputError, 400, "invalid_request_error", None),
    (DiskError, 507, "server_error", "disk"),
    (InklingsError, 500, "server_error", "model_failed"),
)
"""Status, type and code of an error; the first kind that fits decides."""


class ErrorDetail(BaseModel):
    """An error in the form of OpenAI's API."""

    message: str = Field(description="What was given, what is allowed, what to try.")
    type: str = Field(description="The kind of error.", examples=["invalid_request_error"])
    param: str | None = Field(description="The field of the request that it is about.")
    code: str | None = Field(
        description="A name for programs.", examples=["context_length_exceeded"]
    )


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorDetail


class ApiError(HTTPException):
    """An answer that is an error; raise it anywhere below a route."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, headers)
        self.type = type
        self.param = param
        self.code = code

    @property
    def body(self) -> dict[str, Any]:
        """The body that is sent to the client."""
        return {
            "error": {
                "message": str(self.detail),
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> Response:
        """Make the response of the error."""
        return json_response(self.body, self.status_code, self.headers)


def refused(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Make the error for a request that cannot be done: status 400.

    Args:
        message: what is wrong.
        param: the field that is wrong.
        code: OpenAI's code, where there is one.
    """
    return ApiError(400, message, param=param, code=code)


def too_late(seconds: float) -> ApiError:
    """Make the error for a request that took longer than the server allows: status 504."""
    return ApiError(
        504,
        f"the answer was not done within {seconds:g} seconds, the most that this server spends on"
        " one. Ask for fewer tokens or texts.",
        type="timeout_error",
        code="deadline_exceeded",
    )


def encode(value: Any) -> bytes:
    """Encode compact JSON in UTF-8; NaN and infinity are refused, since JSON has none."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Make a response of JSON.

    Args:
        value: what is encoded.
        status: of the response.
        headers: further headers.
    """
    return Response(encode(value), status, dict(headers or {}), media_type="application/json")


def as_api_error(error: Exception) -> ApiError:
    """Make the answer that belongs to an error.

    An unforeseen error becomes a 500 that tells nothing of the inside.
    """
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        return _of_validation(error.errors())
    if isinstance(error, StarletteHTTPException):
        return _of_http(error)
    for kind, status, type_, code in ANSWERS:
        if isinstance(error, kind):
            retry = {"Retry-After": str(RETRY_AFTER)} if status == 429 else None
            return ApiError(status, str(error), type=type_, code=code, headers=retry)
    return ApiError(
        500,
        "the server failed at this request, and its log says why. Other requests are served.",
        type="server_error",
    )


def install(app: FastAPI) -> None:
    """Make an app answer with these errors; unforeseen ones are the guard's."""

    async def answer(request: Request, error: Exception) -> Response:
        return as_api_error(error).response()

    for kind in (StarletteHTTPException, RequestValidationError, InklingsError):
        app.add_exception_handler(kind, answer)


def _of_http(error: StarletteHTTPException) -> ApiError:
    """Return what the framework itself refuses: unknown paths, methods and bodies."""
    if error.status_code == 404:
        if error.detail != "Not Found":
            return ApiError(404, str(error.detail), code="not_found", headers=error.headers)
        return ApiError(
            404,
            "there is nothing at this address; /openapi.json says what there is.",
            code="unknown_url",
            headers=error.headers,
        )
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another one")
        if allowed == "GET":
            allowed = "GET, HEAD"
        message = f"this address does not take that method; it takes {allowed}."
        return ApiError(
            405,
            message,
            code="method_not_allowed",
            headers={**(error.headers or {}), "Allow": allowed},
        )
    return ApiError(error.status_code, str(error.detail), headers=error.headers)


def _of_validation(found: Sequence[Any]) -> ApiError:
    """Make one message for the first wrong field.

    All that was expected there, and what was given.
    """
    placed = [(_place(error["loc"]), error) for error in found]
    first = placed[0][0][:1]
    mine = [(place, error) for place, error in placed if place[:1] == first]
    # where several forms are allowed, it is about the one that was followed furthest; what
    # something is decides about the rest of it
    depth = max(len(place) for place, _ in mine)
    mine = sorted(
        ((p, e) for p, e in mine if len(p) == depth),
        key=lambda pair: pair[1]["type"] != "literal_error",
    )
    place, error = mine[0]
    name = ".".join(place)
    if error["type"] == "extra_forbidden":
        return refused(
            f"Unrecognized request argument supplied: {name}", name, code="unknown_parameter"
        )
    if error["type"] == "missing":
        wanted = (
            f"{name!r} is missing; the request needs it."
            if name
            else "the body is missing; it must be a JSON object."
        )
        return refused(wanted, name or None, code="missing_parameter")
    expected = "; or: ".join(dict.fromkeys(_said(error) for other, error in mine if other == place))
    return refused(
        f"{name or 'the body'}{_shown(error.get('input'))}: {expected}.",
        name or None,
        code="invalid_value",
    )


def _place(location: Sequence[int | str]) -> list[str]:
    """Name the place in the body, without the names that pydantic gives the forms of a union."""
    inside = (
        location[1:]
        if location and location[0] in ("body", "path", "query", "header")
        else location
    )
    return [
        str(part)
        for part in inside
        if isinstance(part, int)
        or (part.isidentifier() and part not in ("str", "int", "float", "bool"))
    ]


def _said(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    return message[:1].lower() + message[1:]


def _shown(value: Any) -> str:
    """Return what was given, where it is short and plain."""
    if isinstance(value, bool | int | float | str):
        text = ascii(value)
        return f" is {text}" if len(text) <= SHOWN else ""
    return ""
