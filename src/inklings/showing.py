"""Tables as plain text and as HTML, for objects that show themselves in Python and notebooks.

The HTML has no colours of its own but those that hold on white and on near-black: a notebook may be
either.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence

FAINT = "color:#808080"
"""The style of what stands beside the matter."""

_CONTROL = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"
}

NUMBER = "text-align:right;white-space:nowrap"
WORDS = "text-align:left"


def without_control(text: str) -> str:
    """Return a text as a terminal may be given it, with control characters escaped.

    Names of files, texts and what models write come from anybody, and a terminal takes what follows
    an escape for orders: to clear the screen, to rename the window, to fill the clipboard.
    """
    return text.translate(_CONTROL)


def text_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()
) -> str:
    """Return a table as lines of text.

    Args:
        columns: their names.
        rows: of the cells' texts.
        right: numbers of the columns that are aligned to the right.
    """
    lines = [list(columns), *map(list, rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def html_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()
) -> str:
    """Return a table as HTML; the text of its cells is escaped.

    Args:
        columns: their names.
        rows: of the cells' texts.
        right: numbers of the columns that are aligned to the right.
    """

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "".join(
            f'<{tag} style="padding:2px 10px;{NUMBER if number in right else WORDS}">'
            f"{html.escape(text)}</{tag}>"
            for number, text in enumerate(texts)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse">'
        f"<thead><tr>{cells('th', columns)}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def html_line(text: str, *, faint: bool = False, bold: bool = False) -> str:
    """Return a line of text as HTML.

    Args:
        text: is escaped.
        faint: whether it stands beside the matter.
        bold: whether it is a headline.
    """
    style = ";".join([*([FAINT] if faint else []), *(["font-weight:600"] if bold else [])])
    return f'<div style="{style};margin:2px 0">{html.escape(text)}</div>'
