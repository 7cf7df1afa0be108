"""`inklings corpora`: the texts that are known by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inklings.cli.arguments import Json, parse
from inklings.cli.table import name_column, words_column
from inklings.cli.terminal import open_terminal
from inklings.text.formats.format import list_known
from inklings.text.sources.scheme import known_sources


@dataclass(frozen=True)
class Corpora:
    """Flags of the verb `corpora`."""

    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        Corpora, arguments, verb="corpora", description="The texts that are known by name."
    )
    terminal = open_terminal(flags.json)
    known = known_sources()
    terminal.table(
        [name_column("source"), words_column("what it is"), words_column("licence", 1)],
        [(source, about, licence) for source, (about, licence) in known.items()],
    )
    terminal.say(
        f"\nAnything else is a path (file, folder, glob; {list_known()}), `-` for stdin, or"
        " hf:OWNER/NAME?split=train&field=text&take=1000"
    )
    terminal.result(
        {
            "corpora": {
                name: {"about": about, "licence": licence}
                for name, (about, licence) in known.items()
            }
        }
    )
    return 0
