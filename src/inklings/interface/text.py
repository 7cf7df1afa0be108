"""A text that a run wrote: a string, which a notebook shows shaded by probability."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from inklings.showing import FAINT

SHADES = ((0.5, 0.0), (0.2, 0.15), (0.05, 0.3), (0.01, 0.45), (0.0, 0.65))
"""Least probability and strength of each shade, as the server's page has them."""


@dataclass(frozen=True)
class TextToken:
    """A token of a text, and how likely the model found it there."""

    text: str
    probability: float
    """At temperature 1 and before any penalty."""


class GeneratedText(str):
    """A text with what is known of how it was written.

    It is the whole text, the prompt at its front.
    """

    prompt: str
    """The beginning that it goes on from."""
    finished: Literal["boundary", "length", "stop"]
    """Why it ended: the model ended the document, enough tokens were drawn, or a stop string came.
    """
    _score: Callable[[], list[TextToken]] | None
    _tokens: list[TextToken]

    @classmethod
    def of(
        cls,
        prompt: str,
        continuation: str,
        *,
        finished: Literal["boundary", "length", "stop"],
        score: Callable[[], list[TextToken]] | None,
    ) -> GeneratedText:
        """Make a text.

        Args:
            prompt: what was given.
            continuation: what was written.
            finished: why it ended.
            score: finds the probabilities of the tokens, when they are first asked for; None where
                the model gives none.
        """
        made = cls(prompt + continuation)
        made.prompt, made.finished, made._score = prompt, finished, score
        return made

    @property
    def continuation(self) -> str:
        """What was written, without the prompt."""
        return self[len(self.prompt) :]

    @property
    def tokens(self) -> list[TextToken]:
        """The tokens of the text with their probabilities; empty where the model gives none."""
        if not hasattr(self, "_tokens"):
            self._tokens = self._score() if self._score is not None else []
        return self._tokens

    def _repr_html_(self) -> str:
        return shaded(self) + (LEGEND if self.tokens else "")


class GeneratedTexts(list[GeneratedText]):
    """Several texts, which a notebook shows one below the other."""

    def _repr_html_(self) -> str:
        rule = '<hr style="border:none;border-top:1px solid rgba(128,128,128,.3);margin:6px 0">'
        legend = LEGEND if any(text.tokens for text in self) else ""
        return rule.join(map(shaded, self)) + legend


def shaded(text: GeneratedText) -> str:
    """Return a text as HTML: each token the darker, the less likely the model found it."""
    pieces = [_shaded(token) for token in text.tokens] or [html.escape(text)]
    return (
        '<div style="white-space:pre-wrap;font-family:ui-monospace,monospace;line-height:1.6">'
        f"{''.join(pieces)}</div>"
    )


def _shaded(token: TextToken) -> str:
    strength = next(alpha for least, alpha in SHADES if token.probability >= least)
    style = f' style="background:rgba(224,118,47,{strength})"' if strength else ""
    return f'<span title="{token.probability:.1%}"{style}>{html.escape(token.text)}</span>'


def _legend(shades: Sequence[tuple[float, float]]) -> str:
    swatches = "".join(
        f'<span style="background:rgba(224,118,47,{alpha});padding:0 6px;margin-right:4px">'
        f"{f'over {least:.0%}' if least else 'less'}</span>"
        for least, alpha in shades
    )
    label = f'<span style="{FAINT}">probability:</span>'
    return f'<div style="font-size:85%;margin-top:4px">{label} {swatches}</div>'


LEGEND = _legend(SHADES)
"""Stands below a text: what a light and a dark shade say of a token."""
