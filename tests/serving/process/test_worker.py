"""An engine at work, in a thread of this process: the very loop of an engine process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inklings.cli.reference import open_run
from inklings.errors import ConfigError, RunError
from inklings.generation.engine.engine import Engine
from inklings.generation.engine.request import Delta, GenerationRequest
from inklings.generation.generate import generate
from inklings.generation.sampling import SamplingConfig
from inklings.serving.process.failures import EngineError, StoppingError
from inklings.serving.process.model_loader import ServedModel
from inklings.serving.process.process_pool import Served
from inklings.serving.process.response_stream import joined
from inklings.serving.settings import ServeConfig
from tests.built import as_sequence_model

from ..engine_thread import start_in_thread

ENDLESS = GenerationRequest(
    number=0, client="me", prompt=(0,), max_new_tokens=10**9, stop_at_boundary=False
)


def serving(test: Callable[[Served], Coroutine[Any, Any, None]], **settings: Any) -> None:
    """Serve the reference run while a test awaits.

    Nothing of it waits for longer than a test may take.
    """

    async def whole() -> None:
        served = await start_in_thread(
            "reference", open_run("builtin:reference"), ServeConfig(**settings)
        )
        try:
            await test(served)
        finally:
            await served.close()

    asyncio.run(asyncio.wait_for(whole(), 120))


async def answer(served: Served, job: GenerationRequest) -> Delta:
    """All that a job brings."""
    return joined([progress async for progress in served.ask(job)])


def prompt(served: Served, text: str) -> tuple[int, ...]:
    return (served.tokenizer.boundary, *served.tokenizer.encode(text).tolist())


def test_texts_are_those_that_generate_writes() -> None:
    async def test(served: Served) -> None:
        run = open_run("builtin:reference")
        sampling = SamplingConfig(temperature=0.8, seed=3)
        texts = generate(
            as_sequence_model(run.load_model()),
            run.tokenizer(),
            "LATIN",
            max_new_tokens=12,
            sampling=sampling,
            samples=3,
        )
        job = GenerationRequest(
            number=0,
            client="me",
            prompt=prompt(served, "LATIN"),
            max_new_tokens=12,
            sampling=sampling,
        )
        answers = await asyncio.gather(*(answer(served, replace(job, row=row)) for row in range(3)))
        assert [(each.text, each.ending) for each in answers] == [
            (text.text, text.finished) for text in texts
        ]
        assert served.load.tokens_read == 3 * len(job.prompt)
        assert served.load.tokens_drawn == sum(each.count for each in answers)
        assert served.load.running == served.load.waiting == 0

    serving(test)


def test_leaving_frees_the_row_of_the_engine() -> None:
    async def test(served: Served) -> None:
        async with served.ask(ENDLESS) as ticket:
            assert (await anext(ticket)).count
            assert served.load.running == 1
        assert (
            await answer(served, replace(ENDLESS, max_new_tokens=3))
        ).count == 3  # there is one row, and nobody else has it

    serving(test, rows=1)


def test_a_job_that_cannot_be_is_refused_and_the_next_is_done() -> None:
    async def test(served: Served) -> None:
        with pytest.raises(ConfigError, match="nonsense"):
            await anext(served.ask(replace(ENDLESS, branches=(("nonsense", 0.0),))))
        assert (await answer(served, replace(ENDLESS, max_new_tokens=3))).count == 3

    serving(test)


def test_a_pass_that_fails_ends_its_jobs_alone_and_logs_no_values(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(served: Served) -> None:
        secret, step, failing = "what somebody wrote", Engine.step, True

        def fails(engine: Engine) -> list[Delta]:
            if failing:
                raise KeyError(secret)
            return step(engine)

        monkeypatch.setattr(Engine, "step", fails)
        with caplog.at_level(logging.DEBUG):
            results = await asyncio.gather(
                answer(served, ENDLESS), answer(served, ENDLESS), return_exceptions=True
            )
        for error in results:
            assert isinstance(error, EngineError)
            assert "KeyError" in str(error)
            assert secret not in str(error)
        assert "KeyError" in caplog.text
        assert "test_worker.py" in caplog.text
        assert secret not in caplog.text
        failing = False
        assert (await answer(served, replace(ENDLESS, max_new_tokens=3))).count == 3
        assert served.load.workers_lost == 0

    serving(test, rows=1)  # which those that failed have left


def test_a_call_that_fails_is_an_error_and_the_process_lives_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(served: Served) -> None:
        with pytest.raises(ConfigError, match="predicts token by token"):
            await served.make(1, seed=0, style_seed=None, length=None)
        monkeypatch.setattr(ServedModel, "memory_info", lambda _: 1 / 0)
        with pytest.raises(EngineError, match="memory_info failed unexpectedly"):
            await served.memory_info()
        assert (await answer(served, replace(ENDLESS, max_new_tokens=3))).count == 3

    serving(test)


def test_closing_ends_what_runs() -> None:
    async def test(served: Served) -> None:
        ticket = served.ask(ENDLESS)
        assert (await anext(ticket)).count
        await served.close()
        with pytest.raises(StoppingError):
            await answer_of(ticket)

    async def answer_of(ticket: Any) -> None:
        async for _ in ticket:
            pass

    serving(test)


def test_a_run_that_cannot_be_loaded_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    reference = open_run("builtin:reference")
    for name in ("config.json", "environment.json", "tokenizer.json"):
        (tmp_path / "copy" / name).write_bytes((reference.path / name).read_bytes())

    async def test() -> None:
        with pytest.raises(RunError, match="is missing"):
            await start_in_thread("copy", type(reference).open(tmp_path / "copy"), ServeConfig())

    asyncio.run(asyncio.wait_for(test(), 60))
