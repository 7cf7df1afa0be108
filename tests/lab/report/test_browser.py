"""The report in a real browser.

It asks no host, draws every chart, and every control and every link does what it says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inklings.lab.report.export import SUFFIXES
from inklings.lab.report.page import write_report
from tests.browser import DESK, FAINT, PHONE, Opened, chromium, needs_chromium

FIGURES = [
    "validation",
    "accuracy",
    "training",
    "points",
    "pareto",
    "loss",
    "positions",
    "samples",
    "search",
    "memory1",
]
DRAWN = """() =>
  [...document.querySelectorAll("[data-figure]")].every((f) => f.querySelector(".chart svg"))"""
REDRAWN = """(control) => [...document.querySelectorAll("[data-control]")].every((group) =>
  group.dataset.control !== control
  || group.closest("[data-figure]").querySelector(".chart svg:not([data-old])"))"""
MARKS = """(figure) => figure.querySelectorAll(
  ".chart svg .mark-line path, .chart svg .mark-symbol path, .chart svg .mark-rule line, "
  + ".chart svg .mark-rect path"
).length"""

pytestmark = [needs_chromium, pytest.mark.slow]


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory, write_full_comparison: Callable[..., Any]
) -> Path:
    out: Path = tmp_path_factory.mktemp("browser") / "out"
    write_full_comparison(out, seeds=2)
    return write_report(out)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def open_report(browser: Any, report: Path, width: int, scheme: str) -> Opened:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = Opened(context.new_page(), report.as_uri())
    opened.page.goto(opened.url)
    opened.page.wait_for_function(DRAWN)
    return opened


@pytest.fixture(scope="module")
def desk(browser: Any, report: Path) -> Iterator[Opened]:
    opened = open_report(browser, report, DESK, "light")
    yield opened
    opened.page.context.close()


@pytest.fixture(scope="module")
def phone(browser: Any, report: Path) -> Iterator[Opened]:
    opened = open_report(browser, report, PHONE, "dark")
    yield opened
    opened.page.context.close()


def figures(opened: Opened) -> dict[str, Any]:
    return {
        figure.get_attribute("data-figure"): figure
        for figure in opened.page.query_selector_all("[data-figure]")
    }


def test_every_figure_is_drawn_with_marks(desk: Opened, phone: Opened) -> None:
    for opened in (desk, phone):
        found = figures(opened)
        assert list(found) == FIGURES
        for name, figure in found.items():
            assert figure.evaluate(MARKS) >= 4, name
            box = figure.query_selector(".chart svg").bounding_box()
            assert box["width"] > 250 and box["height"] > 60, name


def test_all_that_is_written_can_be_read_and_every_chart_says_what_it_is(
    desk: Opened, phone: Opened
) -> None:
    for opened in (desk, phone):  # one is light, the other dark
        assert opened.page.evaluate(FAINT) == []
        for name, figure in figures(opened).items():
            title = figure.query_selector("h3").text_content()
            assert figure.query_selector(".chart").get_attribute("aria-label") == title, name


def test_every_control_changes_its_chart_and_back(desk: Opened) -> None:
    changed = 0
    for name, figure in figures(desk).items():
        for control in figure.query_selector_all("[data-control]"):
            first, *others = control.query_selector_all("[data-option]")
            seen = [figure.query_selector(".chart svg").evaluate("svg => svg.innerHTML")]
            for button in [*others, first]:
                desk.page.evaluate(
                    "() => document.querySelectorAll('.chart svg').forEach((svg) =>"
                    " (svg.dataset.old = 'yes'))"
                )
                button.click()
                desk.page.wait_for_function(REDRAWN, arg=control.get_attribute("data-control"))
                assert button.get_attribute("aria-pressed") == "true"
                assert [
                    b.get_attribute("aria-pressed")
                    for b in control.query_selector_all("[data-option]")
                ].count("true") == 1
                assert figure.evaluate(MARKS) >= 4, (name, button.inner_text())
                seen.append(figure.query_selector(".chart svg").evaluate("svg => svg.innerHTML"))
            seen = [re.sub(r"clip\d+|gradient_\d+", "", drawing) for drawing in seen]
            assert len(set(seen)) == len(others) + 1, f"{name}: each choice is another picture"
            assert seen[0] == seen[-1], f"{name}: the first choice is what it was"
            changed += len(others)
    assert changed == 2 + 2 + 3 + 2 + 2
    desk.page.wait_for_function(DRAWN)


def test_values_are_told_at_the_pointer(desk: Opened) -> None:
    for name in ("validation", "training", "points", "pareto"):
        chart = desk.page.locator(f"#figure-{name} .chart")
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        desk.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
        desk.page.wait_for_selector("#vg-tooltip-element.visible", timeout=10_000)
        told = desk.page.locator("#vg-tooltip-element").inner_text()
        assert "arm" in told and "undefined" not in told, (name, told)
        desk.page.mouse.move(0, 0)
    assert desk.said == []


def test_an_arm_is_brought_out_and_let_go(desk: Opened) -> None:
    faint = (
        "(figure) => [...figure.querySelectorAll('.mark-line path')].filter((path) =>"
        " path.getAttribute('opacity') < 0.2).length"
    )
    positions = figures(desk)["positions"]
    assert positions.evaluate(faint) == 0
    button = desk.page.query_selector('[data-arm="gpt"]')
    button.click()
    assert positions.evaluate(faint) == 4, "the other four arms"
    button.click()
    assert positions.evaluate(faint) == 0


def test_every_link_leads_somewhere(desk: Opened, report: Path) -> None:
    links = [link.get_attribute("href") for link in desk.page.query_selector_all("a")]
    inner = [link[1:] for link in links if link.startswith("#")]
    files = [link for link in links if not link.startswith("#")]
    assert len(inner) == len(set(inner)) >= 12
    figures = [f"figures/{name}.{kind}" for name in FIGURES for kind in SUFFIXES]
    assert sorted(files) == sorted([*figures, "ranking.md"])
    assert all((report.parent / name).is_file() for name in files)
    for anchor in inner:
        desk.page.click(f'a[href="#{anchor}"]')
        place = desk.page.query_selector(f"[id='{anchor}']").bounding_box()
        assert place is not None and place["y"] < 900, f"{anchor} is in view"


def test_no_width_or_scheme_makes_the_page_scroll_sideways(desk: Opened, phone: Opened) -> None:
    for opened, width in ((phone, PHONE), (desk, DESK)):
        for scheme in ("dark", "light"):
            opened.page.emulate_media(color_scheme=scheme)
            opened.page.wait_for_function(DRAWN)
            assert opened.page.evaluate("() => document.documentElement.scrollWidth") <= width, (
                width,
                scheme,
            )


def test_schemes_have_their_own_colours_in_page_and_charts(phone: Opened) -> None:
    def colours() -> list[str]:
        ground = phone.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        line = phone.page.evaluate(
            """() => document.querySelector('[data-figure="positions"] .mark-line path')
            .getAttribute('stroke')"""
        )
        return [ground, line]

    def turn(scheme: str) -> list[str]:
        phone.page.evaluate(
            "() => document.querySelectorAll('.chart svg').forEach((svg) => (svg.dataset.old ="
            " 'yes'))"
        )
        phone.page.emulate_media(color_scheme=scheme)
        phone.page.wait_for_function("() => !document.querySelector('.chart svg[data-old]')")
        return colours()

    phone.page.emulate_media(color_scheme="light")
    dark, light = turn("dark"), turn("light")
    assert dark[0] != light[0] and dark[1] != light[1]
    assert (light[1], dark[1]) == ("#0072b2", "#4f9fe6")


def test_the_page_says_nothing_on_the_console_and_asks_no_host(
    desk: Opened, phone: Opened, report: Path
) -> None:
    for opened in (desk, phone):
        assert opened.said == []
        assert {url.partition("#")[0] for url in opened.asked} == {report.as_uri()}
