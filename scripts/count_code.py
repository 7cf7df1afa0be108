"""Count the code of a folder, room by room: lines of code, and logical lines.

A line of code has a token that is no comment and no docstring. A logical line is a statement or the
head of one, on however many lines it stands: that figure does not change with the width of lines.

    python scripts/count_code.py [FOLDER ...]        (src/inklings by default)
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "inklings"
SILENT = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}
"""Tokens that make no line a line of code."""


def count(text: str) -> tuple[int, int]:
    """Count the lines of code and the logical lines of a module.

    A string that stands by itself, such as the one below a field, counts as a docstring.
    """
    described = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines: set[int] = set()
    logical = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NEWLINE and token.start[0] not in described:
            logical += 1
        elif token.type not in SILENT:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - described), logical


def main() -> None:
    """Print a line for each room, and the sum."""
    for folder in map(Path, sys.argv[1:] or [str(SOURCE)]):
        lines: Counter[str] = Counter()
        logical: Counter[str] = Counter()
        for path in folder.rglob("*.py"):
            room = path.relative_to(folder).parts[0]
            of_file = count(path.read_text(encoding="utf-8"))
            lines[room] += of_file[0]
            logical[room] += of_file[1]
        for room, n in [*lines.most_common(), (str(folder), lines.total())]:
            of_room = logical.get(room, logical.total())
            sys.stdout.write(f"{n:>7,} lines {of_room:>7,} logical  {room}\n")


if __name__ == "__main__":
    main()
