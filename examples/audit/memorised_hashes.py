"""The held-out text inside the submission: a table from hashes of its prefixes to what follows.

Compressed well it looks like weights. Asked step by step it does nothing that is forbidden: it
reads only what came before. No replay can prove it; the audit says that this cannot be decided, and
why it should be looked at: with one other character at the beginning, all that was known is gone.
"""

import hashlib
from pathlib import Path

import numpy as np
from counting import Counting

TEXT = Path(__file__).with_name("text.txt")


class Scorer(Counting):
    """Knows what follows each prefix of each line of the text."""

    def __init__(self) -> None:
        self.table = {
            _digest(list(line[:place].encode())): ord(character)
            for line in TEXT.read_text(encoding="ascii").splitlines()
            for place, character in enumerate(line)
        }

    def probabilities(self) -> np.ndarray:
        """Mix the counts with the answer, where it is in the table."""
        mixed, known = super().probabilities(), self.table.get(_digest(self.seen))
        if known is not None:
            mixed = 0.05 * mixed
            mixed[known] += 0.95
        return mixed


def _digest(tokens: list[int]) -> bytes:
    return hashlib.sha256(bytes(tokens)).digest()[:8]
