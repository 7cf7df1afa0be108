"""What users and clients hold on to changes on purpose only; `make surface` writes it down anew."""

from __future__ import annotations

import json
import re
from pathlib import Path

from .surface import FLAGS, ROUTES, flags, routes


def test_the_flags_of_every_verb_are_those_written_down() -> None:
    assert flags().splitlines() == FLAGS.read_text(encoding="utf-8").splitlines(), (
        "if this is meant: make surface"
    )


def test_the_routes_and_fields_of_the_server_are_those_written_down() -> None:
    assert routes() == ROUTES.read_text(encoding="utf-8"), "if this is meant: make surface"


def test_every_route_is_in_the_table_of_the_reference() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "serving.md"
    table = page.read_text(encoding="utf-8").partition("## Routes")[2].partition("## ")[0]
    told = {
        f"{method} {path}"
        for line in table.splitlines()
        for method, path in re.findall(r"`(GET|POST) (/\S*)`", line)
    }
    routes = {
        f"{method.upper()} {path}"
        for path, methods in json.loads(ROUTES.read_text(encoding="utf-8"))["paths"].items()
        for method in methods
    }
    assert told == routes | {"GET /", "GET /docs"}, "the pages themselves are not described"
