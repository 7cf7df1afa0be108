"""`inklings models [NAME]`: the architectures there are, or the settings of one, or its drawing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from inklings.cli.arguments import Json, called, parse
from inklings.cli.table import name_column, number_column, words_column
from inklings.cli.terminal import Terminal, open_terminal
from inklings.config import RunConfig
from inklings.errors import ConfigError
from inklings.models.registry import available, load_class, summary

if TYPE_CHECKING:
    from inklings.models.contract import Architecture

LETTERS = 27
"""Tokens of an architecture that was trained on nothing: the letters of makemore, and the boundary.
"""


@dataclass(frozen=True)
class Models:
    """Flags of the verb `models`."""

    name: tyro.conf.Positional[Annotated[str | None, called("[NAME]")]] = None
    """A registered name or FILE.py:CLASS; without it, all are listed. With --shapes and --draw any
    ARM: it may have fields, or be a RUN.
    """
    shapes: bool = False
    """Show every layer with what it hands on for a small batch, its weights and its parameters."""
    draw: Annotated[Path | None, called("FILE.svg")] = None
    """Draw the architecture with the sizes of these settings, and write the picture there."""
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
    if flags.shapes or flags.draw:
        if flags.name is None:
            asked = "--draw FILE.svg" if flags.draw else "--shapes"
            raise ConfigError(f"say of what: inklings models ARM {asked}.")
        if flags.draw is not None:
            return _draw(flags.name, flags.draw, terminal)
        return _show_shapes(flags.name, terminal)
    if flags.name is not None:
        _show_one(flags.name, terminal)
        return 0
    found = {known: summary(known) for known in available()}
    terminal.table([name_column("architecture"), words_column("what it is")], list(found.items()))
    terminal.say("\n`inklings models NAME` shows its settings. Your own: inklings new my_model.py")
    terminal.result({"models": found})
    return 0


def _model_of(name: str) -> Architecture:
    """Build the model of an ARM, with the vocabulary of a run or that of lower-case letters."""
    from inklings.cli.reference import REFERENCE, open_run
    from inklings.models.registry import build
    from inklings.runs.arms import Arm, parse_arm

    arm = Arm(name) if name == REFERENCE else parse_arm(name, base=RunConfig())
    if arm.config is None:
        return open_run(name).build_model()
    return build(arm.config.architecture, arm.config.model, vocab_size=LETTERS, boundary_token=0)


def _drawn() -> list[str]:
    """Return the registered architectures that have a drawing of their own."""
    from inklings.models.contract import Architecture
    from inklings.models.registry import ARCHITECTURES, load_class

    return [name for name in ARCHITECTURES if load_class(name).drawing != Architecture.drawing]


def _draw(name: str, file: Path, terminal: Terminal) -> int:
    """Write the picture of an ARM."""
    from inklings.durable import disk_errors, write_bytes
    from inklings.models.drawings.svg import svg

    if file.suffix != ".svg":
        raise ConfigError(f"a drawing is an SVG: give --draw {file.stem or 'drawing'}.svg.")
    drawing = _model_of(name).drawing()
    if drawing is None:
        raise ConfigError(
            f"{name} has no drawing: {', '.join(_drawn())} do, and an architecture whose `drawing`"
            f" returns one. `inklings models {name} --shapes` lists its layers."
        )
    with disk_errors(file):
        write_bytes(file, svg(drawing).encode())
    terminal.say(f"{drawing.about}\n\nThe drawing is in {file}.")
    terminal.result({"name": name, "file": str(file), **dataclasses.asdict(drawing)})
    return 0


def _show_shapes(name: str, terminal: Terminal) -> int:
    """Print the layers of an ARM."""
    from inklings.runs.layer_shapes import layer_table

    model = _model_of(name)
    table = layer_table(model)
    terminal.say(
        f"{name}: {table.parameters:,} parameters with {model.config.vocab_size:,} tokens; shapes"
        f" for {table.batch_size} rows of {table.length} tokens",
        style="bold",
    )
    columns = [
        name_column("layer"),
        name_column("kind", 2),
        number_column("hands on"),
        number_column("weights", 1),
        number_column("parameters"),
        number_column("times", 3),
    ]
    rows = [
        (
            layer.name,
            layer.kind,
            " x ".join(map(str, layer.output or ())),
            ", ".join(" x ".join(map(str, shape)) for shape in layer.weights),
            f"{layer.parameters:,}",
            f"{layer.count}" if layer.count > 1 else "",
        )
        for layer in table.layers
    ]
    terminal.table(columns, rows)
    terminal.result({"name": name, **dataclasses.asdict(table), "parameters": table.parameters})
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
