"""A comparison as Python has it: its verdict and table, its runs, and all their metrics."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from inklings.interface.records import FIRST, Records, alike, metric_records
from inklings.interface.run import Run
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.result import Comparison, RunResult, Verdict
from inklings.lab.report.page import write_report
from inklings.lab.report.table import finding, rank, render_table, to_the_best
from inklings.lab.shards.shard import Shard
from inklings.runs.directory import RunDirectory
from inklings.showing import html_line, html_table, text_table


@dataclass(frozen=True, kw_only=True, repr=False)
class ComparisonFolder(Comparison):
    """A comparison with the folder that it is kept in.

    `inklings.compare` and `inklings.load_comparison` make one.
    """

    out: Path
    missing: tuple[Shard, ...] = ()
    """Shards that are not done yet: without them these are the runs of one, and nothing is judged.
    """

    @classmethod
    def of(
        cls, comparison: Comparison, out: Path, *, missing: tuple[Shard, ...] = ()
    ) -> ComparisonFolder:
        """Return the comparison that is kept in a folder, or one shard of it.

        Args:
            comparison: what is known of it.
            out: the folder.
            missing: shards that are not done yet, where it is one shard.
        """
        values = {f.name: getattr(comparison, f.name) for f in dataclasses.fields(Comparison)}
        return cls(**values, out=out, missing=missing)

    @classmethod
    def open(cls, out: Path) -> ComparisonFolder:
        """Read a comparison from its folder.

        Raises:
            RunError: there is none, or it is damaged.
        """
        return cls.of(read_comparison(out), out)

    @property
    def runs(self) -> dict[str, list[Run]]:
        """The runs of each arm that came to their end, the first seed first."""
        return {
            arm.label: [Run.open(self._path(run)) for run in arm.runs if run.status != "failed"]
            for arm in self.arms
        }

    @property
    def table(self) -> Records:
        """The ranking as records, the best arm first: means over the seeds.

        `low` and `high` are the interval of what is ranked, in the comparison's `unit`.
        """
        return Records(
            {
                "rank": row.rank,
                "arm": row.arm.label,
                **row.metrics,
                "low": row.low,
                "high": row.high,
                "parameters": row.parameters,
                "tokens": row.tokens,
                "seconds": row.seconds,
                "to_the_best": to_the_best(row),
                "finding": finding(row),
            }
            for row in rank(self)
        )

    @property
    def metrics(self) -> Records:
        """The metrics of all runs in one table, for plotting: those of `Run`, with arm and seed."""
        found = [
            {"arm": arm.label, "seed": run.seed, **record}
            for arm in self.arms
            for run in arm.runs
            if self._path(run).is_dir()
            for record in metric_records(RunDirectory.open(self._path(run)).metrics())
        ]
        return alike(found, ("arm", "seed", *FIRST))

    def report(self) -> Path:
        """Write the report, one HTML file with figures beside it, and return its path."""
        return write_report(self.out)

    def _path(self, run: RunResult) -> Path:
        return self.out / run.run

    @property
    def _verdicts(self) -> list[Verdict]:
        return [one for one in (self.verdict, self.sample_verdict) if one is not None]

    @property
    def _not_done(self) -> str:
        others = ", ".join(map(str, self.missing))
        return f"one shard; not done yet: {others}. The last one judges the whole." * bool(others)

    def __repr__(self) -> str:
        columns, rows = render_table(self)
        said = [line for one in self._verdicts for line in (one.headline, *one.sentences)]
        said += [self._not_done] if self.missing else []
        table = text_table(columns, rows, right=range(2, len(columns) - 1))
        return "\n".join([*said, "", table])

    def _repr_html_(self) -> str:
        """Return the comparison as a notebook shows it: its verdict and its table."""
        columns, rows = render_table(self)
        parts = []
        for verdict in self._verdicts:
            parts.append(html_line(verdict.headline, bold=True))
            parts += map(html_line, verdict.sentences)
        parts += [html_line(self._not_done, bold=True)] if self.missing else []
        parts.append(html_table(columns, rows, right=range(2, len(columns) - 1)))
        kept = f"kept in {self.out}; .report() writes the report, .metrics has all figures"
        if self.status == "interrupted":
            kept = f"interrupted; compare with out={str(self.out)!r} goes on. {kept}"
        return "".join([*parts, html_line(kept, faint=True)])
