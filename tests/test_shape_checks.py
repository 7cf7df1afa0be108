"""Shapes are checked while tests run: what names one is decorated, and new shapes are looked at."""

from __future__ import annotations

import ast

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from inklings.models.textgan.critic import spread_appended
from tests import shape_checks


def test_a_wrong_shape_in_the_package_is_an_error() -> None:
    with pytest.raises(TypeCheckError):
        spread_appended(torch.zeros(2, 3, 4))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('def f(x: Float[Tensor, "B T"]) -> None: ...', True),
        ('def f(x: int, *, y: Int[Tensor, "B"] | None = None): ...', True),
        ('def f() -> list[Bool[Tensor, "*N"]]: ...', True),
        ('class A:\n    def f(self) -> Float[Tensor, ""]: ...', True),
        ('@dataclass\nclass A:\n    x: Float[Tensor, "B"]', True),
        ('def f(x: dict[str, Tensor], y: Literal["a", "b"]) -> None: ...', False),
    ],
)
def test_what_names_a_shape_is_decorated(source: str, found: bool) -> None:
    tree = shape_checks.Decorate().visit(ast.parse(source))
    assert ("shape_checks" in ast.unparse(tree)) is found


def test_shapes_that_passed_are_not_checked_again_in_a_file_and_wrong_ones_are_refused_always(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    width = 3

    @shape_checks.checked
    def row(x: Float[Tensor, " T"], times: int = 1) -> Float[Tensor, " T"]:
        return torch.zeros(width)

    monkeypatch.setattr(shape_checks, "_passed", set())
    row(torch.zeros(3))
    for _ in range(3):
        with pytest.raises(TypeCheckError):
            row(torch.zeros(2))
        with pytest.raises(TypeCheckError):
            row(torch.zeros(2, 2))
    with pytest.raises(TypeCheckError):
        row(torch.zeros(3, dtype=torch.int64))
    width = 4
    row(torch.zeros(3))
    for other in ({"times": 2}, {"times": None}):
        with pytest.raises(TypeCheckError):
            row(torch.zeros(3), **other)
    monkeypatch.setattr(shape_checks, "_file", ["another file"])
    shape_checks.tests_of(__file__)
    with pytest.raises(TypeCheckError):
        row(torch.zeros(3))
