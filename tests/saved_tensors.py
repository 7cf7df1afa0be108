"""What is in a file of tensors."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from inklings.runs.tensors.checked_files import open_tensor_file


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a file, every byte of which is checked."""
    with open_tensor_file(path) as file:
        file.check()
        return {name: file.read(name) for name in file.facts}, file.metadata
