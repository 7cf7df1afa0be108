"""What stands before and around the routes.

Sizes, names, headers, clients that leave, models that are full, late or lost.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
from collections.abc import Callable, MutableMapping
from typing import Any

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from inklings.errors import ConfigError, DiskError, InputError, RunError
from inklings.generation.engine.request import Delta, GenerationRequest
from inklings.serving.api.app import make_app
from inklings.serving.api.chat_template import ChatTemplate
from inklings.serving.api.errors import as_api_error
from inklings.serving.process.failures import OverloadedError, StoppingError, WorkerLostError
from inklings.serving.process.process_pool import Load, Served
from inklings.serving.process.response_stream import Ticket
from inklings.serving.settings import ServeConfig

from ..conftest import Site, error_of

TEXT = "/v1/completions"


class Puppet(Served):
    """A model whose answers the test gives: nothing runs behind it."""

    def __init__(self, real: Served) -> None:
        self.run, self.tokenizer, self._card = real.run, real.tokenizer, real.card
        self.tickets: list[Ticket] = []
        self.cancelled: list[GenerationRequest] = []
        self.room = 100
        self.alive = 1
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    @property
    def load(self) -> Load:
        return Load(0, 0, self.alive, 0, 0, 0, 0)

    @property
    def rows(self) -> int:
        return 100

    @property
    def places(self) -> int:
        return 100

    def ask(self, job: GenerationRequest, *, admitted: bool = False) -> Ticket:
        if len(self.tickets) == self.room:
            raise OverloadedError("all places are taken.")
        self.tickets.append(Ticket(job, self._gone))
        self.asked.set()
        return self.tickets[-1]

    def _gone(self, ticket: Ticket) -> None:
        self.cancelled.append(ticket.job)
        self.left.set()


class Wire:
    """One request to an app, event by event."""

    def __init__(self, app: FastAPI, body: Any, *, path: str = TEXT) -> None:
        self.sent: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self.received: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self.received.put_nowait(
            {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}
        )
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self.task = asyncio.create_task(app(scope, self.received.get, self.sent.put))

    def leave(self) -> None:
        self.received.put_nowait({"type": "http.disconnect"})

    async def answer(self) -> tuple[int, bytes]:
        await self.task
        events = [self.sent.get_nowait() for _ in range(self.sent.qsize())]
        return events[0]["status"], b"".join(event.get("body", b"") for event in events[1:])


def with_puppet(site: Site, test: Callable[[Puppet, FastAPI], Any], **settings: Any) -> None:
    """Run a test on the loop of an app with one model that does what the test says."""

    async def run() -> None:
        puppet = Puppet(site.served["gpt"])
        async with asyncio.timeout(60):
            await test(puppet, make_app([puppet], ServeConfig(**settings)))

    site.loop.run(run())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_a_client_that_leaves_cancels_its_jobs(site: Site, stream: bool, n: int) -> None:
    async def test(puppet: Puppet, app: FastAPI) -> None:
        wire = Wire(app, {"model": "gpt", "stream": stream, "n": n})
        await puppet.asked.wait()
        puppet.tickets[0].receive(Delta(0, text="a", drawn=(1,)))
        if stream:
            assert (await wire.sent.get())["status"] == 200
            assert b'"text":"a"' in (await wire.sent.get())["body"]
        wire.leave()
        await wire.task
        assert [job.row for job in puppet.cancelled] == list(reversed(range(n)))
        if stream:
            assert wire.sent.empty()

    with_puppet(site, test)


@pytest.mark.parametrize("path", ["/v1/score", "/v1/embeddings"])
def test_a_client_that_leaves_cancels_what_only_reads(site: Site, path: str) -> None:
    async def test(puppet: Puppet, app: FastAPI) -> None:
        wire = Wire(app, {"model": "gpt", "input": ["a", "b"]}, path=path)
        await puppet.asked.wait()
        wire.leave()
        await wire.task
        assert len(puppet.cancelled) == 2

    with_puppet(site, test)


def test_a_slow_client_gets_what_came_meanwhile_in_one_event(site: Site) -> None:
    async def test(puppet: Puppet, app: FastAPI) -> None:
        wire = Wire(app, {"model": "gpt", "stream": True})
        await puppet.asked.wait()
        for letter in "abc":
            puppet.tickets[0].receive(Delta(0, text=letter, drawn=(1,)))
        puppet.tickets[0].receive(Delta(0, text="d", drawn=(1,), ending="length"))
        status, body = await wire.answer()
        event, done = body.decode().removesuffix("\n\n").split("\n\n")
        assert (status, done) == (200, "data: [DONE]")
        assert json.loads(event.removeprefix("data: "))["choices"] == [
            {"index": 0, "text": "abcd", "logprobs": None, "finish_reason": "length"}
        ]
        assert not puppet.cancelled

    with_puppet(site, test)


@pytest.mark.parametrize("stream", [False, True])
def test_a_full_server_says_when_to_come_back_and_keeps_no_place(site: Site, stream: bool) -> None:
    async def test(puppet: Puppet, app: FastAPI) -> None:
        puppet.room = 2
        wire = Wire(app, {"model": "gpt", "n": 3, "stream": stream})
        await wire.task
        start = await wire.sent.get()
        assert start["status"] == 429
        assert (b"retry-after", b"1") in start["headers"]
        assert json.loads((await wire.sent.get())["body"])["error"]["code"] == "rate_limit_exceeded"
        assert len(puppet.cancelled) == 2

    with_puppet(site, test)


ENDS: list[tuple[Any, int, str]] = [
    (WorkerLostError("its process died."), 503, "worker_lost"),
    (StoppingError("the server is being stopped."), 503, "stopping"),
    (Delta(0, error="the logits are not finite."), 500, "model_failed"),
    (Delta(0, ending="deadline"), 504, "deadline_exceeded"),
]


@pytest.mark.parametrize(("end", "status", "code"), ENDS, ids=[code for _, _, code in ENDS])
@pytest.mark.parametrize("begun", [False, True])
def test_what_goes_wrong_has_its_status_or_is_the_last_event(
    site: Site, end: Any, status: int, code: str, begun: bool
) -> None:
    async def test(puppet: Puppet, app: FastAPI) -> None:
        for stream in (False, True):
            wire = Wire(app, {"model": "gpt", "stream": stream, "n": 2})
            await puppet.asked.wait()
            puppet.asked.clear()
            while len(puppet.tickets) < 2:
                await asyncio.sleep(0)
            ticket = puppet.tickets[0]
            start = None
            if begun:
                ticket.receive(Delta(0, text="a", drawn=(1,)))
                if stream:
                    start = await wire.sent.get()
            if isinstance(end, Delta):
                ticket.receive(end)
            else:
                ticket.fail(end)
            found, body = await wire.answer() if start is None else (start["status"], b"")
            if start is not None:
                await wire.task
                body = b"".join(
                    wire.sent.get_nowait().get("body", b"") for _ in range(wire.sent.qsize())
                )
                assert found == 200
                assert body.endswith(b"\n\ndata: [DONE]\n\n")
                body = body.split(b"\n\n")[-3].removeprefix(b"data: ")
            else:
                assert found == status
            error = json.loads(body)["error"]
            assert error["code"] == code
            assert len(puppet.cancelled) == 1
            puppet.tickets.clear()
            puppet.cancelled.clear()

    with_puppet(site, test)


def test_an_engine_that_says_nothing_is_given_up_in_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inklings.serving.api.sse.MARGIN", 0.01)

    async def test(puppet: Puppet, app: FastAPI) -> None:
        status, body = await Wire(app, {"model": "gpt"}).answer()
        assert (status, json.loads(body)["error"]["code"]) == (504, "deadline_exceeded")
        assert len(puppet.cancelled) == 1
        assert puppet.tickets[0].job.seconds == 0.01

    with_puppet(site, test, timeout=0.01)


def test_a_model_without_processes_fails_the_health(site: Site) -> None:
    async def test(puppet: Puppet, app: FastAPI) -> None:
        puppet.alive = 0
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost"
        ) as client:
            answer = await client.get("/health")
        assert answer.status_code == 503
        assert "gpt" in answer.json()["error"]["message"]
        assert answer.json()["models"]["gpt"]["status"] == "failing"

    with_puppet(site, test)


def test_an_unforeseen_error_is_a_500_that_tells_nothing(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(puppet: Puppet, app: FastAPI) -> None:
        def ask(job: GenerationRequest, *, admitted: bool = False) -> Ticket:
            raise KeyError("the secret of the prompt")

        puppet.ask = ask  # type: ignore[method-assign]
        for stream in (False, True):
            status, body = await Wire(app, {"model": "gpt", "stream": stream}).answer()
            assert status == 500
            assert b"secret" not in body
            assert json.loads(body)["error"]["type"] == "server_error"

    with_puppet(site, test)
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("kind", [InputError, RunError, DiskError, ConfigError])
def test_every_error_of_ours_has_a_status(kind: type[Exception]) -> None:
    assert (
        as_api_error(kind("said")).status_code
        == {InputError: 400, ConfigError: 400, RunError: 409, DiskError: 507}[kind]
    )


def exchange(site: Site, request: bytes) -> bytes:
    """Send bytes and read all that comes back."""
    host, port = site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


def test_a_body_that_is_too_large_is_413_however_it_comes(site: Site, client: httpx.Client) -> None:
    large = json.dumps({"model": "gpt", "prompt": "x" * 20_000}).encode()
    answer = client.post(TEXT, content=large, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert "20,000 bytes" in error_of(answer)["message"]
    chunked = client.post(
        TEXT,
        content=iter([large[:15_000], large[15_000:]]),
        headers={"content-type": "application/json"},
    )
    assert chunked.status_code == 413
    # told from its length alone, before it has come
    head = (
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type:"
        b" application/json\r\ncontent-length: %d\r\n\r\n"
    )
    assert exchange(site, head % 10**12).startswith(b"HTTP/1.1 413 ")
    fits = json.dumps({"model": "gpt", "prompt": "", "max_tokens": 1}).encode()
    exact = fits + b" " * (20_000 - len(fits))
    assert (
        client.post(TEXT, content=exact, headers={"content-type": "application/json"}).status_code
        == 200
    )
    assert (
        client.post(
            TEXT, content=exact + b" ", headers={"content-type": "application/json"}
        ).status_code
        == 413
    )


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1:1", "127.1.2.3", "[::1]:80", "[::1]", "LocalHost"],
)
def test_this_machine_may_be_asked_under_its_own_names(client: httpx.Client, host: str) -> None:
    assert client.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example:80",
        "10.0.0.1",
        "",
        "127.0.0.1.evil.example",
        "[::2]",
        "0x7f.1",
    ],
)
def test_another_name_is_421_even_for_health(client: httpx.Client, host: str) -> None:
    for path in ("/v1/models", "/health", "/"):
        answer = client.get(path, headers={"host": host})
        assert answer.status_code in ((421, 400) if not host else (421,))


@given(host=st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=30))
def test_no_host_breaks_the_guard(client: httpx.Client, host: str) -> None:
    try:
        answer = client.get("/health", headers={b"host": host.encode("latin-1")})
    except (httpx.LocalProtocolError, ValueError):
        return  # not sent
    assert answer.status_code in (200, 400, 421)


def test_every_answer_keeps_a_browser_at_home(client: httpx.Client) -> None:
    answers = [
        client.get(path)
        for path in ("/", "/health", "/v1/models", "/metrics", "/nothing", "/openapi.json")
    ]
    answers.append(client.post(TEXT, content=b"{"))
    answers.append(client.post(TEXT, json={"model": "gpt", "max_tokens": 1, "stream": True}))
    answers.append(client.get("/", headers={"host": "evil.example"}))
    for answer in answers:
        assert "default-src 'self'" in answer.headers["content-security-policy"], answer.url
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers


def test_the_description_is_whole(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    assert "422" not in json.dumps(described)
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)
            assert operation["responses"]["200"].get("content"), (method, path)
            assert method == "get" or {"400", "413", "415"} <= operation["responses"].keys()
    assert (
        "{{ message.content }}" in described["paths"]["/v1/chat/completions"]["post"]["description"]
    )


def test_templates_of_chats(tmp_path: Any) -> None:
    file = tmp_path / "template.jinja"
    file.write_text(
        "{% set stop = ['<e>'] %}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<e>{%"
        " endfor %}<assistant>\n"
    )
    template = ChatTemplate.load(file)
    assert (
        template.render([{"role": "user", "content": "{{ 7 * 7 }}"}])
        == "<user>{{ 7 * 7 }}<e><assistant>"
    )
    assert template.stop == ("<e>",)
    assert (
        ChatTemplate(
            "{{ bos_token }}{% if add_generation_prompt %}{{ messages[0].content }}{% endif %}"
        ).render([{"role": "user", "content": "x"}])
        == "x"
    )
    with pytest.raises(ConfigError, match="cannot be read"):
        ChatTemplate.load(tmp_path / "none")
    bad = [
        "{% for %}",
        "{{ messages.x.y }}",
        "{{ 1 / 0 }}",
        "{% set stop = 3 %}",
        "{% set stop = ['', 'a'] %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    ]
    for source in bad:
        with pytest.raises(ConfigError):
            ChatTemplate(source)
    picky = ChatTemplate("{% if messages|length > 1 %}{{ raise_exception('one only') }}{% endif %}")
    with pytest.raises(InputError, match="one only"):
        picky.render([{"role": "user", "content": "x"}] * 2)
    with pytest.raises(InputError, match="more than"):
        ChatTemplate(
            "{% for i in range(messages[0].content|length * 1000) %}{{ messages[0].content }}{%"
            " endfor %}"
        ).render([{"role": "user", "content": "x" * 90}])


def test_settings_hide_the_key() -> None:
    config = ServeConfig(key="a-long-secret")
    assert "secret" not in repr(config)
    assert dataclasses.replace(config, port=1).key == "a-long-secret"
