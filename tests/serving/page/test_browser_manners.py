"""How the page treats who uses it: order, places, units, and what a phone shows at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser import DESK, FAINT, PHONE, needs_chromium

from .conftest import View, open_page

pytestmark = [needs_chromium, pytest.mark.slow]

SMALL_PHONE = 640
"""Pixels of height that a small phone leaves to a page."""
COVERED = """() => {
  const shown = document.querySelector("#popover").getBoundingClientRect();
  const over = (rect) => rect.left < shown.right && rect.right > shown.left
    && rect.top < shown.bottom && rect.bottom > shown.top;
  return [...document.querySelector(".token.looked-at").getClientRects()].some(over);
}"""
"""Whether the popover lies over the token that it explains."""
SEEN = """() => {
  const { top, bottom } = document.querySelector("#popover").getBoundingClientRect();
  return top >= 0 && bottom <= window.innerHeight;
}"""


def tops(view: View, *selectors: str) -> list[float]:
    return [view.page.locator(selector).first.bounding_box()["y"] for selector in selectors]


def test_settings_stand_in_the_order_of_their_use(desk: View) -> None:
    desk.show(model="wavegpt")
    order = ("#model", "#with", "#temperature", "#top_p", "#max_tokens", "#seed", "#branches")
    assert tops(desk, *order) == sorted(tops(desk, *order))
    tabbed = desk.page.locator("#settings [id]").evaluate_all("(all) => all.map((one) => one.id)")
    places = [tabbed.index(selector.removeprefix("#")) for selector in order]
    assert places == sorted(places), "the keyboard goes the same way"


@pytest.mark.parametrize("height", [900, 420, 300])
def test_the_popover_never_covers_the_token_that_it_explains(desk: View, height: int) -> None:
    desk.show(model="reference", prompt="ARABIC ", seed=7, max_tokens=120, ignore=1, n=4, go=1)
    desk.done()
    desk.page.set_viewport_size({"width": 500, "height": height})
    try:
        # every fifth, which takes each place in a line: lines differ in their tokens
        for place in range(0, desk.page.locator(".token").count(), 5):
            desk.page.locator(".token").nth(place).scroll_into_view_if_needed()
            desk.page.locator(".token").nth(place).focus()
            assert not desk.page.evaluate(COVERED), place
            assert desk.page.evaluate(SEEN), place
    finally:
        desk.page.set_viewport_size({"width": 1280, "height": 900})


def test_the_legend_explains_the_underline_where_there_is_a_memory(desk: View) -> None:
    desk.show(model="varda")
    legend = desk.page.locator("#view-write .legend")
    assert "memory gave 5.0% of the prediction" in legend.inner_text()
    line = "(e) => getComputedStyle(e).textDecorationLine"
    assert legend.locator(".remembered").evaluate(line) == "underline"
    desk.show(model="reference")
    assert "memory" not in legend.inner_text()
    desk.show(**{"model": "reference", "with": "varda"})
    assert "memory" in legend.inner_text(), "the other model's tokens can be underlined"


@pytest.mark.parametrize("view", ["write", "score"])
def test_a_phone_shows_the_text_without_scrolling(browser: Any, site: Any, view: str) -> None:
    phone = open_page(browser, site.url, PHONE, "light")
    phone.page.set_viewport_size({"width": PHONE, "height": SMALL_PHONE})
    phone.show(view=view, model="varda", prompt="word", text="word 12 and 3 " * 8, n=1, go=1)
    phone.done()
    place = phone.page.locator(f"#view-{view} .tokens").bounding_box()
    assert place["y"] + 60 <= SMALL_PHONE and phone.page.evaluate("() => scrollY") == 0
    assert phone.page.is_visible(f"#view-{view} .legend"), "the legend is there all the same"
    phone.page.context.close()


def test_all_losses_of_the_runs_are_in_bits_and_a_run_outside_the_chart_is_named(
    desk: View,
) -> None:
    desk.show(view="runs", model="reference")
    desk.page.wait_for_selector(".run[aria-label=gan] .chart svg")
    assert "nats" not in desk.page.inner_text("#view-runs")
    together = desk.page.locator(".together")
    # the figures of the runs come one after the other
    together.locator(".curve").nth(3).wait_for(state="attached")
    assert together.locator(".curve").count() == 4
    assert "not in this chart: ngram, gan" in together.inner_text()
    for name, unit in (("ngram", "bits per token"), ("gan", "bits of divergence")):
        assert unit in desk.page.inner_text(f".run[aria-label={name}]")


@pytest.mark.parametrize(
    ("statuses", "said", "opened"),
    [
        (["pass", "not applicable"], "Audit: holds, 2 checks", False),
        (["pass", "warning"], "Audit: holds, 2 checks, 1 warning", False),
        (["fail", "pass"], "Audit: 1 of 2 checks do not hold", True),
    ],
)
def test_the_audit_and_the_verdict_of_a_run_are_shown(
    desk: View, statuses: list[str], said: str, opened: bool
) -> None:
    def judged(route: Any) -> None:
        answer = route.fetch()
        body = answer.json()
        body["facts"]["findings"] = [
            {"check": f"check{number}", "status": status, "summary": f"found {number}"}
            for number, status in enumerate(statuses)
        ]
        body["page"] = "/v1/runs/reference/page"
        body["compared"] = {
            "arm": "gpt",
            "arms": ["gpt", "mlp"],
            "status": "complete",
            "verdicts": [{"headline": "gpt is better.", "sentences": ["By 0.1 bits."]}],
            "findings": [],
            "report": None,
        }
        route.fulfill(response=answer, json=body)

    desk.page.route("**/v1/runs/reference", judged)
    desk.show(view="runs", model="reference")
    run = desk.page.locator('.run[aria-label="reference"]')
    run.locator(".audit").wait_for()
    assert run.locator(".audit summary").inner_text() == said
    assert run.get_by_text("found 0").is_visible() == opened
    run.locator(".audit summary").click()
    assert run.get_by_text("found 0").is_visible() != opened
    assert "gpt is better." in run.inner_text() and "By 0.1 bits." in run.inner_text()
    link = run.get_by_role("link", name="The page of reference")
    assert link.get_attribute("href") == "/v1/runs/reference/page"
    desk.page.unroute("**/v1/runs/reference")


def test_a_run_that_is_trained_says_which_step_is_served(desk: View) -> None:
    said = "step 40 of 1,000, still training"

    def training(route: Any) -> None:
        answer = route.fetch()
        body = answer.json()
        body["data"][0]["progress"] = said
        route.fulfill(response=answer, json=body)

    desk.page.route("**/v1/runs", training)
    desk.show(model="reference", max_tokens=3, go=1)
    desk.done()
    assert said in desk.page.inner_text("#model-note")
    assert said in desk.page.inner_text(".column header")
    choices = desk.page.locator("#model option").all_inner_texts()
    assert choices[0] == f"reference ({said})" and "gpt" in choices
    assert desk.page.input_value("#model") == "reference"
    desk.page.unroute("**/v1/runs")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_that_is_written_can_be_read_and_every_drawing_has_words(
    browser: Any, site: Any, scheme: str
) -> None:
    view = open_page(browser, site.url, DESK, scheme)
    for name in ("write", "score", "memory", "runs", "docs"):
        if name == "docs":
            view.page.goto(f"{site.url}/docs")
            view.page.wait_for_selector("body[data-ready]")
        else:
            view.show(view=name, model="varda", prompt="word", text="word 1", max_tokens=9, go=1)
        if name in ("write", "score"):
            view.done()
        if name == "runs":
            view.page.wait_for_selector(".chart svg")
        view.page.evaluate(
            "() => document.querySelectorAll('details').forEach((one) => (one.open = true))"
        )
        assert view.page.evaluate(FAINT) == [], name
        for drawing in view.page.locator("svg").all():
            assert drawing.get_attribute("role") == "img", name
            assert drawing.get_attribute("aria-label"), name
    view.page.evaluate("() => (document.querySelector('h2').style.color = 'var(--line)')")
    assert len(view.page.evaluate(FAINT)) == 1, "what is faint is found"
    view.page.context.close()
