"""The house.

Imports run one way, files stay small, nothing happens on import, nothing prints outside the command
line.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import inklings

ROOT = Path(inklings.__file__).parent

ORDER = [
    "errors",
    "amounts",
    "durable",
    "registry",
    "optimizers",
    "values",
    "config",
    "fields",
    "seeds",
    "device",
    "cut_tensors",
    "words",
    "world",
    "events",
    "showing",
    "text",
    "layers",
    "memory",
    "models",
    "runs",
    "generation",
    "evaluation",
    "training",
    "auditing",
    "lab",
    "interop",
    "serving",
    "cli",
    "interface",
]
"""A package may import those before it, never those after it."""

PARTS = {"Attention", "Block", "FeedForward"}
"""Parts of an architecture, which every architecture's file may call as the field does."""
ONCE_IN_EACH_FOLDER = {"config", "model", "settings", "result", "trial"}
"""Names of modules that may stand once in each folder of a room."""

MODULES = sorted(path for path in ROOT.rglob("*.py") if "templates" not in path.parts)


def name_of(path: Path) -> str:
    """The dotted name of a module, without that of the package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """What stands in a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


NAMES = {name_of(path) for path in MODULES}


def imported_modules(path: Path, *, at_run_time: bool = False) -> set[str]:
    """The modules of the package that a file imports, wherever in the file it does.

    With `at_run_time` those that are only imported inside functions, or for types, are left out.
    """
    nodes: list[ast.AST] = list(ast.walk(tree_of(path)))
    if at_run_time:
        nodes = list(tree_of(path).body)
    modules = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("inklings"):
            home = (node.module or "").removeprefix("inklings").removeprefix(".")
            for alias in node.names:
                inner = f"{home}.{alias.name}" if home else alias.name
                modules.add(inner if inner in NAMES else home)
        elif isinstance(node, ast.Import):
            modules |= {
                alias.name.removeprefix("inklings.")
                for alias in node.names
                if alias.name.startswith("inklings.")
            }
    return modules - {""}


def room_of(module: str) -> str:
    """The part of the package that a module stands in."""
    return module.split(".")[0]


def test_imports_run_one_way() -> None:
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in MODULES
        if (room := room_of(name_of(path))) not in ("__init__", "__main__", "")
        for module in imported_modules(path)
        if room_of(module) in ORDER[ORDER.index(room) + 1 :]
    ]
    assert not wrong, "a room may import those before it in ORDER, never those after it"


def test_no_module_is_named_that_must_not_be_imported() -> None:
    """A module whose name is in a string goes around the direction of imports.

    Registries may: they name records, with a colon.
    """
    wrong = [
        f"{name_of(path)} names {node.value}"
        for path in MODULES
        if (room := room_of(name_of(path))) not in ("__init__", "__main__", "")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and (named := node.value.removeprefix("inklings.")) in NAMES
        and node.value.startswith("inklings.")
        and room_of(named) in ORDER[ORDER.index(room) + 1 :]
    ]
    assert not wrong


def test_modules_import_each_other_in_no_circle() -> None:
    arrows = {name_of(path): imported_modules(path, at_run_time=True) for path in MODULES}
    state: dict[str, str] = {}
    circles = []

    def visit(module: str, way: tuple[str, ...]) -> None:
        state[module] = "open"
        for other in sorted(arrows.get(module, set())):
            if state.get(other) == "open":
                circles.append(" -> ".join([*way[way.index(other) :], other]))
            elif other not in state:
                visit(other, (*way, other))
        state[module] = "closed"

    for module in sorted(arrows):
        if module not in state:
            visit(module, (module,))
    assert not circles


def test_every_room_has_its_place_in_the_order() -> None:
    rooms = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in MODULES}
    assert rooms - {"__init__", "__main__"} <= set(ORDER)


def test_no_room_bears_the_name_of_a_public_function() -> None:
    rooms = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in MODULES}
    assert not (rooms - {"__init__", "__main__"}) & {*inklings.__all__, "judge"}


def test_a_folder_can_be_read_as_a_list() -> None:
    folders = Counter(path.parent for path in MODULES)
    full = {str(folder.relative_to(ROOT)): count for folder, count in folders.items() if count > 20}
    assert set(full) <= {"cli"}, "a folder of more than twenty files is two folders"


def test_a_file_holds_one_concept() -> None:
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert not {name: count for name, count in lines.items() if count > 420}
    assert not [path for path in MODULES if path.name.startswith(("util", "helper", "misc"))]


def test_no_two_classes_share_a_name() -> None:
    """But the parts of an architecture, which the field calls alike."""
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(name_of(path))
    twice = {
        name: places
        for name, places in homes.items()
        if sum(room_of(place) != "models" for place in places) + (name not in PARTS) > 1
        and len(places) > 1
    }
    assert not twice


def test_no_two_modules_of_a_room_share_a_name() -> None:
    names: dict[tuple[str, str], list[str]] = {}
    for path in MODULES:
        if path.name != "__init__.py" and path.stem not in ONCE_IN_EACH_FOLDER:
            names.setdefault((room_of(name_of(path)), path.stem), []).append(name_of(path))
    assert not [places for places in names.values() if len(places) > 1]


def test_only_the_command_line_knows_the_terminal() -> None:
    for path in MODULES:
        if room_of(name_of(path)) == "cli":
            continue
        imported = {
            name.split(".")[0]
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
            )
        }
        assert not imported & {"tyro", "rich"}, path
        assert not any(
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
            for node in ast.walk(tree_of(path))
        ), path


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nsys.stderr.write(' '.join(sys.modules))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stderr.split()
    )


def test_the_version_stands_in_one_place() -> None:
    repository = Path(__file__).parents[1]
    for name in ("pyproject.toml", "CITATION.cff"):
        assert inklings.__version__ not in (repository / name).read_text(encoding="utf-8"), (
            f"{name} says the version once more"
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


def test_help_lists_and_texts_load_no_torch() -> None:
    lines = (["--help"], ["models"], ["corpora"], ["nonsense"], ["prepare", str(Path(__file__))])
    calls = "; ".join(f"main({line!r})" for line in lines)
    assert "torch" not in loaded_by(f"from inklings.cli.main import main; {calls}")


def test_opening_a_run_loads_no_compiler() -> None:
    """A size that torch tells by a decomposition loads it, which takes as long as all the rest."""
    begin = ["generate", "builtin:reference", "--max-new-tokens", "1"]
    found = loaded_by(f"from inklings.cli.main import main; main({begin!r})")
    assert "torch" in found and not {"torch._dynamo", "sympy"} & set(found)


def test_public_names_are_all_there() -> None:
    for name in inklings.__all__:
        assert getattr(inklings, name) is not None
    with pytest.raises(AttributeError):
        inklings.nothing_of_the_kind  # noqa: B018  # the access is the test
