"""CORS: what a browser is told of who may ask.

No page of another site may, unless the server was started with its origin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers
from starlette.responses import Response

from inklings.serving.api.errors import ApiError
from inklings.serving.api.origins import ANY

METHODS = "GET, HEAD, POST"
FOR_SCRIPTS = "Retry-After"
"""Headers of an answer that a page may read, beyond what every page may."""
REMEMBERED = 600
"""Seconds for which a browser need not ask again."""


class CrossOrigin:
    """Middleware that tells browsers what they may show to pages of other sites."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(allowed)

    def headers(self, asked: Headers) -> Mapping[str, str]:
        """Return what is added to every answer to a request."""
        if not self._allowed:
            return {}
        vary = {} if ANY in self._allowed else {"Vary": "Origin"}
        origin = asked.get("origin")
        if origin is None or not self._allows(origin):
            return vary
        return {
            **vary,
            "Access-Control-Allow-Origin": ANY if ANY in self._allowed else origin,
            "Access-Control-Expose-Headers": FOR_SCRIPTS,
        }

    def preflight(self, method: str, asked: Headers) -> Response | None:
        """Return the answer to a browser that asks for leave, which it does without a key.

        None if this is no such question.

        Raises:
            ApiError: the origin has no leave.
        """
        origin = asked.get("origin")
        if (
            not self._allowed
            or method != "OPTIONS"
            or origin is None
            or "access-control-request-method" not in asked
        ):
            return None
        if not self._allows(origin):
            raise ApiError(
                403,
                f"pages of {origin[:100]!a} may not ask this server; --allow-origin with that"
                " origin would let them.",
                code="origin_not_allowed",
            )
        headers = {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Max-Age": str(REMEMBERED),
        }
        wanted = asked.get("access-control-request-headers")
        if wanted is not None:
            headers["Access-Control-Allow-Headers"] = wanted
        if asked.get("access-control-request-private-network") == "true":
            headers["Access-Control-Allow-Private-Network"] = "true"
        return Response(status_code=204, headers=headers)

    def _allows(self, origin: str) -> bool:
        return ANY in self._allowed or origin in self._allowed
