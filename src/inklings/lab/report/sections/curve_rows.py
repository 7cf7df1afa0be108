"""What the charts of curves draw, from the records of all runs.

A row for each point of each curve.
"""

from __future__ import annotations

from inklings.lab.comparison.records import Records, ReportRecord
from inklings.lab.comparison.result import ArmResult, Comparison, RunResult
from inklings.lab.report.chart import Rows


def _runs(
    comparison: Comparison, records: Records
) -> list[tuple[ArmResult, RunResult, ReportRecord]]:
    return [
        (arm, run, records[arm.label, run.seed])
        for arm in comparison.arms
        for run in arm.runs
        if (arm.label, run.seed) in records
    ]


def curve_rows(comparison: Comparison, records: Records, part: str) -> Rows:
    """One row for each point of every curve of a part (`smoothed`, `raw`, `validation`).

    Of the raw ones only the first seed, for several would hide each other. FLOPs are those of a
    token times the tokens; where a run does not say them, rows have none.
    """
    rows: Rows = []
    for arm, run, record in _runs(comparison, records):
        columns = record.curve[part]
        if (part == "raw" and run is not arm.runs[0]) or len(columns["loss"]) < 2:
            continue
        names = ("tokens", "seconds", "loss", *(["accuracy"] if part == "validation" else []))
        each = run.flops / run.tokens if run.flops and run.tokens else None
        for values in zip(*(columns[name] for name in names), strict=True):
            row = {"arm": arm.label, "seed": run.seed, **dict(zip(names, values, strict=True))}
            rows.append({**row, "flops": float(f"{row['tokens'] * each:.6g}")} if each else row)
    return rows


def floor_curve_rows(comparison: Comparison, records: Records) -> Rows:
    """Validation figures of arms that have one evaluation only: what is counted has no curve."""
    return [
        {
            "arm": arm.label,
            "loss": record.curve["validation"]["loss"][0],
            "accuracy": record.curve["validation"]["accuracy"][0],
        }
        for arm, _, record in _runs(comparison, records)
        if len(record.curve["validation"]["loss"]) == 1
    ]


def steps_of(records: Records, name: str) -> str:
    """`50`, or `20 to 50` where runs have different lengths."""
    sizes = sorted(
        {record.curve[name] for record in records.values() if record.curve["smoothed"]["loss"]}
    )
    return "1" if not sizes else str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def position_rows(comparison: Comparison, records: Records) -> Rows:
    """Loss in each range of positions, averaged over an arm's seeds.

    A range is drawn at its geometric middle.
    """
    found: dict[tuple[str, float, float], list[float]] = {}
    for arm, _, record in _runs(comparison, records):
        for first, last, loss, _count in record.loss_by_position:
            found.setdefault((arm.label, first, last), []).append(loss)
    return [
        {
            "arm": arm,
            "first": first,
            "last": last,
            "position": round((first * last) ** 0.5, 2),
            "loss": round(sum(losses) / len(losses), 5),
        }
        for (arm, first, last), losses in found.items()
    ]
