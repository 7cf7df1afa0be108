"""What lets a model with a memory answer: the gist in its keys, and a share that knows how near."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from inklings.models.varda.forward import Pass
from inklings.models.varda.readers import Mixture, Recalled
from tests.models.test_varda import V, made, text


def test_keys_carry_the_gist_of_their_document_and_of_no_other() -> None:
    """Against sums written out; and the same in one pass as token by token."""
    model, tokens = made(gist=2.0, gist_length=5), text(2, 11)
    starts = torch.zeros(2, 11, dtype=torch.bool)
    starts[0, 4] = starts[1, 0] = starts[1, 7] = True
    with torch.no_grad():
        hidden = F.normalize(model.backbone(tokens, starts=starts).hidden, dim=-1)
    expected = torch.zeros_like(hidden)
    for row in range(2):
        gist = torch.zeros(model.dimension)
        for at in range(11):
            gist = hidden[row, at] + (0 if starts[row, at] else 0.8) * gist
            key = hidden[row, at] + 2.0 * gist / gist.norm()
            expected[row, at] = key / key.norm()

    def keys(cuts: list[int]) -> Tensor:
        state, parts = model.initial_state(2), []
        for first, last in itertools.pairwise(cuts):
            work = Pass(model, tokens[:, first:last], state, starts[:, first:last], None)
            with torch.no_grad():
                work.run()
            state = work.state()
            parts.append(torch.from_numpy(work.queries()))
        return torch.cat(parts, 1)

    torch.testing.assert_close(keys([0, 11]), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(keys([0, 3, 4, 9, 11]), expected, atol=1e-5, rtol=1e-5)


def test_the_share_is_that_of_an_entry_at_no_distance_and_falls_with_it() -> None:
    """By `nearness` nats of the odds for each unit; without it, the share is the same anywhere."""

    def part(distance: float, **settings: float) -> float:
        reader = Mixture(8, sharpness=15.0, share=0.9, **settings)
        recalled = Recalled(
            distances=torch.full((1, 1, 1), distance),
            edges=torch.full((1, 1, 1), math.inf),
            log_scores=torch.zeros(1, 1, 1),
            values=torch.zeros(1, 1, 1, dtype=torch.int64),
            vectors=None,
        )
        with torch.no_grad():
            return float(reader(torch.zeros(1, 1, V), torch.zeros(1, 1, 8), recalled)[1])

    assert part(0.0, nearness=3.0) == pytest.approx(0.9, abs=1e-5)
    odds = [part(d, nearness=3.0) / (1 - part(d, nearness=3.0)) for d in (0.5, 1.5)]
    assert math.log(odds[0] / odds[1]) == pytest.approx(3.0, abs=1e-4)
    assert part(1.5) == part(0.0) == pytest.approx(0.9, abs=1e-5)
