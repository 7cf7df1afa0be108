"""The guard before every route: who may ask, from where, and how much.

It also sets the headers that keep a browser from asking anybody else. It is plain ASGI, so that
streams pass through untouched.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders

from inklings.serving.api.cors import CrossOrigin
from inklings.serving.api.descriptions import OPEN
from inklings.serving.api.errors import ApiError, as_api_error
from inklings.serving.settings import ServeConfig, is_this_machine

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LOG = logging.getLogger("inklings.serving")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Headers of every answer that does not set them itself."""
WITH_BODY = ("POST", "PUT", "PATCH")


def open_paths(routers: Iterable[APIRouter]) -> frozenset[str]:
    """Return the paths that need no key, as their routes declare it with `OPEN`."""
    return frozenset(
        route.path
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and route.openapi_extra == OPEN
    )


class Guard:
    """Middleware that passes allowed requests on, and answers all others itself."""

    def __init__(
        self, app: App, config: ServeConfig, *, open_paths: frozenset[str] = frozenset()
    ) -> None:
        self._app = app
        self._open = open_paths
        self._config = config
        self._key = None if config.key is None else config.key.encode()
        self._origins = CrossOrigin(config.allow_origin)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        send = _with_headers(send, self._origins.headers(headers))
        try:
            self._check_host(headers)
            leave = self._origins.preflight(scope["method"], headers)
            if leave is not None:
                await leave(scope, receive, send)
                return
            self._check_key(scope["path"], headers)
            if scope["method"] in WITH_BODY:
                receive = await self._whole_body(headers, receive)
        except ApiError as error:
            await error.response()(scope, receive, send)
        except ConnectionResetError:
            pass
        else:
            await self._pass(scope, receive, send)

    async def _pass(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass a request on, and answer an unforeseen error too.

        The log gets its kind and place, and nothing of the request.
        """
        begun = False
        # what answers GET answers HEAD: the server leaves the body out
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope

        async def sending(event: Event) -> None:
            nonlocal begun
            begun = True
            await send(event)

        try:
            await self._app(asked, receive, sending)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            LOG.error(
                "%s at %s:%d", type(error).__name__, frames[-1].filename, frames[-1].lineno or 0
            )
            if begun:
                raise
            await as_api_error(error).response()(scope, receive, send)
        finally:
            if "route" in asked:
                scope["route"] = asked["route"]  # for whoever counts

    def _check_host(self, headers: Headers) -> None:
        """Refuse names that another site's owner has pointed at this machine (DNS rebinding).

        Its pages must not read this server.
        """
        if self._key is not None or not self._config.only_this_machine:
            return
        host = headers.get("host", "")
        if not _names_this_machine(host):
            raise ApiError(
                421,
                f"this server answers this machine alone, and was asked as {host[:80]!a}. Use"
                " http://127.0.0.1 or http://localhost; to serve other machines start it with"
                " --host and an API key.",
                code="wrong_host",
            )

    def _check_key(self, path: str, headers: Headers) -> None:
        if self._key is None or path in self._open:
            return
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(
            shown.strip().encode("latin-1", "replace"), self._key
        ):
            return
        wanted = "the API key is wrong" if shown else "this server asks for an API key"
        raise ApiError(
            401,
            f"{wanted}; send the right one in the header `Authorization: Bearer KEY`.",
            type="authentication_error",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )

    async def _whole_body(self, headers: Headers, receive: Receive) -> Receive:
        """Read the body, counted as it comes, and pass it on in one piece."""
        most = self._config.max_body_bytes
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > most):
            raise _too_large(most)
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self._config.receive_timeout):
                size, more = 0, True
                while more:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        raise ConnectionResetError
                    parts.append(event.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise _too_large(most)
                    more = event.get("more_body", False)
        except TimeoutError:
            raise ApiError(
                408,
                f"the body did not arrive within {self._config.receive_timeout:g} seconds.",
                code="timeout",
                headers={"Connection": "close"},
            ) from None
        body: list[Event] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def again() -> Event:
            return body.pop() if body else await receive()

        return again


def _too_large(most: int) -> ApiError:
    # the rest of the body is not waited for
    return ApiError(
        413,
        f"the body is larger than {most:,} bytes, the most that this server takes.",
        code="body_too_large",
        headers={"Connection": "close"},
    )


def _names_this_machine(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    return is_this_machine(name[1:-1] if name.startswith("[") and name.endswith("]") else name)


def _with_headers(send: Send, added: Mapping[str, str]) -> Send:
    async def sending(event: Event) -> None:
        if event["type"] == "http.response.start":
            headers = MutableHeaders(scope=event)
            headers.update(added)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(event)

    return sending
