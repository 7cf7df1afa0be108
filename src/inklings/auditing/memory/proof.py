"""Proof that a memory helps, or that it does not: the same text read in several ways.

It is read with the memory, without it, and with changes that should undo its gain. Differences are
paired by document: what makes a document hard for all cancels. What a memory is worth is the
difference to the same model without it. A memory that is not the reason loses nothing when its
values are permuted; entries that the backbone sees anyway can be left out; and two rivals show
whether as much could be had without it: a temperature, which mends a badly calibrated model, and a
longer context for as much arithmetic. Both are chosen on another text.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int64

from inklings.auditing.memory.provenance import Provenance, provenance
from inklings.auditing.memory.rivals import (
    InPieces,
    Provable,
    Tempered,
    fitted_temperature,
    longer_contexts,
    rows_for,
    token_nats,
)
from inklings.errors import ArchitectureError, ConfigError, SourceError
from inklings.evaluation.likelihood.units import FEWEST_DOCUMENTS, Tally
from inklings.evaluation.statistics import paired_bootstrap
from inklings.models.contract import SequenceModel
from inklings.models.varda.recall import Control
from inklings.text.store import TokenSplit

ArmName = Literal[
    "no memory",
    "memory",
    "permuted values",
    "random retrieval",
    "another document",
    "outside the window",
    "temperature",
    "longer context",
]
ARMS: tuple[ArmName, ...] = get_args(ArmName)
QUICK: tuple[ArmName, ...] = ("no memory", "memory", "permuted values")
"""The ways of reading that a quick proof needs."""
CONTROLS: dict[ArmName, Control] = {"no memory": "off", "memory": "none"}
"""Changes to the memory, for the ways of reading whose names do not say them."""
NOTES: dict[ArmName, str] = {
    "no memory": "the same model, its memory off",
    "memory": "as it is",
    "permuted values": "each entry has another's token",
    "random retrieval": "any entries instead of the nearest",
    "another document": "the memory of the row beside it",
    "outside the window": "without the entries that the backbone sees",
}
FIT_TARGETS = 8_192
"""Targets of the other text, on which settings are chosen."""
PIECE = 32
"""Positions read at a time, where rows look at each other, if the model does not say how many it
writes at once.
"""
TRACED = 4_096
"""Targets of the text at which the origin of every hit is checked."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """Nats per token more than without the memory, with a 95% interval over the units.

    An end of the interval is None where it is not known.
    """

    nats: float
    low: float | None
    high: float | None

    @property
    def lowers(self) -> bool:
        """Whether the loss is lower, clear of zero."""
        return self.high is not None and self.high < 0

    @property
    def raises(self) -> bool:
        """Whether the loss is higher, clear of zero."""
        return self.low is not None and self.low > 0

    @property
    def percent(self) -> tuple[float, float | None, float | None]:
        """The same of the perplexity, in per cent."""
        low, high = (
            None if end is None else 100 * math.expm1(min(end, 700.0))
            for end in (self.low, self.high)
        )
        return 100 * math.expm1(min(self.nats, 700.0)), low, high


@dataclass(frozen=True, kw_only=True)
class ProofArm:
    """One way of reading the text."""

    name: ArmName
    loss: float | None
    """Nats per token; None where the arm does not apply, or its loss is not finite."""
    change: Change | None
    """Difference from reading with `no memory`."""
    note: str
    """What this arm is, or why it does not apply."""
    setting: float | None = None
    """What was chosen for it on the other text: the temperature, or the length of the longer
    context.
    """

    @property
    def perplexity(self) -> float | None:
        """The perplexity: exp(loss), where the loss is in nats per token."""
        return None if self.loss is None else math.exp(min(self.loss, 700.0))


@dataclass(frozen=True, kw_only=True)
class Part:
    """The effect of the memory on a part of the targets."""

    share: float
    """Share of all targets."""
    change: Change | None


@dataclass(frozen=True, kw_only=True)
class MemoryProof:
    """The figures of all ways of reading, and the conclusion."""

    targets: int
    documents: int
    unit: Literal["documents", "blocks"]
    """What intervals resample: blocks of 2 KiB where documents are few."""
    units: int
    arms: list[ProofArm]
    seen: Part
    """Targets that occurred before in their document."""
    new: Part
    provenance: Provenance

    def arm(self, name: ArmName) -> ProofArm | None:
        """Return the arm of that name, if it was carried out."""
        return next((arm for arm in self.arms if arm.name == name), None)

    def change(self, name: ArmName) -> Change | None:
        """Return what that arm changes, if it is known."""
        arm = self.arm(name)
        return None if arm is None else arm.change

    @property
    def resampled(self) -> str:
        """How many units of which kind."""
        return f"{self.units:,} {self.unit if self.units != 1 else self.unit.removesuffix('s')}"

    @property
    def keeps(self) -> bool:
        """Whether a gain is left, clear of zero, when the values are permuted."""
        change = self.change("permuted values")
        return change is not None and change.lowers

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong.

        No hit is ahead of its target, and permuted values gain nothing.
        """
        return self.provenance.holds and not self.keeps

    def plain(self) -> dict[str, Any]:
        """Return plain values for JSON, with what follows from the others."""
        found = dataclasses.asdict(self)
        for value, arm in zip(found["arms"], self.arms, strict=True):
            value["perplexity"] = arm.perplexity
            value["percent"] = None if arm.change is None else list(arm.change.percent)
        return found


def prove(
    model: SequenceModel,
    split: TokenSplit,
    *,
    fit: TokenSplit | None = None,
    targets: int | None = None,
    arms: Sequence[ArmName] = ARMS,
    on_arm: Callable[[ProofArm], None] | None = None,
) -> MemoryProof:
    """Carry out the proof; the same call gives the same figures.

    Args:
        model: with a memory (`Provable`).
        split: what is scored.
        fit: another text, on which the temperature and the length of the longer context are chosen;
            without one, these are left out.
        targets: take whole documents, evenly spread over the split, until they hold this many; None
            takes all of them.
        arms: the ways of reading to carry out; `no memory` and `memory` always are.
        on_arm: called with each as it is done.

    Raises:
        ArchitectureError: the model has no memory that can be proved.
        ConfigError: a memory from outside is attached, which not every control reaches; or
            `targets` is below 2.
        SourceError: the split is empty.
    """
    if not isinstance(model, Provable):
        raise ArchitectureError(
            f"{type(model).__name__} has no memory that could be put to the proof."
        )
    if model.long_term is not None:
        raise ConfigError(
            "a long-term memory is attached, and the proof is of the memories of the text itself."
            " Set `long_term` to None."
        )
    if targets is not None and targets < 2:
        raise ConfigError(f"targets is {targets}; it must be at least 2.")
    if split.n_targets == 0:
        raise SourceError(
            "the split has no documents, so there is nothing to prove it on; give more text or"
            " another split."
        )
    split, fit = (
        split if targets is None else split.spread(targets),
        None if fit is None else fit.spread(FIT_TARGETS),
    )
    text = _Text(split)
    done: list[ProofArm] = []
    nats: dict[ArmName, Float64[np.ndarray, " n"]] = {}
    for name in [name for name in ARMS if name in arms or name in QUICK[:2]]:
        scored, note, setting = _score(model, name, split, fit)
        if scored is not None:
            nats[name] = scored
        finite = scored is not None and bool(np.isfinite(scored).all())
        done.append(
            ProofArm(
                name=name,
                loss=float(scored.mean()) if scored is not None and finite else None,
                change=(
                    text.change(scored, nats["no memory"])
                    if scored is not None and name != "no memory"
                    else None
                ),
                note=note if finite or scored is None else "its loss is not finite",
                setting=setting,
            )
        )
        if on_arm is not None:
            on_arm(done[-1])
    before = occurred_before(split)
    seen, new = (
        Part(share=float(part.mean()), change=text.change(nats["memory"], nats["no memory"], part))
        for part in (before, ~before)
    )
    return MemoryProof(
        targets=split.n_targets,
        documents=split.n_documents,
        unit="blocks" if text.blocks else "documents",
        units=text.units,
        arms=done,
        seen=seen,
        new=new,
        provenance=provenance(model, split.spread(TRACED)),
    )


def _score(
    model: SequenceModel, name: ArmName, split: TokenSplit, fit: TokenSplit | None
) -> tuple[Float64[np.ndarray, " n"] | None, str, float | None]:
    """Return the nats of every target for one way of reading; None where it does not apply.

    What the way is, or why it does not apply, and its setting come with them.
    """
    assert isinstance(model, Provable)
    if name == "temperature":
        if fit is None:
            return None, "not applicable: there is no other text to fit it on", None
        temperature = fitted_temperature(model.backbone, fit)
        nats = token_nats(Tempered(model.backbone, temperature), split)
        return nats, f"no memory, logits divided by {temperature:.3f}", temperature
    if name == "longer context":
        longer = longer_contexts(model, int(np.diff(split.offsets).max()))
        if isinstance(longer, str):
            return None, f"not applicable: {longer}", None
        if fit is None:
            return None, "not applicable: there is no other text to choose its length on", None
        best = min(longer, key=lambda one: float(token_nats(one, fit, rows=rows_for(one)).mean()))
        first, length, last = (one.config.context_length for one in (longer[0], best, longer[-1]))
        note = (
            f"no memory, {length:,} tokens instead of {model.backbone.config.context_length:,},"
            " same weights, not trained for it"
        )
        note += (
            f"; the best of {first:,} to {last:,}, where it costs what the memory costs"
            if len(longer) > 1
            else ""
        )
        return token_nats(best, split, rows=rows_for(best)), note, float(length)
    if name == "another document" and split.n_documents < 2:
        return None, "not applicable: there is one document only", None
    with model.controlled(CONTROLS.get(name, name)):  # type: ignore[arg-type]  # the names that are left are those of controls
        # whoever looks into the memory of the row beside it should find it as full as its own
        reader = (
            InPieces(model, getattr(model.config, "segment", PIECE))
            if name == "another document"
            else model
        )
        return token_nats(reader, split), NOTES[name], None


def occurred_before(split: TokenSplit) -> Bool[np.ndarray, " n"]:
    """Return, for every target, whether it occurs in its document already.

    The mark at the end of a document never does.
    """
    found = []
    for number in range(split.n_documents):
        tokens = split.read(int(split.offsets[number]) + 1, int(split.offsets[number + 1]) + 1)
        _, first, which = np.unique(tokens, return_index=True, return_inverse=True)
        found.append(np.arange(len(tokens)) > first[which])
    return np.concatenate(found)


class _Text:
    """The units of a split, and the differences between two ways of reading it."""

    def __init__(self, split: TokenSplit) -> None:
        self._split = split
        lengths = np.diff(split.offsets)
        self.blocks = split.n_documents < FEWEST_DOCUMENTS
        self._document: Int64[np.ndarray, " n"] = np.repeat(np.arange(split.n_documents), lengths)
        self._place = (
            np.arange(split.n_targets) - (split.offsets[:-1] - split.offsets[0])[self._document]
        )
        self.units = len(
            self._tally(np.zeros(split.n_targets), np.zeros(split.n_targets, dtype=bool))[0]
        )

    def change(
        self,
        nats: Float64[np.ndarray, " n"],
        base: Float64[np.ndarray, " n"],
        part: Bool[np.ndarray, " n"] | None = None,
    ) -> Change | None:
        """Mean difference over the targets, or a part of them.

        None where there are none, or one is not finite.
        """
        part = np.ones(len(nats), dtype=bool) if part is None else part
        difference = nats[part] - base[part]
        if not len(difference) or not np.isfinite(difference).all():
            return None
        first, targets = self._tally(nats, part)
        second, _ = self._tally(base, part)
        found = paired_bootstrap(first, second, targets)
        return Change(
            nats=found.estimate,
            low=found.low if found.known else None,
            high=found.high if found.known else None,
        )

    def _tally(
        self, nats: Float64[np.ndarray, " n"], part: Bool[np.ndarray, " n"]
    ) -> tuple[np.ndarray, np.ndarray]:
        tally = Tally(np.diff(self._split.offsets), self._split.document_bytes, blocks=self.blocks)
        tally.add(
            self._document[part],
            self._place[part],
            nats[part],
            np.zeros(int(part.sum()), dtype=np.int64),
        )
        sums = tally.sums()
        return sums.nats, sums.targets
