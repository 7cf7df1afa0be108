"""The report of a comparison: one HTML file, and its figures as SVG, PDF, PNG and CSV.

It needs no network.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import altair
import jinja2
import vl_convert
from markupsafe import Markup

from inklings import amounts
from inklings.durable import read_checked_json, refuse_links_out, write_bytes, write_checked_json
from inklings.errors import InklingsError
from inklings.lab.comparison.result import RANKING, Comparison
from inklings.lab.comparison.settings import setting_facts
from inklings.lab.report import chart as charts
from inklings.lab.report import table as ranking
from inklings.lab.report.chart import Figure
from inklings.lab.report.export import SUFFIXES, static_files
from inklings.lab.report.section import Section, make_sections, read_results
from inklings.lab.verdict.wording import say_half_width, say_p
from inklings.text.cache import cache_directory


def write_report(out: Path) -> Path:
    """Write `OUT/report.html`, `OUT/ranking.md` and `OUT/figures/`; return the report's path.

    The page carries its script and its data, and asks no host for anything. The same folder gives
    the same bytes, but for the order of the parts in a PDF.

    Raises:
        RunError: there is no comparison in `out`, or one of its files is damaged.
    """
    results = read_results(out)
    with charts.unchecked():
        sections = make_sections(results)
        write_figures(out, figures_of(sections))
        write_bytes(out / RANKING, ranking.markdown_table(results.comparison).encode())
        write_bytes(out / "report.html", render(results.comparison, sections).encode())
    return out / "report.html"


def figures_of(sections: Sequence[Section]) -> list[Figure]:
    """Return all figures, in the order of the page."""
    return [figure for section in sections for figure in section.figures]


def write_figures(out: Path, figures: Sequence[Figure]) -> None:
    """Write the files of the figures into `OUT/figures/`."""
    refuse_links_out(out, "figures")
    for figure in figures:
        for name, data in static_files(figure).items():
            write_bytes(out / "figures" / name, data)


def render(comparison: Comparison, sections: Sequence[Section]) -> str:
    """Render the page of a comparison."""
    return drawn_page(
        "report.html.jinja",
        sections,
        labels=[arm.label for arm in comparison.arms],
        files=True,
        comparison=comparison,
        title=title(comparison),
        facts=facts(comparison),
        amounts=amounts,
        ranking=ranking,
        say_half_width=say_half_width,
        say_p=say_p,
    )


def drawn_page(
    template: str, sections: Sequence[Section], *, labels: Sequence[str], files: bool, **more: Any
) -> str:
    """Render a page of sections.

    Everything that comes from text, labels and messages included, is escaped by the template.

    Args:
        template: of the page.
        sections: of the page, in order.
        labels: what has a colour of its own, in the order of the colours.
        files: whether the figures are there as files, so that the page links them.
        more: what else the template shows.
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
    return environment.get_template(template).render(
        **more,
        sections=sections,
        groups=[(under_legend, list(group)) for under_legend, group in groups],
        labels=labels,
        colors={label: place % len(charts.COLORS["light"]) for place, label in enumerate(labels)},
        files=SUFFIXES if files else (),
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

    Nothing is downloaded. Bundling takes a second or two, so the script is kept in the cache.
    """
    version = ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    path = cache_directory() / "charts" / f"{version}-{metadata.version('vl-convert-python')}.json"
    with contextlib.suppress(InklingsError):
        kept = read_checked_json(path)
        return Markup(kept["script"])
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)
    script = bundle.replace("</script", "<\\/script")
    with contextlib.suppress(InklingsError):  # a cache that cannot be written costs time alone
        path.parent.mkdir(parents=True, exist_ok=True)
        write_checked_json(path, {"script": script})
    return Markup(script)


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
    unit = "line" if text.get("layout") == "lines" else "document"
    seeds = comparison.plan.seeds
    found = [("Text", f"{text.get('source', '')}, {_many(documents, unit)}")]
    if comparison.plan.budget is not None:
        found.append(("Budget", f"{comparison.plan.budget.replace('-', ' ')} for each run"))
        found.append(("Seeds", f"{len(seeds)} ({', '.join(map(str, seeds))})"))
    found += setting_facts(comparison.plan)
    if split:
        found.append(
            (
                "Ranked on",
                (
                    f"{comparison.split} split, {_many(split['documents'], unit)},"
                    f" {split['tokens']:,} tokens"
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


def _many(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}"
