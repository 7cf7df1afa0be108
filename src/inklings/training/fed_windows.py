"""The rows of a batch as a reader sees them: what is read, and what is to be predicted."""

from __future__ import annotations

from dataclasses import dataclass

from inklings.text.batches import Batch
from inklings.text.tokenizers import Tokenizer

END = "¶"
"""How the boundary between documents is shown; before a document it stands for a missing past."""


@dataclass(frozen=True)
class FedWindow:
    """A row of a training batch, token by token."""

    reads: list[str]
    predicts: list[str | None]
    """The token after each that is read; None where it is only context, and not part of the loss.
    """

    def lines(self) -> tuple[str, str]:
        """Return both as lines, the prediction below what it follows where tokens are characters.

        What is not predicted is a dot.
        """
        predicts = ["·" if text is None else text for text in self.predicts]
        if all(len(text) == 1 for text in (*self.reads, *predicts)):
            return "".join(self.reads), "".join(predicts)
        return "|".join(self.reads), "|".join(predicts)


def fed_windows(batch: Batch, tokenizer: Tokenizer, count: int) -> list[FedWindow]:
    """Return the first rows of a batch, the context before them included.

    Args:
        batch: as training has it.
        tokenizer: of the text.
        count: how many rows at most.
    """

    def text(token: int) -> str:
        if token == tokenizer.boundary:
            return END
        shown = tokenizer.token_bytes(token).decode("utf-8", errors="replace")
        return shown.replace("\n", "⏎") or tokenizer.token_name(token)

    rows = []
    for row in range(min(count, len(batch.tokens))):
        before = [] if batch.context is None else batch.context[row].tolist()
        targets = zip(batch.targets[row].tolist(), batch.weights[row].tolist(), strict=True)
        rows.append(
            FedWindow(
                reads=[text(token) for token in [*before, *batch.tokens[row].tolist()]],
                predicts=[
                    *(None for _ in before),
                    *(text(token) if weight else None for token, weight in targets),
                ],
            )
        )
    return rows
