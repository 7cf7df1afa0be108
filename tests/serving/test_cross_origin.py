"""Pages of other sites in a browser, and requests for the head of an answer alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.errors import ConfigError
from inklings.serving.settings import ServeConfig

from .conftest import Site, error_of, serving

HERE, OTHER, FOREIGN = "http://localhost:3000", "https://app.example", "https://evil.example"
ALLOW = "access-control-allow-origin"
ASKING = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-os",
}


@pytest.fixture(scope="module")
def two(site: Site) -> Iterator[httpx.Client]:
    """A server without a key, open to the pages of two sites."""
    with (
        serving(
            site.loop, {}, ServeConfig(allow_origin=(HERE, OTHER)), beside=[site.served["gpt"]]
        ) as url,
        httpx.Client(base_url=url) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def keyed(site: Site) -> Iterator[httpx.Client]:
    """A server with a key, open to the pages of all sites."""
    with (
        serving(
            site.loop,
            {},
            ServeConfig(allow_origin=("*",), key="a-long-secret"),
            beside=[site.served["gpt"]],
        ) as url,
        httpx.Client(base_url=url) as made,
    ):
        yield made


@pytest.mark.parametrize("origin", [HERE, OTHER])
def test_a_page_whose_origin_is_allowed_may_ask_and_read(two: httpx.Client, origin: str) -> None:
    leave = two.options("/v1/completions", headers={"origin": origin, **ASKING})
    assert (leave.status_code, leave.content, leave.headers[ALLOW]) == (204, b"", origin)
    assert "POST" in leave.headers["access-control-allow-methods"]
    assert leave.headers["access-control-allow-headers"] == ASKING["access-control-request-headers"]
    answers = [
        two.post(
            "/v1/completions", json={"model": "gpt", "max_tokens": 1}, headers={"origin": origin}
        ),
        two.post(
            "/v1/completions",
            json={"model": "gpt", "max_tokens": 1, "stream": True},
            headers={"origin": origin},
        ),
        two.post("/v1/completions", json={"model": "nobody"}, headers={"origin": origin}),
        two.get("/nothing", headers={"origin": origin}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 404]
    for answer in answers:
        assert answer.headers[ALLOW] == origin and "origin" in answer.headers["vary"].lower()
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        FOREIGN,
        "null",
        "http://localhost:3001",
        "http://localhost",
        "https://localhost:3000",
        "https://app.example.evil.example",
        "HTTPS://APP.EXAMPLE",
        "",
    ],
)
def test_a_page_of_another_origin_may_not(two: httpx.Client, origin: str) -> None:
    leave = two.options("/v1/completions", headers={"origin": origin, **ASKING})
    assert leave.status_code == 403 and ALLOW not in leave.headers
    assert "--allow-origin" in error_of(leave)["message"]
    answer = two.get("/v1/models", headers={"origin": origin})
    assert ALLOW not in answer.headers and "origin" in answer.headers["vary"].lower()


def test_a_name_that_was_pointed_at_this_machine_opens_nothing_to_an_allowed_page_either(
    two: httpx.Client,
) -> None:
    for method in ("OPTIONS", "GET", "HEAD"):
        answer = two.request(
            method, "/v1/models", headers={"origin": HERE, "host": "evil.example", **ASKING}
        )
        assert answer.status_code == 421


def test_all_pages_may_ask_with_the_key_and_none_without(keyed: httpx.Client) -> None:
    leave = keyed.options("/v1/models", headers={"origin": FOREIGN, **ASKING})
    assert (leave.status_code, leave.headers[ALLOW]) == (
        204,
        "*",
    ), "a browser asks for leave without the key"
    assert "authorization" in leave.headers["access-control-allow-headers"]
    refused = keyed.get("/v1/models", headers={"origin": FOREIGN})
    assert (refused.status_code, refused.headers[ALLOW]) == (
        401,
        "*",
    ), "the page can read what is wrong"
    assert (
        keyed.get(
            "/v1/models", headers={"origin": FOREIGN, "authorization": "Bearer a-long-secret"}
        ).status_code
        == 200
    )
    # what only looks like such a question is none
    assert keyed.options("/v1/models", headers={"origin": FOREIGN}).status_code == 401
    assert keyed.options("/v1/models", headers=ASKING).status_code == 401


def test_nothing_is_allowed_unless_it_was_said(client: httpx.Client) -> None:
    for answer in (
        client.options("/v1/models", headers={"origin": HERE, **ASKING}),
        client.get("/v1/models", headers={"origin": HERE}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert client.options("/v1/models", headers={"origin": HERE, **ASKING}).status_code == 405


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("http://localhost:3000/", "here http://localhost:3000"),
        ("HTTPS://App.Example", "here https://app.example"),
        ("https://app.example:443", "here https://app.example"),
        ("https://user@app.example/path?a#b", "here https://app.example"),
        ("app.example", "such as"),
        ("localhost:3000", "such as"),
        ("null", "such as"),
        ("", "such as"),
        ("http://", "such as"),
        ("http://a:99999", "such as"),
        ("https://bücher.example", "such as"),
        ("https://*.example", "such as"),
    ],
)
def test_what_no_browser_would_send_is_refused_with_what_it_would(given: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        ServeConfig(allow_origin=(HERE, given))


def test_every_site_beside_another_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="leave the other origins out"):
        ServeConfig(allow_origin=("*", HERE))


@given(given=st.text(max_size=30))
def test_an_origin_is_an_origin_or_refused(given: str) -> None:
    try:
        (allowed,) = ServeConfig(allow_origin=(given,)).allow_origin
    except ConfigError:
        return
    assert allowed == "*" or re.fullmatch(r"[a-z][a-z0-9+.-]*://[!-~]+", allowed)


def test_a_head_is_the_get_without_its_body_wherever_there_is_a_get(
    site: Site, client: httpx.Client
) -> None:
    paths = [
        path
        for path, methods in client.get("/openapi.json").json()["paths"].items()
        if "get" in methods
    ]
    assert len(paths) >= 7
    filled = [path.replace("{model}", "varda" if "memory" in path else "gpt") for path in paths]
    for path in [
        "/",
        "/page/app.js",
        "/page/style.css",
        "/openapi.json",
        "/nothing",
        "/v1/models/nobody",
        *filled,
    ]:
        whole, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (whole.status_code, b""), path
        assert head.headers.keys() == whole.headers.keys(), path
        assert head.headers["content-type"] == whole.headers["content-type"], path
        # measures and loads go on between the two
        assert (
            path in ("/metrics", "/health")
            or head.headers["content-length"] == whole.headers["content-length"]
        ), path
    assert any(
        'route="/v1/models"' in line and 'method="HEAD"' in line
        for line in client.get("/metrics").text.splitlines()
    )


def test_a_head_asks_for_the_key_and_the_name_too(
    keyed: httpx.Client, client: httpx.Client
) -> None:
    assert (keyed.head("/v1/models").status_code, keyed.head("/health").status_code) == (401, 200)
    assert client.head("/health", headers={"host": "evil.example"}).status_code == 421


def test_methods_that_an_address_does_not_take_are_told_with_those_it_does(
    client: httpx.Client,
) -> None:
    assert client.head("/v1/completions").status_code == 405
    assert client.head("/v1/completions").headers["allow"] == "POST"
    answer = client.post("/v1/models", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_a_connection_goes_on_after_a_head(client: httpx.Client) -> None:
    for _ in range(3):
        assert client.head("/v1/models").content == b""
        assert client.get("/v1/models").json()["object"] == "list"
