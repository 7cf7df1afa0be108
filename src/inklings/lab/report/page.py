"""The report of a comparison: one HTML file, and its figures as PNG, SVG and CSV.

It needs no network.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair
import jinja2
import vl_convert
from markupsafe import Markup

from inklings.durable import write_bytes
from inklings.evaluation.likelihood.likelihood_metric import METRICS
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.records import Records, read_record
from inklings.lab.comparison.result import ArmResult, Comparison
from inklings.lab.comparison.settings import setting_facts
from inklings.lab.report import chart as charts
from inklings.lab.report import table as ranking
from inklings.lab.report.arm_settings import own_settings, say_value, settings_of, shared_settings
from inklings.lab.report.chapters import make_chapters
from inklings.lab.report.chart import Chapter, Figure
from inklings.lab.report.export import static_files
from inklings.lab.report.sections import search
from inklings.lab.report.sections.budget_tables import BudgetTable, budget_tables
from inklings.lab.report.sections.memory import MemorySection, memory_sections
from inklings.lab.report.sections.probes import ProbeTable, probe_table
from inklings.lab.report.sections.samples import SampleSection, load_section
from inklings.lab.verdict.wording import say_half_width, say_p


@dataclass(frozen=True)
class Contents:
    """The sections of the page beside the verdict, the ranking and the settings.

    A section without data is None or empty.
    """

    chapters: list[Chapter]
    budgets: list[BudgetTable]
    measured: SampleSection | None
    search: Chapter | None
    probes: ProbeTable | None
    samples: list[tuple[ArmResult, list[str]]]
    memories: list[MemorySection]

    @property
    def figures(self) -> list[Figure]:
        """All figures, in the order of the page."""
        chapters = [*self.chapters, *([self.search] if self.search else [])]
        return [
            *(figure for chapter in chapters for figure in chapter.figures),
            *([self.measured.figure] if self.measured else []),
            *(section.figure for section in self.memories),
        ]


def write_report(out: Path) -> Path:
    """Write `OUT/report.html` and `OUT/figures/` from the folder; return the report's path.

    The page carries its script and its data, and asks no host for anything. The same folder gives
    the same bytes.

    Raises:
        RunError: there is no comparison in `out`, or one of its files is damaged.
    """
    comparison, records = read_results(out)
    with charts.unchecked():
        contents = make_contents(comparison, records, load_section(out, comparison))
        for figure in contents.figures:
            for name, data in static_files(figure).items():
                write_bytes(out / "figures" / name, data)
        write_bytes(out / "report.html", render(comparison, records, contents).encode())
    return out / "report.html"


def read_results(out: Path) -> tuple[Comparison, Records]:
    """Return a comparison's folder: its figures, and the records of its runs.

    Errors as `write_report`.
    """
    comparison = read_comparison(out)
    return comparison, {
        (arm.label, run.seed): read_record(out / run.results)
        for arm in comparison.arms
        for run in arm.runs
        if run.results is not None
    }


def make_contents(
    comparison: Comparison, records: Records, measured: SampleSection | None = None
) -> Contents:
    """Make the sections that a comparison has data for.

    Args:
        comparison: the comparison.
        records: of its runs.
        measured: the section of samples, where they were compared.
    """
    return Contents(
        chapters=make_chapters(comparison, records),
        budgets=budget_tables(comparison),
        measured=measured,
        search=search.make_chapter(comparison),
        probes=probe_table(comparison),
        samples=samples(comparison, records),
        memories=memory_sections(comparison, records),
    )


def render(comparison: Comparison, records: Records, contents: Contents) -> str:
    """Render the page.

    Everything that comes from text, labels and messages included, is escaped by the template.

    Args:
        comparison: the comparison.
        records: of its runs.
        contents: its sections.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("inklings.lab.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    rows = ranking.rank(comparison)
    settings = settings_of(comparison, records)
    figures = contents.figures
    return environment.get_template("report.html.jinja").render(
        comparison=comparison,
        contents=contents,
        title=title(comparison),
        facts=facts(comparison),
        outline=outline(contents, audited=any(row.arm.findings for row in rows)),
        rows=rows,
        ranking=ranking,
        likelihood_metrics=list(METRICS),
        say_half_width=say_half_width,
        say_p=say_p,
        has_bits=any(row.bits_per_byte is not None for row in rows),
        colors={
            arm.label: i % len(charts.COLORS["light"]) for i, arm in enumerate(comparison.arms)
        },
        palette=charts.COLORS,
        specs={
            figure.name: {key: charts.page_spec(chart) for key, chart in figure.charts.items()}
            for figure in figures
        },
        datasets={name: rows for figure in figures for name, rows in figure.data.items()},
        themes={scheme: charts.theme(scheme) for scheme in ("light", "dark")},
        checks=list(dict.fromkeys(finding.check for row in rows for finding in row.arm.findings)),
        shared=shared_settings(settings),
        own=own_settings(settings),
        machine=machine(comparison.environment),
        script=chart_script(),
    )


@functools.cache
def chart_script() -> Markup:
    """Return Vega, Vega-Lite and its embedder as one script (900 KB), carried by vl-convert.

    Nothing is downloaded.
    """
    version = ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)
    return Markup(bundle.replace("</script", "<\\/script"))


def title(comparison: Comparison) -> str:
    """Return the title, such as `unicode-names: 5 generators`."""
    number = len(comparison.arms)
    return (
        f"{number} generator{'s' if number != 1 else ''} on"
        f" {comparison.text.get('name', comparison.text.get('source', 'text'))}"
    )


def outline(contents: Contents, *, audited: bool) -> list[tuple[str, str]]:
    """Return anchor and name of every section of the page, in its order."""
    found = [
        ("table", "Ranking"),
        *((chapter.name, chapter.title) for chapter in contents.chapters),
    ]
    found += [("measured", "Samples measured")] if contents.measured else []
    found += [(contents.search.name, contents.search.title)] if contents.search else []
    found += [("probes", "Probes")] if contents.probes else []
    found += [("samples", "Samples")] if contents.samples else []
    found += [("audit", "Audit")] if audited else []
    found += [("memory", "Memory")] if contents.memories else []
    return [*found, ("text", "Text"), ("settings", "Settings")]


def machine(environment: dict[str, Any]) -> dict[str, str]:
    """Describe versions and hardware, memory in GiB; what was not installed is left out."""
    found = {name: say_value(value) for name, value in environment.items() if value is not None}
    return {
        **found,
        **(
            {"memory": f"{environment['memory'] / 2**30:.1f} GiB"}
            if environment.get("memory")
            else {}
        ),
    }


def facts(comparison: Comparison) -> list[tuple[str, str]]:
    """Return what a reader must know before the figures.

    Text, budget, seeds, held-out split, machine.
    """
    text, split = comparison.text, comparison.text.get("splits", {}).get(comparison.split, {})
    documents = sum(part["documents"] for part in text.get("splits", {}).values())
    unit = "lines" if text.get("layout") == "lines" else "documents"
    seeds = comparison.plan.seeds
    found = [("Text", f"{text.get('source', '')}, {documents:,} {unit}")]
    if comparison.plan.budget is not None:
        found.append(("Budget", f"{comparison.plan.budget.replace('-', ' ')} for each run"))
        found.append(("Seeds", f"{len(seeds)} ({', '.join(map(str, seeds))})"))
    found += setting_facts(comparison.plan)
    if split:
        found.append(
            (
                "Ranked on",
                (
                    f"{comparison.split} split, {split['documents']:,} {unit}, {split['tokens']:,}"
                    " tokens"
                ),
            )
        )
    environment = comparison.environment
    cores = f", {environment['cores']} cores" if environment.get("cores") else ""
    gpus = [name for name in environment.get("devices", []) if name != "cpu"]
    found.append(
        ("Machine", ", ".join([f"{environment.get('processor', 'not recorded')}{cores}", *gpus]))
    )
    found.append(("Begun", comparison.created.replace("T", " ").replace("+00:00", " UTC")))
    return found


def samples(comparison: Comparison, records: Records) -> list[tuple[ArmResult, list[str]]]:
    """Return texts of each arm's first run, arms in the order of the table."""
    found = []
    for row in ranking.rank(comparison):
        for run in row.arm.runs:
            record = records.get((row.arm.label, run.seed))
            if record is not None and record.samples:
                found.append((row.arm, record.samples))
                break
    return found
