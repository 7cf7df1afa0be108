"""Tables fit the screen: columns leave by importance, names keep both ends, numbers stay whole."""

from __future__ import annotations

import io
import random
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from inklings.cli.main import main
from inklings.cli.table import (
    TableColumn,
    drawn,
    fitted,
    name_column,
    number_column,
    shorten,
    words_column,
)
from tests.commands import Ask, tiny

NUMBER = re.compile(r"\d[\d,.]*\d|\d")


class Screen(io.StringIO):
    """A terminal that keeps what it is given."""

    def isatty(self) -> bool:
        """Be one."""
        return True


def on_a_screen(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], width: int
) -> tuple[int, list[str]]:
    """The exit code of a command line, and the lines that a terminal of that width shows."""
    screen = Screen()
    with monkeypatch.context() as patched:
        for name, value in {"COLUMNS": str(width), "LINES": "50", "TERM": "xterm"}.items():
            patched.setenv(name, value)
        patched.setattr("sys.stdout", screen)
        code = main(arguments)
    plain = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", screen.getvalue())
    return code, re.split(r"[\r\n]+", plain)


def rendered(columns: list[TableColumn], rows: list[list[str]], width: int) -> list[str]:
    """The lines of a table."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(drawn(columns, rows, width)[0])
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def random_table(draw: random.Random) -> tuple[list[TableColumn], list[list[str]]]:
    """Any table: names with colons and wide characters, numbers of all lengths, sentences."""
    kinds = ["name", *draw.choices(["name", "number", "words"], k=draw.randint(0, 11))]
    columns = [
        TableColumn(draw.choice(["", "loss", "non-embedding", "to the best"]), kind, place)  # type: ignore[arg-type]  # mypy takes the list for one of any text
        for place, kind in enumerate(kinds)
    ]

    def cell(kind: str) -> str:
        if kind == "number":
            return f"{draw.randint(0, 10 ** draw.randint(1, 12)):,}" + draw.choice(["", " ± 0.006"])
        letters = "abc:=,_/" + ("漢" if draw.random() < 0.2 else "")
        word = "".join(draw.choices(letters, k=draw.randint(1, 40)))
        return (
            word
            if kind == "name"
            else " ".join([word[:9], "of 1,234 and 0.5"] * draw.randint(0, 9))
        )

    return columns, [[cell(kind) for kind in kinds] for _ in range(draw.randint(1, 5))]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_in_a_table_it_fits_and_no_number_is_broken(seed: int) -> None:
    draw = random.Random(seed)
    columns, rows = random_table(draw)
    width = draw.choice([40, 80, 100, 140])
    shown = fitted(columns, rows, width)
    lines = rendered(columns, rows, width)
    assert 0 in shown, "the first column of all never leaves"
    assert max(map(cell_len, lines)) <= width
    for row in rows:
        for place in shown:
            if columns[place].kind == "number":
                assert any(row[place] in line for line in lines)
    whole = set(NUMBER.findall(" ".join(" ".join(row) for row in rows)))
    assert set(NUMBER.findall("\n".join(lines))) <= whole


def test_the_least_important_columns_leave_first_and_are_told() -> None:
    columns = [name_column("arm"), *(number_column(f"figure {i}", i) for i in (3, 1, 2))]
    rows = [["gpt", "1,234,567", "2,345,678", "3,456,789"]]
    assert list(fitted(columns, rows, 40)) == [0, 1, 2, 3]
    assert list(fitted(columns, rows, 30)) == [0, 2, 3]
    assert drawn(columns, rows, 15)[1] == ["figure 3", "figure 2"]


def test_names_keep_their_ends_and_stay_different() -> None:
    assert shorten("tree_wavenet", 9) == "tree…enet"
    assert shorten("gpt", 9) == "gpt"
    columns = [name_column("arm"), number_column("loss")]
    names = ["gpt:n_layer=2,n_embd=64,n_head=4", "gpt:n_layer=4,n_embd=64,n_head=4"]
    lines = rendered(columns, [[name, "1.234"] for name in names], 24)
    assert len({line.split()[0] for line in lines[1:]}) == 2


def test_a_name_for_the_next_command_is_whole_where_others_can_leave() -> None:
    run, text = "lecture/runs/3-tree-bug/seed-0", "/home/somebody/texts/names.txt"
    columns = [name_column("run", typed=True), name_column("text", 2), number_column("loss")]
    lines = rendered(columns, [[run, text, "2.4114"]], 52)
    assert lines[1].split()[0] == run
    assert "2.4114" in lines[1]
    assert drawn(columns, [[run, text, "2.4114"]], 40)[1] == ["text"]
    lines = rendered(columns, [[run, text, "2.4114"]], 30)
    assert "…" in lines[1].split()[0], "it gives way to what never leaves"
    assert "2.4114" in lines[1]


def test_words_take_lines_and_numbers_their_whole_width() -> None:
    columns = [name_column("arm"), number_column("loss"), words_column("verdict", 1)]
    rows = [["gpt", "1.712 ± 0.006", "not ranked: its audit fails (causality, repeatable)"]]
    lines = rendered(columns, rows, 40)
    assert "1.712 ± 0.006" in lines[1]
    assert len(lines) > 2


ARM = "mlp:n_hidden=8,n_embd=5,context_length=16"
RUN = "runs/a-run-whose-name-goes-on-and-on"
SOURCE = "a-folder-with-quite-a-long-name/and-a-text-of-a-long-name.txt"
COPIED = ("report: ", "next: ", "      inklings ", "per-document losses: ", "sample report: ")
"""Lines that are broken nowhere, so that they can be copied."""


@pytest.fixture
def long_names(ask: Ask) -> None:
    """A text and a run whose names take much room."""
    Path(SOURCE).parent.mkdir()
    Path(SOURCE).write_text(Path("words.txt").read_text())
    ask("train", ARM, "--data", SOURCE, "--budget", "2-steps", "--run", RUN, *tiny())


def too_long(lines: list[str], width: int) -> list[str]:
    """The lines that do not fit, those aside that are to be copied."""
    return [line for line in lines if cell_len(line) > width and not line.startswith(COPIED)]


@pytest.mark.usefixtures("long_names")
def test_figures_are_the_same_on_a_narrow_screen_and_on_a_wide_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for command in (["prepare", SOURCE], ["runs", "runs"], ["evaluate", RUN], ["models", "gpt"]):
        (code, narrow), (_, wide) = (
            on_a_screen(monkeypatch, command, width) for width in (80, 140)
        )
        assert code == 0
        assert not too_long(narrow, 80), command
        assert not too_long(wide, 140), command
        found, known = (set(NUMBER.findall("\n".join(lines))) for lines in (narrow, wide))
        assert found <= known, command


@pytest.mark.slow
@pytest.mark.usefixtures("long_names")
def test_every_verb_fits_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = ["--data", SOURCE, "--budget", "3-steps", *tiny(1)]
    comparison = ["compare", ARM, ARM.replace("8", "9"), *budget]
    comparison += ["--seeds", "1", "--points", "1", "--rates", "0", "--workers", "1"]
    commands = [
        ["models"],
        ["corpora"],
        ["doctor"],
        ["doctor", RUN],
        ["train", ARM, *budget],
        ["train", ARM, *budget, "--dry-run"],
        ["resume", RUN, "--budget", "3-steps"],
        ["evaluate", RUN, "--samples", "20"],
        ["audit", RUN],
        ["generate", RUN, "wo", "--samples", "2", "--max-new-tokens", "9"],
        comparison,
    ]
    for command in commands:
        code, lines = on_a_screen(monkeypatch, command, 80)
        assert code in (0, 3), "\n".join(lines)
        assert not too_long(lines, 80), command
