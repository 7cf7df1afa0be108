"""Shapes in the signatures of the package, checked while tests run.

jaxtyping's own import hook decorates every function of every module, nested ones anew at each call
of what they stand in, and checks each call: it makes tests three times as long. Here the functions
and dataclasses that name a shape are decorated, once, and in each test the first calls of each are
checked, and one in many after them. Other types are mypy's.
"""

from __future__ import annotations

import ast
import functools
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import CodeType, ModuleType
from typing import Any, TypeVar

from beartype import beartype

PACKAGE = "inklings"
ALWAYS, THEN_ONE_IN = 20, 50
Definition = TypeVar("Definition", ast.FunctionDef, ast.ClassDef)

# how many tests have begun: a number of its own for each
_test = [0]


def new_test() -> None:
    """Check the next calls of every function again."""
    _test[0] += 1


def sampled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check the first calls of a function in each test, and one in many of the others."""
    checked = beartype(function)
    test, calls = -1, 0

    @functools.wraps(function)
    def check(*arguments: Any, **named: Any) -> Any:
        nonlocal test, calls
        if test != _test[0]:
            test, calls = _test[0], 0
        calls += 1
        if calls <= ALWAYS or calls % THEN_ONE_IN == 0:
            return checked(*arguments, **named)
        return None

    return check


def names_a_shape(annotation: ast.expr | None) -> bool:
    """Whether an annotation has a part like `Float[Tensor, "B T"]`."""
    return annotation is not None and any(
        isinstance(part, ast.Subscript)
        and isinstance(part.slice, ast.Tuple)
        and isinstance(part.slice.elts[-1], ast.Constant)
        and isinstance(part.slice.elts[-1].value, str)
        and isinstance(part.value, ast.Name)
        and part.value.id != "Literal"
        for part in ast.walk(annotation)
    )


class Decorate(ast.NodeTransformer):
    """Decorates what names a shape; functions in functions are left alone."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Decorate a function of a module or a class."""
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        annotations = [argument.annotation for argument in named] + [node.returns]
        return decorated(node, last=True) if any(map(names_a_shape, annotations)) else node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        """Decorate a class for its fields, and its methods."""
        fields = [part.annotation for part in node.body if isinstance(part, ast.AnnAssign)]
        self.generic_visit(node)
        return decorated(node, last=False) if any(map(names_a_shape, fields)) else node


def decorated(node: Definition, *, last: bool) -> Definition:
    """Add the decorator next to the function, or around all others of the class."""
    call = ast.parse(
        "__import__('jaxtyping').jaxtyped(typechecker=__import__('sys').modules"
        f"[{__name__!r}].sampled)",
        mode="eval",
    ).body
    for part in ast.walk(call):
        ast.copy_location(part, node)
    node.decorator_list.insert(len(node.decorator_list) if last else 0, call)
    return node


class Loader(importlib.machinery.SourceFileLoader):
    """Loads a module with its shapes checked; bytecode on disk stays that of the plain module."""

    def get_code(self, fullname: str) -> CodeType | None:
        """Compile the decorated source."""
        path = self.get_filename(fullname)
        tree = Decorate().visit(ast.parse(self.get_data(path), path))
        return compile(tree, path, "exec", dont_inherit=True)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of the package that use jaxtyping."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module as ever, and load it by the loader that decorates."""
        if not fullname.startswith(f"{PACKAGE}."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return None
        if b"jaxtyping" not in spec.loader.get_data(spec.loader.path):
            return None
        spec.loader = Loader(fullname, spec.loader.path)
        return spec


def install() -> None:
    """Check the shapes of all that is imported from now on."""
    sys.meta_path.insert(0, Finder())
