"""Execute the notebooks of `examples/notebooks/`, and keep what they show.

    python scripts/run_notebooks.py [NOTEBOOK ...]

Each runs in an empty folder with the real kernel. What is written back has outputs and nothing that
changes by itself: no times of execution, no views that were only there while a cell ran.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "examples" / "notebooks"
TIMEOUT = 900
"""Most seconds of a cell."""


def executed(path: Path, folder: Path) -> Any:
    """Return a notebook with the outputs of its cells, executed in a folder.

    Raises:
        CellExecutionError: a cell ends with an error.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    )
    client.execute()
    return notebook


def main() -> None:
    """Execute the notebooks that are named, or all of them."""
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(NOTEBOOKS.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(executed(path, Path(folder)), path)


if __name__ == "__main__":
    main()
