"""Descriptions of the statuses that several routes have in common, for the API's description."""

from __future__ import annotations

from typing import Any

from inklings.serving.api.errors import ErrorBody

Responses = dict[int | str, dict[str, Any]]

SAID = {
    400: "The request cannot be done: its JSON, a field, a limit, or what the model is.",
    401: "The API key is missing or wrong.",
    404: "There is no such model.",
    408: "The body did not arrive in time.",
    409: "The run's files are in the way: they are being changed, or are damaged.",
    413: "The body is larger than this server takes.",
    415: "The body is not `application/json`.",
    421: "A server for this machine alone was asked under another machine's name.",
    429: "All places are taken; ask again after `Retry-After` seconds.",
    500: "The model failed at this request.",
    503: "The process that worked on it was lost, or the server is being stopped; ask again.",
    504: "The answer was not done in time.",
    507: "The disk is full.",
}


def errors(*statuses: int) -> Responses:
    """Return the description of some error statuses."""
    return {status: {"model": ErrorBody, "description": SAID[status]} for status in statuses}


OPEN: dict[str, Any] = {"security": []}
"""`openapi_extra` of a route that needs no key; the guard lets it through."""
GUARDED = errors(401, 421)
"""Responses that all routes but the open ones may give."""
ASKING = {**GUARDED, **errors(400, 404, 408, 413, 415, 429, 500, 503, 504)}
"""Responses of routes that ask a model."""
EVENT = {
    "type": "object",
    "properties": {
        "data": {
            "type": "string",
            "description": "A part of the answer in JSON, an `error`, or `[DONE]`.",
        }
    },
    "required": ["data"],
}
STREAMED: Responses = {
    200: {
        "description": (
            "The whole answer; or, if `stream` is true, server-sent events: `data:` and JSON each,"
            " the last `data: [DONE]`."
        ),
        "content": {"text/event-stream": {"itemSchema": EVENT}},
    }
}
