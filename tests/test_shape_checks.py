"""Shapes are checked while tests run: what names one is decorated, and its first calls are seen."""

from __future__ import annotations

import ast

import pytest
import torch
from jaxtyping import Float, TypeCheckError, jaxtyped
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
    assert ("jaxtyped" in ast.unparse(tree)) is found


def test_first_calls_are_checked_in_every_test_and_one_in_many_after_them() -> None:
    @jaxtyped(typechecker=shape_checks.sampled)
    def row(x: Float[Tensor, " T"]) -> Float[Tensor, " T"]:
        return x

    def refused(calls: int) -> int:
        count = 0
        for _ in range(calls):
            try:
                row(torch.zeros(2, 2))
            except TypeCheckError:
                count += 1
        return count

    assert refused(shape_checks.ALWAYS) == shape_checks.ALWAYS
    assert 0 < refused(10 * shape_checks.THEN_ONE_IN) < shape_checks.THEN_ONE_IN
    shape_checks.new_test()
    assert refused(1) == 1
