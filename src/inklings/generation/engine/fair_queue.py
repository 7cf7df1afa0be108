"""A fair queue: clients take turns, and the requests of one client come in their order."""

from __future__ import annotations

from collections import OrderedDict

from inklings.generation.engine.request import GenerationRequest


class Waiting:
    """Requests that wait, in turn by client.

    A client that asks for many texts at once delays another by one of them, not by all.
    """

    def __init__(self) -> None:
        self._clients: OrderedDict[str, dict[int, GenerationRequest]] = OrderedDict()
        self._client_of: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._client_of)

    def __contains__(self, number: int) -> bool:
        return number in self._client_of

    def add(self, job: GenerationRequest) -> None:
        """Add a request behind its client's others; a new client is the last in turn."""
        self._clients.setdefault(job.client, {})[job.number] = job
        self._client_of[job.number] = job.client

    def take(self) -> GenerationRequest:
        """Return the first job of the client whose turn it is; it must be there."""
        client, jobs = self._clients.popitem(last=False)
        number = next(iter(jobs))
        job = jobs.pop(number)
        del self._client_of[number]
        if jobs:
            self._clients[client] = jobs
        return job

    def remove(self, number: int) -> GenerationRequest | None:
        """Remove a request, wherever it stands; return None where it does not wait."""
        client = self._client_of.pop(number, None)
        if client is None:
            return None
        jobs = self._clients[client]
        job = jobs.pop(number)
        if not jobs:
            del self._clients[client]
        return job
