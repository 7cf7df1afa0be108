"""Drawing the next tokens of rows that have settings of their own, in a few operations for all.

Each row gets what `sampling.next_token_probabilities` gives for its settings; a test holds the two
equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inklings.generation.sampling import SamplingConfig, representable, row_generators

AHEAD = 64
"""How many numbers are drawn from a generator at once; one by one would give the same."""
BLOCK = 64
"""Tokens whose probabilities are summed together first."""
SMALL = 1024
"""Largest vocabulary for which a running sum over all tokens is as quick."""
FIRST = 64
"""How many of the likeliest tokens `RowSampling` looks at first."""


def uniform_numbers(seed: int, row: int, used: int = 0) -> Iterator[float]:
    """Yield the uniform numbers that the tokens of a row are drawn by, without end.

    Args:
        seed: of the request.
        row: the number of the text in it.
        used: how many numbers are skipped.
    """
    (generator,) = row_generators(seed, [row])
    torch.rand(used, generator=generator, dtype=torch.float64)
    while True:
        yield from torch.rand(AHEAD, generator=generator, dtype=torch.float64).tolist()


@dataclass(eq=False)
class Drawer:
    """The draws of one text, with what the penalties need of its past."""

    sampling: SamplingConfig
    uniforms: Iterator[float]
    seen: Bool[Tensor, " V"] | None
    """For a repetition penalty: the tokens that occurred, without the boundary. None without one.
    """
    counts: Int[Tensor, " V"] | None
    """For the other penalties: how often each token was drawn, without the boundary. None without
    one.
    """

    @classmethod
    def begin(
        cls,
        sampling: SamplingConfig,
        row: int,
        history: Sequence[int],
        vocab_size: int,
        boundary: int,
        *,
        draws: int = 0,
    ) -> Drawer:
        """Make the draws of a text of which nothing is drawn yet.

        Args:
            sampling: the settings.
            row: the number of the text in its request.
            history: tokens of the prompt.
            vocab_size: of the tokenizer.
            boundary: never counts as repeated.
            draws: how many numbers of its generator are used already.
        """
        seen = counts = None
        if sampling.repetition_penalty != 1:
            seen = torch.zeros(vocab_size, dtype=torch.bool)
            seen[list(history)] = True
            seen[boundary] = False
        if sampling.counts_draws:
            counts = torch.zeros(vocab_size, dtype=torch.int64)
        return cls(sampling, uniform_numbers(sampling.seed, row, draws), seen, counts)


class RowSampling:
    """The settings of some rows as tensors.

    It is made anew when a row joins or leaves, and kept from draw to draw.
    """

    def __init__(self, drawers: Sequence[Drawer], *, boundary: int, device: torch.device) -> None:
        settings = [drawer.sampling for drawer in drawers]
        self._uniforms = [drawer.uniforms for drawer in drawers]
        self._boundary = boundary
        limits = torch.finfo(torch.float32)

        def rows(applies: Callable[[SamplingConfig], bool], on: torch.device) -> Int[Tensor, " N"]:
            return torch.tensor(
                [row for row, one in enumerate(settings) if applies(one)],
                dtype=torch.int64,
                device=on,
            )

        def column(
            some: Int[Tensor, " N"], of: Callable[[SamplingConfig], float]
        ) -> Float[Tensor, "N 1"]:
            return torch.tensor(
                [of(settings[row]) for row in some.tolist()],
                dtype=torch.float32,
                device=some.device,
            )[:, None]

        self._repeated = rows(lambda one: one.repetition_penalty != 1, device)
        self._repetition = column(
            self._repeated, lambda one: representable(one.repetition_penalty, limits)
        )
        self._seen = _gathered(drawers, self._repeated, "seen")
        self._counted = rows(lambda one: one.counts_draws, device)
        self._presence = column(self._counted, lambda one: one.presence_penalty)
        self._frequency = column(self._counted, lambda one: one.frequency_penalty)
        self._counts = _gathered(drawers, self._counted, "counts")
        self._banned = rows(lambda one: one.ban_boundary, device)
        self._greedy = rows(lambda one: one.temperature == 0, device)
        self._all_greedy = len(self._greedy) == len(settings)
        self._temperature = column(
            rows(lambda one: True, device), lambda one: representable(one.temperature, limits)
        )
        # the cuts are made on the CPU, to which probabilities go in any case
        cpu = torch.device("cpu")
        self._cut = rows(lambda one: one.top_k is not None or one.top_p not in (None, 1), cpu)
        self._top_k = column(self._cut, lambda one: one.top_k or math.inf)
        # a share that is never reached keeps all
        shares = [
            math.inf if settings[row].top_p == 1 else settings[row].top_p or math.inf
            for row in self._cut.tolist()
        ]
        self._top_p = torch.tensor(shares, dtype=torch.float64)[:, None]
        self._uncut = min(
            (
                one.top_k or math.inf if one.top_p in (None, 1) else 0
                for one in settings
                if one.top_k is not None or one.top_p not in (None, 1)
            ),
            default=math.inf,
        )
        """Up to so many tokens none are cut."""
        self._floored = rows(lambda one: one.min_p is not None, cpu)
        self._min_p = column(self._floored, lambda one: one.min_p or 0.0)
        self._width = FIRST
        """How many of the likeliest tokens are looked at for the cuts; more if they turn out to be
        too few.
        """

    def draw(self, logits: Float[Tensor, "B V"]) -> tuple[list[int], list[bool]]:
        """Return a token for each row, by one number of its own.

        And whether the row's logits were finite.

        If not, the token means nothing.
        """
        finite, probabilities = self.probabilities(logits)
        if self._all_greedy:
            tokens = probabilities.argmax(dim=1)
        else:
            tokens = drawn(
                probabilities,
                torch.tensor([next(numbers) for numbers in self._uniforms], dtype=torch.float64),
            )
        self._remember(tokens)
        return tokens.tolist(), finite.tolist()

    def probabilities(
        self, logits: Float[Tensor, "B V"]
    ) -> tuple[Bool[Tensor, " B"], Float[Tensor, "B V"]]:
        """Return which rows' logits are finite.

        And the distributions that those rows' next tokens are drawn from; on the CPU.

        Where all rows take the likeliest token, the logits do.
        """
        logits = logits.float()
        limits = torch.finfo(logits.dtype)
        finite = logits.amax(dim=1) < math.inf  # NaN is not
        logits = logits.clamp(min=limits.min)
        if not bool(finite.all()):
            logits = torch.where(finite[:, None], logits, 0.0)
        if len(self._repeated):
            some, penalty = logits[self._repeated], self._repetition
            some = torch.where(
                self._seen, torch.where(some > 0, some / penalty, some * penalty), some
            )
            logits[self._repeated] = some.clamp(limits.min, limits.max)
        if len(self._counted):
            logits[self._counted] = (
                logits[self._counted]
                - (self._counts > 0) * self._presence
                - self._counts * self._frequency
            )
        if len(self._banned):
            logits[self._slots(self._banned), self._boundary] = -math.inf
        if self._all_greedy:
            return finite.cpu(), logits.cpu()
        logits -= logits.amax(dim=1, keepdim=True)
        probabilities = torch.softmax(logits / self._temperature, dim=1)
        if len(self._greedy):
            cold = logits[self._greedy]
            probabilities[self._greedy] = torch.zeros_like(cold).scatter_(
                1, cold.argmax(dim=1, keepdim=True), 1.0
            )
        probabilities = probabilities.cpu()
        if probabilities.shape[1] > self._uncut:
            cut = self._slots(self._cut)
            probabilities[cut] = self._keep_most_likely(probabilities[cut])
        if len(self._floored):
            some = probabilities[self._floored]
            probabilities[self._floored] = some.where(
                some >= self._min_p * some.amax(dim=1, keepdim=True), 0.0
            )
        return finite.cpu(), probabilities / probabilities.sum(dim=1, keepdim=True)

    def _slots(self, rows: Int[Tensor, " N"]) -> Int[Tensor, " N"] | slice:
        """Return rows as an index: all of them as a slice, which costs a single row much less."""
        return slice(None) if len(rows) == len(self._uniforms) else rows

    def _keep_most_likely(self, probabilities: Float[Tensor, "N V"]) -> Float[Tensor, "N V"]:
        """Keep the likeliest tokens, as `sampling` does, with a `top_k` and a `top_p` for each row.

        Sorting all tokens would take longer than many a model's pass: only the likeliest are
        sorted, up to where all rows are cut.
        """
        size = probabilities.shape[1]
        width = min(self._width, size)
        while True:
            ordered = probabilities.topk(width, dim=1).values
            within = torch.arange(width) < self._top_k
            exact = ordered.double().where(within, 0.0)
            every = probabilities.sum(dim=1, keepdim=True, dtype=torch.float64)
            total = torch.where(self._top_k < size, exact.sum(dim=1, keepdim=True), every)
            kept = within & (exact.cumsum(dim=1) - exact < self._top_p * total)
            kept[:, 0] = True
            if width == size or bool(
                ((self._top_k <= width) | ((self._top_k >= size) & ~kept[:, -1:])).all()
            ):
                break
            width = self._width = min(8 * width, size)
        count = kept.sum(dim=1, keepdim=True)
        least = ordered.gather(1, count - 1)
        enough = probabilities >= least
        tied = (enough.sum(dim=1, keepdim=True) > count).squeeze(1)
        if bool(tied.any()):  # of equally likely tokens those with the smaller numbers remain
            some, equal = probabilities[tied], probabilities[tied] == least[tied]
            room = count[tied] - (some > least[tied]).sum(dim=1, keepdim=True)
            enough[tied] &= ~(equal & (equal.cumsum(dim=1) > room))
        return probabilities.where(enough, 0.0)

    def _remember(self, tokens: Int[Tensor, " B"]) -> None:
        for rows, table in ((self._repeated, self._seen), (self._counted, self._counts)):
            if len(rows):
                chosen, places = (
                    tokens.to(rows.device)[rows],
                    torch.arange(len(rows), device=rows.device),
                )
                table[places, chosen] = (table[places, chosen] + 1).to(table.dtype)
                table[:, self._boundary] = 0


def drawn(probabilities: Float[Tensor, "B V"], uniform: Float[Tensor, " B"]) -> Int[Tensor, " B"]:
    """Return the first token of each row at which the running sum exceeds a share of the total."""
    rows, size = probabilities.shape
    if size <= SMALL:
        sums = probabilities.double().cumsum(dim=1)
        wanted = _below(uniform[:, None] * sums[:, -1:], sums)
        return torch.searchsorted(sums, wanted, right=True).squeeze(1)
    blocks = F.pad(probabilities, (0, -size % BLOCK)).view(rows, -1, BLOCK)
    up_to = blocks.sum(dim=2, dtype=torch.float64).cumsum(dim=1)
    wanted = _below(uniform[:, None] * up_to[:, -1:], up_to)
    block = torch.searchsorted(up_to, wanted, right=True)
    before = F.pad(up_to, (1, 0)).gather(1, block)
    within = blocks.gather(1, block[:, :, None].expand(-1, -1, BLOCK))[:, 0].double().cumsum(dim=1)
    return (
        block * BLOCK
        + torch.searchsorted(within, _below((wanted - before).clamp(min=0), within), right=True)
    ).squeeze(1)


def _below(wanted: Float[Tensor, "B 1"], sums: Float[Tensor, "B N"]) -> Float[Tensor, "B 1"]:
    """Return thresholds strictly below the last sum.

    The first sum that exceeds one then belongs to a token that is possible.
    """
    total = sums[:, -1:]
    return torch.minimum(wanted, torch.nextafter(total, torch.zeros_like(total)))


def _gathered(
    drawers: Sequence[Drawer], rows: Int[Tensor, " N"], name: Literal["seen", "counts"]
) -> Tensor:
    """Stack a tensor of some rows' drawers.

    The drawers then hold views of it, so that each keeps its own when rows change.
    """
    if not len(rows):
        return torch.empty(0)
    some = [drawers[row] for row in rows.tolist()]
    table = torch.stack([getattr(drawer, name).to(rows.device) for drawer in some])
    for drawer, line in zip(some, table, strict=True):
        setattr(drawer, name, line)
    return table
