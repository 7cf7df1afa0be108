"""`inklings models [NAME]`: the architectures there are, or the settings of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from inklings.cli.arguments import Json, parse
from inklings.cli.table import name_column, words_column
from inklings.cli.terminal import Terminal, open_terminal
from inklings.models.registry import available, load_class, summary


@dataclass(frozen=True)
class Models:
    """Flags of the verb `models`."""

    name: tyro.conf.Positional[str | None] = None
    """A registered name or FILE.py:CLASS; without it, all are listed."""
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        Models,
        arguments,
        verb="models",
        description="The architectures there are, or the settings of one.",
    )
    terminal = open_terminal(flags.json)
    if flags.name is not None:
        _show_one(flags.name, terminal)
        return 0
    found = {known: summary(known) for known in available()}
    terminal.table([name_column("architecture"), words_column("what it is")], list(found.items()))
    terminal.say("\n`inklings models NAME` shows its settings. Your own: inklings new my_model.py")
    terminal.result({"models": found})
    return 0


def _show_one(architecture: str, terminal: Terminal) -> None:
    from inklings.models.contract import model_fields

    model_type = load_class(architecture)
    fields = {
        field.name: {
            "type": str(field.type),
            "default": None if field.default is dataclasses.MISSING else field.default,
        }
        for field in model_fields(model_type.Config).values()
    }
    about = summary(architecture) if architecture in available() else model_type.__doc__ or ""
    terminal.say(f"{architecture}: {about.strip()}", style="bold")
    terminal.table(
        [name_column("setting"), words_column("type", 1), words_column("default")],
        [(n, str(f["type"]), repr(f["default"])) for n, f in fields.items()],
    )
    terminal.say(f"\n`inklings train {architecture} --help` explains each.")
    terminal.result(
        {"name": architecture, "settings": fields, "traits": dataclasses.asdict(model_type.traits)}
    )
