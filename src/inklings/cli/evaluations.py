"""The evaluations of a run, as the lines of a table that grows.

Training loss stands beside validation loss, and where the two part it is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from inklings.amounts import duration
from inklings.events import EvaluationEvent, StepEvent

WIDTHS = {
    "step": 9,
    "training loss": 15,
    "validation loss": 17,
    "accuracy": 10,
    "bits/byte": 11,
    "time": 13,
}
"""Columns of the screen that each figure takes."""
HEADING = "".join(f"{title:>{width}}" for title, width in WIDTHS.items())
PARTED = 2
"""Evaluations in a row after which the losses have parted."""
MARGIN = 0.002
"""Share of the best validation loss by which it must have risen."""
EPOCH_LINES = 10
"""Most lines about epochs, about."""


@dataclass
class Parting:
    """Sees where training goes on to fall while validation rises."""

    best: EvaluationEvent | None = None
    worse: list[EvaluationEvent] = field(default_factory=list)

    def look(self, event: EvaluationEvent) -> str | None:
        """Take an evaluation; return a sentence if the losses have parted with it."""
        known = event.get("train_loss")
        if known is None:
            return None
        if self.best is None or event["loss"] < self.best["loss"]:
            self.best, self.worse = event, []
            return None
        before = self.best.get("train_loss")
        assert before is not None
        if event["loss"] > self.best["loss"] * (1 + MARGIN) and known < before:
            self.worse.append(event)
        if len(self.worse) != PARTED:
            return None
        return (
            f"overfitting: since step {self.best['step']:,} the training loss fell from"
            f" {before:.4f} to {known:.4f}, and the validation loss rose from"
            f" {self.best['loss']:.4f} to {event['loss']:.4f}. The run keeps the weights of its"
            " best evaluation."
        )


def evaluation_line(event: EvaluationEvent, seconds: float) -> str:
    """Return a line of the table.

    Args:
        event: the evaluation.
        seconds: since the session began.
    """
    bits, known, accuracy = (
        event.get(name) for name in ("bits_per_byte", "train_loss", "accuracy")
    )
    cells = (
        f"{event['step']:,}",
        "" if known is None else f"{known:.4f}",
        f"{event['loss']:.4f}",
        "" if accuracy is None else f"{accuracy:.1%}",
        "" if bits is None else f"{bits:.4f}",
        duration(seconds),
    )
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS.values(), strict=True))


def single_line(event: EvaluationEvent, seconds: float) -> str:
    """Return an evaluation that has no training loss beside it, as a line of its own.

    Args:
        event: the evaluation.
        seconds: since the session began.
    """
    figures = [f"{event['loss']:.4f} {event['unit']}"]
    if "divergences" in event:
        far = " ".join(f"{value:.3f}" for value in event["divergences"])
        figures.append(f"JS-1 to JS-4 {far}")
    if "share_unique" in event:
        figures.append(f"{event['share_unique']:.1%} unique")
    return f"step {event['step']:>6,}  {', '.join(figures)}, {duration(seconds)}"


def adversary_notes(event: StepEvent) -> tuple[str, ...]:
    """Return how generator and critic stand: both losses, and the gap of the critic's scores."""
    return (
        f"generator {event['generator_loss']:.3f}",
        f"critic {event['loss']:.3f}",
        f"gap {event['critic_gap']:.3f}",
    )


class Epochs:
    """Sums up every epoch, or some of them at once where there are many."""

    def __init__(self, tokens: int, total: int, step: int, tokens_per_step: int) -> None:
        """Begin.

        Args:
            tokens: of the training part.
            total: of the whole run.
            step: at which the session begins.
            tokens_per_step: of each.
        """
        self._tokens, self._count = tokens, total / tokens
        self._every = max(1, -(-total // (EPOCH_LINES * tokens)))
        self._first = step * tokens_per_step // tokens
        self._losses: list[float] = []

    def look(self, tokens: int, loss: float, seconds: float) -> str | None:
        """Take a step's figures; return a sentence where an epoch has ended.

        Args:
            tokens: trained on so far.
            loss: mean since the step before.
            seconds: since the session began.
        """
        self._losses.append(loss)
        done = tokens // self._tokens
        if done < self._first + self._every:
            return None
        epochs = (
            f"epoch {done}" if done == self._first + 1 else f"epochs {self._first + 1} to {done}"
        )
        mean = sum(self._losses) / len(self._losses)
        self._first, self._losses = done, []
        count = f"{self._count:,.1f}".removesuffix(".0")
        return f"{epochs} of {count}: mean training loss {mean:.4f}, {duration(seconds)}"
