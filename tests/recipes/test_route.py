from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from inklings.cli.reference import open_run
from inklings.generation.engine.engine import Engine
from inklings.generation.engine.request import GenerationRequest
from inklings.models.contract import SequenceModel
from inklings.serving.api.app import make_app
from inklings.serving.process.model_loader import ServedModel, Spec
from inklings.serving.process.process_pool import Load, Served
from inklings.serving.process.response_stream import Ticket
from inklings.serving.settings import ServeConfig
from tests.recipes.pages import add


class InThisProcess(Served):
    """The reference run, whose engine does each job at once and in this process."""

    def __init__(self) -> None:
        self.run = open_run("builtin:reference")
        loaded = ServedModel(
            Spec(
                name="reference",
                run=str(self.run.path),
                rows=1,
                precision="float32",
                workers=1,
                trust_code=False,
            )
        )
        assert isinstance(loaded.model, SequenceModel)
        self.tokenizer, self._card = self.run.tokenizer(), loaded.card()
        self._engine = Engine(loaded.model, self.tokenizer)
        self._numbers = itertools.count()

    @property
    def load(self) -> Load:
        return Load(0, 0, 1, 0, 0, 0, 0)

    def ask(self, job: GenerationRequest, *, admitted: bool = False) -> Ticket:
        job = replace(job, number=next(self._numbers))
        ticket = Ticket(job, lambda left: self._engine.cancel(left.job.number))
        self._engine.submit(job)
        for delta in self._engine.deltas():
            ticket.receive(delta)
        return ticket


def test_a_new_route_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    assert add("route.md", monkeypatch) == ["next"]
    app = make_app([InThisProcess()], ServeConfig(key="a-long-secret"))
    client = TestClient(
        app, base_url="http://localhost", headers={"Authorization": "Bearer a-long-secret"}
    )

    body = {"model": "reference", "text": "LATIN SMAL", "k": 2}
    found = client.post("/v1/next", json=body).json()
    assert found["data"][0]["text"] == "L"
    assert 1 > found["data"][0]["probability"] > found["data"][1]["probability"] > 0

    assert client.post("/v1/next", json={**body, "m": 1}).status_code == 400
    assert client.post("/v1/next", json=body, headers={"Authorization": ""}).status_code == 401
    assert client.get("/health", headers={"Authorization": ""}).status_code == 200
    assert "/v1/next" in client.get("/openapi.json").json()["paths"]
    assert 'route="/v1/next"' in client.get("/metrics").text
