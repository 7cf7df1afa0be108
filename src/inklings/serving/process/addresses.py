"""Addresses of a server: sockets for every address of a host, and how the address is written."""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Any

from inklings.errors import InputError


def bind(host: str, port: int) -> list[socket.socket]:
    """Bind sockets to all addresses of a host, at one port.

    Raises:
        InputError: there is no such host here, or the port is taken or not allowed.
    """
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"--host {host} cannot be found. Leave it out to serve this machine alone, or give an"
            " address of this machine."
        ) from error
    bound: list[socket.socket] = []
    failures: list[OSError] = []
    for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
        # of several addresses, all at the port that the first was given
        at = bound[0].getsockname()[1] if bound else port
        try:
            bound.append(_bound(family, (address[0], at, *address[2:])))
        except OSError as error:
            failures.append(error)
    taken = [error for error in failures if error.errno == errno.EADDRINUSE]
    # of `localhost`, one family may be missing on this machine
    if bound and not taken:
        return bound
    for each in bound:
        each.close()
    if bound and port == 0:
        return bind(host, port)  # free at one address and taken at another
    reason = [*taken, *failures][0]
    raise InputError(_refusal(reason, host, port)) from reason


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            # a port whose last connections are just being closed is free
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        # two programs may bind one port as long as neither listens; who connects while models are
        # loaded waits
        made.listen()
    except OSError:
        made.close()
        raise
    return made


def _refusal(error: OSError, host: str, port: int) -> str:
    """Say in words why an address cannot be used."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken by another program. Give another --port, or --port 0"
            " for any that is free."
        )
    if error.errno == errno.EACCES:
        return f"port {port} may not be used by this user. Give a --port of 1024 or more."
    return (
        f"{host} is no address of this machine ({os.strerror(error.errno or 0)}). Leave --host out"
        " to serve this machine alone."
    )


def url_of(host: str, port: int) -> str:
    """Return what to type into a browser."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
