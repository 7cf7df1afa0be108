"""Evaluation of a model's predictions: nats per token, bits per byte and others.

Whole splits are scored, in a fixed order. Every target sees its full legal context, or at least the
warm-up's (`likelihood/windows.py`). Rows are streamed from the initial state, so any architecture
is scored alike, and memory does not grow with the length of a document. Sums are float64. Nothing
depends on the batch size but the rounding of float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from inklings import durable
from inklings.errors import ArchitectureError, ConfigError, RunError, SourceError, TokenizerError
from inklings.evaluation.likelihood.likelihood_metric import MetricSums, Totals
from inklings.evaluation.likelihood.scoring import lanes_of, shared_score
from inklings.evaluation.likelihood.units import BLOCK_BYTES, FEWEST_DOCUMENTS, Tally, UnitSums
from inklings.evaluation.likelihood.windows import LANE_OF_WARM_UPS
from inklings.evaluation.statistics import Interval, bootstrap_ratio
from inklings.models.contract import SequenceModel
from inklings.models.objectives import has_likelihood
from inklings.text.store import TokenSplit
from inklings.world import ALONE, World

FORMAT_VERSION = 1


@dataclass(frozen=True)
class LikelihoodResult:
    """The result of `evaluate`: each metric, its interval, and sums by unit."""

    targets: int
    """How many tokens were predicted: all of the split, the end mark of each document included."""
    nats: float
    """Negative log-likelihood of them all."""
    metrics: dict[str, float | None]
    """Figures by the names of `likelihood_metric.METRICS`."""
    loss_by_position: list[tuple[int, int, float, int]]
    """(first, last, loss, targets): nats per target at these places of a document, the first token
    being 1. The places double from one entry to the next.
    """
    documents: UnitSums
    """Sums for each document, in the order of the split."""
    blocks: UnitSums | None
    """Sums for each block of text; only where there are too few documents to resample."""
    protocol: dict[str, int]
    """The constants of the scoring."""

    @property
    def loss(self) -> float:
        """The loss in nats per target."""
        return self._figure("loss")

    @property
    def perplexity(self) -> float:
        """The exponential of the loss."""
        return self._figure("perplexity")

    @property
    def bits_per_byte(self) -> float | None:
        """Of the text in UTF-8; comparable across tokenizers.

        None where the tokenizer loses bytes: it would be a lie.
        """
        return self.metrics["bits_per_byte"]

    @property
    def accuracy(self) -> float:
        """Share of the targets that were the most likely token."""
        return self._figure("accuracy")

    @property
    def top5_accuracy(self) -> float:
        """Share of the targets that were among the five most likely."""
        return self._figure("top5_accuracy")

    @property
    def macro_f1(self) -> float:
        """The macro F1 (see `metrics.macro_f1`)."""
        return self._figure("macro_f1")

    def _figure(self, name: str) -> float:
        """Return a figure; NaN where it was not finite when it was written to disk."""
        value = self.metrics[name]
        return math.nan if value is None else value

    @property
    def units(self) -> UnitSums:
        """What intervals resample: blocks where there are any, else documents."""
        return self.documents if self.blocks is None else self.blocks

    def interval(self, *, confidence: float = 0.95) -> Interval:
        """Bootstrap interval of the loss over the units: how sure this one run's figure is.

        Raises:
            ConfigError: the loss is not finite.
        """
        return bootstrap_ratio(self.units.nats, self.units.targets, confidence=confidence)

    def known_interval(self) -> Interval | None:
        """Return the interval; None where the loss is not finite, or units are too few for it."""
        interval = self.interval() if math.isfinite(self.loss) else None
        return interval if interval is not None and interval.known else None

    def __repr__(self) -> str:
        bits = "" if self.bits_per_byte is None else f", {self.bits_per_byte:.4f} bits per byte"
        return (
            f"LikelihoodResult(loss {self.loss:.4f} nats per token{bits}, accuracy"
            f" {self.accuracy:.1%}, {self.targets:,} targets)"
        )

    def summary(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON, without those of each unit.

        One that is not finite is None.
        """
        return {
            "targets": self.targets,
            "nats": finite(self.nats),
            **{name: finite(value) for name, value in self.metrics.items()},
            "loss_by_position": [
                [first, last, finite(loss), count]
                for first, last, loss, count in self.loss_by_position
            ],
            "protocol": self.protocol,
        }


def evaluate(
    model: SequenceModel,
    split: TokenSplit,
    *,
    batch_size: int = 64,
    lossless: bool = True,
    world: World = ALONE,
) -> LikelihoodResult:
    """Score a whole split, without gradients and in evaluation mode.

    The model is left in the mode it was in.

    Args:
        model: any architecture that has a likelihood.
        split: what to score.
        batch_size: rows at a time; fewer where their logits would not fit into `LOGITS`.
        lossless: whether the tokens hold every byte of the split (`TokenStore.lossless`); if not,
            there are no bits per byte.
        world: the processes that share the work, and look before each pass whether they were asked
            to stop; all get the same figures.

    Raises:
        ArchitectureError: the architecture has no likelihood.
        TokenizerError: the split was made by a tokenizer that is not the model's.
        SourceError: the split is empty.
        ConfigError: the batch size is below 1.
        InterruptedWorkError: one of the processes was asked to stop.
    """
    _check(model, split, batch_size)
    config = model.config
    lanes, length = lanes_of(model, split)
    targets_of = np.diff(split.offsets)
    documents = Tally(targets_of, split.document_bytes, blocks=False)
    blocks = (
        Tally(targets_of, split.document_bytes, blocks=True)
        if split.n_documents < FEWEST_DOCUMENTS
        else None
    )
    n_buckets = int(targets_of.max()).bit_length()
    bucket_nats, bucket_targets = np.zeros(n_buckets), np.zeros(n_buckets, dtype=np.int64)
    sums = MetricSums(config.vocab_size)
    for scored in shared_score(model, split, lanes, batch_size, world):
        places = scored.index - split.offsets[scored.document]
        right = (scored.rank == 0).astype(np.int64)
        for tally in (documents, blocks):
            if tally is not None:
                tally.add(scored.document, places, scored.nats, right)
        bucket = np.frexp(places + 1)[1] - 1
        bucket_nats += np.bincount(bucket, weights=scored.nats, minlength=n_buckets)
        bucket_targets += np.bincount(bucket, minlength=n_buckets)
        sums.add(scored)
    of_documents = documents.sums()
    totals = Totals(
        targets=int(of_documents.targets.sum()),
        nats=float(of_documents.nats.sum()),
        bytes=int(of_documents.bytes.sum()) if lossless else None,
    )
    return LikelihoodResult(
        targets=totals.targets,
        nats=totals.nats,
        metrics=sums.values(totals),
        loss_by_position=[
            (
                2**k,
                min(2 ** (k + 1) - 1, int(targets_of.max())),
                float(bucket_nats[k] / bucket_targets[k]),
                int(bucket_targets[k]),
            )
            for k in range(n_buckets)
        ],
        documents=of_documents,
        blocks=None if blocks is None else blocks.sums(),
        protocol={"warm_up": length, "lane": LANE_OF_WARM_UPS * length, "block_bytes": BLOCK_BYTES},
    )


def _check(model: SequenceModel, split: TokenSplit, batch_size: int) -> None:
    if not has_likelihood(model):
        raise ArchitectureError(
            f"{type(model).__name__} has no likelihood: it can be sampled from, but cannot score a"
            " text."
        )
    if split.boundary != model.config.boundary_token:
        raise TokenizerError(
            f"the text's boundary is token {split.boundary}, the model's is"
            f" {model.config.boundary_token}; use the tokenizer that is stored with the model's"
            " run."
        )
    if split.n_targets == 0:
        raise SourceError(
            "the split has no documents, so there is nothing to score; give more text or another"
            " split."
        )
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be at least 1.")


def finite(value: float | None) -> float | None:
    """Return a value as JSON can hold it."""
    return value if value is not None and math.isfinite(value) else None


def save_likelihood(likelihood: LikelihoodResult, folder: Path) -> Path:
    """Write `likelihood.json` and `units.safetensors` into a folder, and return it.

    The folder is made where it is absent.

    Raises:
        DiskError: the disk is full, or may not be written to.
    """
    arrays = {f"documents.{name}": values for name, values in vars(likelihood.documents).items()}
    if likelihood.blocks is not None:
        arrays |= {f"blocks.{name}": values for name, values in vars(likelihood.blocks).items()}
    data = safetensors.numpy.save(
        {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    )
    durable.write_bytes(folder / "units.safetensors", data)
    # The JSON comes last and holds the hash of the arrays: a folder that was left half-written does
    # not load.
    summary = {**likelihood.summary(), "units_sha256": durable.sha256(data)}
    durable.write_checked_json(folder / "likelihood.json", summary, format_version=FORMAT_VERSION)
    return folder


def load_likelihood(folder: Path) -> LikelihoodResult:
    """Read what `save_likelihood` wrote.

    Raises:
        RunError: a file is missing, damaged, or from a newer format.
    """
    values = durable.read_checked_json(
        folder / "likelihood.json", format_version=FORMAT_VERSION, unhashed=True
    )
    path = folder / "units.safetensors"
    data = durable.read_bytes(path)
    del values["format_version"]
    if durable.sha256(data) != values.pop("units_sha256", None):
        raise RunError(
            f"{path} does not belong to the likelihood.json beside it, or is damaged. Evaluate"
            " again."
        )
    try:
        return _from_plain(values, safetensors.numpy.load(data))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{folder} is damaged: it does not hold an evaluation ({error!r}). Evaluate again."
        ) from None


def _from_plain(values: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> LikelihoodResult:
    units = {
        kind: UnitSums(
            **{
                name.partition(".")[2]: array
                for name, array in arrays.items()
                if name.startswith(kind)
            }
        )
        for kind in ("documents", "blocks")
        if f"{kind}.nats" in arrays
    }
    nats, targets, protocol = values.pop("nats"), values.pop("targets"), values.pop("protocol")
    places = [
        (first, last, math.nan if loss is None else loss, count)
        for first, last, loss, count in values.pop("loss_by_position")
    ]
    if "loss" not in values:
        raise KeyError("loss")
    return LikelihoodResult(
        targets=targets,
        nats=math.nan if nats is None else nats,
        metrics=values,
        loss_by_position=places,
        documents=units["documents"],
        blocks=units.get("blocks"),
        protocol=protocol,
    )
