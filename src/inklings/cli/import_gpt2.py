"""`inklings import gpt2 PATH --run RUN`: make a run of GPT-2 weights from a folder or the hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from inklings.cli.arguments import Json, RunFolder, called, parse
from inklings.cli.terminal import open_terminal
from inklings.config import DataConfig
from inklings.interop.import_gpt2 import import_gpt2
from inklings.models.contract import parameter_count


@dataclass(frozen=True)
class Import:
    """Flags of the verb `import`."""

    kind: tyro.conf.Positional[Literal["gpt2"]]
    """The architecture whose weights are read."""
    source: tyro.conf.Positional[Annotated[str, called("FOLDER_OR_NAME")]]
    """A folder that transformers wrote, or OWNER/NAME of a model on the Hugging Face hub."""
    run: RunFolder
    """Directory that the run is written to."""
    data: str = DataConfig.source
    """The text that it is evaluated on where none is named."""
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        Import,
        arguments,
        verb="import",
        description="Make a run of GPT-2 weights that somebody else trained.",
    )
    terminal = open_terminal(flags.json)
    run = import_gpt2(flags.source, flags.run, data=DataConfig(source=flags.data))
    model = run.load_model()
    terminal.say(
        f"{flags.run}: gpt2 with {parameter_count(model):,} parameters and"
        f" {model.config.vocab_size:,} tokens"
    )
    terminal.say(
        f"next: inklings generate {flags.run}    inklings train varda --from {flags.run} --data"
        " my.txt --budget 0-steps"
    )
    terminal.result(
        {
            "run": str(flags.run),
            "parameters": parameter_count(model),
            "vocab_size": model.config.vocab_size,
        }
    )
    return 0
