"""Remembered entries as a client sees them: names and texts in place of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Int64

from inklings.generation.engine.request import Entry
from inklings.generation.provenance import strongest
from inklings.models.remembering import Recollection
from inklings.runs.memory import RunMemory
from inklings.runs.memory_documents import Document
from inklings.text.excerpt import around, token_text
from inklings.text.tokenizers import Tokenizer

Tokens: TypeAlias = Sequence[int] | Int64[np.ndarray, " n"]


class EntryTexts:
    """Adds names and texts to entries.

    It keeps the documents of a long-term memory, which are read when first needed.
    """

    def __init__(self, tokenizer: Tokenizer, memory: RunMemory | None) -> None:
        self._tokenizer = tokenizer
        self._memory = memory
        self._documents: dict[int, Document] = {}

    def entries(
        self, found: Recollection, place: int, history: Sequence[int], most: int
    ) -> tuple[Entry, ...]:
        """Return the entries that mattered most to one prediction, the greatest weight first.

        Args:
            found: what the row found in the pass.
            place: the position, counted from the first of the pass.
            history: the row's tokens, for entries of the text itself.
            most: how many.

        Raises:
            RunError: a document of the long-term memory is damaged.
        """
        made = []
        for origin in strongest(found, place, most=most):
            name, at = None, origin.position
            tokens: Tokens = history
            if origin.long_term:
                document = self._document(origin.document)
                name, tokens = (
                    (str(origin.document), ())
                    if document is None
                    else (document.name, document.tokens)
                )
            else:
                at += _opening(history, origin.document, self._tokenizer.boundary)
            known = 0 <= at < len(tokens)
            before, after = around(self._tokenizer, tokens, at) if known else ("", "")
            made.append(
                Entry(
                    value=token_text(self._tokenizer, origin.value),
                    weight=origin.weight,
                    distance=origin.distance,
                    age=origin.age,
                    document=name,
                    position=origin.position,
                    before=before,
                    after=after,
                )
            )
        return tuple(made)

    def _document(self, number: int) -> Document | None:
        if number not in self._documents and self._memory is not None:
            self._documents = {document.number: document for document in self._memory.documents()}
        return self._documents.get(number)


def _opening(history: Sequence[int], document: int, boundary: int) -> int:
    """Find the boundary that opens a document of a text.

    The documents of a text are numbered from 0.
    """
    if document == 0:
        return 0
    openings = [place for place, token in enumerate(history) if token == boundary]
    return openings[document] if 0 <= document < len(openings) else 0
