"""The report of a comparison: one HTML file that needs no network, and its figures as PNG and SVG."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import altair
import jinja2
import vl_convert
from markupsafe import Markup

from inklings.durable import write_bytes
from inklings.lab import charts, ranking
from inklings.lab.charts import Figure, Rows
from inklings.lab.comparison import ArmResult, Comparison, RunResult, read_comparison
from inklings.lab.memory_section import memory_sections
from inklings.lab.records import Records, RunRecord, read_record
from inklings.lab.sample_section import SampleSection, load_section
from inklings.lab.settings import own_settings, settings_of, shared_settings
from inklings.lab.wording import say_half_width, say_p


def write_report(out: Path) -> Path:
    """Write `OUT/report.html` and `OUT/figures/` from what lies in the folder, and return the report's path.

    The page carries its script and its data, and asks no host for anything. The same folder gives the same bytes.

    Raises:
        RunError: there is no comparison in `out`, or one of its files is damaged.
    """
    comparison = read_comparison(out)
    records = {
        (arm.label, run.seed): read_record(out / run.results) for arm in comparison.arms for run in arm.runs if run.results is not None
    }
    figures, measured = make_figures(comparison, records), load_section(out, comparison)
    drawn = [*figures, *([measured.figure] if measured else []), *(section.figure for section in memory_sections(comparison, records))]
    for figure in drawn:
        for name, data in charts.static_files(figure).items():
            write_bytes(out / "figures" / name, data)
    write_bytes(out / "report.html", render(comparison, records, figures, measured).encode())
    return out / "report.html"


def render(comparison: Comparison, records: Records, figures: Sequence[Figure], measured: SampleSection | None = None) -> str:
    """The page. Everything that comes from text, labels and messages included, is escaped by the template."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("inklings.lab"), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    colors = {arm.label: i % len(charts.COLORS["light"]) for i, arm in enumerate(comparison.arms)}
    rows = ranking.rank(comparison)
    settings = settings_of(comparison, records)
    memories = memory_sections(comparison, records)
    drawn = [*figures, *([measured.figure] if measured else []), *(section.figure for section in memories)]
    return environment.get_template("report.html.jinja").render(
        comparison=comparison,
        title=title(comparison),
        facts=facts(comparison),
        rows=rows,
        ranking=ranking,
        say_half_width=say_half_width,
        say_p=say_p,
        has_bits=any(row.bits_per_byte is not None for row in rows),
        colors=colors,
        palette=charts.COLORS,
        figures=figures,
        measured=measured,
        memories=memories,
        specs={figure.name: {key: charts.page_spec(chart) for key, chart in figure.charts.items()} for figure in drawn},
        datasets={name: rows for figure in drawn for name, rows in figure.data.items()},
        themes={scheme: charts.theme(scheme) for scheme in ("light", "dark")},
        samples=samples(comparison, records),
        checks=list(dict.fromkeys(finding.check for row in rows for finding in row.arm.findings)),
        shared=shared_settings(settings),
        own=own_settings(settings),
        script=chart_script(),
    )


@functools.cache
def chart_script() -> Markup:
    """Vega, Vega-Lite and its embedder as one script (900 KB), carried by vl-convert: nothing is downloaded."""
    version = ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)
    return Markup(bundle.replace("</script", "<\\/script"))


def title(comparison: Comparison) -> str:
    """`unicode-names: 5 generators`."""
    number = len(comparison.arms)
    return f"{number} generator{'s' if number != 1 else ''} on {comparison.text.get('name', comparison.text.get('source', 'text'))}"


def facts(comparison: Comparison) -> list[tuple[str, str]]:
    """What a reader must know before the figures: text, budget, seeds, held-out split, machine."""
    text, split = comparison.text, comparison.text.get("splits", {}).get(comparison.split, {})
    documents = sum(part["documents"] for part in text.get("splits", {}).values())
    unit = "lines" if text.get("layout") == "lines" else "documents"
    seeds = comparison.plan.seeds
    found = [("Text", f"{text.get('source', '')}, {documents:,} {unit}")]
    if comparison.plan.budget is not None:
        found.append(("Budget", f"{comparison.plan.budget.replace('-', ' ')} for each run"))
        found.append(("Seeds", f"{len(seeds)} ({', '.join(map(str, seeds))})"))
    if split:
        found.append(("Ranked on", f"{comparison.split} split, {split['documents']:,} {unit}, {split['tokens']:,} tokens"))
    environment = comparison.environment
    cores = f", {environment['cores']} cores" if environment.get("cores") else ""
    gpus = [name for name in environment.get("devices", []) if name != "cpu"]
    found.append(("Machine", ", ".join([f"{environment.get('processor', 'not recorded')}{cores}", *gpus])))
    found.append(("Begun", comparison.created.replace("T", " ").replace("+00:00", " UTC")))
    return found


def samples(comparison: Comparison, records: Records) -> list[tuple[ArmResult, list[str]]]:
    """Texts of each arm's first run, arms in the order of the table."""
    found = []
    for row in ranking.rank(comparison):
        for run in row.arm.runs:
            record = records.get((row.arm.label, run.seed))
            if record is not None and record.samples:
                found.append((row.arm, record.samples))
                break
    return found


def make_figures(comparison: Comparison, records: Records) -> list[Figure]:
    """The figures that the results allow: a failed arm, or one without a curve, is left out of what it lacks."""
    arms = [arm.label for arm in comparison.arms]
    rows = [row for row in ranking.rank(comparison) if row.value is not None]
    if not rows:
        return []
    unit = comparison.unit
    means = [
        {"arm": row.arm.label, "value": row.value, "low": _known(row.low, row.value), "high": _known(row.high, row.value)} for row in rows
    ]
    many = any(len(row.arm.done) > 1 for row in rows)
    seeds = [
        {"arm": row.arm.label, "seed": run.seed, "value": run.loss if unit == "nats per token" else run.bits_per_byte}
        for row in rows
        for run in row.arm.done
        if many
    ]
    single = any(len(row.arm.done) == 1 for row in rows)
    interval = "the 95% interval of the mean over seeds" if many else "the 95% interval from resampling the text"
    interval += " (of a single run: from resampling the text)" if many and single else ""
    figures = [charts.loss_figure(arms, means, seeds, unit=unit, split=comparison.split, interval=interval)]
    smoothed, raw, validation = (_curve_rows(comparison, records, part) for part in ("smoothed", "raw", "validation"))
    if validation:
        floors = _floors(comparison, records)
        domain = charts.focus_domain(validation + smoothed, [row["loss"] for row in floors])
        floors = [row for row in floors if domain[0] <= row["loss"] <= domain[1]]
        figures.append(charts.validation_figure(arms, validation, floors, domain))
        figures.append(
            charts.training_figure(arms, smoothed, raw, domain, window=_steps(records, "window"), every=_steps(records, "every"))
        )
    positions = position_rows(comparison, records)
    if len({row["position"] for row in positions}) > 2:
        losses = [row["loss"] for row in positions]
        pad = 0.05 * (max(losses) - min(losses)) or 0.1
        figures.append(charts.position_figure(arms, positions, (min(losses) - pad, max(losses) + pad), comparison.split))
    return figures


def _known(value: float | None, otherwise: float | None) -> float | None:
    return otherwise if value is None else value


def _runs(comparison: Comparison, records: Records) -> list[tuple[ArmResult, RunResult, RunRecord]]:
    return [(arm, run, records[arm.label, run.seed]) for arm in comparison.arms for run in arm.runs if (arm.label, run.seed) in records]


def _curve_rows(comparison: Comparison, records: Records, part: str) -> Rows:
    """One row for each point of every curve; of the raw ones only the first seed, for several would hide each other."""
    rows: Rows = []
    for arm, run, record in _runs(comparison, records):
        columns = record.curve[part]
        if (part == "raw" and run is not arm.runs[0]) or len(columns["loss"]) < 2:
            continue
        names = ("tokens", "seconds", "loss", *(["accuracy"] if part == "validation" else []))
        for values in zip(*(columns[name] for name in names), strict=True):
            rows.append({"arm": arm.label, "seed": run.seed, **dict(zip(names, values, strict=True))})
    return rows


def _floors(comparison: Comparison, records: Records) -> Rows:
    """Validation loss of arms that have one evaluation only: what is counted has no curve."""
    return [
        {"arm": arm.label, "loss": record.curve["validation"]["loss"][0]}
        for arm, _, record in _runs(comparison, records)
        if len(record.curve["validation"]["loss"]) == 1
    ]


def _steps(records: Records, name: str) -> str:
    """`50`, or `20 to 50` where runs have different lengths."""
    sizes = sorted({record.curve[name] for record in records.values() if record.curve["smoothed"]["loss"]})
    return "1" if not sizes else str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def position_rows(comparison: Comparison, records: Records) -> Rows:
    """Loss in each range of positions, averaged over an arm's seeds; a range is drawn at its geometric middle."""
    found: dict[tuple[str, float, float], list[float]] = {}
    for arm, _, record in _runs(comparison, records):
        for first, last, loss, _count in record.loss_by_position:
            found.setdefault((arm.label, first, last), []).append(loss)
    return [
        {"arm": arm, "first": first, "last": last, "position": round((first * last) ** 0.5, 2), "loss": round(sum(losses) / len(losses), 5)}
        for (arm, first, last), losses in found.items()
    ]
