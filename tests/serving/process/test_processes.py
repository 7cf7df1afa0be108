"""Engine processes of their own: one that is killed is replaced."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from inklings.cli.reference import open_run
from inklings.generation.engine.request import GenerationRequest
from inklings.serving.process.failures import WorkerLostError
from inklings.serving.process.process_pool import start
from inklings.serving.settings import ServeConfig

ENDLESS = GenerationRequest(
    number=0, client="me", prompt=(0,), max_new_tokens=10**9, stop_at_boundary=False
)


@pytest.mark.slow
def test_a_killed_process_loses_its_jobs_and_another_takes_its_place() -> None:
    async def test() -> None:
        (served,) = await start({"reference": open_run("builtin:reference")}, ServeConfig())
        try:
            ticket = served.ask(ENDLESS)
            await anext(ticket)
            served._links[0]._life.process.kill()  # type: ignore[attr-defined]
            with pytest.raises(WorkerLostError, match="reference has died"):
                async for _ in ticket:
                    pass
            count = 0  # a job given to the new process waits until its model is loaded
            async for progress in served.ask(replace(ENDLESS, max_new_tokens=5)):
                count += progress.count
            assert count == 5
            assert (served.load.workers_lost, served.load.workers_alive) == (1, 1)
        finally:
            await served.close()

    asyncio.run(asyncio.wait_for(test(), 240))
