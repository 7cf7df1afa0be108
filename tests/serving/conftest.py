"""A whole server on a loopback port.

With small runs of every kind of model, that the tests of the API share.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2 as httpx
import pytest
import uvicorn
from fastapi import FastAPI

from inklings.cli.main import main
from inklings.cli.reference import open_run
from inklings.models.contract import Architecture
from inklings.runs.directory import RunDirectory
from inklings.serving.api.app import make_app
from inklings.serving.api.guard import App
from inklings.serving.process.http_connection import HttpConfig
from inklings.serving.process.process_pool import Served
from inklings.serving.settings import ServeConfig
from tests.commands import GAN, TINY, words

from .engine_thread import start_in_thread

T = TypeVar("T")

ARMS = {
    # random bytes are what a model that learned nothing writes: whole characters and halves of them
    "gpt": ("gpt:n_layer=1,n_head=2,n_embd=16,context_length=16", "byte"),
    "wavegpt": ("wavegpt:n_layer=1,n_head=2,n_embd=16,context_length=16", "char+bytes"),
    "varda": (
        "varda:backbone=[gpt:n_layer=1,n_head=2,n_embd=16],segment=4,num_search_results=3",
        "byte",
    ),
    "ngram": ("ngram:order=2", "word:30"),
    "gan": (GAN, "word:30"),
}


class Loop:
    """An event loop in a thread of its own; models live on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop or asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=240)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@dataclass(frozen=True)
class Site:
    """A server that listens."""

    url: str
    app: FastAPI
    served: dict[str, Served]
    runs: dict[str, RunDirectory]
    loop: Loop
    models: dict[str, Architecture]
    """The same models beside the server, to compare with."""

    def client(self, **settings: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **settings)


@contextlib.contextmanager
def listening(app: App, loop: Loop, config: ServeConfig | None = None) -> Iterator[str]:
    """Have an app listen at a free port, as `inklings serve` does; yields the address."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()  # who connects before the server runs waits
        server = uvicorn.Server(
            HttpConfig(app, dataclasses.replace(config or ServeConfig(), grace=3.0))
        )
        done = asyncio.run_coroutine_threadsafe(server.serve(sockets=[sock]), loop.loop)
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            done.result(timeout=60)


@contextlib.contextmanager
def serving(
    loop: Loop,
    runs: Mapping[str, RunDirectory],
    config: ServeConfig,
    *,
    beside: Sequence[Served] = (),
) -> Iterator[str]:
    """Serve runs, and models that are served elsewhere too; yields the address."""
    own = [loop.run(start_in_thread(name, run, config)) for name, run in runs.items()]
    try:
        with listening(app_of([*own, *beside], config, loop), loop, config) as url:
            yield url
    finally:
        for model in own:
            loop.run(model.close())


def app_of(models: Sequence[Served], config: ServeConfig, loop: Loop) -> FastAPI:
    """The app of some models, made on their loop."""

    async def make() -> FastAPI:
        return make_app(models, config)

    return loop.run(make())


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture(scope="session")
def api_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDirectory]:
    """Runs of a few steps, and the one that ships with the package."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "words.txt").write_text(words(200))
    for name, (arm, tokenizer) in ARMS.items():
        arguments = [
            "train",
            arm,
            "--data",
            str(folder / "words.txt"),
            "--budget",
            "2-steps",
            "--run",
            str(folder / name),
            *TINY,
        ]
        assert main([*arguments, "--tokenizer", tokenizer, "--training.batch-size", "4"]) == 0
    return {
        "reference": open_run("builtin:reference"),
        **{name: RunDirectory.open(folder / name) for name in ARMS},
    }


@pytest.fixture(scope="session")
def site(api_runs: dict[str, RunDirectory], loop: Loop) -> Iterator[Site]:
    """All of them behind one app."""
    config = ServeConfig(
        rows=16,
        max_prompt_tokens=300,
        max_new_tokens=200,
        max_samples=8,
        max_body_bytes=20_000,
        timeout=120.0,
    )
    served = {name: loop.run(start_in_thread(name, run, config)) for name, run in api_runs.items()}

    app = app_of(list(served.values()), config, loop)
    with listening(app, loop) as url:
        yield Site(
            url,
            app,
            served,
            api_runs,
            loop,
            {name: run.load_model() for name, run in api_runs.items()},
        )
    for model in served.values():
        loop.run(model.close())


@pytest.fixture(scope="session")
def client(site: Site) -> Iterator[httpx.Client]:
    with site.client() as made:
        yield made


Refused = Callable[..., dict[str, Any]]


@pytest.fixture
def refused(client: httpx.Client) -> Refused:
    """Post a body that is refused; returns the error, whose form is checked."""

    def ask(path: str, body: Any, status: int = 400) -> dict[str, Any]:
        answer = client.post(path, json=body)
        assert answer.status_code == status, answer.text
        return error_of(answer)

    return ask


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error of an answer, which has OpenAI's form and no other field."""
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"error"}
    error: dict[str, Any] = body["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"]
    return error
