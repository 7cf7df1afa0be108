"""Comparisons of which the truth is known.

How often the verdict claims what is not there, and finds what is.

Runs are drawn, not trained; everything after them is the verdict's own code. The nats of a document
under a run are the arm's mean, plus what this document does for the arm, whatever the seed, plus
what the seed does to the arm on all documents, plus what it does on this one. What a seed or a
document does to all arms alike cancels in the pairs and is left out. How large each part is,
`measure` reads from the runs of a real comparison.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

from inklings.evaluation.likelihood.units import UnitSums
from inklings.evaluation.statistics import FLIPS_FROM, LEVEL
from inklings.lab.comparison.result import ArmResult, Difference, RunResult, run_value
from inklings.lab.verdict.differences import (
    ResamplingUnits,
    UnitsOf,
    find_differences,
    paired_runs,
    text_variance,
)

UNIT = "nats per token"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far runs lie apart where no arm is better.

    Standard deviations of a run's loss, in nats per token.
    """

    seeds: tuple[float, ...]
    """Over its seeds, for each arm; with more arms than there are here, they come round again."""
    documents: float
    """Of that, the part that is how a seed happens to get on with each held-out document."""
    text: float
    """Of what the held-out documents do for an arm, whatever its seed: it would be another on
    another text.
    """
    units: int
    """Held-out documents, or blocks of text."""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What became of simulated comparisons; all but the first are counts of them."""

    simulations: int
    claimed: int
    """Any difference was claimed."""
    found: int
    """The first arm was claimed to beat the second."""
    of_seeds: int
    """Any difference would have been claimed if the tests over seeds alone decided, with no thought
    of the held-out text.
    """


def simulate(
    spread: Spread,
    *,
    arms: int,
    seeds: int,
    simulations: int,
    lead: float = 0.0,
    freedom: float | None = None,
    same_text: bool = False,
    seed: int = 0,
) -> Outcomes:
    """Judge simulated comparisons, and count the claims.

    Args:
        spread: of the runs.
        arms: in each comparison, two or more.
        seeds: of each arm, two or more.
        simulations: how many comparisons.
        lead: by how much the first arm's mean is better than all others', in standard deviations of
            its seeds; with 0, every claim is wrong.
        freedom: degrees of freedom of Student's t that the seeds' part is drawn from, scaled to the
            same standard deviation; more than 2. None draws from a normal distribution.
        same_text: whether arms are equal on the very documents that are held out, and not only on
            all text of their kind.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    widths = np.resize(spread.seeds, arms)
    whole = np.sqrt(np.maximum(widths**2 - spread.documents**2, 0.0))
    of_document = np.sqrt(spread.units) * np.array(
        [spread.text, np.minimum(spread.documents, widths).mean()]
    )
    claimed = found = of_seeds = 0
    for _ in range(simulations):
        shape = (arms, seeds)
        draws = (
            rng.normal(size=shape)
            if freedom is None
            else rng.standard_t(freedom, size=shape) / math.sqrt(freedom / (freedom - 2))
        )
        of_text = of_document[0] * rng.normal(size=(arms, 1, spread.units))
        if same_text:
            of_text -= of_text.mean(-1, keepdims=True)
        nats = (
            2.0
            + whole[:, None, None] * draws[:, :, None]
            + of_text
            + of_document[1] * rng.normal(size=(*shape, spread.units))
        )
        nats[0] -= lead * widths[0]
        differences = _judged(nats)
        claims = [
            (difference.better, difference.worse)
            for difference in differences
            if difference.finding == "better"
        ]
        claimed += bool(claims)
        found += ("arm 1", "arm 2") in claims
        of_seeds += any(_seeds_would(difference) for difference in differences)
    return Outcomes(simulations=simulations, claimed=claimed, found=found, of_seeds=of_seeds)


def _judged(nats: Float[np.ndarray, "arms seeds units"]) -> list[Difference]:
    """What the verdict finds of the runs with these nats for each document.

    Which has one target.
    """
    ones = np.ones(nats.shape[-1], dtype=np.int64)
    sums = {
        f"{arm} {seed}": ResamplingUnits("documents", UnitSums(run, ones, ones, ones))
        for arm, runs in enumerate(nats)
        for seed, run in enumerate(runs)
    }
    losses = nats.mean(-1).tolist()
    arms = [
        ArmResult(
            label=f"arm {arm + 1}",
            architecture="simulated",
            kind="trained",
            runs=[
                RunResult(seed=seed, status="done", run=f"{arm} {seed}", loss=loss)
                for seed, loss in enumerate(of_arm)
            ],
        )
        for arm, of_arm in enumerate(losses)
    ]
    return find_differences(arms, unit=UNIT, units_of=lambda run: sums[run.run])


def _seeds_would(difference: Difference) -> bool:
    assert difference.p is not None, "there are two seeds or more"
    return difference.p < LEVEL and (
        difference.count < FLIPS_FROM or difference.finding != "no claim"
    )


def measure(arms: Sequence[ArmResult], units_of: UnitsOf) -> Spread:
    """The spread of the runs of a comparison, as `simulate` takes it.

    Args:
        arms: trained arms that have the same seeds, two or more of each.
        units_of: the documents of a run, or blocks.
    """
    losses = [[run_value(run, UNIT) for run in arm.done] for arm in arms]
    pairs = [paired_runs(a, b) for a, b in combinations(arms, 2)]
    variances = [
        found for pair in pairs if (found := text_variance(pair, UNIT, units_of)) is not None
    ]
    of_text = np.mean(
        [
            found.of_mean - found.of_seed / len(pair)
            for found, pair in zip(variances, pairs, strict=True)
        ]
    )
    return Spread(
        seeds=tuple(float(np.std(of_arm, ddof=1)) for of_arm in losses),
        documents=math.sqrt(
            float(np.mean([found.of_seed for found in variances])) / 2
        ),  # of a pair, each arm has half
        text=math.sqrt(max(float(of_text), 0.0) / 2),
        units=variances[0].units,
    )
