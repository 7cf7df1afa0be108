"""The section of the ranking: a row for each arm, the best first."""

from __future__ import annotations

from dataclasses import dataclass

from inklings.evaluation.likelihood.likelihood_metric import METRICS, LikelihoodMetric
from inklings.lab.report.section import Results, Section
from inklings.lab.report.table import ArmRow, knows_flops, knows_sizes, rank


@dataclass(frozen=True)
class RankingTable:
    """The rows of the ranking, and which columns they fill."""

    rows: list[ArmRow]
    metrics: list[LikelihoodMetric]
    sizes: bool
    flops: bool
    bits: bool


def make_section(results: Results) -> Section:
    """Return the section of the ranking, which every report has."""
    rows = rank(results.comparison)
    known = any(row.bits_per_byte is not None for row in rows)
    table = RankingTable(
        rows,
        list(METRICS),
        sizes=knows_sizes(rows),
        flops=knows_flops(rows),
        bits=known and results.comparison.unit == "nats per token",
    )
    return Section("table", "Ranking", template="ranking", content=table, under_legend=False)
