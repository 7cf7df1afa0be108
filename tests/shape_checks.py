"""Shapes in the signatures of the package, checked while tests run.

jaxtyping's own import hook decorates every function of every module, nested ones anew at each call
of what they stand in, and checks each call: it makes tests three times as long. Here the functions
and dataclasses that name a shape are decorated, once, and in each file of tests a call is checked
if none of the same shapes has passed before. Other types are mypy's.
"""

from __future__ import annotations

import ast
import functools
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Hashable, Sequence
from types import CodeType, ModuleType, NoneType
from typing import Any, TypeVar

from beartype import beartype
from jaxtyping import jaxtyped
from torch import Tensor
from torch.compiler import is_compiling

PACKAGE = "inklings"
Definition = TypeVar("Definition", ast.FunctionDef, ast.ClassDef)

# what was called and passed in the file of tests that runs
_passed: set[tuple[Any, ...]] = set()
_file = [""]


def tests_of(path: str) -> None:
    """Check all shapes again, where another file of tests begins."""
    if path != _file[0]:
        _file[0] = path
        _passed.clear()


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check the calls of a function whose arguments are of shapes that have not passed yet."""
    strict = jaxtyped(function, typechecker=beartype)

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if is_compiling():  # sizes are symbols, and to look at one would fix it
            return function(*arguments, **named)
        key = (function, *map(_shape, arguments), *named, *map(_shape, named.values()))
        if key in _passed:
            return function(*arguments, **named)
        result = strict(*arguments, **named)
        _passed.add(key)  # a refused one is refused again
        return result

    return call


def _shape(value: Any) -> Any:
    """Return what a check of a value looks at; of our models, their settings decide."""
    if isinstance(value, Tensor):
        return value.shape, value.dtype
    if isinstance(value, (int, str, bool, NoneType)):
        return value
    config = getattr(value, "config", None)
    ours = type(config).__module__.startswith(f"{PACKAGE}.") and isinstance(config, Hashable)
    return config if ours else type(value)


def checked_class(kind: type[Any]) -> type[Any]:
    """Check the fields of a dataclass each time that one is made."""
    plain = kind.__init__
    made: type[Any] = jaxtyped(kind, typechecker=beartype)
    strict = made.__init__
    if strict is plain:  # no dataclass
        return made

    @functools.wraps(plain)
    def begin(self: Any, *arguments: Any, **named: Any) -> None:
        (plain if is_compiling() else strict)(self, *arguments, **named)

    made.__init__ = begin
    return made


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
    name = "checked_class" if isinstance(node, ast.ClassDef) else "checked"
    call = ast.parse(f"__import__('sys').modules[{__name__!r}].{name}", mode="eval").body
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
