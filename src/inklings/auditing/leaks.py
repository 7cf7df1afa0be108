"""Looking for a leak under every condition on which one was ever seen to depend.

A leak may open in batches of some size, in rows of some length, where documents begin within a row,
with gradients or without, in one pass of ten, at some tokens, or after so many steps. So batches
have the shapes of training and of evaluation and one above each; rows are long, or many; all tokens
of the vocabulary occur; and every counter is wound forward. Each batch is made of twins.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from inklings.auditing.probes import span
from inklings.auditing.snapshot import Snapshot, untouched
from inklings.auditing.traces import locate, parted, traced
from inklings.auditing.twins import (
    Setting,
    Twins,
    apart,
    pass_of,
    tolerated,
    with_every_token,
    with_one_other_token,
    with_other_tails,
)
from inklings.models.contract import SequenceModel, parameter_count

WORK = 2e10
"""A batch has at most so many tokens times parameters, but `FEWEST_TOKENS` in any case."""
FEWEST_TOKENS = 3072
WHOLE_TOKENS = 640
"""Of a model that looks up all of a document for each token, but in the shape of training."""
LONG = 1100
"""Positions of the longest rows."""
OFTEN = 40
"""Short passes in training: what opens in one of ten stays closed in all of them once in 70."""
VOCABULARY = 1024
"""Of more tokens than so many, the first, the last and some between are tried."""
PLAIN = 2
"""The first trials in evaluation ask for nothing but some rows."""
FAR = 10_000
"""By how much counters are wound forward."""


@dataclass(frozen=True)
class Leak:
    """The first place where the future is seen."""

    mode: str
    """`evaluation` or `training`."""
    module: str
    """The first module, in the order of computation, whose code computes something at a position
    that depends on a later token.
    """
    offset: int
    """How many positions ahead of a prediction a token lies that it depends on, as far as was
    tried.
    """
    effect: float
    """Largest change of a logit at an earlier position; 0 where only a gradient shows the leak."""
    when: str = ""
    """How the pass was made that shows it, where plain ones do not."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One pass over twins."""

    setting: Setting
    make: Callable[[], Twins]
    seed: int = 0
    note: str = ""
    """What is special about it, beside its shape."""


def twin_leak(
    model: SequenceModel, shape: tuple[int, int], *, training: bool, seed: int = 0
) -> Leak | None:
    """Return the first leak that twins show in one mode; the model is left as it was.

    Args:
        model: the model.
        shape: rows and positions of a training batch.
        training: whether the mode is that of training.
        seed: of the tokens.
    """
    with untouched(model):
        leak = _first(model, _trials(model, shape, training=training, seed=seed), anew=True)
        if leak is None and training:
            leak = _first(model, _often(model, seed), anew=False)
    if leak is not None:
        return leak
    with untouched(model) as later:
        moved = wind_forward(later, training=training)
        # a number that no model ever counts to may be too many for it
        with contextlib.suppress(Exception):
            return _first(later, _after_counting(later, training, seed, moved), anew=True)
    return None


def plain_twin_leak(model: SequenceModel, *, seed: int = 0) -> Leak | None:
    """Find the first leak that twins show in evaluation, with only documents in rows."""
    with untouched(model):
        trials = _trials(model, (2, 2), training=False, seed=seed)
        return _first(model, itertools.islice(trials, PLAIN), anew=True)


def _first(model: SequenceModel, trials: Iterable[Trial], *, anew: bool) -> Leak | None:
    """The first leak of some trials.

    `anew` is whether each pass is made as if none had been before.
    """
    before = Snapshot(model)
    for trial in trials:
        twins = trial.make()
        logits = pass_of(model, twins.tokens, twins.starts, setting=trial.setting, seed=trial.seed)
        effect, row = apart(logits, twins)
        if effect > tolerated(logits):
            return _leak(model, trial, twins, row, effect, before)
        if anew:
            before.restore()
    return None


def _leak(
    model: SequenceModel, trial: Trial, twins: Twins, row: int, effect: float, before: Snapshot
) -> Leak:
    """Say where the leak is that two twins show."""
    shape = (twins.tokens.shape[0], twins.tokens.shape[1])
    first = torch.arange(shape[0], device=twins.tokens.device).roll(-row)

    def run(tokens: Int[Tensor, "B T"], starts: Tensor | None = None) -> None:
        before.restore()
        pass_of(model, tokens, starts, setting=trial.setting, seed=trial.seed)

    last = int(twins.last[row])
    place = None if twins.starts is not None else locate(model, run, twins.tokens[first], last)
    if place is None:
        with traced(model) as traces:
            run(twins.tokens, twins.starts)
        mates = [row], [int(twins.partner[row])]
        (found,) = parted(traces, traces, mates, [last + 1], shape)
        place = (
            (f"the model ({type(model).__name__})", 1)
            if found is None
            else (found[0], last + 1 - found[1])
        )
    return Leak(trial.setting.mode, *place, effect, _conditions(trial, twins))


def _conditions(trial: Trial, twins: Twins) -> str:
    rows, length = twins.tokens.shape
    said = [f"with {rows} rows of {length} tokens"]
    if twins.starts is not None:
        some = bool(twins.starts.any())
        said.append("documents that begin within rows" if some else "`starts` that mark nothing")
    if trial.setting.gradients != trial.setting.training:
        said.append("gradients" if trial.setting.gradients else "no gradients")
    said += ["a state"] if trial.setting.streamed else []
    said += ["bfloat16 by autocast"] if trial.setting.autocast else []
    return ", ".join(said) + (f" ({trial.note})" if trial.note else "")


def _trials(
    model: SequenceModel, shape: tuple[int, int], *, training: bool, seed: int
) -> Iterator[Trial]:
    """All passes of one mode that are made as if none had been before."""
    setting = Setting(training=training, gradients=training)

    def tails(
        rows: int, length: int, *, documents: bool = False, setting: Setting = setting
    ) -> Trial:
        if (rows, length) != shape or not documents:
            rows = at_most(model, rows, length)
        return Trial(
            setting=setting,
            make=lambda: with_other_tails(model, rows, length, documents=documents, seed=seed),
        )

    def single(rows: int, length: int) -> Trial:
        rows = at_most(model, rows, length)
        return Trial(
            setting=setting, make=lambda: with_one_other_token(model, rows, length, seed=seed)
        )

    def without_boundaries(trial: Trial) -> Trial:
        """The same where `starts` is given, and marks nothing."""

        def make() -> Twins:
            twins = trial.make()
            return replace(twins, starts=torch.zeros_like(twins.tokens, dtype=torch.bool))

        return replace(trial, make=make)

    rows, positions, length = max(2, shape[0]), max(2, shape[1]), span(model)
    other = Setting(training=training, gradients=not training)
    if training:
        yield tails(rows, positions, documents=True)
        yield tails(rows, positions)
        yield without_boundaries(single(rows + 1, positions + 1))
        yield tails(4, max(length, 200))
        if model.traits.carries_state:
            carried = Setting(training=True, gradients=True, streamed=True)
            yield tails(rows, positions, documents=True, setting=carried)
    else:
        yield tails(8, length, documents=True)
        yield single(64, 64)
        yield without_boundaries(tails(66, 65))
        yield tails(16, 256, documents=True, setting=Setting(streamed=True))
        yield tails(4, LONG)
    yield tails(8, length, documents=True, setting=other)
    for part in _vocabulary(model).split(VOCABULARY // 4):
        yield Trial(
            setting=setting,
            make=lambda part=part: with_every_token(model, part, seed=seed),  # type: ignore[misc]
            note="at some tokens",
        )


def _often(model: SequenceModel, seed: int) -> Iterator[Trial]:
    """Many short passes in training, each with a seed of its own."""
    for number in range(OFTEN):
        yield Trial(
            setting=Setting(training=True, gradients=True),
            make=lambda number=number: with_other_tails(  # type: ignore[misc]
                model, 4, 12, documents=number % 2 == 1, seed=seed + number
            ),
            seed=seed + number,
            note="in some passes only",
        )


def _after_counting(
    model: SequenceModel, training: bool, seed: int, moved: list[str]
) -> Iterator[Trial]:
    if moved:
        for documents in (False, True):
            yield Trial(
                setting=Setting(training=training, gradients=training),
                make=lambda documents=documents: with_other_tails(  # type: ignore[misc]
                    model, 8, span(model), documents=documents, seed=seed
                ),
                note=f"once {', '.join(moved[:3])} has counted {FAR:,}",
            )


def wind_forward(model: SequenceModel, *, training: bool) -> list[str]:
    """Set every whole number that a pass moves `FAR` ahead, in buffers and attributes alike.

    Returns the names of those.
    """
    twins = with_other_tails(model, 2, 8)
    counts = []
    for _ in range(3):
        pass_of(model, twins.tokens, setting=Setting(training=training, gradients=training))
        counts.append({path: _counts(module) for path, module in model.named_modules()})
    first, second, third = counts
    moved = []
    for path, module in model.named_modules():
        for name, value in third[path].items():
            # what a pass of the same shape moves again counts passes, and is no size of a cache
            if not first[path].get(name, value) < second[path].get(name, value) < value:
                continue
            moved.append(f"{path}.{name}".lstrip("."))
            if name in module._buffers:
                with torch.no_grad():
                    module.get_buffer(name).add_(FAR)
            else:
                setattr(module, name, value + FAR)
    return moved


def _counts(module: torch.nn.Module) -> dict[str, int]:
    """The whole numbers that a module keeps."""
    numbers = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, int) and not isinstance(value, bool)
    }
    buffers = {
        name: int(buffer)
        for name, buffer in module.named_buffers(recurse=False)
        if buffer.numel() == 1 and not buffer.is_floating_point() and not buffer.is_complex()
    }
    return numbers | buffers


def at_most(model: SequenceModel, rows: int, length: int) -> int:
    """Return `rows`, or as many rows as are not too much work.

    Args:
        model: says what a token costs.
        rows: how many are wanted.
        length: positions of each.
    """
    tokens = max(FEWEST_TOKENS, int(WORK / max(1, parameter_count(model))))
    if model.traits.whole_documents:
        tokens = WHOLE_TOKENS
    return max(2, min(rows, tokens // length))


def _vocabulary(model: SequenceModel) -> Int[Tensor, " N"]:
    """All tokens, or those that are tried."""
    size = model.config.vocab_size
    if size <= VOCABULARY:
        return torch.arange(size)
    quarter = VOCABULARY // 4
    between = torch.randperm(size - 3 * quarter, generator=torch.Generator().manual_seed(0))
    return torch.cat(
        [
            torch.arange(quarter),
            between[:quarter].sort().values + quarter,
            torch.arange(size - 2 * quarter, size),
        ]
    )
