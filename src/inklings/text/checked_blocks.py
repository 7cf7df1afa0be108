"""A token file too large to be checked when it is opened.

Each block is checked on its first read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from inklings import durable
from inklings.errors import RunError


class CheckedBlocks:
    """The blocks of a file, each compared with its hash when something in it is first read."""

    def __init__(self, path: Path, hashes: list[str], item_size: int) -> None:
        self.path = path
        self.hashes = hashes
        self.per_block = durable.BLOCK // item_size
        self.checked = np.zeros(len(hashes), dtype=bool)

    def check(self, items: npt.NDArray[np.int64]) -> None:
        """Check the blocks that hold these items.

        Raises:
            RunError: a block is not as it was written.
        """
        if not self.checked.all():
            touched = np.unique(items // self.per_block)
            for block in touched[~self.checked[touched]].tolist():
                self._check_block(block)

    def check_all(self) -> None:
        """Check every block. Errors as `check`."""
        for block in np.flatnonzero(~self.checked).tolist():
            self._check_block(block)

    def _check_block(self, block: int) -> None:
        with durable.read_errors(self.path), open(self.path, "rb") as file:
            file.seek(block * durable.BLOCK)
            data = file.read(durable.BLOCK)
        if durable.sha256(data) != self.hashes[block]:
            raise RunError(
                f"{self.path} is damaged in block {block} of 4 MiB. Delete {self.path.parent}; the"
                " next run builds it again."
            )
        self.checked[block] = True
