"""The server's measurements of itself, in the form that Prometheus reads.

Each app has a registry of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from inklings.generation.engine.request import Delta
from inklings.serving.api.errors import CLIENT_LEFT
from inklings.serving.api.guard import App, Event, Receive, Send
from inklings.serving.process.process_pool import Served

FIRST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 100.0, 300.0)
EACH = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Bounds of the histograms, in seconds."""

GAUGES = {
    "running": "Texts that are read and written now.",
    "waiting": "Texts that wait for their turn.",
    "workers_alive": "Engine processes that are alive.",
}
COUNTERS = {
    "tokens_drawn": "Tokens that were drawn.",
    "tokens_read": "Tokens of prompts that were read.",
    "passes": "Passes of the engines that brought something.",
    "workers_lost": "Engine processes that died.",
}


class ServerMetrics:
    """Counts and times of a server."""

    def __init__(self, models: Sequence[Served]) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "inklings_requests",
            "Requests by route, method and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._first = Histogram(
            "inklings_first_token_seconds",
            "From a request to its first token.",
            ("model",),
            buckets=FIRST,
            registry=self.registry,
        )
        self._each = Histogram(
            "inklings_token_seconds",
            "For each token after the first, a text at a time.",
            ("model",),
            buckets=EACH,
            registry=self.registry,
        )
        self.registry.register(_Loads(models))

    def clock(self, model: str) -> Clock:
        """Return a clock for one text that a model is asked for now."""
        return Clock(self._first.labels(model), self._each.labels(model))

    def count(self, route: str, method: str, status: int) -> None:
        """Count a request that was answered.

        Args:
            route: its path, with names in place of values.
            method: of HTTP.
            status: of the answer.
        """
        self._requests.labels(route, method, str(status)).inc()

    def response(self) -> Response:
        """Give all measures as text."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class Clock:
    """A clock of one text: the time to its first token, and between tokens."""

    def __init__(self, first: Histogram, each: Histogram) -> None:
        self._first_token, self._each = first, each
        self._asked = time.perf_counter()
        self._began: float | None = None
        self._count = 0

    def saw(self, progress: Delta) -> None:
        """Note what has come of the text."""
        now = time.perf_counter()
        if self._began is None:
            if progress.count:
                self._began = now
                self._first_token.observe(now - self._asked)
        else:
            self._count += progress.count
        if progress.ending is not None and self._began is not None and self._count:
            self._each.observe((now - self._began) / self._count)


class Counted:
    """Middleware that counts every request, those that the guard refuses included."""

    def __init__(self, app: App, measures: ServerMetrics) -> None:
        self._app = app
        self._measures = measures

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = CLIENT_LEFT

        async def sending(event: Event) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
            await send(event)

        try:
            await self._app(scope, receive, sending)
        finally:
            # the path as it was declared: what clients make up must not become names of measures
            route = getattr(scope.get("route"), "path", "")
            method = (
                scope["method"]
                if scope["method"] in ("GET", "POST", "HEAD", "OPTIONS")
                else "other"
            )
            self._measures.count(route, method, status)


class _Loads(Collector):
    """The current load of the models, looked up when Prometheus asks."""

    def __init__(self, models: Sequence[Served]) -> None:
        self._models = models

    def collect(self) -> Iterable[Metric]:
        loads = [(model.card.name, model.load) for model in self._models]
        kinds = ((GaugeMetricFamily, GAUGES), (CounterMetricFamily, COUNTERS))
        for family, figures in kinds:
            for name, help_text in figures.items():
                made = family(f"inklings_{name}", help_text, labels=("model",))
                for model, load in loads:
                    made.add_metric((model,), getattr(load, name))
                yield made

    def describe(self) -> Iterable[Metric]:
        return []
