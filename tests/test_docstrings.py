"""What is public says what it is, and what its arguments are."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator

from tests.test_house import MODULES, name_of, tree_of

FEWEST_WORDS = 4
"""Fewer words say nothing: "The rest.", "See the module."."""
FEW_PARAMETERS = 2
"""A function with more of them has a section `Args:`."""
VERBS_ARE_NOT = {"a", "all", "an", "each", "every", "how", "of", "the", "those", "what", "whether"}
"""Words that a sentence about what a function does cannot begin with."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.ClassDef | Function


def definitions(
    body: list[ast.stmt], name: str = "", owner: ast.ClassDef | None = None
) -> Iterator[tuple[str, Documented, ast.ClassDef | None]]:
    """The public classes, functions and methods of a module, each with its name and its class."""
    for node in body:
        if isinstance(node, ast.If):
            yield from definitions(node.body + node.orelse, name, owner)
        if not isinstance(node, Documented) or node.name.startswith("_"):
            continue
        yield f"{name}{node.name}", node, owner
        if isinstance(node, ast.ClassDef):
            yield from definitions(node.body, f"{name}{node.name}.", node)


@functools.cache
def public() -> list[tuple[str, Documented, ast.ClassDef | None]]:
    """All that is public, with the names of its modules."""
    return [
        (f"{name_of(path)}: {name}", node, owner)
        for path in MODULES
        for name, node, owner in definitions(tree_of(path).body)
    ]


@functools.cache
def classes() -> dict[str, ast.ClassDef]:
    """The public classes by their names."""
    return {node.name: node for _, node, _ in public() if isinstance(node, ast.ClassDef)}


def decorators(node: Documented) -> set[str]:
    """The last names of what decorates a definition: `property`, `setter`, `overload`."""
    return {ast.unparse(each).rpartition(".")[2].partition("(")[0] for each in node.decorator_list}


def parameters(function: Function) -> list[str]:
    """The parameters of a function, without the object or class that it belongs to."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args)]
    names += [given.vararg.arg] if given.vararg else []
    names += [each.arg for each in given.kwonlyargs]
    names += [given.kwarg.arg] if given.kwarg else []
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def is_inherited(name: str, owner: ast.ClassDef | None) -> bool:
    """Whether a base class of ours has the method, and so says what its arguments are."""
    bases = [] if owner is None else owner.bases
    ours = [classes().get(re.split(r"[\[.]", ast.unparse(base))[0]) for base in bases]
    return any(
        any(isinstance(node, Function) and node.name == name for node in base.body)
        or is_inherited(name, base)
        for base in ours
        if base is not None
    )


def explained(docstring: str) -> set[str]:
    """The arguments that a section `Args:` names."""
    section = re.search(r"^Args:\n((?: .*\n?|\n)*)", docstring, re.MULTILINE)
    return set(re.findall(r"^ {4}\*{0,2}(\w+):", section[1], re.MULTILINE)) if section else set()


def test_what_is_public_says_what_it_is() -> None:
    modules = [(name_of(path), tree_of(path)) for path in MODULES if tree_of(path).body]
    silent = [
        name
        for name, node in (*modules, *((name, node) for name, node, _ in public()))
        if len((ast.get_docstring(node) or "").split()) < FEWEST_WORDS
        and not (isinstance(node, Documented) and decorators(node) & {"setter", "overload"})
    ]
    assert not silent, "a docstring names its subject, or is not worth having"


def test_functions_of_three_parameters_or_more_explain_each() -> None:
    """A method that a base class explains need not do it again."""
    wanting = [
        f"{name}({', '.join(missing)})"
        for name, node, owner in public()
        if isinstance(node, Function)
        and len(parameters(node)) > FEW_PARAMETERS
        and not is_inherited(node.name, owner)
        and "overload" not in decorators(node)
        and (missing := sorted({*parameters(node)} - explained(ast.get_docstring(node) or "")))
    ]
    assert not wanting, "name each argument under `Args:`, in a line"


def test_what_a_function_does_begins_with_a_verb() -> None:
    nouns = [
        f"{name}: {said[0]}"
        for name, node, _ in public()
        if isinstance(node, Function)
        and not decorators(node) & {"property", "cached_property", "setter", "overload"}
        and (said := (ast.get_docstring(node) or "").splitlines())
        and re.split(r"\W", said[0].lower())[0] in VERBS_ARE_NOT
    ]
    assert not nouns, "say what it does: `Return ...`, `Read ...`; a property may name its value"
