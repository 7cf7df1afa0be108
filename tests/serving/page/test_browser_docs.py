"""The API as a page: whole, with examples that work, and nothing from elsewhere."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from inklings.serving.settings import ServeConfig
from tests.browser import DESK, PHONE, needs_chromium

from ..conftest import serving
from .conftest import View, open_page

pytestmark = [needs_chromium, pytest.mark.slow]

KEY = "a-long-secret"


@pytest.fixture(scope="module")
def url(site: Any, loop: Any) -> Iterator[str]:
    with serving(loop, {}, ServeConfig(), beside=[site.served["varda"]]) as made:
        yield made


@pytest.fixture
def docs(browser: Any, url: str) -> Iterator[View]:
    """The page, which asks no other host."""
    view = open_page(browser, url, DESK, "light")
    view.page.goto(f"{url}/docs")
    view.page.wait_for_selector("body[data-ready]")
    yield view
    assert view.said == [] and all(asked.startswith(url) for asked in view.asked)
    view.page.context.close()


def test_every_route_and_every_field_is_shown(docs: View, url: str) -> None:
    described = httpx.get(f"{url}/openapi.json").json()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            head = f"{method.upper()} {path}"
            article = docs.page.locator(".route").filter(
                has=docs.page.get_by_role("heading", name=head, exact=True)
            )
            assert operation["summary"] in article.inner_text(), head
            names = [one["name"] for one in operation.get("parameters", [])]
            if "requestBody" in operation:
                form = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
                names += described["components"]["schemas"][form.split("/")[-1]]["properties"]
            shown = article.locator("tbody td:first-child code").all_text_contents()
            assert shown == [*names, *sorted(operation["responses"])], head
    links = docs.page.locator("main a").evaluate_all("(all) => all.map((one) => one.hash)")
    ids = docs.page.locator("[id]").evaluate_all("(all) => all.map((one) => '#' + one.id)")
    assert links and set(links) <= set(ids), "no link leads nowhere"


def test_every_example_does_what_it_says(docs: View, url: str) -> None:
    examples = docs.page.locator(".example").all_inner_texts()
    wrong = {}
    for example in examples:
        _, address, *rest = shlex.split(example)
        body = json.loads(rest[rest.index("-d") + 1]) if "-d" in rest else None
        answer = httpx.get(address) if body is None else httpx.post(address, json=body, timeout=60)
        if answer.status_code != 200:
            wrong[address.removeprefix(url)] = answer.json()["error"]
    # what this one server has not: a report, and until a document was added, a memory
    assert "has a report" in wrong.pop("/v1/runs/varda/report")["message"]
    assert {error["code"] for error in wrong.values()} <= {"empty_memory"}, wrong
    assert all(path.startswith("/v1/memory/varda") for path in wrong)
    assert len(examples) == 20


def test_with_a_key_the_page_asks_for_it_and_the_examples_send_it(
    browser: Any, site: Any, loop: Any
) -> None:
    with serving(loop, {}, ServeConfig(key=KEY), beside=[site.served["gpt"]]) as url:
        view = open_page(browser, url, DESK, "dark")
        view.page.goto(f"{url}/docs")
        view.page.wait_for_selector("#key-form:not([hidden])")
        assert view.page.locator(".route").count() == 0
        view.page.fill("#key", KEY)
        view.page.keyboard.press("Enter")
        view.page.wait_for_selector("body[data-ready]")
        assert view.page.is_hidden("#key-form") and view.page.is_hidden("#trouble")
        sent = {
            example.split("'")[1].removeprefix(url): "Authorization: Bearer $" in example
            for example in view.page.locator(".example").all_inner_texts()
        }
        assert sent["/v1/completions"] and sent["/v1/runs"] and not sent["/health"]
        assert KEY not in view.page.content()
        view.page.context.close()


def test_a_phone_reads_it_without_scrolling_sideways(browser: Any, url: str) -> None:
    phone = open_page(browser, url, PHONE, "light")
    phone.page.goto(f"{url}/docs")
    phone.page.wait_for_selector("body[data-ready]")
    assert phone.page.evaluate("() => document.documentElement.scrollWidth") <= PHONE
    phone.page.context.close()
