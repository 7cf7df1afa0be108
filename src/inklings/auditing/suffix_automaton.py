"""A suffix automaton: it tells which spans of one text occur in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_STRETCH = 2**18
"""Tokens that are converted to Python numbers at a time."""


_BORDER = -1
"""A number that stands after each text, and for boundaries in it: no training text has it, so
nothing matches across.
"""


@dataclass(frozen=True)
class Ends:
    """For each position of a text, the longest span ending there that was read."""

    lengths: list[int]
    """Tokens of the span; 0 where the token itself was not read."""
    places: list[int]
    """The last token of such a span in what was read; -1 where there is none."""


class SuffixAutomaton:
    """All spans of some texts, each a path from state 0.

    It finds which of them occur in a stream of any length. It takes time and memory in proportion
    to the texts, and then time in proportion to what is read. After Blumer et al., "The smallest
    automaton recognizing the subwords of a text", 1985. A state stands for the spans that end at
    the same places of the texts; they are the ends of its longest, of `_length` tokens, that are
    longer than all of `_link`'s.
    """

    def __init__(self, texts: Sequence[Sequence[int]], boundary: int) -> None:
        """Build it from texts of tokens, none negative; no span has a boundary in it."""
        self._next: list[dict[int, int]] = [{}]
        self._link = [-1]
        self._length = [0]
        self._states: list[list[int]] = []
        last = 0
        for text in texts:
            states = []
            for token in text:
                last = self._extend(last, _BORDER if token == boundary else token)
                states.append(last)
            self._states.append(states)
            last = self._extend(last, _BORDER)
        self._longest = [0] * len(self._next)
        self._place = [-1] * len(self._next)
        self._at = (0, 0, 0)

    def _extend(self, last: int, token: int) -> int:
        """Add the spans that end in one token more; returns the state of the longest."""
        following, link, length = self._next, self._link, self._length
        state = self._new({}, 0, length[last] + 1)
        shorter = last
        while shorter >= 0 and token not in following[shorter]:
            following[shorter][token] = state
            shorter = link[shorter]
        if shorter < 0:
            return state
        known = following[shorter][token]
        if length[known] > length[shorter] + 1:
            # Of the spans of `known`, only those up to this length end here as well: they become a
            # state of their own.
            split = self._new(dict(following[known]), link[known], length[shorter] + 1)
            while shorter >= 0 and following[shorter].get(token) == known:
                following[shorter][token] = split
                shorter = link[shorter]
            link[known] = split
            known = split
        link[state] = known
        return state

    def _new(self, following: dict[int, int], link: int, length: int) -> int:
        self._next.append(following)
        self._link.append(link)
        self._length.append(length)
        return len(self._next) - 1

    def read(self, tokens: Sequence[int]) -> None:
        """Read on in the stream; a boundary in it ends every match."""
        following, link, lengths, longest, place = (
            self._next,
            self._link,
            self._length,
            self._longest,
            self._place,
        )
        state, length, begin = self._at
        number = begin - 1
        for number, token in enumerate(tokens, start=begin):
            found = following[state].get(token)
            if found is None:
                while found is None and state:
                    state = link[state]
                    found = following[state].get(token)
                length = lengths[state]
                if found is None:
                    continue
            state = found
            length += 1
            if length > longest[state]:
                longest[state] = length
                place[state] = number
        self._at = state, length, number + 1

    def ends(self) -> list[Ends]:
        """Return what was found so far, for each text."""
        longest, place = list(self._longest), list(self._place)
        order = sorted(range(1, len(longest)), key=self._length.__getitem__)
        for state in reversed(order):
            # Whoever met a span has met all its ends.
            link = self._link[state]
            if longest[state] and longest[link] < self._length[link]:
                longest[link], place[link] = self._length[link], place[state]
        for state in order:
            if not longest[state]:
                longest[state], place[state] = longest[self._link[state]], place[self._link[state]]
        return [
            Ends([longest[state] for state in states], [place[state] for state in states])
            for states in self._states
        ]
