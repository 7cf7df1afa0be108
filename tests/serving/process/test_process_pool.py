"""What the front makes of what an engine process says.

Here the test itself is that process, at the other end of the pipe.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.cli.reference import open_run
from inklings.errors import ConfigError, InputError, MissingExtraError, RunError
from inklings.generation.engine.request import Card, Delta, GenerationRequest, Token
from inklings.runs.memory import Addition
from inklings.serving.process import process_pool as module
from inklings.serving.process.failures import (
    EngineError,
    Failure,
    OverloadedError,
    StoppingError,
    WorkerLostError,
)
from inklings.serving.process.messages import (
    Answer,
    Call,
    Cancel,
    EngineReport,
    Ready,
    Refused,
    Stop,
)
from inklings.serving.process.model_loader import Spec
from inklings.serving.process.process_pool import Served
from inklings.serving.process.response_stream import Ticket, joined
from inklings.serving.process.worker_client import Life

PATIENCE = 10.0
"""Seconds after which nothing more is waited for."""
JOB = GenerationRequest(number=0, client="me", prompt=(0, 5, 6), max_new_tokens=9)
CARD = Card(
    name="it",
    run="run",
    architecture="gpt",
    parameters=1,
    vocab_size=2,
    context_length=3,
    receptive_field=None,
    predicts=True,
    hidden_size=4,
    branches=(),
    memory=None,
    unit="nats per token",
    remembers=False,
    precision="float32",
    threads=1,
    created=0,
)


class _Life:
    def end(self, patience: float) -> str:
        return "SIGSOMETHING"


@dataclass
class Scripted:
    """Engine processes that do what the test says.

    Their ends of the pipes, in the order in which they were started.
    """

    ends: list[Connection] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ready: bool = True
    """Whether a process says that its model is there."""
    steps: tuple[int, ...] = (0, 0, 0, 0)
    """Of which step each process has loaded the weights."""

    def __call__(self, spec: Spec) -> tuple[Connection, Life]:
        ours, theirs = multiprocessing.Pipe()
        self.ends.append(theirs)
        self.started.set()
        if self.ready:
            theirs.send(Ready(replace(CARD, step=self.steps[len(self.ends) - 1])))
        return ours, _Life()

    async def heard(self, number: int = 0) -> Any:
        """The next command of a process.

        An error if none comes, for a thread that waits for ever would never let a test end.
        """
        came = await asyncio.to_thread(self.ends[number].poll, PATIENCE)
        assert came, "nothing was said"
        return self.ends[number].recv()

    def report(self, *progress: Delta, to: int = 0) -> None:
        self.ends[to].send(EngineReport(list(progress), 1))


@asynccontextmanager
async def serving(
    scripted: Scripted, *, rows: int = 2, workers: int = 1, queue: int = 1
) -> AsyncIterator[Served]:
    spec = Spec(
        name="it", run="run", rows=rows, precision="float32", workers=workers, trust_code=False
    )
    served = Served(spec, open_run("builtin:reference"), scripted, queue=queue)
    try:
        await served.ready()
        yield served
    finally:
        await served.close()
        for end in scripted.ends:
            end.close()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test that awaits; nothing of it waits for longer than a test may take."""
    asyncio.run(asyncio.wait_for(test(), 2 * PATIENCE))


# --- joining --------------------------------------------------------------------------------------

plain = st.tuples(
    st.text(max_size=3), st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9), max_size=3)
)


@given(st.lists(plain, min_size=1, max_size=6), st.data())
def test_joining_in_any_groups_is_joining_all(
    drawn: list[tuple[str, list[int], list[int]]], data: st.DataObject
) -> None:
    given_parts = [
        Delta(1, text, tuple(numbers), tuple(Token(token, -1.0) for token in tokens))
        for text, numbers, tokens in drawn
    ]
    place = data.draw(st.integers(0, len(given_parts) - 1))
    given_parts[place] = Delta(1, prompt=(Token(3, -1.0),), embedding=(0.5,))
    given_parts.append(Delta(1, "end", (1,), ending="stop"))
    cut = data.draw(st.integers(1, len(given_parts) - 1))
    whole = joined(given_parts)
    assert joined([joined(given_parts[:cut]), joined(given_parts[cut:])]) == whole
    assert whole.text == "".join(part.text for part in given_parts)
    assert whole.count == sum(part.count for part in given_parts)
    assert len(whole.tokens) == sum(len(part.tokens) for part in given_parts)
    assert (whole.prompt, whole.embedding, whole.ending, whole.error) == (
        (Token(3, -1.0),),
        (0.5,),
        "stop",
        None,
    )
    assert joined([Delta(1, "a"), Delta(1, error="why")]).error == "why"


def test_a_slow_client_gets_what_came_at_once_and_a_quick_one_each() -> None:
    async def test() -> None:
        ticket = Ticket(JOB, lambda ticket: None)
        for text in "abc":
            ticket.receive(Delta(1, text, (1,)))
        assert await anext(ticket) == Delta(1, "abc", (1, 1, 1))
        waiting = asyncio.ensure_future(anext(ticket))
        await asyncio.sleep(0)
        ticket.receive(Delta(1, "d", (1,)))
        assert await waiting == Delta(1, "d", (1,))
        ticket.receive(Delta(1, "e", (1,), ending="length"))
        ticket.receive(Delta(1, "after the end", (1,)))
        assert [progress.text async for progress in ticket] == ["e"]
        assert [progress async for progress in ticket] == []

    run(test)


# --- jobs -----------------------------------------------------------------------------------------


def test_jobs_get_numbers_of_their_own_and_each_its_own_progress() -> None:
    async def test() -> None:
        scripted = Scripted()
        async with serving(scripted) as served:
            first, second = served.ask(JOB), served.ask(JOB)
            jobs = [await scripted.heard(), await scripted.heard()]
            assert jobs[0].number != jobs[1].number
            assert {job.prompt for job in jobs} == {JOB.prompt}
            one, other = (job.number for job in jobs)
            scripted.report(
                Delta(one, "one", (1,), ending="length"),
                Delta(other, "other", (1, 2), ending="length"),
            )
            assert [progress.text async for progress in first] == ["one"]
            assert [progress.text async for progress in second] == ["other"]
            load = served.load
            assert (
                load.running,
                load.waiting,
                load.tokens_drawn,
                load.tokens_read,
                load.passes,
            ) == (0, 0, 3, 6, 1)

    run(test)


def test_all_places_taken_is_said_at_once_and_an_end_frees_one() -> None:
    async def test() -> None:
        scripted = Scripted()
        async with serving(scripted, rows=2, queue=1) as served:
            tickets = [served.ask(JOB) for _ in range(3)]
            assert (served.load.running, served.load.waiting) == (2, 1)
            with pytest.raises(OverloadedError, match="all 3 places of it"):
                served.ask(JOB)
            assert (served.rows, served.places) == (2, 3)
            # a request of many texts goes on where it was let in, whoever took what it left
            more = served.ask(JOB, admitted=True)
            assert (served.load.running, served.load.waiting) == (2, 2)
            more.cancel()
            with pytest.raises(OverloadedError):
                await served.memory_info()
            tickets[0].cancel()
            tickets.append(served.ask(JOB))
            number = (await scripted.heard()).number + 1
            scripted.report(Delta(number, ending="length"))
            assert [progress.ending async for progress in tickets[1]] == ["length"]
            served.ask(JOB)
            with pytest.raises(OverloadedError):
                served.ask(JOB)

    run(test)


def test_a_cancelled_job_is_told_once_to_its_engine_and_its_late_progress_is_dropped() -> None:
    async def test() -> None:
        scripted = Scripted()
        async with serving(scripted) as served:
            with pytest.raises(ZeroDivisionError):
                async with served.ask(JOB) as ticket:
                    raise ZeroDivisionError
            ticket.cancel()
            number = (await scripted.heard()).number
            assert await scripted.heard() == Cancel(number)
            other = served.ask(JOB)
            second = await scripted.heard()
            assert isinstance(second, GenerationRequest)  # and no second Cancel
            scripted.report(
                Delta(number, "late", (1,)), Delta(second.number, "now", ending="length")
            )
            assert [progress.text async for progress in other] == ["now"]
            assert [progress async for progress in ticket] == []

    run(test)


def test_a_job_that_is_done_is_not_cancelled_on_leaving() -> None:
    async def test() -> None:
        scripted = Scripted()
        async with serving(scripted) as served:
            async with served.ask(JOB) as ticket:
                scripted.report(Delta((await scripted.heard()).number, ending="boundary"))
                assert [progress.ending async for progress in ticket] == ["boundary"]
            served.ask(JOB)
            assert isinstance(await scripted.heard(), GenerationRequest)

    run(test)


def test_jobs_go_to_the_process_with_the_fewest() -> None:
    async def test() -> None:
        scripted = Scripted()
        async with serving(scripted, workers=3, queue=9) as served:
            for _ in range(6):
                served.ask(JOB)
            assert [
                isinstance(await scripted.heard(number), GenerationRequest)
                for number in (0, 1, 2, 0, 1, 2)
            ] == [True] * 6

    run(test)


def test_a_job_that_cannot_be_raises_what_the_engine_said() -> None:
    async def test() -> None:
        scripted = Scripted()
        async with serving(scripted) as served:
            for error in (ConfigError("no such branch"), EngineError("something")):
                ticket = served.ask(JOB)
                scripted.ends[0].send(
                    Answer((await scripted.heard()).number, failure=Failure.of(error))
                )
                with pytest.raises(type(error), match=str(error)):
                    await anext(ticket)
                assert [progress async for progress in ticket] == []
            assert served.load.running == 0

    run(test)


# --- calls ----------------------------------------------------------------------------------------


def test_a_call_gets_its_answer_or_its_error_and_the_card_is_renewed() -> None:
    async def test() -> None:
        scripted = Scripted()
        async with serving(scripted) as served:
            asked = asyncio.ensure_future(served.memory_add(name="a", text="b"))
            call = await scripted.heard()
            assert (call.name, call.arguments) == ("memory_add", {"name": "a", "text": "b"})
            renewed = Card(**{**vars(CARD), "memory": 7})
            added = Addition(np.array([5]), ["a"], [], 0)
            scripted.ends[0].send(Answer(call.number, added, card=renewed))
            assert (await asked).documents == ["a"]
            assert served.card.memory == 7
            failing = asyncio.ensure_future(served.memory_search("b", 3))
            scripted.ends[0].send(
                Answer((await scripted.heard()).number, failure=Failure.of(InputError("k is 3")))
            )
            with pytest.raises(InputError, match="k is 3"):
                await failing
            given_up = asyncio.ensure_future(served.memory_remove([1]))
            call = await scripted.heard()
            assert isinstance(call, Call)
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            scripted.ends[0].send(Answer(call.number))  # nobody waits any more
            making = asyncio.ensure_future(served.make(2, seed=1, style_seed=None, length=None))
            call = await scripted.heard()
            scripted.ends[0].send(Answer(call.number, []))
            assert await making == []

    run(test)


class OfAUser(ConfigError):
    """Defined where only one process can import it."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MissingExtraError("x", "memory"), MissingExtraError),
        (OfAUser("mine"), ConfigError),
        (EngineError("e"), EngineError),
    ],
)
def test_errors_travel_as_a_kind_that_every_process_knows(error: Any, kind: type) -> None:
    there = Failure.of(error).error()
    assert type(there) is kind
    assert str(there) == str(error)


# --- processes that die ---------------------------------------------------------------------------


def test_a_process_that_dies_fails_its_tickets_alone_and_is_replaced() -> None:
    async def test() -> None:
        scripted = Scripted()
        async with serving(scripted, workers=2, queue=9) as served:
            lost, kept = served.ask(JOB), served.ask(JOB)
            calling = asyncio.ensure_future(served.memory_info())
            await scripted.heard(0)
            assert isinstance(await scripted.heard(0), Call)
            scripted.started.clear()
            scripted.ends[0].send(EngineReport([Delta(lost.job.number, "so far", (1,))], 1))
            scripted.ends[0].close()
            assert (await anext(lost)).text == "so far"
            with pytest.raises(WorkerLostError, match="SIGSOMETHING"):
                await anext(lost)
            with pytest.raises(WorkerLostError):
                await calling
            await scripted.started.wait()
            assert served.load.workers_lost == 1
            scripted.report(Delta(kept.job.number, "kept", (1,), ending="length"), to=1)
            assert [progress.text async for progress in kept] == ["kept"]
            tickets = [served.ask(JOB), served.ask(JOB)]
            anew = await scripted.heard(2)
            scripted.report(Delta(anew.number, "anew", (1,), ending="length"), to=2)
            assert [progress.text async for progress in tickets[0]] == ["anew"]

    run(test)


def test_a_model_that_kills_its_process_at_once_is_given_up() -> None:
    async def test() -> None:
        scripted = Scripted()
        async with serving(scripted) as served:
            for number in range(module.DEATHS + 1):
                ticket = served.ask(JOB)
                await scripted.heard(number)
                scripted.started.clear()
                scripted.ends[number].close()
                with pytest.raises(WorkerLostError, match="has died"):
                    await anext(ticket)
                if number < module.DEATHS:
                    await scripted.started.wait()
            assert len(scripted.ends) == module.DEATHS + 1
            assert served.load.workers_alive == 0
            with pytest.raises(WorkerLostError, match="too often"):
                served.ask(JOB)

    run(test)


def test_a_model_that_cannot_be_loaded_is_an_error_of_the_start() -> None:
    async def test() -> None:
        scripted = Scripted(ready=False)

        async def refuse() -> None:
            await scripted.started.wait()
            scripted.ends[0].send(Refused(Failure.of(ConfigError("no such weights"))))

        refusing = asyncio.ensure_future(refuse())
        with pytest.raises(ConfigError, match="no such weights"):
            async with serving(scripted, workers=2):
                pass
        await refusing
        dying = Scripted(ready=False)

        async def die() -> None:
            await dying.started.wait()
            dying.ends[0].close()

        ending = asyncio.ensure_future(die())
        with pytest.raises(WorkerLostError, match="SIGSOMETHING"):
            async with serving(dying):
                pass
        await ending

    run(test)


def test_processes_with_weights_of_different_steps_are_refused() -> None:
    async def test() -> None:
        with pytest.raises(RunError, match="different checkpoints"):
            async with serving(Scripted(steps=(4, 5)), workers=2):
                pass
        async with serving(Scripted(steps=(5, 5)), workers=2) as served:
            assert served.card.step == 5

    run(test)


def test_a_process_that_takes_another_s_place_tells_its_own_weights() -> None:
    async def test() -> None:
        scripted = Scripted(steps=(4, 9))
        async with serving(scripted) as served:
            assert served.card.step == 4
            scripted.started.clear()
            scripted.ends[0].close()
            await scripted.started.wait()
            asking = asyncio.ensure_future(served.memory_info())
            call = await scripted.heard(1)
            scripted.ends[1].send(Answer(call.number, "told"))
            await asking
            assert served.card.step == 9

    run(test)


def test_stopping_ends_what_runs_with_the_reason_and_takes_nothing_new() -> None:
    async def test() -> None:
        scripted = Scripted()
        async with serving(scripted) as served:
            ticket = served.ask(JOB)
            number = (await scripted.heard()).number
            served.stop()
            with pytest.raises(StoppingError):
                await anext(ticket)
            assert await scripted.heard() == Cancel(number)
            with pytest.raises(StoppingError):
                served.ask(JOB)
            await served.close()
            assert await scripted.heard() == Stop()

    run(test)
