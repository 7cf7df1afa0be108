"""The origins of web pages, as browsers write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from inklings.errors import ConfigError

ANY = "*"
"""The origin that stands for pages of all sites."""
HOST = re.compile(r"[a-z0-9._:-]+")
USUAL_PORTS = {"http": 80, "https": 443}


def check_origins(origins: Sequence[str]) -> None:
    """Refuse an origin that is not written as a browser writes it: it would never match.

    Raises:
        ConfigError: one is not an origin, or `*` is given beside others.
    """
    if ANY in origins and len(origins) > 1:
        raise ConfigError(
            "--allow-origin * lets pages of all sites ask; leave the other origins out, or the *."
        )
    for given in origins:
        meant = _written(given)
        if given != ANY and given != meant:
            advice = (
                "such as https://example.org or http://localhost:3000"
                if meant is None
                else f"here {meant}"
            )
            raise ConfigError(
                "--allow-origin takes the origin of a page as browsers write it, and"
                f" {given[:100]!r} is none: scheme, host and an unusual port, without a path;"
                f" {advice}."
            )


def _written(given: str) -> str | None:
    """Return an address as browsers write its origin; None if it has none."""
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname
    if not parts.scheme or not host or not HOST.fullmatch(host):
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (
        "" if port in (None, USUAL_PORTS.get(parts.scheme)) else f":{port}"
    )
