"""The page in a real browser, against the whole server.

What it shows, what it asks for, and who can use it.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from inklings.serving.settings import ServeConfig
from tests.browser import DESK, PHONE, needs_chromium

from ..conftest import listening, serving
from .conftest import View, open_page

PROMPT = "ARABIC "
HALF_AN_ANSWER = """() => {
  window.fetch = async (path, { signal }) => {
    const tokens = { tokens: ["B"], token_logprobs: [-1], text_offset: [0] };
    const logprobs = { ...tokens, top_logprobs: [{ B: -1 }] };
    const choice = { index: 0, text: "B", logprobs, finish_reason: null };
    const event = JSON.stringify({ choices: [choice] });
    return new Response(new ReadableStream({
      start(out) {
        out.enqueue(new TextEncoder().encode(`data: ${event}\\n\\n`));
        signal.addEventListener("abort", () => {
          window.wasStopped = true;
          out.error(new DOMException("", "AbortError"));
        });
      },
    }));
  };
}"""
"""A server that begins to answer and never ends."""
CONTRAST = """(element) => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    const colour = getComputedStyle(node).backgroundColor;
    return /, 0\\)$/.test(colour) ? ground(node.parentElement) : colour;
  };
  const [a, b] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""

pytestmark = [needs_chromium, pytest.mark.slow]


def share_of(token: Any) -> float:
    """The probability that is told of a token."""
    found = re.search(r"([\d.]+)%$", token.get_attribute("aria-label"))
    assert found is not None
    return float(found[1]) / 100


def test_a_text_streams_in_and_its_tokens_are_shaded_by_probability(desk: View) -> None:
    desk.show(model="reference", seed=7, max_tokens=40, temperature=1)
    desk.page.fill("#prompt", PROMPT)
    desk.page.click("#start")
    desk.done()
    tokens = desk.page.locator(".token").all()
    assert len(tokens) > 3
    assert desk.text() == PROMPT + "".join(token.text_content() for token in tokens)
    shades = []
    bounds = (0.5, 0.2, 0.05, 0.01, 0)
    for token in tokens:
        share = share_of(token)
        shade = next(number for number, least in enumerate(bounds) if share >= least)
        # the probability is told rounded
        assert (
            f"shade-{shade}" in token.get_attribute("class").split()
            or min(abs(share - least) for least in bounds) < 1e-3
        )
        shades.append(shade)
    assert len(set(shades)) > 1
    words = [
        swatch.inner_text() for swatch in desk.page.locator("#view-write .legend .swatch").all()
    ]
    assert words == [
        "over 50%",
        "over 20%",
        "over 5%",
        "over 1%",
        "less",
    ], "what the shades mean is said"
    stats = desk.page.inner_text(".stats")
    assert f"{len(tokens)}" in stats and "tokens/s" in stats
    assert "bits" not in stats, "what a model's own sample costs it says little, and heads nothing"
    assert "has finished" in desk.page.text_content("#announce"), (
        "a screen reader is told once, at the end"
    )


def test_alternatives_show_on_hover_on_focus_and_on_tap(desk: View) -> None:
    desk.show(model="reference", prompt=PROMPT, seed=7, max_tokens=20, go=1)
    desk.done()
    popover = desk.page.locator("#popover")
    tokens = desk.page.locator(".token")
    assert popover.is_hidden()
    tokens.nth(2).hover()
    assert popover.is_visible() and popover.locator(".alternatives li").count() >= 5
    shares = [
        float(cell.inner_text().strip("<%"))
        for cell in popover.locator(".alternatives .number").all()
    ]
    assert shares[:5] == sorted(shares[:5], reverse=True) and popover.locator(".own").count() == 1
    desk.page.mouse.move(5, 5)
    popover.wait_for(state="hidden")
    tokens.nth(1).click()
    desk.page.mouse.move(5, 5)
    assert popover.is_visible(), "a tap pins it"
    desk.page.keyboard.press("Escape")
    assert popover.is_hidden()


def test_the_keyboard_walks_through_the_tokens_and_into_the_popover(desk: View) -> None:
    desk.show(model="reference", prompt=PROMPT, seed=7, max_tokens=20, go=1)
    desk.done()
    assert desk.page.locator('.token[tabindex="0"]').count() == 1, (
        "one stop of the tab key for all tokens"
    )
    focused = "() => [...document.querySelectorAll('.token')].indexOf(document.activeElement)"
    desk.page.locator('.token[tabindex="0"]').focus()
    popover = desk.page.locator("#popover")
    assert popover.is_visible() and desk.page.evaluate(focused) == 0
    seen = [popover.inner_text()]
    for key, place in (
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", desk.page.locator(".token").count() - 1),
        ("Home", 0),
    ):
        desk.page.keyboard.press(key)
        assert desk.page.evaluate(focused) == place
        seen.append(popover.inner_text())
    assert len(set(seen)) >= 3 and seen[0] == seen[-1]
    assert desk.page.locator(".token").first.get_attribute("aria-describedby") == "popover"
    desk.page.keyboard.press("Enter")
    assert desk.page.evaluate("() => document.activeElement.closest('#popover') !== null")
    desk.page.keyboard.press("Escape")
    assert popover.is_hidden() and desk.page.evaluate(focused) == 0


def test_another_token_can_be_chosen_and_the_text_goes_on_from_there(desk: View) -> None:
    desk.show(model="reference", prompt=PROMPT, seed=7, max_tokens=20, go=1)
    desk.done()
    kept = desk.page.locator(".token").nth(0).text_content()
    desk.page.locator(".token").nth(1).click()
    button = desk.page.locator("#popover button").first
    chosen = button.locator(".mono").text_content().replace("␣", " ")
    button.click()
    desk.done()
    assert (
        desk.page.input_value("#prompt")
        == PROMPT + kept + chosen
        == desk.page.text_content(".given")
    )


def test_what_was_written_can_be_continued_and_edited(desk: View) -> None:
    desk.show(model="reference", prompt=PROMPT, seed=7, max_tokens=5, go=1)
    desk.done()
    whole = desk.text()
    desk.page.click(".ending >> text=Edit")
    assert (
        desk.page.input_value("#prompt") == whole
        and desk.page.evaluate("() => document.activeElement.id") == "prompt"
    )
    desk.page.click(".ending >> text=Continue")
    desk.done()
    assert desk.page.text_content(".given") == whole and desk.text().startswith(whole)


def test_tokens_show_before_the_text_is_whole_and_stop_keeps_them(desk: View) -> None:
    desk.show(model="reference", seed=1, prompt="A")
    desk.page.evaluate(HALF_AN_ANSWER)
    assert desk.page.is_disabled("#stop-writing")
    desk.page.focus("#prompt")
    desk.page.keyboard.press("Control+Enter")
    desk.page.locator(".token").wait_for()
    assert desk.text() == "AB" and desk.page.get_attribute(".column", "aria-busy") == "true"
    assert desk.page.text_content("#announce") == "", "nothing is read out while it grows"
    desk.page.click("#stop-writing")
    desk.done()
    assert desk.page.evaluate("() => window.wasStopped") and desk.page.is_disabled("#stop-writing")
    assert desk.text() == "AB" and "stopped" in desk.page.inner_text(".ending")


def test_a_shared_link_gives_the_same_view_and_the_same_text(
    desk: View, browser: Any, site: Any
) -> None:
    desk.show(model="reference")
    desk.page.fill("#prompt", "GREEK\n&#+ SMALL")
    for name, value in (("seed", "11"), ("max_tokens", "25"), ("n", "2")):
        desk.page.fill(f"#{name}", value)
    desk.page.locator("#temperature").fill("1.2")
    desk.page.locator("#top_p").fill("0.9")
    desk.page.fill("#prompt", "GREEK SMALL ")
    desk.page.click("#start")
    desk.done()
    other = open_page(browser, site.url, DESK, "light")
    other.page.goto(desk.page.url)
    other.done()
    for name in ("model", "prompt", "seed", "max_tokens", "n", "temperature", "top_p"):
        assert other.page.input_value(f"#{name}") == desk.page.input_value(f"#{name}"), name
    assert [place.inner_text() for place in other.page.locator(".tokens").all()] == [
        place.inner_text() for place in desk.page.locator(".tokens").all()
    ]
    assert other.page.locator(".tokens").count() == 2 and other.settings() == desk.settings()
    other.page.context.close()


def test_two_models_stand_side_by_side_on_one_prompt(desk: View) -> None:
    desk.show(
        **{
            "model": "reference",
            "with": "ngram",
            "prompt": "DIGIT ",
            "seed": 2,
            "max_tokens": 12,
            "go": 1,
        }
    )
    desk.done(2)
    boxes = [column.bounding_box() for column in desk.page.locator(".column").all()]
    assert boxes[0]["y"] == boxes[1]["y"] and boxes[1]["x"] >= boxes[0]["x"] + boxes[0]["width"]
    assert [head.inner_text() for head in desk.page.locator(".column h2").all()] == [
        "reference",
        "ngram",
    ]


def test_an_error_stands_in_its_place_in_words(desk: View) -> None:
    desk.show(model="reference", prompt="ä", seed=1, go=1)
    desk.done()
    notice = desk.page.inner_text(".column .notice")
    assert "ä" in notice and desk.page.get_attribute(".column .notice", "role") == "alert"
    desk.said.clear()  # the browser itself notes the status


def test_a_text_is_scored_and_its_surprises_are_listed(desk: View, client: Any) -> None:
    text = "LATIN SMALL LXTTER A"
    desk.show(view="score", model="reference", text=text, go=1)
    desk.done()
    tokens = [token.text_content() for token in desk.page.locator("#scored .token").all()]
    assert "".join(tokens) == text
    scored = client.post("/v1/score", json={"model": "reference", "input": text}).json()["data"][0]
    stats = desk.page.inner_text("#scored .stats")
    assert f"{scored['bits_per_byte']:.2f}" in stats and "nats" not in stats
    most = min(scored["tokens"], key=lambda token: token["logprob"])
    first = desk.page.locator(".surprises li button").first
    assert first.locator("b").inner_text() == most["text"].replace(" ", "␣")
    first.click()
    assert desk.page.evaluate(
        "() => [...document.querySelectorAll('#scored .token')].indexOf(document.activeElement)"
    ) == scored["tokens"].index(most)
    assert desk.page.is_visible("#popover") and desk.page.locator("#popover button").count() == 0, (
        "a scored text is not rewritten"
    )


def test_a_branch_that_is_knocked_out_is_asked_for_and_its_effect_told(
    desk: View, client: Any
) -> None:
    desk.show(view="score", model="wavegpt", text="word 12")
    assert (
        desk.page.locator("#branches input").count()
        == len(client.get("/v1/runs/wavegpt").json()["card"]["branches"])
        == 2
    )
    slider = desk.page.locator("#branches input").last
    name = slider.get_attribute("id").removeprefix("branches-")
    slider.fill("0")
    assert (
        desk.page.locator("#branches output").last.inner_text() == "out"
        and desk.settings()["branches"] == f"{name}:0"
    )
    desk.page.click("#score")
    desk.done()
    ask = {"model": "wavegpt", "input": "word 12"}
    whole, altered = (
        client.post("/v1/score", json=body).json()["data"][0]
        for body in (ask, {**ask, "branches": {name: 0.0}})
    )
    assert whole["nats"] != altered["nats"]
    effect = desk.page.inner_text(".effect")
    assert f"{whole['bits_per_byte']:.2f}" in effect and f"{altered['bits_per_byte']:.2f}" in effect
    assert f"without {name}" in desk.page.inner_text(".column header")
    desk.page.click("[data-view=write]")
    desk.page.fill("#max_tokens", "4")
    desk.page.click("#start")
    desk.done()
    assert "with the whole model" in desk.page.inner_text("#written .effect")


def test_a_memory_is_filled_searched_and_forgotten_and_tokens_show_what_they_took(
    desk: View,
) -> None:
    desk.show(model="varda", view="memory")
    desk.page.fill("#memory-name", "a note")
    desk.page.fill("#memory-text", "the word after the word is a word")
    desk.page.get_by_role("button", name="Add").click()
    desk.page.wait_for_selector("text=/Added \\d+ entries/")
    desk.page.wait_for_selector(".memory-facts dl")
    desk.page.fill("#memory-query", "the word")
    desk.page.get_by_role("button", name="Search").click()
    desk.page.wait_for_selector(".hit-list li")
    before = desk.page.locator(".hit-list li").count()
    assert "a note" in desk.page.inner_text(".hit-list li >> nth=0")
    desk.page.click(".hit-list button >> nth=0")
    keep = desk.page.locator(".hit-list li >> nth=0").get_by_role("button", name="Keep")
    assert keep.evaluate("(e) => e === document.activeElement"), "it asks first"
    for leave in (keep.click, lambda: desk.page.keyboard.press("Escape")):
        leave()
        assert desk.page.locator(".hit-list li").count() == before and keep.count() == 0
        assert desk.page.evaluate("() => document.activeElement.innerText") == "Forget"
        desk.page.keyboard.press("Enter")
        assert keep.is_visible()
    desk.page.get_by_role("button", name=re.compile("Forget entry \\d+ for good")).click()
    desk.page.wait_for_function(
        "(count) => document.querySelectorAll('.hit-list li').length === count", arg=before - 1
    )
    desk.show(model="varda", view="score", text="the word after the word", go=1)
    desk.done()
    places = desk.page.locator("#scored .token").count()
    for place in range(places):
        desk.page.locator("#scored .token").nth(place).focus()
        if desk.page.locator("#popover .entries").count():
            break
    else:
        pytest.fail("no token shows an entry")
    entry = desk.page.inner_text("#popover .entries li >> nth=0")
    assert re.search(
        r"% of the prediction · (a note|this text), place \d+ · age \d+ · distance", entry
    ), entry


def test_a_generator_out_of_noise_has_no_prompt_but_a_style_seed(desk: View) -> None:
    desk.show(model="gan", seed=5, n=3, go=1)
    desk.done()
    assert (
        desk.page.is_hidden("#prompt")
        and desk.page.is_hidden("#temperature")
        and desk.page.is_hidden("[data-view=score]")
    )
    assert desk.page.is_visible("#style_seed") and desk.page.locator(".tokens").count() == 3
    free = [place.inner_text() for place in desk.page.locator(".tokens").all()]
    assert any(free)
    desk.page.fill("#style_seed", "4")
    desk.page.click("#start")
    desk.done()
    assert desk.settings()["style_seed"] == "4" and desk.page.locator(".tokens").count() == 3


def test_runs_show_their_facts_and_learning_curves(desk: View, site: Any) -> None:
    desk.show(view="runs", model="reference")
    desk.page.wait_for_selector('.run[aria-label="reference"] .chart svg path')
    assert desk.page.locator(".run").count() == len(site.served)
    run = desk.page.locator('.run[aria-label="reference"]')
    assert (
        "builtin:unicode-names" in run.inner_text()
        and "0.901 bits per byte" in run.inner_text()
        and "inklings audit" in run.inner_text()
    )
    assert run.locator(".chart path").count() == 2 and run.locator(".chart circle").count() == 8
    assert "validation from 1.36 to 0.90" in run.locator(".chart svg").get_attribute("aria-label")
    box = run.locator(".chart svg").bounding_box()
    desk.page.mouse.move(box["x"] + box["width"] - 14, box["y"] + 80)
    assert "validation 0.901" in run.locator(".readout").inner_text()


def test_a_run_that_trains_is_looked_at_again(desk: View) -> None:
    steps = iter(range(1, 100))

    def training(route: Any) -> None:
        answer = route.fetch()
        body = answer.json()
        body["facts"].update(state="training", step=next(steps), steps=100)
        route.fulfill(response=answer, json=body)

    desk.page.clock.install()
    desk.page.route("**/v1/runs/reference", training)
    desk.show(view="runs", model="reference")
    run = desk.page.locator('.run[aria-label="reference"]')
    run.locator("text=/training, 1 of 100 steps/").wait_for()
    desk.page.clock.run_for(3500)
    run.locator("text=/training, 2 of 100 steps/").wait_for()
    assert run.locator("progress").get_attribute("value") == "0.02"
    desk.page.unroute("**/v1/runs/reference")


@pytest.mark.parametrize("view", ["write", "score", "memory", "runs"])
def test_every_control_has_a_name_and_every_view_fits_a_phone(
    browser: Any, site: Any, view: str
) -> None:
    phone = open_page(browser, site.url, PHONE, "dark")
    phone.show(
        **{
            "view": view,
            "model": "varda",
            "with": "wavegpt",
            "text": "a long text " * 20,
            "prompt": "x" * 200,
            "max_tokens": 60,
            "go": 1,
        }
    )
    if view in ("write", "score"):
        phone.done(2)
    if view == "runs":
        phone.page.wait_for_selector(".chart svg")
    phone.page.evaluate(
        "() => document.querySelectorAll('details').forEach((part) => (part.open = true))"
    )
    assert phone.page.evaluate("() => document.documentElement.scrollWidth") <= PHONE
    for control in phone.page.locator(
        "input:visible, select:visible, textarea:visible, button:visible, summary:visible"
    ).all():
        name = control.evaluate(
            "(e) => (e.ariaLabel || e.labels?.[0]?.innerText || e.innerText || '').trim()"
        )
        assert name, control.evaluate("(e) => e.outerHTML")
    if view in ("write", "score"):
        phone.page.locator(".token").first.click()
        box = phone.page.locator("#popover").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE
    assert phone.said == []
    phone.page.context.close()


def test_text_can_be_read_on_every_shade_in_both_schemes(desk: View) -> None:
    desk.show(model="reference", prompt=PROMPT, seed=7, max_tokens=20, go=1)
    desk.done()
    desk.page.locator(".token").nth(1).click()
    grounds = []
    for scheme in ("light", "dark"):
        desk.page.emulate_media(color_scheme=scheme)
        grounds.append(desk.page.evaluate("() => getComputedStyle(document.body).backgroundColor"))
        for selector in (
            ".swatch",
            ".note:visible",
            "label:visible",
            "button:enabled:visible",
            ".given",
            ".stats dt",
            ".ending span",
            "#popover p",
            "#popover .number",
        ):
            for element in desk.page.locator(selector).all():
                assert element.evaluate(CONTRAST) >= 4.5, (scheme, selector, element.inner_text())
        lightness = desk.page.locator("#view-write .swatch").evaluate_all(
            "(all) => all.map((one) => getComputedStyle(one).backgroundColor)"
        )
        assert len(set(lightness)) == 5, "each shade differs"
    assert grounds[0] != grounds[1]
    desk.page.emulate_media(color_scheme="light")


def test_a_server_with_a_key_asks_for_it_and_keeps_it_in_the_tab(
    browser: Any, site: Any, loop: Any
) -> None:
    with serving(
        loop, {}, ServeConfig(key="a-long-secret"), beside=[site.served["reference"]]
    ) as url:
        opened = open_page(browser, url, DESK, "light")
        opened.page.goto(f"{opened.url}/")
        opened.page.wait_for_selector("#key-form:not([hidden])")
        opened.page.fill("#key", "a wrong secret")
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_selector("#key[aria-invalid]")
        opened.page.fill("#key", "a-long-secret")
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_selector("body[data-ready]")
        assert opened.page.is_hidden("#key-form")
        opened.page.fill("#max_tokens", "5")
        opened.page.click("#start")
        opened.done()
        assert opened.page.locator(".token").count() > 0
        stored = opened.page.evaluate(
            "() => [Object.values(sessionStorage), Object.values(localStorage), document.cookie,"
            " location.href]"
        )
        assert (
            stored[0] == ["a-long-secret"]
            and stored[1] == []
            and stored[2] == ""
            and "secret" not in stored[3]
        )
        opened.page.context.close()


EXTREMES: list[tuple[dict[str, str], dict[str, str]]] = [
    ({"n": "100000"}, {"n": "16"}),
    (
        {"n": "-3", "max_tokens": "-1", "seed": "-7", "top_k": "-1"},
        {"n": "1", "max_tokens": "1", "seed": "0", "top_k": "0"},
    ),
    (
        {"n": "2.6", "max_tokens": "1e300", "seed": "1e300"},
        {"n": "3", "max_tokens": "16384", "seed": "9007199254740991"},
    ),
    (
        {"n": "NaN", "max_tokens": "Infinity", "seed": "-Infinity", "temperature": "nan"},
        {"n": "1", "max_tokens": "200", "seed": "0", "temperature": "0.8"},
    ),
    (
        {"n": "many", "max_tokens": "\0", "seed": "<b>", "style_seed": "NaN"},
        {"n": "1", "max_tokens": "200", "seed": "0", "style_seed": ""},
    ),
    (
        {"temperature": "99", "top_p": "0", "min_p": "7", "top_k": "1e99"},
        {"temperature": "2", "top_p": "0.05", "min_p": "1", "top_k": "2147483647"},
    ),
    (
        {"temperature": "-1", "top_p": "2", "min_p": "-1"},
        {"temperature": "0", "top_p": "1", "min_p": "0"},
    ),
    (
        {
            "presence_penalty": "-1e9",
            "frequency_penalty": "1e9",
            "repetition_penalty": "0",
            "style_seed": "-4",
        },
        {
            "presence_penalty": "-2",
            "frequency_penalty": "2",
            "repetition_penalty": "0.1",
            "style_seed": "0",
        },
    ),
    (
        {"prompt": "A" * 300_000, "text": "B" * 300_000, "stop": "C" * 3000},
        {"prompt": "A" * 100_000, "text": "B" * 100_000, "stop": "C" * 256},
    ),
]
"""What an address asks for, and what the form holds then."""


@pytest.mark.parametrize(
    ("asked", "held"),
    EXTREMES,
    ids=[next(iter(asked)) + str(number) for number, (asked, _) in enumerate(EXTREMES)],
)
def test_what_an_address_asks_for_is_bounded_and_what_was_changed_is_said(
    desk: View, asked: dict[str, str], held: dict[str, str]
) -> None:
    desk.show(**{"model": "reference", **asked})
    for name, value in held.items():
        assert desk.page.input_value(f"#{name}") == value, name
    shown = desk.settings()
    assert all(shown.get(name, value) == value for name, value in held.items()), (
        "the address says what holds"
    )
    told = desk.page.inner_text("#trouble")
    assert all(re.search(rf"\b{name}\b", told) for name in asked), told
    # and the next address begins anew
    desk.show(model="reference", n=2)
    assert desk.page.is_hidden("#trouble") and desk.page.input_value("#n") == "2"


def test_an_address_that_asks_for_everything_at_once_still_writes(desk: View) -> None:
    nonsense = dict.fromkeys(
        ("view", "with", "branches_with", "style_seed", "presence_penalty"), "x" * 5000
    )
    branches = (
        ",".join(f"branch{number}:-{number}" for number in range(20_000))
        + ",__proto__:0,constructor:0.5,:,:::"
    )
    desk.show(
        **{
            **nonsense,
            "model": "wavegpt",
            "branches": branches,
            "n": 100_000,
            "max_tokens": 3,
            "prompt": "word",
            "go": "y" * 5000,
            "unknown": "z" * 5000,
        }
    )
    desk.done()
    assert desk.page.locator(".tokens").count() == 16
    assert desk.settings().keys() <= {"model", "seed", "n", "max_tokens", "prompt", "go"}
    assert desk.page.locator(".altered").count() == 0
    assert "8" in desk.page.inner_text(".column .notice"), "this server writes fewer, and says so"
    desk.said.clear()  # the browser itself notes the status


def test_an_address_sets_branches_that_the_model_has_and_no_others(desk: View) -> None:
    desk.show(model="wavegpt")
    name = desk.page.locator("#branches input").first.get_attribute("id").removeprefix("branches-")
    desk.show(model="wavegpt", branches=f"{name}:0.5,nobody:0,{name}x:0.1")
    assert (
        desk.settings()["branches"] == f"{name}:0.5"
        and desk.page.input_value(f"#branches-{name}") == "0.5"
    )
    for factor in ("7", "-1", "NaN", "1e999", ""):
        desk.show(model="wavegpt", branches=f"{name}:{factor}")
        assert "branches" not in desk.settings() or desk.settings()["branches"] == f"{name}:0", (
            factor
        )


def test_the_form_takes_what_an_address_may_ask_for(desk: View) -> None:
    desk.show(model="reference", n=3)
    for value in ("17", "0", "1e9", "2.5"):
        desk.page.fill("#n", value)
        assert desk.settings()["n"] == "3", "what the form does not take changes nothing"
    assert desk.page.get_attribute("#prompt", "maxlength") == "100000"


def test_a_page_of_an_allowed_origin_asks_from_a_real_browser_and_another_does_not(
    browser: Any, site: Any, loop: Any
) -> None:
    asks = """async (url) => {
      try {
        const authorization = { Authorization: "Bearer a-long-secret", "X-Stainless-OS": "x" };
        const headers = { "Content-Type": "application/json", ...authorization };
        const body = JSON.stringify({ model: "gpt", max_tokens: 1 });
        const answer = await fetch(url + "/v1/completions", { method: "POST", headers, body });
        return (await answer.json()).object;
      } catch (error) { return error.name; }
    }"""

    async def blank(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/html")],
            }
        )
        await send({"type": "http.response.body", "body": b"<p>a page of another server"})

    with listening(blank, loop) as mine, listening(blank, loop) as foreign:
        config = ServeConfig(key="a-long-secret", allow_origin=(mine,))
        with serving(loop, {}, config, beside=[site.served["gpt"]]) as url:
            for origin, said in ((mine, "text_completion"), (foreign, "TypeError")):
                opened = open_page(browser, url, DESK, "light")
                opened.page.goto(f"{origin}/")
                assert opened.page.evaluate(asks, url) == said
                opened.page.context.close()
