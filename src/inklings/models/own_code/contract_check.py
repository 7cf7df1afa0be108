"""The contract of a user's own architecture, tried on a few tokens before anything is trained.

One message for the first clause that is broken: the file and line, what was found, what is allowed.
The audit asks much more, and of every architecture; this is what the first minutes of a new file
need, in a fraction of a second.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from inklings.errors import ArchitectureError, InklingsError
from inklings.models.backbone import parse_model_fields
from inklings.models.contract import (
    Architecture,
    ModelConfig,
    Output,
    SequenceModel,
    State,
    parameter_count,
)
from inklings.models.from_noise import Drawn, SampleModel
from inklings.models.objectives import objective_of
from inklings.models.own_code.places import place_of, raised_at
from inklings.models.registry import ARCHITECTURES, build, load_class, split_name

# all different, so that a swapped dimension shows
ROWS, LENGTH, VOCABULARY = 2, 5, 13
LARGE = 50_000_000
"""Parameters from which a model is not built a second time only to try it."""

Made = TypeVar("Made")


def try_contract(architecture: str, fields: Mapping[str, Any]) -> None:
    """Try whether a user's architecture keeps the contract that training relies on.

    The architectures that ship keep it. Torch's generator is left as it was.

    Args:
        architecture: as in `registry.build`.
        fields: fields of its configuration that the user set.

    Raises:
        ArchitectureError: it does not; the message says where and what is allowed.
        ConfigError: a field cannot be used.
    """
    kind = load_class(architecture)
    inner = fields.get(kind.wraps) if kind.wraps else None
    if inner:
        name, text = split_name(inner)
        try_contract(name, parse_model_fields(name, text))
    if architecture in ARCHITECTURES:
        return
    _declared(kind)
    given = {"vocab_size": VOCABULARY, "boundary_token": 0}
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                large = parameter_count(build(architecture, fields, **given)) > LARGE
        except Exception:  # a user's code may raise anything; it is told below, where it is real
            large = False
        if large:
            return
        model = _call(kind, lambda: build(architecture, fields, **given), "__init__")
        if not isinstance(getattr(model, "config", None), ModelConfig):
            raise _broken(kind, "__init__", "sets no `config`", "call super().__init__(config)")
        if isinstance(model, SequenceModel):
            _reads_tokens(kind, model)
        elif isinstance(model, SampleModel):
            _makes_texts(kind, model)


def _declared(kind: type[Architecture]) -> None:
    """Check what a class says of itself, before it is built."""
    known = {field.name for field in dataclasses.fields(kind.Config)}
    for base in reversed(kind.Config.__mro__):
        forgotten = [
            name
            for name, annotation in vars(base).get("__annotations__", {}).items()
            if name not in known and "ClassVar" not in str(annotation)
        ]
        if forgotten:
            raise ArchitectureError(
                f"{place_of(base)}: {base.__name__} has no decorator, so {_listed(forgotten)}"
                " cannot be set. Put @dataclass(frozen=True, kw_only=True) above the class."
            )
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise ArchitectureError(
            f"{place_of(kind)}: {kind.__name__} lacks {_listed(missing)}. Define"
            f" {'it' if len(missing) == 1 else 'them'}; `inklings new` writes a file that has all."
        )
    if issubclass(kind, SequenceModel):
        names = inspect.signature(kind.forward).parameters
        for wanted in ("state", "starts"):
            if wanted not in names and not any(p.kind is p.VAR_KEYWORD for p in names.values()):
                raise _broken(
                    kind,
                    "forward",
                    f"has no argument `{wanted}`",
                    "its signature is forward(self, tokens, state=None, *, starts=None)",
                )


def _reads_tokens(kind: type[Architecture], model: SequenceModel) -> None:
    tokens = torch.randint(VOCABULARY, (ROWS, LENGTH))
    model.eval()
    state = _call(kind, lambda: model.initial_state(ROWS), "initial_state")
    form = _form(kind, "initial_state", state)
    with torch.no_grad():
        fresh = _call(kind, lambda: model(tokens), "forward")
        _output(kind, fresh, "forward(tokens)")
        streamed = _call(kind, lambda: model(tokens, state), "forward")
        _output(kind, streamed, "forward(tokens, state)")
    if streamed.state is None:
        raise _broken(
            kind,
            "forward",
            "returns no state although it was given one",
            "return Output(..., state=...) with the state after the last token",
        )
    after = _form(kind, "forward", streamed.state)
    if after != form:
        raise _broken(
            kind,
            "forward",
            f"returns a state of the form {after}",
            f"keep the form of `initial_state`: {form}",
        )
    cost = _call(kind, lambda: model.flops(LENGTH), "flops")
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < math.inf:
        raise _broken(kind, "flops", f"returns {cost!r}", "a number of operations, 0 or more")
    for weight in _call(kind, model.matrices, "matrices"):
        if weight.ndim != 2:
            raise _broken(
                kind,
                "matrices",
                f"returns a weight of shape {tuple(weight.shape)}",
                "weights of two dimensions",
            )
    if objective_of(model).learns_by_likelihood:
        _learns(kind, model, tokens)


def _learns(kind: type[Architecture], model: SequenceModel, tokens: Tensor) -> None:
    """Take one training pass over rows with boundaries inside, and its gradients."""
    model.train()
    starts = torch.zeros(ROWS, LENGTH, dtype=torch.bool)
    starts[0, 2] = starts[1, 0] = True
    output = _call(kind, lambda: model(tokens, starts=starts), "forward")
    _output(kind, output, "forward(tokens, starts=starts) in training")
    loss = F.cross_entropy(output.logits.flatten(0, 1).float(), tokens.flatten())
    for extra in output.losses.values():
        loss = loss + extra
    if not loss.requires_grad:
        raise _broken(
            kind,
            "forward",
            "gives logits that no weight has a gradient for",
            "do not detach them, and compute with weights that are nn.Parameter",
        )
    _call(kind, loss.backward, "forward")


def _makes_texts(kind: type[Architecture], model: SampleModel) -> None:
    length = model.config.context_length
    noise = _call(kind, lambda: model.noise(ROWS, length), "noise")
    with torch.no_grad():
        drawn = _call(kind, lambda: model(noise), "forward")
    if not isinstance(drawn, Drawn):
        raise _broken(kind, "forward", f"returns {_what(drawn)}", "return Drawn(...)")
    for name, expected in (
        ("tokens", (ROWS, length)),
        ("rows", (ROWS, length, VOCABULARY)),
        ("logits", (ROWS, length, VOCABULARY)),
    ):
        found = tuple(getattr(drawn, name).shape)
        if found != expected:
            raise _broken(
                kind,
                "forward",
                f"returns {name} of shape {found} for the noise of {ROWS} texts of {length} tokens",
                f"the shape {expected}",
            )
    _call(kind, model.make_critic, "make_critic")
    _call(kind, lambda: model.text_flops(length), "text_flops")


def _output(kind: type[Architecture], output: Any, call: str) -> None:
    if not isinstance(output, Output):
        raise _broken(
            kind,
            "forward",
            f"returns {_what(output)} for {call}",
            "return Output(logits=..., state=..., hidden=...), of inklings.models.contract",
        )
    expected = (ROWS, LENGTH, VOCABULARY)
    found = tuple(output.logits.shape)
    if found != expected:
        swapped = found == (LENGTH, ROWS, VOCABULARY)
        raise _broken(
            kind,
            "forward",
            f"returns logits of shape {found} for tokens of shape {(ROWS, LENGTH)}",
            f"(B, T, V) = {expected}" + (": the batch comes first" if swapped else ""),
        )
    if not output.logits.is_floating_point():
        raise _broken(
            kind, "forward", f"returns logits of type {output.logits.dtype}", "floating point"
        )
    if not bool(torch.isfinite(output.logits).all()):
        raise _broken(kind, "forward", "returns logits that are NaN or infinite", "finite numbers")
    if output.hidden.ndim != 3 or tuple(output.hidden.shape[:2]) != (ROWS, LENGTH):
        raise _broken(
            kind,
            "forward",
            f"returns `hidden` of shape {tuple(output.hidden.shape)}",
            f"(B, T, C) = ({ROWS}, {LENGTH}, C), or leave it out",
        )
    if not isinstance(output.losses, dict):
        raise _broken(
            kind,
            "forward",
            f"returns losses as {_what(output.losses)}",
            "a dict of names to losses",
        )
    for name, loss in output.losses.items():
        if not isinstance(loss, Tensor) or loss.ndim:
            raise _broken(
                kind,
                "forward",
                f"returns the loss {name!r} as {_what(loss)}",
                "a tensor of one number: take its mean",
            )


def _form(kind: type[Architecture], method: str, state: Any) -> dict[str, tuple[int, ...]]:
    if not isinstance(state, State):
        raise _broken(
            kind,
            method,
            f"gives {_what(state)} for a state",
            "State({name: tensor, ...}), of inklings.models.contract",
        )
    for name, tensor in state.tensors.items():
        if not isinstance(tensor, Tensor):
            raise _broken(
                kind,
                method,
                f"has {_what(tensor)} as {name!r} in its state",
                "tensors; State.layered makes one of a list of layers",
            )
        if tensor.shape[:1] != (ROWS,):
            raise _broken(
                kind,
                method,
                f"has {name!r} of shape {tuple(tensor.shape)} in the state of {ROWS} rows",
                "tensors whose first dimension is the batch",
            )
    if not state.tensors:
        raise _broken(
            kind,
            method,
            "gives a state without tensors",
            "at least one with the batch first, such as the position: zeros of shape (B,)",
        )
    return {name: tuple(tensor.shape) for name, tensor in state.tensors.items()}


def _call(kind: type[Architecture], function: Callable[[], Made], method: str) -> Made:
    """Call a user's code; whatever it raises is told once, with its place."""
    try:
        return function()
    except InklingsError:
        raise
    except Exception as error:
        what = " ".join(str(error).split())
        hint = (
            " Call super().__init__(config) first."
            if "before Module.__init__() call" in what
            else ""
        )
        raise ArchitectureError(
            f"{raised_at(error, kind)}: {kind.__name__}.{method} raises"
            f" {type(error).__name__}: {what}{'' if what.endswith('.') else '.'}{hint}"
        ) from error


def _broken(kind: type, name: str, found: str, allowed: str) -> ArchitectureError:
    return ArchitectureError(
        f"{place_of(kind, name)}: {kind.__name__}.{name} {found}. Allowed: {allowed}."
    )


def _what(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    article = "an" if type(value).__name__[0] in "aeiouAEIOU" else "a"
    return f"{article} {type(value).__name__}"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
