"""The life of a server: it takes its addresses first, then loads the models, then serves.

A signal ends it when running requests are done.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import uvicorn

from inklings.generation.engine.request import Card
from inklings.generation.special_names import spelled_names
from inklings.runs.directory import RunDirectory
from inklings.runs.interruption import SIGNALS, is_ignored_hangup
from inklings.runs.lock import is_locked
from inklings.serving.api.app import make_app
from inklings.serving.api.chat_template import ChatTemplate
from inklings.serving.process.addresses import bind, url_of
from inklings.serving.process.http_connection import LAST_WORD, HttpConfig
from inklings.serving.process.process_pool import Served, start
from inklings.serving.settings import ServeConfig


@dataclass(frozen=True)
class Loading:
    """The models are being loaded."""

    names: list[str]
    training: list[str]
    """Those whose runs are being trained: their newest checkpoints of now are served."""


@dataclass(frozen=True)
class Spelled:
    """The chat template names special tokens that a model reads as text."""

    model: str
    names: list[str]


@dataclass(frozen=True)
class Listening:
    """Addresses at which requests are taken."""

    url: str
    cards: list[Card]


@dataclass(frozen=True)
class Stopping:
    """A signal came: no new request is taken, running ones are finished."""

    running: int
    grace: float


@dataclass(frozen=True)
class Stopped:
    """The server has ended, and nothing is left behind."""


ServerEvent: TypeAlias = Loading | Spelled | Listening | Stopping | Stopped


def serve(
    runs: Mapping[str, RunDirectory],
    config: ServeConfig,
    *,
    on_event: Callable[[ServerEvent], None],
    template: ChatTemplate | None = None,
    trust_code: bool = False,
) -> None:
    """Serve runs under their names until SIGINT or SIGTERM; a second signal ends it at once.

    Args:
        runs: what clients call each, and the run.
        config: see there.
        on_event: told what happens, in its order.
        template: how the turns of a chat become one prompt.
        trust_code: whether to run an architecture's Python code if another user or machine made it.

    Raises:
        InputError: the address cannot be listened at.
        InklingsError: a run cannot be loaded.
    """
    sockets = bind(config.host, config.port)
    try:
        server = _Stoppable(runs, config, on_event, template, trust_code)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(server.run(sockets))
    finally:
        for each in sockets:
            each.close()
    on_event(Stopped())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the faster loop, on the systems that it is made for."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, which tells when it has begun, and leaves signals to us."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self.on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and say so."""
        await super().startup(sockets)
        self.on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Stoppable:
    """A server that can be stopped, once."""

    def __init__(
        self,
        runs: Mapping[str, RunDirectory],
        config: ServeConfig,
        on_event: Callable[[ServerEvent], None],
        template: ChatTemplate | None,
        trust_code: bool,
    ) -> None:
        self.runs, self.config, self.on_event, self.template, self.trust_code = (
            runs,
            config,
            on_event,
            template,
            trust_code,
        )
        self.models: list[Served] = []
        self.server: _Uvicorn | None = None
        self.loading: asyncio.Task[list[Served]] | None = None
        self.signals = 0

    async def run(self, sockets: list[socket.socket]) -> None:
        with self._signals():
            self.on_event(
                Loading(
                    list(self.runs),
                    [name for name, run in self.runs.items() if is_locked(run.path)],
                )
            )
            self.loading = asyncio.create_task(
                start(self.runs, self.config, trust_code=self.trust_code)
            )
            try:
                self.models = await self.loading
            except asyncio.CancelledError:
                if not self.signals:
                    raise
                return
            try:
                if not self.signals:
                    await self._listen(sockets)
            finally:
                # what is still at work has had its time
                await asyncio.gather(
                    *(
                        model.close(patience=0.0 if self.signals > 1 else LAST_WORD)
                        for model in self.models
                    )
                )

    async def _listen(self, sockets: list[socket.socket]) -> None:
        app = make_app(self.models, self.config, template=self.template)
        given = "" if self.template is None else self.template.source
        for model in self.models:
            names = spelled_names(given, model.tokenizer)
            if names and model.card.predicts:
                self.on_event(Spelled(model.card.name, names))
        url = url_of(self.config.host, sockets[0].getsockname()[1])
        self.server = _Uvicorn(
            HttpConfig(app, self.config),
            lambda: self.on_event(Listening(url, [model.card for model in self.models])),
        )
        await self.server.serve(sockets=sockets)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Within the block, signals are ours."""
        loop = asyncio.get_running_loop()
        numbers = [number for number in SIGNALS if not is_ignored_hangup(number)]
        before = {number: signal.getsignal(number) for number in numbers}
        for number in numbers:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._asked))
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _asked(self) -> None:
        """Begin to stop, because of a signal."""
        self.signals += 1
        if self.server is None:
            if self.loading is not None:
                self.loading.cancel()
            return
        self.server.should_exit = True
        if self.signals > 1:
            self.server.force_exit = True
            self._give_up()
            return
        self.on_event(
            Stopping(
                sum(model.load.running + model.load.waiting for model in self.models),
                self.config.grace,
            )
        )
        asyncio.get_running_loop().call_later(self.config.grace, self._give_up)

    def _give_up(self) -> None:
        """End what still runs, and tell its clients why."""
        for model in self.models:
            model.stop()
