"""What users and clients hold on to.

The flags of every verb, and the routes and fields of the server.

    make surface

writes them anew, as `help.txt` and `openapi.json` beside this file, for whoever changed them on
purpose; the difference is then part of the change. Wordings are left out: they may become better at
any time.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from inklings.cli.main import VERBS, main
from inklings.models.registry import ARCHITECTURES
from inklings.serving.api.app import make_app
from inklings.serving.settings import ServeConfig

FLAGS = Path(__file__).parent / "help.txt"
ROUTES = Path(__file__).parent / "openapi.json"
WIDTH = "129"
"""Columns: as many as leave the groups of flags one below the other."""
WORDINGS = ("description", "summary", "title")


def flags() -> str:
    """A line for every flag of every verb and every field of every architecture.

    Name, choices, default.
    """
    lines = [f"{verb} {flag}" for verb in VERBS for flag in flags_of(verb)]
    for name in ARCHITECTURES:
        lines += [
            f"train {name} {flag}"
            for flag in flags_of("train", name)
            if flag.startswith("--model.")
        ]
    return "".join(f"{line}\n" for line in lines)


def flags_of(*command: str) -> Iterator[str]:
    """The flags of one verb, as its help gives them."""
    out = io.StringIO()
    with (
        mock.patch.dict(os.environ, COLUMNS=WIDTH),
        contextlib.redirect_stdout(out),
        contextlib.suppress(SystemExit),
    ):
        main([*command, "--help"])
    entries: list[list[str]] = []
    for row in out.getvalue().splitlines():
        text = row.strip("│ ")
        if re.match(r"[│ ] ?[^ │]", row):
            entries.append([text])
        elif entries:
            entries[-1].append(text)
    for entry in entries:
        name, text = re.split(r"\s{2,}", entry[0])[0], " ".join(entry)
        default = re.findall(r"\((?:default: [^()]*(?:\([^()]*\)[^()]*)*|required)\)", text)
        if re.match(r"-{1,2}\w|[\[{]|[A-Z]{2}", name):
            yield f"{name} {default[-1] if default else ''}".rstrip()


def routes() -> str:
    """The server's description of itself, without wordings."""
    described = without_wordings(make_app([], ServeConfig()).openapi())
    return json.dumps(described, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def without_wordings(value: Any) -> Any:
    """A part of the description; a field that is called `title` is a mapping, a wording is text."""
    if isinstance(value, list):
        return [without_wordings(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: without_wordings(item)
        for name, item in value.items()
        if not (name in WORDINGS and isinstance(item, str))
    }


if __name__ == "__main__":
    FLAGS.write_text(flags(), encoding="utf-8")
    ROUTES.write_text(routes(), encoding="utf-8")
