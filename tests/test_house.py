"""The house.

Imports run one way, files stay small, nothing happens on import, nothing prints outside the command
line.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import inklings

ROOT = Path(inklings.__file__).parent

ORDER = [
    "errors",
    "durable",
    "config",
    "device",
    "text",
    "layers",
    "memory",
    "models",
    "generation",
    "evaluation",
    "training",
    "audit",
    "lab",
    "interop",
    "serving",
    "cli",
]
"""A package may import those before it, never those after it."""

MODULES = sorted(path for path in ROOT.rglob("*.py") if "templates" not in path.parts)


def imported_rooms(path: Path) -> set[str]:
    """The top-level parts of the package that a file imports, wherever in the file it does."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        rooms |= {name.split(".")[1] for name in names if name.startswith("inklings.")}
    return rooms


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    later = ORDER[ORDER.index(room) + 1 :]
    assert not imported_rooms(path) & set(later), f"{path} imports a room that is built on it"


def test_every_room_has_its_place_in_the_order() -> None:
    rooms = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in MODULES}
    assert rooms - {"__init__", "__main__"} <= set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_concept(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 420
    assert not path.name.startswith(("util", "helper", "misc"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_command_line_knows_the_terminal(path: Path) -> None:
    if path.relative_to(ROOT).parts[0] == "cli":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }
    assert not imported & {"tyro", "rich"}
    assert not any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        for node in ast.walk(tree)
    )


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nsys.stderr.write(' '.join(sys.modules))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stderr.split()
    )


def test_importing_the_package_loads_nothing_slow() -> None:
    assert not loaded_by("import inklings") & {
        "torch",
        "numpy",
        "tokenizers",
        "altair",
        "rich",
        "tyro",
    }


def test_help_and_lists_load_no_torch() -> None:
    for line in (["--help"], ["models"], ["corpora"], ["nonsense"]):
        assert "torch" not in loaded_by(f"from inklings.cli.main import main\nmain({line!r})"), line


def test_the_version_stands_in_one_place() -> None:
    repository = Path(__file__).parents[1]
    for name in ("pyproject.toml", "CITATION.cff"):
        assert inklings.__version__ not in (repository / name).read_text(encoding="utf-8"), (
            f"{name} says the version once more"
        )


def test_public_names_are_all_there() -> None:
    for name in inklings.__all__:
        assert getattr(inklings, name) is not None
    with pytest.raises(AttributeError):
        inklings.nothing_of_the_kind  # noqa: B018  # the access is the test
