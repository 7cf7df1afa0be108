"""Interpolated modified Kneser-Ney, counted in one pass: the baseline of every other generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from inklings.layers.windows import context_windows, last_tokens
from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits, require

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""Discounts of n-grams seen once, twice, and more often, where the counts of counts are too few to
estimate them.
"""


TABLES = {
    "keys": torch.int64,
    "begins": torch.int64,
    "tokens": torch.int32,
    "shares": torch.float32,
    "backoff": torch.float32,
}
"""The tables of the contexts of one length, with their types; see `NGram`."""


@dataclass(frozen=True, kw_only=True)
class NGramConfig(ModelConfig):
    """Order of the n-gram; a `context_length` below `order - 1` caps it."""

    order: int = 5
    """Tokens of an n-gram, the predicted one included: 1 is the unigram, 2 the bigram."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "order", 1 <= self.order <= 6, "from 1 to 6")

    @property
    def reach(self) -> int:
        """How many earlier tokens a prediction looks back on."""
        return min(self.order - 1, self.context_length)


class Grouped(NamedTuple):
    """Equal keys and the entries that have them."""

    keys: Int[Tensor, " G"]
    """The distinct keys, ascending."""
    size: Int[Tensor, " G"]
    """How many entries have the key."""
    group: Int[Tensor, " N"]
    """For each entry, the place of its key in `keys`."""


def grouped(keys: Int[Tensor, " N"]) -> Grouped:
    """Group equal keys; torch's sort of integers is several times faster than numpy's."""
    distinct, group, size = torch.unique(keys, return_inverse=True, return_counts=True)
    return Grouped(distinct, size, group)


def discounts(counts: Int[Tensor, " N"]) -> tuple[float, float, float]:
    """Estimate the discounts of n-grams with count 1, 2, and 3 or more, from the counts of counts.

    Falls back to fixed values where an estimate is impossible or leaves (0, count]: an n-gram must
    lose something, or an unseen one would have no probability, and never more than it has.
    """
    n1, n2, n3, n4 = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if 0 in (n1, n2, n3):
        return FALLBACK_DISCOUNTS
    ratio = n1 / (n1 + 2 * n2)
    found = (1 - 2 * ratio * n2 / n1, 2 - 3 * ratio * n3 / n2, 3 - 4 * ratio * n4 / n3)
    return (
        found
        if all(0 < value <= most for value, most in zip(found, (1, 2, 3), strict=True))
        else FALLBACK_DISCOUNTS
    )


class NGram(SequenceModel):
    """Interpolated modified Kneser-Ney of order 1 to 6; `count` learns it, no gradient is involved.

    A context ends at the boundary token, as the past of a document's first token does: an n-gram
    that begins with the boundary has no longer version, so like one of the highest order it keeps
    its plain count, where others count how many different tokens they were seen after. The lowest
    order is mixed with the uniform distribution, so that every token always has a probability.
    Before `count` all are equal.

    The tables are buffers, whose sizes depend on the text. Contexts of length k have ids, in the
    order of `keys_k`, sorted numbers (id of the context without its oldest token) * V + oldest
    token. Their continuations are the entries `begins_k[id]` to `begins_k[id + 1]` of `tokens_k`,
    with what each has after the discount in `shares_k`, and `backoff_k[id]` is what remains for the
    shorter context.

    Sources: Kneser and Ney 1995; Chen and Goodman, "An Empirical Study of Smoothing Techniques for
    Language Modeling", 1998, section 4.1.6 of its report for the modified form.
    """

    Config = NGramConfig
    config: NGramConfig
    traits = Traits(objective="counting")
    untraceable = "counts, which are on the host"

    def __init__(self, config: NGramConfig) -> None:
        super().__init__(config)
        self.register_buffer("unigram", torch.full((config.vocab_size,), 1 / config.vocab_size))
        for length in range(1, config.reach + 1):
            self._set_tables(
                length, **{name: torch.zeros(1 if name == "begins" else 0) for name in TABLES}
            )

    def _set_tables(self, length: int, **tables: Tensor) -> None:
        """Store the tables of the contexts of one length."""
        for name, kind in TABLES.items():
            self.register_buffer(
                f"{name}_{length}", tables[name].to(device=self.device, dtype=kind)
            )

    @torch.no_grad()
    def count(self, tokens: Integer[np.ndarray, " N"]) -> None:
        """Learn from a stream of documents, each opened by the boundary token.

        Whatever was learned before is dropped.

        `tokens` (N,) begins with a boundary; every token but that is a target. It takes some 100
        bytes of memory per token.
        """
        config, vocab_size = self.config, self.config.vocab_size
        stream = torch.from_numpy(np.asarray(tokens, dtype=np.int64))
        assert len(stream) >= 2 and int(stream[0]) == config.boundary_token, (
            "a stream begins with a boundary and has a target"
        )
        assert int(stream.max()) < vocab_size, "the stream was encoded with another vocabulary"

        places = torch.arange(
            1, len(stream)
        )  # of the targets that have a context of the current length
        context = torch.zeros_like(places)  # and the id of that context
        keys = context[:1]  # of all contexts of that length; the empty one needs none
        ngrams = grouped(context * vocab_size + stream[places])
        for length in range(config.reach):
            longer = (
                torch.ones_like(places, dtype=torch.bool)
                if length == 0
                else stream[places - length] != config.boundary_token
            )
            places, shorter_ngram = places[longer], ngrams.group[longer]
            next_keys, _, next_context = grouped(
                context[longer] * vocab_size + stream[places - length - 1]
            )
            next_ngrams = grouped(next_context * vocab_size + stream[places])
            shorter_of = torch.empty_like(next_ngrams.keys)
            shorter_of[next_ngrams.group] = shorter_ngram
            preceded_by = shorter_of.bincount(minlength=len(ngrams.keys))
            self._learn(length, keys, ngrams.keys, preceded_by.where(preceded_by > 0, ngrams.size))
            context, keys, ngrams = next_context, next_keys, next_ngrams
        self._learn(config.reach, keys, ngrams.keys, ngrams.size)

    def _learn(
        self,
        length: int,
        keys: Int[Tensor, " C"],
        ngrams: Int[Tensor, " G"],
        counts: Int[Tensor, " G"],
    ) -> None:
        """Discount the counts of one order and keep them.

        `ngrams` are (context id) * V + token, ascending.
        """
        context, token = ngrams // self.config.vocab_size, ngrams % self.config.vocab_size
        taken = torch.tensor(discounts(counts), dtype=torch.float64)[counts.clamp(max=3) - 1]
        total = context.bincount(weights=counts.double(), minlength=len(keys))
        shares = (counts - taken) / total[context]
        backoff = context.bincount(weights=taken, minlength=len(keys)) / total
        if length == 0:
            unigram = (backoff / self.config.vocab_size).repeat(self.config.vocab_size)
            self.get_buffer("unigram").copy_(unigram.index_add(0, token, shares))
        else:
            begins = torch.searchsorted(context, torch.arange(len(keys) + 1))
            self._set_tables(
                length, keys=keys, begins=begins, tokens=token, shares=shares, backoff=backoff
            )

    @torch.no_grad()
    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Return log-probabilities (B, T, V) as logits; they add up to one.

        `hidden` (B, T, 1), for want of a representation, is the length of the longest context that
        was seen in training.
        """
        past = (self.initial_state(tokens.shape[0]) if state is None else state).tensors["past"]
        windows = context_windows(tokens, past, starts, self.config.boundary_token)
        new_state = None if state is None else State({"past": windows[:, -1, 1:].clone()})
        probabilities, seen = self._probabilities(windows.flatten(0, 1).flip(1))
        logits = probabilities.clamp_(min=torch.finfo(probabilities.dtype).tiny).log_()
        return Output(
            logits=logits.view(*tokens.shape, -1),
            state=new_state,
            hidden=seen.view(*tokens.shape, 1),
        )

    def _probabilities(
        self, latest_first: Int[Tensor, "M P"]
    ) -> tuple[Float[Tensor, "M V"], Float[Tensor, " M"]]:
        """Return the distribution after each of M contexts, given latest token first.

        The second array is the length of context that each used.
        """
        rows = torch.arange(len(latest_first), device=latest_first.device)
        ids = torch.zeros_like(rows)
        seen = torch.zeros_like(rows)
        # Along ever longer contexts, as far as each was seen: which rows, and which context. None
        # was seen to go on before a boundary.
        found: list[tuple[Tensor, Tensor]] = []
        for length in range(1, self.config.reach + 1):
            keys = self.get_buffer(f"keys_{length}")
            if not len(keys):
                break
            wanted = ids * self.config.vocab_size + latest_first[rows, length - 1]
            ids = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
            known = keys[ids] == wanted
            rows, ids = rows[known], ids[known]
            seen[rows] = length
            found.append((rows, ids))
        # And back: an order's shares count for what the longer contexts leave to it.
        left = torch.ones(len(latest_first), device=latest_first.device)
        pieces = []
        for length, (rows, ids) in reversed(list(enumerate(found, start=1))):
            begins = self.get_buffer(f"begins_{length}")
            sizes = begins[ids + 1] - begins[ids]
            entry_of = torch.repeat_interleave(torch.arange(len(ids), device=ids.device), sizes)
            within = (
                torch.arange(len(entry_of), device=ids.device) - (sizes.cumsum(0) - sizes)[entry_of]
            )
            entries = begins[ids][entry_of] + within
            cells = (
                rows[entry_of] * self.config.vocab_size
                + self.get_buffer(f"tokens_{length}")[entries]
            )
            pieces.append(
                (cells, self.get_buffer(f"shares_{length}")[entries] * left[rows][entry_of])
            )
            left[rows] *= self.get_buffer(f"backoff_{length}")[ids]
        probabilities = left[:, None] * self.get_buffer("unigram")
        for cells, shares in pieces:
            probabilities.view(-1).index_add_(0, cells, shares)
        return probabilities, seen.to(probabilities.dtype)

    def initial_state(self, batch_size: int) -> State:
        """Return a past of boundary tokens."""
        return State(
            {
                "past": torch.full(
                    (batch_size, max(self.config.reach - 1, 0)),
                    self.config.boundary_token,
                    device=self.device,
                )
            }
        )

    def state_after(self, context: Int[Tensor, "B N"]) -> State:
        """Return the last tokens of the context: nothing has to be computed."""
        return State(
            {
                "past": last_tokens(
                    context, max(self.config.reach - 1, 0), self.config.boundary_token
                )
            }
        )

    def flops(self, tokens: int) -> int:
        """Return zero: counting sorts and adds integers."""
        return 0

    @property
    def lead(self) -> int:
        """The tokens that are looked back on, without the current one."""
        return max(self.config.reach - 1, 0)

    @property
    def receptive_field(self) -> int:
        """The tokens that are looked back on; 0 for the unigram."""
        return self.config.reach

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any, **options: Any
    ) -> None:
        """Make room for the tables that are about to be loaded, whose sizes only they know."""
        for name, table in list(self._buffers.items()):
            loaded = state_dict.get(prefix + name)
            if name != "unigram" and table is not None and loaded is not None:
                self.register_buffer(name, table.new_empty(loaded.shape))
        super()._load_from_state_dict(state_dict, prefix, *arguments, **options)
