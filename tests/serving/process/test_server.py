"""Where a server listens: every address of the host at one port, or one clear message."""

from __future__ import annotations

import socket

import pytest

from inklings.errors import InputError
from inklings.serving.process.addresses import bind, url_of
from inklings.serving.process.server import serve
from inklings.serving.settings import ServeConfig


def close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def test_any_free_port_is_one_port_for_all_addresses() -> None:
    sockets = bind("localhost", 0)
    try:
        ports = {each.getsockname()[1] for each in sockets}
        assert len(ports) == 1
        assert ports != {0}
        assert {each.family for each in sockets} <= {socket.AF_INET, socket.AF_INET6}
        socket.create_connection(("localhost", ports.pop()), timeout=60).close()
    finally:
        close(sockets)


def test_a_port_that_is_taken_is_said_before_anything_is_loaded() -> None:
    sockets = bind("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    told: list[object] = []
    try:
        with pytest.raises(InputError, match=f"port {port} of 127.0.0.1 is taken"):
            bind("127.0.0.1", port)
        with pytest.raises(InputError, match="taken"):
            serve({}, ServeConfig(port=port), on_event=told.append)
    finally:
        close(sockets)
    assert told == []
    # and a port whose socket was closed is free
    close(bind("127.0.0.1", port))


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InputError, match="no address of this machine"):
        bind("192.0.2.1", 0)


def test_a_host_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be found"):
        bind("a" * 300, 0)


def test_a_port_that_is_taken_at_one_address_of_a_host_is_taken() -> None:
    taken = bind("127.0.0.1", 0)
    port = taken[0].getsockname()[1]
    try:
        with pytest.raises(InputError, match=f"port {port} of localhost is taken"):
            bind("localhost", port)
    finally:
        close(taken)
    # and what was bound at the other is free again
    close(bind("localhost", port))


def test_addresses_are_written_as_a_browser_takes_them() -> None:
    assert url_of("127.0.0.1", 80) == "http://127.0.0.1:80"
    assert url_of("::1", 8000) == "http://[::1]:8000"
