"""The sampler.

Each filter keeps exactly what it says, zero is argmax, extremes do not crash, rows are on their
own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from inklings.errors import ConfigError, DivergedError
from inklings.generation.sampling import (
    SamplingConfig,
    next_token_probabilities,
    row_generators,
    sample_next,
)

LOGITS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(2, 12)),
    # steps of 1/8 make ties common
    elements=st.integers(-400, 400).map(lambda n: n / 8),
).map(torch.from_numpy)

SAMPLING = st.builds(
    SamplingConfig,
    temperature=st.sampled_from([0.0, 1e-45, 1e-30, 1e-3, 0.5, 1.0, 2.0, 1e30]),
    top_k=st.none() | st.integers(1, 20),
    top_p=st.none() | st.floats(1e-30, 1.0),
    min_p=st.none() | st.floats(0.0, 1.0),
    repetition_penalty=st.sampled_from([1e-300, 0.5, 1.0, 1.3, 1e300]),
)


@given(logits=LOGITS, sampling=SAMPLING, data=st.data())
def test_every_setting_gives_distributions_of_what_is_allowed(
    logits: torch.Tensor, sampling: SamplingConfig, data: st.DataObject
) -> None:
    n, v = logits.shape
    banned = data.draw(st.none() | st.integers(0, v - 1))
    seen = torch.from_numpy(data.draw(arrays.arrays(np.bool_, (n, v))))
    p = next_token_probabilities(logits, sampling, seen=seen, banned=banned)
    assert p.dtype == torch.float32
    assert bool((p >= 0).all())
    torch.testing.assert_close(p.sum(dim=1), torch.ones(n))
    drawn = sample_next(logits, sampling, row_generators(0, range(n)), seen=seen, banned=banned)
    assert bool((p[torch.arange(n), drawn] > 0).all())
    if banned is not None:
        assert bool((p[:, banned] == 0).all())
        assert banned not in drawn.tolist()


@given(logits=LOGITS, k=st.integers(1, 20))
def test_top_k_keeps_exactly_the_k_most_likely(logits: torch.Tensor, k: int) -> None:
    plain = torch.softmax(logits.double(), dim=1)
    p = next_token_probabilities(logits.double(), SamplingConfig(top_k=k))
    kept = p > 0
    possible = plain > 0
    for row in range(len(logits)):
        assert int(kept[row].sum()) == min(k, int(possible[row].sum()))
        if k < logits.shape[1]:
            assert float(plain[row][kept[row]].min()) >= float(plain[row][~kept[row]].max())


@given(logits=LOGITS, top_p=st.floats(1e-12, 1.0))
@example(logits=torch.tensor([[10.0, 0.0, 0.0]]), top_p=1e-12)
def test_top_p_keeps_the_fewest_that_reach_it(logits: torch.Tensor, top_p: float) -> None:
    logits = logits.double()
    plain = torch.softmax(logits, dim=1)
    p = next_token_probabilities(logits, SamplingConfig(top_p=top_p))
    for row in range(len(logits)):
        kept = p[row] > 0
        n, mass = int(kept.sum()), float(plain[row][kept].sum())
        assert n >= 1
        assert mass >= top_p - 1e-9
        assert (
            n == 1 or mass - float(plain[row][kept].min()) < top_p + 1e-9
        )  # without the least of them it would not do
        torch.testing.assert_close(p[row][kept], plain[row][kept] / mass)


@given(logits=LOGITS, min_p=st.floats(0, 1))
def test_min_p_keeps_what_is_likely_enough_beside_the_likeliest(
    logits: torch.Tensor, min_p: float
) -> None:
    plain = torch.softmax(logits, dim=1)
    p = next_token_probabilities(logits, SamplingConfig(min_p=min_p))
    expected = (plain >= min_p * plain.amax(dim=1, keepdim=True)) & (plain > 0)
    assert torch.equal(p > 0, expected)


@given(logits=LOGITS)
def test_temperature_zero_is_argmax_and_the_limit(logits: torch.Tensor) -> None:
    generators = row_generators(3, range(len(logits)))
    states = [generator.get_state() for generator in generators]
    drawn = sample_next(logits, SamplingConfig(temperature=0.0), generators)
    assert torch.equal(drawn, logits.argmax(dim=1))
    assert all(
        torch.equal(a, g.get_state()) for a, g in zip(states, generators, strict=True)
    )  # nothing is drawn
    unique = (logits == logits.amax(dim=1, keepdim=True)).sum(dim=1) == 1
    cold = next_token_probabilities(logits, SamplingConfig(temperature=1e-30))
    assert torch.equal(cold.argmax(dim=1)[unique], drawn[unique])


def test_temperature_divides_the_logits() -> None:
    logits = torch.tensor([[1.0, 2.0, 4.0]])
    torch.testing.assert_close(
        next_token_probabilities(logits, SamplingConfig(temperature=2.5)),
        torch.softmax(logits / 2.5, dim=1),
    )


def test_the_filters_follow_one_another() -> None:
    """Top-p is a share of what top-k left, after the temperature."""
    logits = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64))
    # top_k=2 leaves 4/7 and 3/7: 0.5 is reached by the first alone, which in the whole distribution
    # it would not be.
    p = next_token_probabilities(logits, SamplingConfig(top_k=2, top_p=0.5))
    assert p.tolist() == [[1, 0, 0, 0]]
    p = next_token_probabilities(logits, SamplingConfig(top_p=0.5))
    torch.testing.assert_close(p, torch.tensor([[4 / 7, 3 / 7, 0, 0]], dtype=torch.float64))
    # squaring the probabilities (temperature 0.5) makes the first one 16/30 of the whole
    assert next_token_probabilities(
        logits, SamplingConfig(top_p=0.5, temperature=0.5)
    ).tolist() == [[1, 0, 0, 0]]


def test_the_repetition_penalty_is_that_of_its_paper() -> None:
    logits = torch.tensor([[3.0, -1.0, 1.0, 0.5]])
    seen = torch.tensor([[True, True, False, False]])
    p = next_token_probabilities(logits, SamplingConfig(repetition_penalty=2.0), seen=seen)
    torch.testing.assert_close(p, torch.softmax(torch.tensor([[1.5, -2.0, 1.0, 0.5]]), dim=1))
    greedy = SamplingConfig(repetition_penalty=4.0, temperature=0.0)
    assert sample_next(logits, greedy, row_generators(0, [0]), seen=seen).tolist() == [2]


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, 2.0, -math.inf]])
    sampling = SamplingConfig(temperature=1.3)
    generator = row_generators(1, [0])
    drawn = torch.cat([sample_next(logits, sampling, generator) for _ in range(1500)])
    counts = torch.bincount(drawn, minlength=5).numpy()
    expected = next_token_probabilities(logits, sampling)[0].double().numpy()
    assert counts[4] == 0
    assert stats.chisquare(counts[:4], 1500 * expected[:4] / expected[:4].sum()).pvalue > 0.001


@given(logits=LOGITS, seed=st.integers(0, 2**40))
def test_a_row_does_not_depend_on_its_neighbours(logits: torch.Tensor, seed: int) -> None:
    sampling = SamplingConfig(seed=seed)
    n = len(logits)
    together, alone = row_generators(seed, range(n)), row_generators(seed, range(n))
    for _ in range(3):
        batch = sample_next(logits, sampling, together)
        single = torch.cat(
            [sample_next(logits[r : r + 1], sampling, alone[r : r + 1]) for r in range(n)]
        )
        assert torch.equal(batch, single)


def test_seeds_and_rows_have_generators_of_their_own() -> None:
    first = {
        (seed, row): row_generators(seed, [row])[0].initial_seed()
        for seed in range(20)
        for row in range(20)
    }
    assert len(set(first.values())) == 400


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_small_types_are_computed_in_float32(dtype: torch.dtype) -> None:
    p = next_token_probabilities(torch.zeros(1, 3000, dtype=dtype), SamplingConfig())
    assert p.dtype == torch.float32
    torch.testing.assert_close(p, torch.full((1, 3000), 1 / 3000))


def test_impossible_tokens_stay_impossible_unless_nothing_else_is_left() -> None:
    logits = torch.tensor([[0.0, -math.inf, -math.inf]])
    assert next_token_probabilities(logits, SamplingConfig()).tolist() == [[1, 0, 0]]
    assert next_token_probabilities(logits, SamplingConfig(), banned=0).tolist() == [[0, 0.5, 0.5]]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_damaged_weights_are_noticed(bad: float) -> None:
    with pytest.raises(DivergedError, match="not finite"):
        next_token_probabilities(torch.tensor([[0.0, bad]]), SamplingConfig())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", 0),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("top_p", math.nan),
        ("min_p", -0.1),
        ("min_p", 1.5),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", math.inf),
        ("presence_penalty", 2.01),
        ("frequency_penalty", -2.01),
        ("frequency_penalty", math.nan),
        ("seed", -1),
    ],
)
def test_out_of_range_is_said_with_the_name(name: str, value: float) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError, match=name):
        SamplingConfig(**given)


def test_presence_and_frequency_penalties_are_those_of_openai() -> None:
    """Subtracted once for a token that was drawn, and once for each time.

    Of the prompt's tokens nothing is.
    """
    logits = torch.tensor([[3.0, -1.0, 1.0, 0.5]])
    counts = torch.tensor([[2, 1, 0, 0]])
    sampling = SamplingConfig(presence_penalty=0.5, frequency_penalty=-0.25)
    expected = torch.softmax(torch.tensor([[3.0 - 0.5 + 0.5, -1.0 - 0.5 + 0.25, 1.0, 0.5]]), dim=1)
    torch.testing.assert_close(next_token_probabilities(logits, sampling, counts=counts), expected)
    torch.testing.assert_close(
        next_token_probabilities(logits, sampling, seen=counts > 0), torch.softmax(logits, dim=1)
    )  # without counts nothing was drawn


@pytest.mark.parametrize(
    "extreme", [{"temperature": 1e-300}, {"temperature": 1e300}, {"repetition_penalty": 1e300}]
)
def test_settings_beyond_float32_are_its_extremes(extreme: dict[str, Any]) -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, -math.inf]])
    p = next_token_probabilities(
        logits,
        SamplingConfig(**extreme),
        seen=torch.ones(1, 4, dtype=torch.bool),
        banned=2,
    )
    assert bool(torch.isfinite(p).all())
    assert float(p[0, 2]) == 0
    torch.testing.assert_close(p.sum(), torch.tensor(1.0))


def test_a_nucleus_of_everything_drops_nothing() -> None:
    logits = torch.linspace(0, -60, 2000)[None]
    assert torch.equal(
        next_token_probabilities(logits, SamplingConfig(top_p=1.0)),
        next_token_probabilities(logits, SamplingConfig()),
    )
