"""The report.

One file that asks no host for anything, shows text as text, and is the same each time.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.errors import RunError
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.result import Comparison, Sizing
from inklings.lab.report import chart as charts
from inklings.lab.report import table as ranking
from inklings.lab.report.chart import AXES, Figure, page_spec
from inklings.lab.report.export import SUFFIXES, static_files
from inklings.lab.report.page import facts, figures_of, render, write_report
from inklings.lab.report.section import Results, Section, make_sections, read_results
from inklings.lab.report.sections.budgets import budget_tables, order_changes, point_rows
from inklings.lab.report.sections.cost import pareto_front, pareto_rows
from inklings.lab.report.sections.curves import accuracy_domain, focus_domain
from inklings.lab.report.sections.probes import probe_table
from inklings.lab.report.table import sizing_note
from tests.lab.conftest import FakeComparison

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "a & b < c \"quoted\" 'too'",
    "{{ 7 * 7 }} {% raw %}",
    "line one\n  line two",
]
ARMS = {"ngram": (0, 2.31), "</script><b>mlp</b>": (24_731, 2.12), "gpt": (103_936, 1.94)}


class Page(HTMLParser):
    """Tags with their attributes, the text of the samples, and what each script holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.samples: list[str] = []
        self.scripts: list[str] = []
        self.styles = ""
        self.text = ""
        self._open: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "i", "wbr"):
            self._open.append((tag, dict(attrs).get("class")))
        if tag == "script":
            self.scripts.append("")
        if (tag, dict(attrs).get("class")) == ("p", "sample"):
            self.samples.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag != "i":
            assert self._open.pop()[0] == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        tag, kind = self._open[-1] if self._open else ("", None)
        if tag == "script":
            self.scripts[-1] += data
        elif tag == "style":
            self.styles += data
        else:
            self.text += data
        if (tag, kind) == ("p", "sample"):
            self.samples[-1] += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_fake_comparison: FakeComparison) -> Path:
    out: Path = tmp_path_factory.mktemp("report") / "out"
    write_fake_comparison(
        out, arms=ARMS, samples=HOSTILE, failed={"broken": "it said <b>no</b> in line 3"}
    )
    assert write_report(out) == out / "report.html"
    return out


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, write_full_comparison: FakeComparison) -> Path:
    out: Path = tmp_path_factory.mktemp("report") / "full"
    write_full_comparison(out, seeds=5)
    write_report(out)
    return out


@pytest.fixture(scope="module")
def full_page(full: Path) -> Page:
    return Page((full / "report.html").read_text())


@functools.cache
def parts(out: Path) -> tuple[Comparison, list[Section], list[Figure]]:
    results = read_results(out)
    sections = make_sections(results)
    return results.comparison, sections, figures_of(sections)


def sections(page: Page) -> list[str | None]:
    return [
        attributes["id"] for tag, attributes in page.tags if tag == "section" and "id" in attributes
    ]


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "img", "base"), tag
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert not re.match(r"\s*(\w+:|//)", attributes.get(name) or ""), (tag, attributes)
    assert "url(" not in page.styles
    assert "@import" not in page.styles
    data = json.loads(page.scripts[1])
    assert not re.search(r"https?:", json.dumps(data)), "a chart's data is in the page"
    assert '"url"' not in json.dumps(data)


def test_the_browser_is_told_to_ask_nobody(page: Page) -> None:
    policies = [
        a["content"] or ""
        for tag, a in page.tags
        if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies[0].startswith("default-src 'none';")
    assert "http" not in policies[0]


def test_every_sample_is_shown_as_text(page: Page) -> None:
    assert sorted(set(page.samples)) == sorted(HOSTILE)
    assert len(page.samples) == len(ARMS) * len(HOSTILE)
    assert not any("onerror" in attributes for _, attributes in page.tags)


def test_there_are_no_scripts_but_ours(page: Page) -> None:
    assert len(page.scripts) == 3
    assert not any("alert(" in script for script in page.scripts[1:])


def test_labels_and_messages_are_text_too(page: Page) -> None:
    assert "</script><b>mlp</b>" in page.text
    assert "it said <b>no</b> in line 3" in page.text
    assert "b" not in {tag for tag, _ in page.tags}


def test_the_script_is_below_a_megabyte_and_there_once(page: Page) -> None:
    assert 100_000 < len(page.scripts[0].encode()) < 1_000_000
    assert page.scripts[0].count("window.vegaEmbed=") == 1


def test_rows_are_sorted_by_loss(folder: Path, page: Page) -> None:
    comparison = read_comparison(folder)
    means = {
        arm.label: sum(run.loss for run in arm.runs if run.loss) / len(arm.runs)
        for arm in comparison.arms
        if arm.done
    }
    table = page.text[page.text.index("Against the best") :]
    places = [table.index(label) for label in sorted(means, key=lambda label: means[label])]
    assert places == sorted(places)


def test_every_figure_lies_beside_the_page_as_png_svg_and_csv(full: Path, full_page: Page) -> None:
    drawn = [
        "validation",
        "accuracy",
        "training",
        "points",
        "pareto",
        "loss",
        "positions",
        "search",
        "samples",
        "memory1",
    ]
    _, _, figures = parts(full)
    assert sorted(figure.name for figure in figures) == sorted(drawn)
    links = {
        a["href"] for tag, a in full_page.tags if tag == "a" and not str(a["href"]).startswith("#")
    }
    figures_of_page = {f"figures/{name}.{kind}" for name in drawn for kind in SUFFIXES}
    assert links == figures_of_page | {"ranking.md"}
    for link in figures_of_page:
        data = (full / str(link)).read_bytes()
        assert data.startswith(
            {"svg": b"<svg", "pdf": b"%PDF", "png": b"\x89PNG", "csv": b"part,"}[
                str(link).rpartition(".")[2]
            ]
        )
    for figure in figures:
        written = list(
            csv.DictReader(io.StringIO((full / f"figures/{figure.name}.csv").read_text()))
        )
        assert len(written) == sum(len(rows) for rows in figure.data.values()) > 0, (
            "all rows that are drawn"
        )
        legend = "role-legend" in (full / f"figures/{figure.name}.svg").read_text()
        assert legend == (figure.name not in ("loss", "memory1")), (
            "the files have a legend of their own where an axis does not name the arms"
        )


def test_all_charts_name_the_arms_in_one_order_so_that_colours_agree(full: Path) -> None:
    comparison, _, figures = parts(full)
    arms = [arm.label for arm in comparison.arms]
    domains = [
        layer["encoding"]["color"]["scale"]["domain"]
        for figure in figures
        for chart in figure.charts.values()
        for layer in charts.page_spec(chart)["layer"]
        if "color" in layer.get("encoding", {})
    ]
    assert len(domains) > 30
    assert all(domain == arms for domain in domains)


def test_every_chart_finds_its_data_and_every_choice_has_a_chart(
    full: Path, full_page: Page
) -> None:
    data = json.loads(full_page.scripts[1])
    for figure in parts(full)[2]:
        choices = [""]
        for control in figure.controls:
            choices = [
                f"{choice} {option}".strip() for choice in choices for option in control.options
            ]
        assert set(choices) == set(data["specs"][figure.name])
        for spec in data["specs"][figure.name].values():
            for layer in spec["layer"]:
                assert data["datasets"][(layer.get("data") or spec["data"])["name"]], figure.name


def test_curves_are_there_raw_and_smoothed_against_all_that_training_costs(full_page: Page) -> None:
    specs = json.loads(full_page.scripts[1])["specs"]["training"]
    assert set(specs) == {
        f"{axis} {curve}" for axis in ("tokens", "FLOPs", "time") for curve in ("smoothed", "raw")
    }
    columns = {axis.name: axis.column for axis in charts.AXES}
    for key, spec in specs.items():
        x, name = key.split()
        drawn = {
            (layer["encoding"]["x"]["field"], (layer.get("data") or spec["data"])["name"])
            for layer in spec["layer"]
        }
        assert drawn == {(columns[x], name)}


def test_the_flops_of_an_event_are_its_tokens_times_those_of_a_token(full: Path) -> None:
    comparison, _, figures = parts(full)
    runs = {(arm.label, run.seed): run for arm in comparison.arms for run in arm.runs}
    for name in ("validation", "training"):
        figure = next(figure for figure in figures if figure.name == name)
        for row in (
            row for key in ("validation", "smoothed", "raw") for row in figure.data.get(key, [])
        ):
            run = runs[row["arm"], row["seed"]]
            assert row["flops"] == pytest.approx(row["tokens"] * run.flops / run.tokens, rel=1e-4)


def test_accuracy_has_a_curve_like_loss(full: Path) -> None:
    figures = {figure.name: figure for figure in parts(full)[2]}
    assert figures["accuracy"].data["validation"] == figures["validation"].data["validation"]
    for spec in (charts.page_spec(chart) for chart in figures["accuracy"].charts.values()):
        assert {layer["encoding"]["y"]["field"] for layer in spec["layer"]} == {"accuracy"}
        low, high = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
        assert (
            0
            <= low
            < max(row["accuracy"] for row in figures["accuracy"].data["validation"])
            < high
            <= 1
        )


def test_the_sections_are_in_order_with_the_verdict_first(full: Path, full_page: Page) -> None:
    wanted = [
        "table",
        "curves",
        "budgets",
        "cost",
        "seeds",
        "positions",
        "measured",
        "search",
        "probes",
        "samples",
        "audit",
        "memory",
    ]
    assert sections(full_page) == [*wanted, "text", "settings"]
    anchors = [
        str(a["href"])[1:]
        for tag, a in full_page.tags
        if tag == "a" and str(a["href"]).startswith("#")
    ]
    assert anchors == sections(full_page), "the outline names every section"
    verdict = read_comparison(full).verdict
    assert verdict is not None
    assert full_page.text.index(verdict.headline) < full_page.text.index("Ranking")


def test_the_whole_page_is_below_three_megabytes(full: Path) -> None:
    assert (full / "report.html").stat().st_size < 3_000_000


def test_a_folder_without_points_or_searches_has_no_such_sections(page: Page, folder: Path) -> None:
    assert sections(page) == [
        "table",
        "curves",
        "cost",
        "seeds",
        "positions",
        "samples",
        "text",
        "settings",
    ]
    specs = json.loads(page.scripts[1])["specs"]
    assert set(specs["validation"]) == {"tokens", "time"}, "no run says its FLOPs"
    assert set(specs["pareto"]) == {"time", "parameters"}
    assert "FLOPs" not in page.text


def test_decayed_points_are_dots_with_a_line_through_their_means(full: Path) -> None:
    comparison, _, figures = parts(full)
    trained = [arm for arm in comparison.arms if arm.kind == "trained"]
    points, means = point_rows(comparison)
    assert len(points) == sum(len(run.points) for arm in trained for run in arm.runs) == 4 * 5 * 4
    assert len(means) == 4 * 4
    for mean in means:
        of = [row for row in points if (row["arm"], row["share"]) == (mean["arm"], mean["share"])]
        assert mean["value"] == pytest.approx(np.mean([row["value"] for row in of]), abs=1e-4)
        assert mean["seconds"] == pytest.approx(
            np.exp(np.mean(np.log([row["seconds"] for row in of]))), rel=1e-4
        )
    figure = next(figure for figure in figures if figure.name == "points")
    assert set(figure.charts) == {"tokens", "FLOPs", "time"}
    for name, chart in figure.charts.items():
        layers = charts.page_spec(chart)["layer"]
        assert {
            layer["encoding"]["x"]["scale"]["type"] for layer in layers if "x" in layer["encoding"]
        } == {"log"}
        marked = [layer for layer in layers if (layer.get("data") or {}).get("name") == "amounts"]
        assert [layer["mark"]["type"] for layer in marked] == ["rule", "text"]
        assert [row for row in figure.data["amounts"] if row["axis"] == name]


def test_equal_budgets_are_small_tables_the_best_first(full: Path, full_page: Page) -> None:
    comparison = read_comparison(full)
    tables = budget_tables(comparison)
    assert [table.title.split()[-1] for table in tables] == ["tokens", "FLOPs", "training"]
    for table, budget in zip(tables, comparison.budgets, strict=True):
        assert table.title in full_page.text
        assert [row.label for row in table.rows] == [arm.label for arm in budget.arms]
        losses = [float(row.value) for row in table.rows]
        assert losses == sorted(losses)
        assert (table.rows[0].finding, table.rows[0].to_the_best) == ("best", "")
        for row, difference in zip(table.rows[1:], budget.differences, strict=True):
            assert row.to_the_best.startswith(f"+{difference.mean:.3f} ± ")
            assert row.finding == ("worse" if difference.finding == "better" else "no claim")
            assert float(row.value) == pytest.approx(losses[0] + difference.mean, abs=0.0011)


def test_an_arm_that_costs_too_much_for_an_equal_budget_is_named(full: Path) -> None:
    results = read_results(full)
    first = replace(results.comparison.budgets[0], absent=["<gpt>"])
    some = replace(results, comparison=replace(results.comparison, budgets=[first]))
    page = Page(render(some.comparison, make_sections(some)))
    assert "<gpt> is absent: its first decayed checkpoint has cost more already." in page.text


prices = st.lists(
    st.builds(
        lambda cost, value: {"cost": cost, "value": value}, st.integers(1, 6), st.integers(1, 6)
    ),
    min_size=1,
    max_size=12,
)


@given(prices)
def test_the_front_is_what_nothing_beats(rows: list[dict[str, int]]) -> None:
    def beaten(row: dict[str, int]) -> bool:
        return any(
            other["cost"] <= row["cost"]
            and other["value"] <= row["value"]
            and (other["cost"], other["value"]) != (row["cost"], row["value"])
            for other in rows
        )

    front = {(row["cost"], row["value"]) for row in pareto_front(rows)}
    assert front == {(row["cost"], row["value"]) for row in rows if not beaten(row)}


def test_costs_that_are_equal_have_no_front(full: Path) -> None:
    comparison = read_comparison(full)
    assert {row["axis"] for row in pareto_rows(comparison)[1]} == {"FLOPs", "time", "parameters"}
    level = [
        replace(arm, runs=[replace(run, non_embedding=70_000 + 100 * i) for run in arm.runs])
        for i, arm in enumerate(comparison.arms)
        if arm.kind == "trained"
    ]
    assert {row["axis"] for row in pareto_rows(replace(comparison, arms=level))[1]} == {
        "FLOPs",
        "time",
    }


def test_what_is_counted_is_a_level_and_never_on_the_front(full: Path) -> None:
    comparison, _, figures = parts(full)
    dots, means = pareto_rows(comparison)
    assert {row["arm"] for row in [*dots, *means]} == {
        arm.label for arm in comparison.arms if arm.kind == "trained"
    }
    counted = next(arm for arm in comparison.arms if arm.kind == "counted")
    for name, part in (("pareto", "pareto_floors"), ("points", "point_floors")):
        figure = next(figure for figure in figures if figure.name == name)
        assert figure.data[part] == [
            {"arm": counted.label, "value": pytest.approx(counted.runs[0].loss, abs=1e-4)}
        ]
    cheap = replace(counted, runs=[replace(counted.runs[0], loss=0.1)])
    better = replace(comparison, arms=[cheap, *comparison.arms[1:]])
    assert pareto_rows(better) == (dots, means)
    far = {
        figure.name: [
            row["value"] for name, rows in figure.data.items() if "floors" in name for row in rows
        ]
        for figure in figures_of(make_sections(Results(full, better, {})))
    }
    assert far["pareto"] == [0.1], "what it costs leaves no arm out"
    assert far["points"] == []


def test_every_arm_stands_among_the_costs(full: Path, full_page: Page) -> None:
    comparison, made, _ = parts(full)
    section = next(section for section in made if section.name == "cost")
    assert [row.arm.label for row in section.content] == [
        row.arm.label for row in ranking.rank(comparison)
    ]
    assert {row.arm.kind for row in section.content} == {"trained", "counted"}
    assert "counted in one pass" in full_page.text


def test_where_the_order_changes_is_marked() -> None:
    def row(arm: str, tokens: float, value: float) -> dict[str, float | str]:
        return {"arm": arm, "tokens": tokens, "value": value}

    means = [row("a", 1e3, 3.0), row("a", 1e5, 1.0), row("b", 1e3, 2.5), row("b", 1e5, 1.5)]
    (found,) = order_changes(means, [{"arm": "n", "value": 0.5}], AXES[0])
    assert found["arm"] == "a"
    assert found["label"] == "a passes b at 10k tokens"
    assert (found["tokens"], found["value"]) == pytest.approx((1e4, 2.0))
    over = order_changes(means, [{"arm": "n", "value": 2.0}], AXES[0])
    assert [row["label"] for row in over] == [
        "a passes b at 10k tokens",
        "a passes n at 10k tokens",
        "b passes n at 10k tokens",
    ]
    touching = [row("a", 1e3, 2.0), row("a", 1e4, 1.0), row("b", 1e3, 1.5), row("b", 1e4, 1.0)]
    assert order_changes(touching, [], AXES[0]) == []


def test_the_ranking_is_a_table_in_markdown(folder: Path) -> None:
    comparison = read_comparison(folder)
    lines = (folder / "ranking.md").read_text().splitlines()
    columns, rows = ranking.render_table(comparison)
    assert len(lines) == len(rows) + 2
    assert all(line.count(" | ") == len(columns) - 1 for line in lines)
    assert lines[1].startswith("| ---: | --- |")
    named = replace(comparison.arms[0], label="a|b")
    odd = ranking.markdown_table(replace(comparison, arms=[named, *comparison.arms[1:]]))
    assert "a\\|b" in odd


def test_accuracy_on_training_text_is_drawn_where_it_was_scored(full: Path) -> None:
    comparison = read_comparison(full)
    results = read_results(full)
    for record in results.records.values():
        curve = record.curve["validation"]
        if len(curve["loss"]) > 1:
            curve["train_loss"] = [loss - 0.1 for loss in curve["loss"]]
            curve["train_accuracy"] = [share + 0.01 for share in curve["accuracy"]]
        else:
            curve.pop("train_loss", None)
    made = make_sections(Results(full, comparison, results.records))
    figures = {figure.name: figure for figure in figures_of(made)}
    accuracy = figures["accuracy"]
    assert [control.name for control in accuracy.controls] == ["against", "part"]
    row = accuracy.data["validation"][0]
    assert row["train_accuracy"] == pytest.approx(row["accuracy"] + 0.01)
    drawn = json.dumps(page_spec(accuracy.charts["tokens training"]))
    assert '"field": "train_accuracy"' in drawn
    assert "train_loss" not in json.dumps(
        page_spec(accuracy.charts["tokens validation"])["layer"][0]
    )


def test_a_run_of_milliseconds_has_a_place_on_a_logarithmic_axis(full: Path) -> None:
    comparison = read_comparison(full)
    arms = [
        replace(
            arm,
            runs=[
                replace(
                    r,
                    seconds=0.001 + i * 0.001,
                    points=[replace(p, seconds=0.001) for p in r.points],
                )
                for r in arm.runs
            ],
        )
        for i, arm in enumerate(comparison.arms)
    ]
    quick = replace(comparison, arms=arms)
    assert {row["seconds"] for row in point_rows(quick)[0]} == {0.001}
    bare = replace(
        quick,
        arms=[replace(arm, runs=[replace(run, points=[]) for run in arm.runs]) for arm in arms],
    )
    assert min(
        row["cost"] for row in pareto_rows(bare)[0] if row["axis"] == "time"
    ) == pytest.approx(0.002)


def test_what_was_trained_elsewhere_is_compared_by_its_size_alone(full: Path) -> None:
    comparison = read_comparison(full)
    arms = [replace(arm, kind="as it is") if arm.label == "gpt" else arm for arm in comparison.arms]
    dots, _ = pareto_rows(replace(comparison, arms=arms))
    assert {row["axis"] for row in dots if row["arm"] == "gpt"} == {"parameters"}


def test_a_search_shows_every_trial_and_rings_the_chosen(full: Path) -> None:
    comparison, _, figures = parts(full)
    figure = next(figure for figure in figures if figure.name == "search")
    rows = figure.data["trials"]
    low, high = charts.page_spec(figure.first)["layer"][0]["encoding"]["y"]["scale"]["domain"]
    for arm in comparison.arms:
        of = [row for row in rows if row["arm"] == arm.label]
        assert len(of) == (len(arm.search.trials) if arm.search else 0)
        assert [row["factor"] for row in of if row["chosen"]] == (
            [arm.search.factor] if arm.search else []
        )
    assert all(low <= row["drawn"] <= high for row in rows)
    assert all(row["drawn"] == row["loss"] for row in rows if row["status"] == "done")
    assert all(
        row["loss"] is None and row["why"] == "it diverged"
        for row in rows
        if row["status"] == "failed"
    )
    beyond = [(row["factor"], row["drawn"]) for row in rows if row["drawn"] != row["loss"]]
    assert len(set(beyond)) == len(beyond) > 4, "none hides another"


def test_probes_are_read_against_guessing(full: Path, full_page: Page) -> None:
    table = probe_table(read_comparison(full))
    assert table is not None
    assert table.columns == [
        ("copying", "6.2%"),
        ("induction", "3.1%"),
        ("associative recall", "12.5%"),
    ]
    assert [label for label, _ in table.rows] == [
        "mlp",
        "recurrent",
        "tree_wavenet",
        "gpt",
    ]
    cells = dict(table.rows)["gpt"]
    assert (cells["copying"].accuracy, cells["copying"].solved) == ("100.0%", 1.0)
    assert 0 < cells["associative recall"].solved < cells["induction"].solved < 1
    assert "guessing gives 12.5%" in full_page.text


def test_a_size_that_was_missed_is_a_note(full: Path, full_page: Page) -> None:
    notes = {arm.label: sizing_note(arm) for arm in read_comparison(full).arms}
    assert notes["ngram"] is None
    assert f"gpt: {notes['gpt']}." in full_page.text
    gpt = read_comparison(full).arms[-1]
    for reached, said in ((103, None), (104, "4.0% more"), (97, None), (96, "4.0% fewer")):
        note = sizing_note(replace(gpt, sizing=Sizing(asked=100, reached=reached, changed={})))
        assert (note is None) if said is None else (note is not None and said in note), reached


def test_sizes_and_flops_are_in_the_table_where_they_are_known(
    page: Page, full: Path, full_page: Page
) -> None:
    gpt = read_comparison(full).arms[-1].runs[0]
    table = full_page.text[full_page.text.index("Against the best") :]
    assert f"{gpt.non_embedding:,}" in table and f"{gpt.parameters:,} in all" in table
    assert "1.15T" in table
    assert "in all" not in page.text


def test_what_was_asked_for_is_said(full_page: Page) -> None:
    for text in (
        "1/8, 1/4, 1/2 and all of the budget",
        "70,000 parameters without embedding",
        "6 tried for each arm",
        "2.0 GiB",
    ):
        assert text in full_page.text


def test_bits_per_byte_rank_the_points_too(full: Path) -> None:
    comparison = read_comparison(full)
    points, _ = point_rows(replace(comparison, unit="bits per byte"))
    nats, _ = point_rows(comparison)
    assert [row["value"] for row in points] == pytest.approx(
        [row["value"] / np.log(2) for row in nats], abs=1e-4
    )


def test_the_same_folder_gives_the_same_page(folder: Path) -> None:
    assert render(*parts(folder)[:2]) == (folder / "report.html").read_text()
    figure = parts(folder)[2][0]
    assert figure.name == "validation", (
        "one with clipped curves, whose paths Vega numbers through the process"
    )
    drawn = static_files(figure)
    for path in (folder / "figures").glob(f"{figure.name}.*"):
        if path.suffix == ".pdf":  # names the parts of a drawing in an order of its own
            assert len(path.read_bytes()) == pytest.approx(len(drawn[path.name]), rel=0.02)
        else:
            assert path.read_bytes() == drawn[path.name]


def test_one_seed_and_prose(tmp_path: Path, write_fake_comparison: FakeComparison) -> None:
    write_fake_comparison(tmp_path, seeds=1, layout="documents")
    comparison, sections, figures = parts(tmp_path)
    text = render(comparison, sections)
    assert "Single runs carry no claim about architectures." in text
    assert 'class="samples long"' in text
    comparison.text["splits"][comparison.split] = {"documents": 1, "tokens": 1000}
    assert dict(facts(comparison))["Ranked on"].endswith("split, 1 document, 1,000 tokens")
    loss = next(figure for figure in figures if figure.name == "loss")
    assert loss.caption.startswith(
        "The bar is the loss; the line is the 95% interval from resampling the text"
    )


def test_more_arms_than_colours_get_another_dash(
    tmp_path: Path, write_fake_comparison: FakeComparison
) -> None:
    write_fake_comparison(
        tmp_path, seeds=1, arms={f"arm{i}": (1000, 2 + 0.1 * i) for i in range(10)}
    )
    spec = charts.page_spec(parts(tmp_path)[2][0].first)
    line = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "line")
    dashes = line["encoding"]["strokeDash"]["scale"]["range"]
    assert dashes[0] == dashes[7] != dashes[8] == dashes[9]


def test_a_comparison_in_which_all_failed_still_has_a_report(
    tmp_path: Path, write_fake_comparison: FakeComparison
) -> None:
    write_fake_comparison(tmp_path, arms={}, failed={"a": "no", "b": "never"})
    text = write_report(tmp_path).read_text()
    assert "No arm could be ranked." in text
    assert "failed: never" in text
    assert "<script" not in text


def test_no_comparison_no_report(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no comparison"):
        write_report(tmp_path)


def test_the_domain_of_curves_leaves_the_first_fall_out() -> None:
    rows = [{"tokens": t, "loss": 5.0 if t == 1 else 2 + 1 / t} for t in range(1, 101)]
    low, high = focus_domain(rows)
    assert low < 2.01 < 2.1 < high < 2.2
    assert focus_domain([]) == (0.0, 1.0)
    assert focus_domain(rows, [9.0])[1] == high, "a far floor does not press the curves together"
    assert focus_domain(rows, [1.95])[0] < 1.95
    hits = [{"tokens": row["tokens"], "accuracy": 1 - row["loss"] / 5} for row in rows]
    assert accuracy_domain(hits) == pytest.approx((1 - high / 5, 1 - low / 5), abs=1e-3)


def test_every_chart_is_one_of_vega_lite(full: Path, folder: Path) -> None:
    """A report is written without asking; here each part is held against the schema."""
    charts_of_all = [
        chart
        for out in (full, folder)
        for figure in parts(out)[2]
        for chart in figure.charts.values()
    ]
    assert charts_of_all
    for chart in charts_of_all:
        chart.to_dict(validate=True)


@pytest.mark.slow
def test_a_legend_of_long_names_ends_where_the_picture_does(full: Path) -> None:
    results = read_results(full)
    fields = "n_layer=2,n_head=4,n_embd=64,context_length=64"
    names = {arm.label: f"{arm.label}:{fields}" for arm in results.comparison.arms}
    arms = [replace(arm, label=names[arm.label]) for arm in results.comparison.arms]
    records = {(names[label], seed): record for (label, seed), record in results.records.items()}
    made = make_sections(Results(full, replace(results.comparison, arms=arms), records))
    figure = next(figure for figure in figures_of(made) if figure.name == "validation")
    svg = static_files(figure)["validation.svg"].decode()
    width = float(re.findall(r'<svg[^>]* width="([\d.]+)"', svg)[0])
    assert set(re.findall(rf">([a-z_]+:{fields})<", svg)) == set(names.values()), "each is whole"
    assert width < 700, "names stand below one another, not beyond the chart"
    assert re.search(r"role-axis-title.*?>nats per token<", svg, re.DOTALL), "what is counted"
