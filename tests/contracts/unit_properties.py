"""What an architecture promises of its units, whose weights may be elsewhere between two calls."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.testing import assert_close

from .subjects import NotApplicableError, Subject, cross_entropy, random_tokens, with_documents


class Absent(nn.Parameter):
    """A weight that is not there: what it would have of shape, type and device, and no numbers."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", str(func))
        if name == "__get__":  # of an attribute
            name = getattr(getattr(func, "__self__", None), "__name__", name)
        assert name in _KNOWN, f"a unit's weight is used outside of its own forward (by {name})"
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


_KNOWN = ("shape", "dtype", "device", "is_floating_point", "requires_grad", "grad", "ndim")


@contextlib.contextmanager
def taken_away(units: Sequence[nn.Module]) -> Iterator[list[int]]:
    """Weights of units are there while they are called; gives how often each was."""
    owners = [
        {
            (module, name): parameter
            for module in unit.modules()
            for name, parameter in module.named_parameters(recurse=False)
        }
        for unit in units
    ]
    calls = [0] * len(units)

    def put(index: int, *, there: bool) -> None:
        for (module, name), parameter in owners[index].items():
            module._parameters[name] = parameter if there else Absent(parameter.detach())

    def before(index: int) -> Callable[..., None]:
        def come(*given: Any) -> None:
            calls[index] += 1
            put(index, there=True)

        return come

    def after(index: int) -> Callable[..., None]:
        return lambda *given: put(index, there=False)

    hooks = []
    for index, unit in enumerate(units):
        put(index, there=False)
        hooks.append(unit.register_forward_pre_hook(before(index)))
        hooks.append(unit.register_forward_hook(after(index)))
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()
        for index in range(len(units)):
            put(index, there=True)


def check_units(subject: Subject) -> None:
    """Weights of a unit are used in its own forward alone, which every pass calls once.

    So they may lie elsewhere between two calls, and processes of unequal tokens bring them together
    at the same moments.
    """
    model = subject.build()
    units = model.units()
    if not units:
        raise NotApplicableError("it declares no units")
    inner = [{id(p) for p in unit.parameters()} for unit in units]
    assert sum(map(len, inner)) == len(set().union(*inner)), "two units share a weight"
    rest = [*_outside(model, units)]
    assert not set().union(*inner) & set(map(id, rest)), "a weight of a unit is tied to another"
    length = 3 * model.config.context_length + 3
    tokens = random_tokens(model.config.vocab_size, 3, length)
    marked, starts = with_documents(tokens)

    def learn() -> list[Tensor]:
        torch.manual_seed(0)
        found = []
        for state in (None, model.initial_state(3)):
            for parameter in parameters:  # also of those that are not there
                parameter.grad = None
            loss = cross_entropy(model, tokens, state)
            loss.backward()
            found += [loss, *(p.grad.clone() for p in parameters if p.grad is not None)]
        return found

    def read() -> list[Tensor]:
        found = []
        model.eval()
        with torch.no_grad():
            for given, marks in ((tokens, None), (marked, starts)):
                found.append(model(given, starts=marks).logits)
                state = model.initial_state(3)
                for piece in (slice(0, 1), slice(1, 2), slice(2, length)):
                    output = model(
                        given[:, piece], state, starts=None if marks is None else marks[:, piece]
                    )
                    state = output.state
                    found.append(output.logits)
        model.train()
        return found

    parameters = list(model.parameters())
    for work, passes in ((learn, 2), (read, 8)):
        expected = work()
        with taken_away(units) as calls:
            found = work()
        assert calls == [passes] * len(units), f"{passes} passes call the units {calls} times"
        for one, other in zip(found, expected, strict=True):
            # where one token is read, a CPU may add up in another order, if nobody looks
            assert_close(one, other, rtol=1e-4, atol=1e-5)


def _outside(module: nn.Module, units: Sequence[nn.Module]) -> Iterator[nn.Parameter]:
    if any(module is unit for unit in units):
        return
    yield from module.parameters(recurse=False)
    for child in module.children():
        yield from _outside(child, units)
