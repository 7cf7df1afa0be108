"""The table of a comparison: a row for each arm, the best first, as figures and as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inklings.amounts import count, duration, short_count
from inklings.evaluation.likelihood.likelihood_metric import METRICS
from inklings.evaluation.statistics import mean_interval
from inklings.lab.comparison.records import read_record
from inklings.lab.comparison.result import (
    ArmResult,
    Comparison,
    Difference,
    mean_value,
    ranked_arms,
    run_value,
)
from inklings.models.sizes import TOLERANCE

WORDS = {"better": "worse", "better on this text": "worse on this text", "no claim": "no claim"}
"""Words for a finding, said of the arm that is not the best."""


@dataclass(frozen=True, kw_only=True)
class ArmRow:
    """An arm's figures, means over its scored runs."""

    arm: ArmResult
    rank: int | None
    """None for an arm that is not ranked."""
    value: float | None
    """The ranking figure, in the comparison's unit."""
    low: float | None
    high: float | None
    """95% interval of `value`: over seeds where there are two or more, else over documents."""
    parameters: int | None
    non_embedding: int | None
    """Parameters without embedding and head; None where they were not counted."""
    tokens: int | None
    flops: int | None
    """Operations of training; None where they were not counted."""
    seconds: float | None
    bits_per_byte: float | None
    metrics: dict[str, float | None]
    """Every metric of likelihood, by its name."""
    difference: Difference | None
    """To the best arm; None for the best itself and for what is not ranked."""


def rank(comparison: Comparison) -> list[ArmRow]:
    """Return rows sorted by the ranking figure.

    Arms that could not be scored come last, in their given order.
    """
    ranked = ranked_arms(comparison.arms, comparison.unit)
    against = {}
    if ranked:
        best = ranked[0].label
        against = {
            (d.worse if d.better == best else d.better): d
            for d in comparison.differences
            if best in (d.better, d.worse)
        }
    rows = [
        _row(arm, i + 1, comparison.unit, against.get(arm.label)) for i, arm in enumerate(ranked)
    ]
    return rows + [
        _row(arm, None, comparison.unit, None) for arm in comparison.arms if not arm.ranked
    ]


def _row(arm: ArmResult, place: int | None, unit: str, difference: Difference | None) -> ArmRow:
    low, high = _interval(arm, unit) if arm.done else (None, None)
    return ArmRow(
        arm=arm,
        rank=place,
        value=mean_value(arm, unit) if arm.done else None,
        low=low,
        high=high,
        parameters=_first([run.parameters for run in arm.runs]),
        non_embedding=_first([run.non_embedding for run in arm.runs]),
        tokens=_first([run.tokens for run in arm.runs]),
        flops=_first([run.flops for run in arm.runs]),
        seconds=_mean([run.seconds for run in arm.runs]),
        bits_per_byte=_mean([run.bits_per_byte for run in arm.done]),
        metrics={
            "loss": _mean([run.loss for run in arm.done]),
            "bits_per_byte": _mean([run.bits_per_byte for run in arm.done]),
            **{
                name: _mean([run.metrics.get(name) for run in arm.done])
                for name in METRICS.places
                if name not in ("loss", "bits_per_byte")
            },
        },
        difference=difference,
    )


def _interval(arm: ArmResult, unit: str) -> tuple[float | None, float | None]:
    """Return the interval of an arm's mean over seeds, or of its single run over documents."""
    if len(arm.done) > 1:
        interval = mean_interval([run_value(run, unit) for run in arm.done])
        return (interval.low, interval.high)
    run = arm.done[0]
    if run.loss_interval is None or run.loss is None or run.loss == 0:
        return (None, None)
    scale = run_value(run, unit) / run.loss
    return (run.loss_interval[0] * scale, run.loss_interval[1] * scale)


def _first(values: list[int | None]) -> int | None:
    return next((value for value in values if value is not None), None)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def render_table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return column names, and the rows as text."""
    tokens = comparison.unit == "nats per token"
    found = rank(comparison)
    sizes, flops = knows_sizes(found), knows_flops(found)
    shown = [metric for metric in METRICS if metric.ranking]
    columns = [
        "",
        "arm",
        *(["loss"] if tokens else []),
        "bits/byte",
        *(metric.title for metric in shown),
        "parameters",
        *(["non-embedding"] if sizes else []),
        "tokens",
        *(["FLOPs"] if flops else []),
        "time",
        "to the best",
        "verdict",
    ]
    rows = [
        [
            str(row.rank or "-"),
            row.arm.label,
            *([with_interval(row), figure(row.bits_per_byte)] if tokens else [with_interval(row)]),
            *(metric.format(row.metrics[metric.name]) for metric in shown),
            count(row.parameters),
            *([count(row.non_embedding)] if sizes else []),
            short_count(row.tokens),
            *([short_count(row.flops)] if flops else []),
            duration(row.seconds),
            to_the_best(row),
            finding(row),
        ]
        for row in found
    ]
    return columns, rows


def markdown_table(comparison: Comparison) -> str:
    """Return the table in Markdown, numbers to the right."""
    columns, rows = render_table(comparison)
    right = [
        all(re.match(r"[-+]?[\d-]", row[place] or "0") for row in rows)
        for place in range(len(columns))
    ]
    lines = [
        [column or "#" for column in columns],
        ["---:" if number else "---" for number in right],
        *([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def knows_sizes(rows: Sequence[ArmRow]) -> bool:
    """Return whether parameters without embedding and head were counted."""
    return any(row.non_embedding is not None for row in rows)


def knows_flops(rows: Sequence[ArmRow]) -> bool:
    """Return whether the FLOPs of training were counted."""
    return any(row.flops is not None for row in rows)


def sizing_note(arm: ArmResult) -> str | None:
    """Say by how much an arm misses the wanted size; None where it is near enough."""
    if (
        arm.sizing is None
        or abs(arm.sizing.reached - arm.sizing.asked) <= TOLERANCE * arm.sizing.asked
    ):
        return None
    miss = arm.sizing.reached / arm.sizing.asked - 1
    return (
        f"its nearest size has {arm.sizing.reached:,} parameters without embedding and head,"
        f" {abs(miss):.1%} {'more' if miss > 0 else 'fewer'} than the {arm.sizing.asked:,} that"
        " were asked for"
    )


def sample_texts(comparison: Comparison, out: Path, *, each: int = 3) -> list[tuple[str, str]]:
    """Return (arm, text) for the first samples of each arm's first run, in the order of the table.

    Args:
        comparison: the comparison.
        out: its folder.
        each: how many texts of an arm.
    """
    found = []
    for row in rank(comparison):
        run = next((run for run in row.arm.runs if run.results is not None), None)
        if run is not None and run.results is not None:
            found += [
                (row.arm.label, text) for text in read_record(out / run.results).samples[:each]
            ]
    return found


def finding(row: ArmRow) -> str:
    """Return what is known about an arm against the best one."""
    if row.arm.dishonest:
        return (
            "not ranked: its audit fails"
            f" ({', '.join(finding.check for finding in row.arm.dishonest)})"
        )
    if row.arm.floor and row.arm.done:
        return "baseline: counted n-grams"
    if row.arm.likelihood_free and row.arm.measured:
        return "no likelihood: compared by its samples alone"
    if row.rank is None:
        failed = next((run for run in row.arm.runs if run.message), None)
        return f"{failed.status}: {failed.message}" if failed else "no result yet"
    if row.difference is None:
        return "best"
    return beside_the_best(row.difference, row.arm.label)


def beside_the_best(difference: Difference, label: str) -> str:
    """Return what a difference says of an arm that has not the best mean.

    Over the runs that can be paired it may be better still.
    """
    if difference.better == label and difference.finding != "no claim":
        return "better on the runs that can be paired"
    return WORDS[difference.finding]


def to_the_best(row: ArmRow) -> str:
    """Return how much an arm lies above the best one; empty for the best."""
    return "" if row.difference is None else signed(row.difference, row.arm.label)


def signed(difference: Difference, label: str) -> str:
    """Format how much an arm lies above the other of the two: `+0.021 ± 0.006`."""
    sign = 1 if difference.worse == label else -1
    low, high = difference.low, difference.high
    return f"{sign * difference.mean:+.3f}" + (
        f" ± {(high - low) / 2:.3f}" if low is not None and high is not None else ""
    )


def with_interval(row: ArmRow) -> str:
    """Return the ranking figure, as `1.712 ± 0.006`."""
    half = (
        f" ± {(row.high - row.low) / 2:.3f}" if row.low is not None and row.high is not None else ""
    )
    return figure(row.value) + half


def figure(value: float | None) -> str:
    """Write a number with three decimals."""
    return "-" if value is None else f"{value:.3f}"
