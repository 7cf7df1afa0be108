"""Strict reading of request bodies: what JSON leaves open, or no text can hold, is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import Response

from inklings.durable import named_once
from inklings.serving.api.errors import ApiError, refused

LARGEST = 2**64
"""No whole number in a request is as large as this."""


class StrictRoute(APIRoute):
    """A route whose body is JSON and says so, and is parsed by `parse_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's own handler, given a request that reads strictly."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            if self.body_field is not None:
                _check_content_type(request.headers)
                _check_content_encoding(request.headers)
            return await handler(_StrictRequest(request.scope, request.receive))

        return handle


class _StrictRequest(Request):
    async def json(self) -> Any:
        return parse_json(await self.body())


def _check_content_type(headers: Headers) -> None:
    """Refuse bodies that are not declared as JSON in UTF-8.

    A page of another site can send other types without asking the browser first.
    """
    given = headers.get("content-type", "")
    parsed = Message()
    parsed["content-type"] = given
    charset = str(parsed.get_param("charset", "utf-8")).lower()
    if (
        not given
        or parsed.get_content_type() != "application/json"
        or charset not in ("utf-8", "utf8")
    ):
        raise ApiError(
            415,
            f"the body's Content-Type is {given[:80]!a}; send JSON in UTF-8 with the header"
            " `Content-Type: application/json`.",
            code="unsupported_media_type",
        )


def _check_content_encoding(headers: Headers) -> None:
    """Refuse compressed bodies: the limit of their size counts what is sent."""
    given = headers.get("content-encoding", "").strip()
    if given.lower() not in ("", "identity"):
        raise ApiError(
            415,
            f"the body's Content-Encoding is {given[:80]!a}; send it uncompressed, without that"
            " header.",
            code="unsupported_media_type",
            headers={"Accept-Encoding": "identity"},
        )


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON document in UTF-8.

    Raises:
        ApiError: it is no JSON or no UTF-8, nests too deeply, gives a name twice, or holds a number
            or a string that cannot be.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=named_once,
            parse_constant=_no_constant,
            parse_int=_whole_number,
            parse_float=_finite_number,
        )
    except UnicodeDecodeError as error:
        raise _invalid(f"it is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise _invalid(f"{error.msg} (line {error.lineno}, column {error.colno})") from None
    except ValueError as error:
        raise _invalid(str(error)) from None
    except RecursionError:
        raise _invalid("it nests too deeply") from None
    _check_strings(value)
    return value


def _invalid(why: str) -> ApiError:
    return refused(
        f"the body cannot be read as JSON: {why}. Send one JSON object, in UTF-8.",
        code="invalid_json",
    )


def _no_constant(name: str) -> float:
    raise _invalid(f"{name} is no JSON number")


def _whole_number(text: str) -> int:
    # counted before it is read: reading takes time that grows with the square of its digits
    if len(text) > 20 or abs(number := int(text)) >= LARGEST:
        raise _invalid(f"the number {text[:24]} is out of range")
    return number


def _finite_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _invalid(f"the number {text[:24]} is out of range")
    return number


def _check_strings(value: Any) -> None:
    """Refuse strings that hold half of a character, which no encoding can store.

    Without recursion.
    """
    rest = [value]
    while rest:
        found = rest.pop()
        if isinstance(found, dict):
            rest += [*found.keys(), *found.values()]
        elif isinstance(found, list):
            rest += found
        elif isinstance(found, str) and not found.isascii():
            try:
                found.encode("utf-8")
            except UnicodeEncodeError as error:
                raise _invalid(
                    f"a string holds {found[error.start]!a}, half of a character"
                ) from None
