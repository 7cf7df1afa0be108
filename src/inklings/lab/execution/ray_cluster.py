"""The tasks of a comparison on a Ray cluster, on as many machines as it has.

The losses are the same as on one machine. All machines must see the comparison's folder and the
token store at the same paths: a task writes its results there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from inklings.errors import ConfigError, import_extra
from inklings.events import Event, OnEvent
from inklings.lab.execution.processes import R, T, TaskHandler, named
from inklings.runs.interruption import Interruption

CALM = {"checkpoint", "step", "sample"}
"""Events that are not sent over the network."""


def do_jobs_on_cluster(
    jobs: Sequence[T], work: TaskHandler[T, R], *, address: str, on_event: OnEvent
) -> Iterator[tuple[T, R]]:
    """Do all tasks on a Ray cluster and yield each with its result as it ends.

    As many run at a time as the cluster has processors. Ctrl-C and SIGTERM let every run finish its
    step and save. A task whose machine is lost is begun again elsewhere, twice at most, and goes on
    from its last checkpoint.

    Args:
        jobs: what there is to do.
        work: how; its functions must be importable on the other machines.
        address: of the cluster: `auto` for the one that this machine is part of, or
            `ray://HOST:PORT`.
        on_event: called with the events of each run when it ends, without those of its steps.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: there is no such cluster.
    """
    ray = _connect(address)
    task = ray.remote(attempt_there).options(num_cpus=1, max_retries=2)
    waiting = {task.remote(work.do, job): job for job in jobs}
    told_to_stop = False
    with Interruption() as interruption:
        while waiting:
            ready, _ = ray.wait(list(waiting), timeout=0.2)
            for reference in ready:
                job = waiting.pop(reference)
                try:
                    events, result = ray.get(reference)
                except ray.exceptions.RayError as error:
                    if not interruption.asked:
                        yield job, work.died(job, type(error).__name__)
                    continue
                for event in events:
                    on_event(named(job, event))
                if result is not None:
                    yield job, result
            if interruption.asked and not told_to_stop:
                told_to_stop = True  # once: a run that is interrupted a second time does not save
                for reference in waiting:
                    with suppress(ray.exceptions.RayError):
                        ray.cancel(reference)


def _connect(address: str) -> Any:
    """Return the module `ray`, connected."""
    ray = import_extra("ray", "running on a cluster", "scale")
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"there is no Ray cluster at {address!r}: {error} Start one with `ray start"
                " --head`, or leave --cluster out for processes on this machine."
            ) from None
    return ray


def attempt_there(do: Callable[[Any, OnEvent], Any], job: Any) -> tuple[list[Event], Any]:
    """Return what a machine of the cluster does: the work, and its events with the result."""
    events: list[Event] = []
    result = do(job, lambda event: None if event["event"] in CALM else events.append(event))
    return events, result
