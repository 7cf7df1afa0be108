"""Rows with settings of their own draw what each would draw by the reference."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inklings.generation.engine import row_sampling
from inklings.generation.engine.row_sampling import Drawer, RowSampling, drawn, uniform_numbers
from inklings.generation.sampling import (
    SamplingConfig,
    next_token_probabilities,
    row_generators,
    sample_next,
)

BOUNDARY = 1
CPU = torch.device("cpu")

SETTINGS = st.builds(
    SamplingConfig,
    temperature=st.sampled_from([0.0, 1e-300, 1e-3, 0.5, 1.0, 2.0, 1e300]),
    top_k=st.none() | st.integers(1, 20),
    top_p=st.none() | st.just(1.0) | st.floats(1e-30, 1.0),
    min_p=st.none() | st.floats(0.0, 1.0),
    repetition_penalty=st.sampled_from([1e-300, 0.5, 1.0, 1.0, 1.3, 1e300]),
    presence_penalty=st.sampled_from([0.0, 0.0, 1.5, -2.0]),
    frequency_penalty=st.sampled_from([0.0, 0.0, 0.25, -1.0]),
    ban_boundary=st.booleans(),
    seed=st.integers(0, 2**40),
)
# steps of 1/8 make ties common
LOGITS = st.integers(-400, 400).map(lambda n: n / 8)


class Reference:
    """One row, drawn by `sample_next`."""

    def __init__(self, sampling: SamplingConfig, row: int, history: list[int], size: int) -> None:
        self.sampling = sampling
        self.generators = row_generators(sampling.seed, [row])
        self.seen = torch.zeros(1, size, dtype=torch.bool)
        self.seen[0, history] = True
        self.seen[0, BOUNDARY] = False
        self.counts = torch.zeros(1, size, dtype=torch.int64)
        self.banned = BOUNDARY if sampling.ban_boundary else None

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        return next_token_probabilities(
            logits[None], self.sampling, seen=self.seen, counts=self.counts, banned=self.banned
        )[0]

    def draw(self, logits: torch.Tensor) -> int:
        drawn = sample_next(
            logits[None],
            self.sampling,
            self.generators,
            seen=self.seen,
            counts=self.counts,
            banned=self.banned,
        )
        token = int(drawn)
        if token != BOUNDARY:
            self.seen[0, token] = True
            self.counts[0, token] += 1
        return token


@given(data=st.data(), settings=st.lists(SETTINGS, min_size=1, max_size=4), size=st.integers(2, 14))
def test_each_row_is_drawn_as_by_the_reference(
    data: st.DataObject, settings: list[SamplingConfig], size: int
) -> None:
    """Over several draws, between which rows leave and change places.

    And with few tokens looked at first.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_sampling, "FIRST", 2)
        patch.setattr(row_sampling, "BLOCK", 4)
        patch.setattr(row_sampling, "SMALL", data.draw(st.sampled_from([0, 1024])))
        histories = [
            data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4)) for _ in settings
        ]
        drawers = [
            Drawer.begin(sampling, row, histories[row], size, BOUNDARY)
            for row, sampling in enumerate(settings)
        ]
        references = [
            Reference(sampling, row, histories[row], size) for row, sampling in enumerate(settings)
        ]
        while drawers:
            sampling = RowSampling(drawers, boundary=BOUNDARY, device=CPU)
            for _ in range(2):
                logits = torch.from_numpy(
                    data.draw(arrays.arrays(np.float32, (len(drawers), size), elements=LOGITS))
                )
                kept = logits.clone()
                expected = torch.stack(
                    [
                        reference.probabilities(line)
                        for reference, line in zip(references, logits, strict=True)
                    ]
                )
                finite, found = sampling.probabilities(logits)
                assert torch.equal(logits, kept)
                assert finite.all()
                if any(reference.sampling.temperature for reference in references):
                    torch.testing.assert_close(found, expected)
                    assert torch.equal(found > 0, expected > 0)
                tokens, _ = sampling.draw(logits)
                assert tokens == [
                    reference.draw(line) for reference, line in zip(references, logits, strict=True)
                ]
            order = data.draw(st.permutations(range(len(drawers))))[1:]
            drawers, references = (
                [drawers[row] for row in order],
                [references[row] for row in order],
            )


def test_more_tokens_are_looked_at_until_the_nucleus_is_found() -> None:
    """Flat and steep distributions side by side over many tokens, most of them equally likely."""
    size = 700
    flat, steep = torch.zeros(size), torch.linspace(9, 0, size)
    ties = torch.where(torch.arange(size) % 3 == 0, 2.0, -1.0)
    logits = torch.stack([flat, steep, ties, flat])
    settings = [
        SamplingConfig(top_p=0.71),
        SamplingConfig(top_p=0.3),
        SamplingConfig(top_k=100),
        SamplingConfig(top_p=0.5, top_k=600),
    ]
    drawers = [Drawer.begin(sampling, 0, [BOUNDARY], size, BOUNDARY) for sampling in settings]
    _, found = RowSampling(drawers, boundary=BOUNDARY, device=CPU).probabilities(logits)
    expected = torch.cat(
        [
            next_token_probabilities(line[None], sampling)
            for line, sampling in zip(logits, settings, strict=True)
        ]
    )
    torch.testing.assert_close(found, expected)
    assert torch.equal(found > 0, expected > 0)
    assert (found > 0).sum(dim=1).tolist()[2] == 100


@given(seed=st.integers(0, 2**40), row=st.integers(0, 300))
def test_numbers_drawn_ahead_are_those_drawn_one_by_one(seed: int, row: int) -> None:
    (generator,) = row_generators(seed, [row])
    alone = [float(torch.rand(1, generator=generator, dtype=torch.float64)) for _ in range(150)]
    assert list(itertools.islice(uniform_numbers(seed, row), 150)) == alone


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("greedy", [False, True])
def test_a_row_that_is_not_finite_is_told_and_harms_no_other(bad: float, greedy: bool) -> None:
    settings = [
        SamplingConfig(seed=seed, temperature=0.0 if greedy else 1.0, repetition_penalty=1.1)
        for seed in range(3)
    ]
    logits = torch.randn(3, 90, generator=torch.Generator().manual_seed(0))
    expected = [
        Reference(sampling, 0, [BOUNDARY], 90).draw(line)
        for sampling, line in zip(settings, logits, strict=True)
    ]
    logits[1, 5] = bad
    drawers = [Drawer.begin(sampling, 0, [BOUNDARY], 90, BOUNDARY) for sampling in settings]
    tokens, finite = RowSampling(drawers, boundary=BOUNDARY, device=CPU).draw(logits)
    assert finite == [True, False, True]
    assert [tokens[0], tokens[2]] == [expected[0], expected[2]]


@given(data=st.data(), size=st.integers(1, 200), small=st.sampled_from([0, 1024]))
def test_what_is_impossible_is_never_drawn(data: st.DataObject, size: int, small: int) -> None:
    weights = data.draw(
        arrays.arrays(np.float32, (3, size), elements=st.sampled_from([0.0, 0.0, 1e-30, 0.5]))
    )
    weights[:, data.draw(st.integers(0, size - 1))] = 1e-30
    uniform = data.draw(
        arrays.arrays(
            np.float64,
            3,
            elements=st.sampled_from([0.0, 0.5, 1 - 2**-53]) | st.floats(0, 1, exclude_max=True),
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_sampling, "SMALL", small)
        tokens = drawn(torch.from_numpy(weights), torch.from_numpy(uniform))
    assert (weights[np.arange(3), tokens.numpy()] > 0).all()
