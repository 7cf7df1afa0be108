"""Bytes to text as they come: no character is broken, and no possible stop string is shown."""

from __future__ import annotations

import codecs

from inklings.errors import ConfigError


class TextStream:
    """Decodes UTF-8 piece by piece and ends before the first stop string.

    What comes out, put together, does not depend on how the bytes were cut: it is
    `data.decode("utf-8", errors="replace")` up to the stop string that is complete first (the
    longest of several that end together).

    Raises:
        ConfigError: a stop string is empty, so that every text would end at once.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        if "" in stop:
            raise ConfigError("a stop string is empty; it must have at least one character.")
        self._stop = stop
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped = False
        """Whether a stop string has come; whatever follows it is ignored."""

    def push(self, data: bytes) -> str:
        """Take the next bytes and return the text that can now be shown, often none."""
        return self._advance(self._decoder.decode(data))

    def finish(self) -> str:
        """End the text and give what was held back.

        What was held back, with U+FFFD in the place of a character that never became whole.
        """
        shown = self._advance(self._decoder.decode(b"", final=True))
        if not self.stopped:
            shown, self._held = shown + self._held, ""
        return shown

    def _advance(self, text: str) -> str:
        if not self._stop:  # as most texts are: nothing is searched for, nothing held back
            return text
        if self.stopped:
            return ""
        self._held += text
        found = [
            (self._held.find(stop) + len(stop), -len(stop))
            for stop in self._stop
            if stop in self._held
        ]
        if found:
            end, minus_length = min(found)
            shown, self._held, self.stopped = self._held[: end + minus_length], "", True
            return shown
        split = len(self._held) - self._possible_beginning()
        shown, self._held = self._held[:split], self._held[split:]
        return shown

    def _possible_beginning(self) -> int:
        """Return the length of the longest end of the held text that begins a stop string."""
        longest = max(len(stop) for stop in self._stop) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0
