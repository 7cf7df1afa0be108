"""What users and clients hold on to changes on purpose only; `make surface` writes it down anew."""

from __future__ import annotations

from .surface import FLAGS, ROUTES, flags, routes


def test_the_flags_of_every_verb_are_those_written_down() -> None:
    assert flags().splitlines() == FLAGS.read_text(encoding="utf-8").splitlines(), (
        "if this is meant: make surface"
    )


def test_the_routes_and_fields_of_the_server_are_those_written_down() -> None:
    assert routes() == ROUTES.read_text(encoding="utf-8"), "if this is meant: make surface"
