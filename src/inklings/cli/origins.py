"""The output of `generate --provenance`: each new token with the entries that contributed to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from inklings.cli.table import name_column, number_column
from inklings.cli.terminal import Terminal
from inklings.generation.generate import Generation
from inklings.generation.provenance import Origin, origins
from inklings.models.contract import SequenceModel
from inklings.text.tokenizers import Tokenizer


def origins_of(
    model: SequenceModel,
    tokenizer: Tokenizer,
    prompt: str,
    result: Generation,
    names: Mapping[int, str],
) -> list[dict[str, Any]]:
    """Return each new token with its entries, as plain values.

    Args:
        model: the model.
        tokenizer: its own.
        prompt: of the text.
        result: the text.
        names: of the documents of the long-term memory, by number.

    Raises:
        ArchitectureError: the model has no memory.
    """
    history = [tokenizer.boundary, *tokenizer.encode(prompt).tolist()]
    found = origins(model, [*history, *result.tokens])[len(history) - 1 :]

    def plain(origin: Origin) -> dict[str, Any]:
        document = names.get(origin.document, str(origin.document)) if origin.long_term else None
        return {
            **dataclasses.asdict(origin),
            "value": tokenizer.decode([origin.value]),
            "document": document,
        }

    return [
        {"token": tokenizer.decode([token]), "entries": [plain(origin) for origin in entries]}
        for token, entries in zip(result.tokens, found, strict=True)
    ]


def show_origins(tokens: list[dict[str, Any]], terminal: Terminal) -> None:
    """Print the origins as a table.

    A document that is not of the long-term memory is the text itself.
    """
    rows = [
        (
            repr(token["token"]) if number == 0 else "",
            repr(entry["value"]),
            f"{entry['weight']:.1%}",
            f"{entry['distance']:.3f}",
            "this text" if entry["document"] is None else entry["document"],
            str(entry["position"]),
        )
        for token in tokens
        for number, entry in enumerate(token["entries"])
    ]
    if rows:
        terminal.table(
            [
                name_column("token"),
                name_column("remembered"),
                number_column("weight"),
                number_column("distance", 2),
                name_column("from", 1),
                number_column("position", 3),
            ],
            rows,
        )
    else:
        terminal.say(
            "no token rests on the memory: nothing was found, or nothing of it was taken",
            style="dim",
        )
