"""The report of a comparison: one HTML file, and its figures as PNG, SVG and CSV.

It needs no network.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path

import altair
import jinja2
import vl_convert
from markupsafe import Markup

from inklings.durable import write_bytes
from inklings.lab.comparison.result import Comparison
from inklings.lab.comparison.settings import setting_facts
from inklings.lab.report import chart as charts
from inklings.lab.report import table as ranking
from inklings.lab.report.chart import Figure
from inklings.lab.report.export import static_files
from inklings.lab.report.section import Section, make_sections, read_results
from inklings.lab.verdict.wording import say_half_width, say_p


def write_report(out: Path) -> Path:
    """Write `OUT/report.html` and `OUT/figures/` from the folder; return the report's path.

    The page carries its script and its data, and asks no host for anything. The same folder gives
    the same bytes.

    Raises:
        RunError: there is no comparison in `out`, or one of its files is damaged.
    """
    results = read_results(out)
    with charts.unchecked():
        sections = make_sections(results)
        for figure in figures_of(sections):
            for name, data in static_files(figure).items():
                write_bytes(out / "figures" / name, data)
        write_bytes(out / "report.html", render(results.comparison, sections).encode())
    return out / "report.html"


def figures_of(sections: Sequence[Section]) -> list[Figure]:
    """Return all figures, in the order of the page."""
    return [figure for section in sections for figure in section.figures]


def render(comparison: Comparison, sections: Sequence[Section]) -> str:
    """Render the page.

    Everything that comes from text, labels and messages included, is escaped by the template.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("inklings.lab.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    figures = figures_of(sections)
    groups = itertools.groupby(sections, key=lambda section: section.under_legend)
    return environment.get_template("report.html.jinja").render(
        comparison=comparison,
        title=title(comparison),
        facts=facts(comparison),
        sections=sections,
        groups=[(under_legend, list(group)) for under_legend, group in groups],
        ranking=ranking,
        say_half_width=say_half_width,
        say_p=say_p,
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
