"""Who waits gets a row in turn with other clients.

And after those of the same client who came before.
"""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from inklings.generation.engine.fair_queue import Waiting
from inklings.generation.engine.request import GenerationRequest


def job(number: int, client: str) -> GenerationRequest:
    return GenerationRequest(number=number, client=client, prompt=(0,))


def test_a_client_with_one_job_waits_for_one_of_each_other_client() -> None:
    waiting = Waiting()
    for number in range(50):
        waiting.add(job(number, "many"))
    waiting.add(job(100, "few"))
    waiting.add(job(101, "other"))
    assert [waiting.take().number for _ in range(5)] == [0, 100, 101, 1, 2]
    waiting.add(job(102, "few"))
    assert [waiting.take().number for _ in range(2)] == [3, 102]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abc")),
        st.tuples(st.sampled_from(["take", "remove"]), st.just("")),
    )
)


@given(actions=ACTIONS, data=st.data())
def test_turns_are_those_of_a_plain_list_of_queues(
    actions: list[tuple[str, str]], data: st.DataObject
) -> None:
    waiting = Waiting()
    turns: deque[tuple[str, deque[int]]] = deque()
    there: list[int] = []
    for number, (action, client) in enumerate(actions):
        if action == "add":
            waiting.add(job(number, client))
            there.append(number)
            queue = next((queue for name, queue in turns if name == client), None)
            if queue is None:
                turns.append((client, deque([number])))
            else:
                queue.append(number)
        elif action == "take" and there:
            name, queue = turns.popleft()
            expected = queue.popleft()
            if queue:
                turns.append((name, queue))
            there.remove(expected)
            assert waiting.take().number == expected
        elif action == "remove":
            gone = data.draw(st.integers(0, number))
            found = waiting.remove(gone)
            assert (found is not None and found.number == gone) == (gone in there)
            if gone in there:
                there.remove(gone)
                for _, queue in turns:
                    if gone in queue:
                        queue.remove(gone)
                turns = deque((name, queue) for name, queue in turns if queue)
        assert len(waiting) == len(there)
        assert all((number in waiting) == (number in there) for number in range(len(actions)))
