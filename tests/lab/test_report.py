"""The report: one file that asks no host for anything, shows text as text, and is the same each time."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from inklings.errors import RunError
from inklings.lab import charts
from inklings.lab.comparison import read_comparison
from inklings.lab.records import read_record
from inklings.lab.report import make_figures, render, write_report

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
        if tag not in ("meta", "i"):
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
def folder(tmp_path_factory: pytest.TempPathFactory, write_fake_comparison) -> Path:
    out: Path = tmp_path_factory.mktemp("report") / "out"
    write_fake_comparison(out, arms=ARMS, samples=HOSTILE, failed={"broken": "it said <b>no</b> in line 3"})
    assert write_report(out) == out / "report.html"
    return out


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())


def parts(out: Path) -> tuple[Any, dict[tuple[str, int | None], Any], list[charts.Figure]]:
    comparison = read_comparison(out)
    records = {(arm.label, run.seed): read_record(out / run.results) for arm in comparison.arms for run in arm.runs if run.results}
    return comparison, records, make_figures(comparison, records)


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
    policies = [a["content"] or "" for tag, a in page.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
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
    means = {arm.label: sum(run.loss for run in arm.runs if run.loss) / len(arm.runs) for arm in comparison.arms if arm.done}
    table = page.text[page.text.index("Against the best") :]
    places = [table.index(label) for label in sorted(means, key=lambda label: means[label])]
    assert places == sorted(places)


def test_every_figure_lies_beside_the_page_as_png_and_svg(folder: Path, page: Page) -> None:
    links = {a["href"] for tag, a in page.tags if tag == "a"}
    assert links == {f"figures/{name}.{kind}" for name in ("loss", "validation", "training", "positions") for kind in ("svg", "png", "csv")}
    for link in links:
        data = (folder / str(link)).read_bytes()
        assert data.startswith({"svg": b"<svg", "png": b"\x89PNG", "csv": b"part,arm,"}[str(link).rpartition(".")[2]])
    for name in ("validation", "training", "positions"):
        assert "role-legend" in (folder / f"figures/{name}.svg").read_text(), "the files have a legend of their own"


def test_all_charts_name_the_arms_in_one_order_so_that_colours_agree(folder: Path) -> None:
    comparison, _, figures = parts(folder)
    arms = [arm.label for arm in comparison.arms]
    domains = [
        layer["encoding"]["color"]["scale"]["domain"]
        for figure in figures
        for chart in figure.charts.values()
        for layer in charts.page_spec(chart)["layer"]
    ]
    assert len(domains) > 10
    assert all(domain == arms for domain in domains)


def test_every_chart_finds_its_data_and_every_choice_has_a_chart(folder: Path, page: Page) -> None:
    data = json.loads(page.scripts[1])
    _, _, figures = parts(folder)
    for figure in figures:
        choices = [""]
        for control in figure.controls:
            choices = [f"{choice} {option}".strip() for choice in choices for option in control.options]
        assert set(choices) == set(data["specs"][figure.name])
        for spec in data["specs"][figure.name].values():
            for layer in spec["layer"]:
                assert data["datasets"][(layer.get("data") or spec["data"])["name"]], figure.name


def test_curves_are_there_raw_and_smoothed_by_tokens_and_by_seconds(page: Page) -> None:
    specs = json.loads(page.scripts[1])["specs"]["training"]
    assert set(specs) == {"tokens smoothed", "tokens raw", "seconds smoothed", "seconds raw"}
    for key, spec in specs.items():
        x, name = key.split()
        assert {(layer["encoding"]["x"]["field"], (layer.get("data") or spec["data"])["name"]) for layer in spec["layer"]} == {(x, name)}


def test_the_same_folder_gives_the_same_page(folder: Path) -> None:
    assert render(*parts(folder)) == (folder / "report.html").read_text()
    figure = parts(folder)[2][0]
    assert charts.static_files(figure) == {path.name: path.read_bytes() for path in sorted((folder / "figures").glob("loss.*"))}


def test_one_seed_and_prose(tmp_path: Path, write_fake_comparison) -> None:
    write_fake_comparison(tmp_path, seeds=1, layout="documents")
    comparison, records, figures = parts(tmp_path)
    text = render(comparison, records, figures)
    assert "Single runs carry no claim about architectures." in text
    assert 'class="samples long"' in text
    assert figures[0].caption.startswith("The bar is the loss; the line is the 95% interval from resampling the text")


def test_more_arms_than_colours_get_another_dash(tmp_path: Path, write_fake_comparison) -> None:
    write_fake_comparison(tmp_path, seeds=1, arms={f"arm{i}": (1000, 2 + 0.1 * i) for i in range(10)})
    spec = charts.page_spec(parts(tmp_path)[2][1].first)
    line = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "line")
    dashes = line["encoding"]["strokeDash"]["scale"]["range"]
    assert dashes[0] == dashes[7] != dashes[8] == dashes[9]


def test_a_comparison_in_which_all_failed_still_has_a_report(tmp_path: Path, write_fake_comparison) -> None:
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
    low, high = charts.focus_domain(rows)
    assert low < 2.01 < 2.1 < high < 2.2
    assert charts.focus_domain([]) == (0.0, 1.0)
    assert charts.focus_domain(rows, [9.0])[1] == high, "a far floor does not press the curves together"
    assert charts.focus_domain(rows, [1.95])[0] < 1.95
