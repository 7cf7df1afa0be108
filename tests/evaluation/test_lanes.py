"""Every target is scored once, with the context that it should have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.evaluation.likelihood.windows import LANE_OF_WARM_UPS, cut_lanes, warm_up


@given(lengths=st.lists(st.integers(1, 200), min_size=1, max_size=8), length=st.integers(1, 20))
def test_lanes_score_each_target_once_after_its_context(lengths: list[int], length: int) -> None:
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    lanes = cut_lanes(offsets, warm_up=length)
    scored = [np.arange(a, b) for a, b in zip(lanes.scored, lanes.end, strict=True)]
    assert np.array_equal(np.concatenate(scored), np.arange(offsets[-1]))
    for document, begin, first, end in zip(
        lanes.document, lanes.begin, lanes.scored, lanes.end, strict=True
    ):
        start = offsets[document]
        assert start <= begin <= first < end <= offsets[document + 1]
        assert begin == max(start, first - length)
        assert end - first <= LANE_OF_WARM_UPS * length
    short = [document for document, n in enumerate(lengths) if n <= LANE_OF_WARM_UPS * length]
    assert all((lanes.document == document).sum() == 1 for document in short)


@pytest.mark.parametrize(("context_length", "expected"), [(8, 512), (512, 512), (1024, 1024)])
def test_the_warm_up_covers_the_context(context_length: int, expected: int) -> None:
    assert warm_up(context_length) == expected
