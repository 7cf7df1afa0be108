"""Judging a comparison: from its results to differences, equal budgets, verdict and scaling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from inklings.evaluation.likelihood.evaluate import load_likelihood
from inklings.evaluation.samples.calibration import Calibration
from inklings.lab.comparison.result import Comparison, Point, RunResult
from inklings.lab.comparison.run_samples import read_measured
from inklings.lab.scaling.result import Scaling, SizedRun
from inklings.lab.scaling.scaling import scale
from inklings.lab.verdict.differences import ResamplingUnits, find_differences
from inklings.lab.verdict.equal_budgets import equal_budgets
from inklings.lab.verdict.sample_verdict import find_sample_differences, say_samples
from inklings.lab.verdict.sentences import say


def judged(out: Path, comparison: Comparison, calibration: Calibration | None) -> Comparison:
    """Return the comparison with the differences and verdicts of its finished runs.

    Args:
        out: its folder.
        comparison: the comparison so far.
        calibration: the scale of sample metrics; None where no samples are compared.
    """

    def units(run: RunResult) -> ResamplingUnits:
        assert run.results is not None
        likelihood = load_likelihood(out / run.results)
        return ResamplingUnits(
            "documents" if likelihood.blocks is None else "blocks", likelihood.units
        )

    differences = find_differences(comparison.arms, unit=comparison.unit, units_of=units)
    budgets = equal_budgets(comparison.arms, unit=comparison.unit, units_of=units)
    verdict = say(
        comparison.arms, differences, unit=comparison.unit, plan=comparison.plan, budgets=budgets
    )
    comparison = replace(
        comparison,
        differences=differences,
        budgets=budgets,
        verdict=verdict,
        scaling=_scaling(comparison),
    )
    if calibration is None:
        return comparison
    measured = read_measured(out, comparison)
    of_samples = find_sample_differences(comparison.arms, measured)
    return replace(
        comparison,
        sample_differences=of_samples,
        sample_verdict=say_samples(comparison.arms, of_samples, calibration, measured),
    )


def _scaling(comparison: Comparison) -> Scaling | None:
    """Return what the sizes of the arms tell, where there are several."""
    runs = [
        SizedRun(
            arm=arm.smaller_of or arm.label,
            size=run.non_embedding,
            seed=run.seed,
            points=[
                (float(point.flops), value)
                for point in run.points
                if (value := _value(point, comparison.unit)) is not None
            ],
        )
        for arm in [*comparison.arms, *comparison.smaller]
        for run in arm.done
        if run.points and run.non_embedding and run.seed is not None and not arm.dishonest
    ]
    return scale(runs) if comparison.smaller and runs else None


def _value(point: Point, unit: str) -> float | None:
    """Return the ranking figure of a point."""
    return point.loss if unit == "nats per token" else point.bits_per_byte
