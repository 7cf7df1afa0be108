"""`inklings import FOLDER --run RUN`: make a run of weights that somebody else trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from inklings.cli.arguments import Json, RunFolder, called, parse
from inklings.cli.terminal import open_terminal
from inklings.config import DataConfig
from inklings.errors import ConfigError
from inklings.interop.imports.import_model import import_model
from inklings.interop.imports.kind import KINDS
from inklings.models.adapters.hugging_face import format_unread
from inklings.models.contract import parameter_count


@dataclass(frozen=True)
class Import:
    """Flags of the verb `import`."""

    source: tyro.conf.Positional[Annotated[tuple[str, ...], called("[KIND] FOLDER_OR_NAME")]]
    """A folder that transformers wrote, or OWNER/NAME of a model on the Hugging Face hub; before
    it, if so wanted, its kind: gpt2, qwen3, llama, mistral, nanochat, or as-it-is for any causal
    model. Without one it is what config.json says.
    """
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
        description="Make a run of weights that somebody else trained.",
    )
    terminal = open_terminal(flags.json)
    if len(flags.source) not in (1, 2):
        raise ConfigError(
            f"import takes [KIND] FOLDER_OR_NAME, and was given {len(flags.source)} words. A kind"
            f" is one of {', '.join(KINDS.places)}."
        )
    kind = flags.source[0] if len(flags.source) == 2 else None
    made = import_model(flags.source[-1], flags.run, kind=kind, data=DataConfig(source=flags.data))
    model = made.run.load_model()
    architecture = made.run.config.architecture
    terminal.say(
        f"{flags.run}: {architecture} with {parameter_count(model):,} parameters and"
        f" {model.config.vocab_size:,} tokens, a window of {model.config.context_length:,}"
    )
    terminal.say(f"compared: {made}")
    if (unread := format_unread(made.unread)) is not None:
        terminal.say(unread, style="yellow")
    if made.spelled:
        terminal.say(
            f"its chat template names {', '.join(made.spelled)}, which the run reads as text,"
            " since the vocabulary lacks them. It will not chat as it was tuned to.",
            style="yellow",
        )
    terminal.say(
        f"next: inklings generate {flags.run}    inklings evaluate {flags.run} --data my.txt"
    )
    terminal.result(
        {
            "run": str(flags.run),
            "kind": made.kind,
            "architecture": architecture,
            "parameters": parameter_count(model),
            "vocab_size": model.config.vocab_size,
            "difference": made.difference,
            "spelled": list(made.spelled),
            "unread": list(made.unread),
        }
    )
    return 0
