"""The processes that train one run together: which of them this is, and what they tell each other.

torchrun starts them and says who each is (`training/joining.py`); here is what everybody else asks.
A single process is a world of one, in which every question is answered without a word: nothing is
sent, copied or waited for. Nothing that is sent is ever unpickled: it is tensors, or JSON.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import safetensors.torch
import torch
import torch.distributed as dist
from jaxtyping import Num
from torch import Tensor, nn
from torch._C._distributed_c10d import GradBucket
from torch.nn.parallel import DistributedDataParallel

from inklings.cut_tensors import cut_up, with_common_weights
from inklings.errors import InterruptedWorkError
from inklings.words import LOOK, NOBODY, Words, format_failure

T = TypeVar("T")
Asked = Callable[[], bool]
"""Says whether this process was asked to stop."""


def never() -> bool:
    """Say that nobody asks this process to stop: where nobody listens for that."""
    return False


PATIENCE = 300.0
"""Seconds that a process waits for the others in one exchange before it gives them up."""


@dataclass(frozen=True, eq=False)
class World:
    """A process among those that train one run together; every one of them makes the same calls."""

    rank: int = 0
    """Number of this process, from 0; the process 0 alone prints and writes."""
    size: int = 1
    """How many processes there are."""
    local_rank: int = 0
    """Number of this process among those of its host."""
    sharded: bool = False
    """Whether weights, gradients and the optimiser's state are cut up among the processes."""
    words: Words = NOBODY
    """What the processes leave for each other outside of exchanges."""
    asked: Asked = never
    """Whether this process was asked to stop (`heeding`); only `heed` and `in_step` look."""

    @property
    def leads(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    def heeding(self, asked: Asked) -> World:
        """Return the same world, whose work is given up once one of the processes is asked to stop.

        Args:
            asked: says whether this one was.
        """
        return replace(self, asked=asked)

    def rows(self, count: int) -> slice:
        """Return which of `count` rows are this process's; they divide evenly."""
        assert count % self.size == 0, "checked before the run began (`training/agreeing.py`)"
        share = count // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def total(self, values: Tensor) -> Tensor:
        """Add up what every process gives, in place; all get the same bits."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def total_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of every process, in place.

        For losses with second derivatives, for which `spread` does not work.
        """
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.size == 1 or not gradients:
            return
        flat = self.total(torch.cat([gradient.flatten() for gradient in gradients]))
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, summed in zip(gradients, flat.split(sizes), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def most(self, *values: float) -> tuple[float, ...]:
        """Return the largest that any process gives, for each of the numbers."""
        if self.size == 1:
            return values
        found = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return tuple(found.tolist())

    def gathered(self, value: T) -> list[T]:
        """Return what every process gives, by rank: plain values, as JSON has them."""
        if self.size == 1:
            return [value]
        return [json.loads(data) for data in _gathered(json.dumps(value).encode(), self.size)]

    def told(self, value: T) -> T:
        """Return what process 0 gives: plain values, as JSON has them."""
        return self.gathered(value if self.leads else None)[0]  # type: ignore[return-value]  # of process 0

    def gathered_arrays(
        self, arrays: dict[str, npt.NDArray[Any]]
    ) -> list[dict[str, npt.NDArray[Any]]]:
        """Return the arrays that every process gives, by rank."""
        if self.size == 1:
            return [arrays]
        data = safetensors.numpy.save(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        )
        return [safetensors.numpy.load(found) for found in _gathered(data, self.size)]

    def gathered_tensors(self, tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """Return the tensors that every process gives, by rank; on the CPU where there are more."""
        if self.size == 1:
            return [tensors]
        data = safetensors.torch.save(
            {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        )
        return [safetensors.torch.load(found) for found in _gathered(data, self.size)]

    def mapped(
        self, rows: Num[Tensor, "N ..."], change: Callable[[Tensor], Tensor]
    ) -> Num[Tensor, "N ..."]:
        """Return `change(rows)`, of which every process computes its share of the rows.

        Args:
            rows: the same in every process.
            change: makes a row of each row, of the same shape and type, whatever the others are.
        """
        if self.size == 1:
            return change(rows)
        share = -(-len(rows) // self.size)
        mine = slice(self.rank * share, (self.rank + 1) * share)
        # zeros are added to every other share; gloo adds much faster than it gathers
        changed = torch.zeros_like(rows)
        if len(rows[mine]):
            changed[mine] = change(rows[mine]).to(rows.dtype)
        return self.total(changed)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier()

    def together(self, work: Callable[[], T]) -> list[T]:
        """Do in every process what may take long; return what each gives, by rank: plain values.

        It is done in a thread beside, while every second the processes tell each other that they
        live: one that is slow is waited for, one that died is noticed. All end where one fails.

        Raises:
            LostProcessError: it failed in another process.
        """
        if self.size == 1:
            return [work()]
        with ThreadPoolExecutor(1) as beside:
            doing, working = beside.submit(work), 1.0
            while working:
                wait_for([doing], timeout=LOOK)
                (working,) = self.most(float(not doing.done()))
        error = doing.exception()
        outcome = (format_failure(error), None) if error else (None, doing.result())
        outcomes = self.gathered(outcome)
        for rank, (failure, _) in enumerate(outcomes):
            if failure is not None and error is None:
                raise self.words.ended(rank, f"{failure} All end; the same command goes on.")
        doing.result()  # which raises what failed here
        return [given for _, given in outcomes]  # type: ignore[misc]  # none failed

    def led(self, work: Callable[[], T]) -> T:
        """Do in process 0 what may take long, as in `together`; all get what it gives."""
        return self.together(lambda: work() if self.leads else None)[0]  # type: ignore[return-value]  # of process 0

    def first(self, make: Callable[[], T]) -> T:
        """Return what `make` does, done by one process of each host before the others.

        The others find what it left on the disk. They wait for as long as it takes. A world has one
        such work: whoever comes to a second finds the word left of the first.
        """
        if self.size > 1 and self.local_rank > 0:
            self.words.wait_for("made", self.rank - self.local_rank)
        made = make()
        if self.size > 1:
            self.words.reach("made")
            self.words.meet("ready")
        return made

    def spread(self, module: nn.Module, units: Sequence[nn.Module] = ()) -> nn.Module:
        """Return the module with gradients that are summed over all processes.

        Its weights become those of process 0. What it returns must hold no gradient but that of one
        number, or parameters are waited for that `backward` never comes to.

        Args:
            module: the same in every process.
            units: its parts of which one at a time is whole, where weights are cut up
                (`Architecture.units`).
        """
        if self.sharded:
            return cut_up(module, units, self.size)
        if self.size == 1:
            return module
        # `find_unused_parameters` also keeps the order in which gradients are packed: without it,
        # it changes after the first step, and a run that is resumed would add up in another order
        # torch warns in every run where there is none such
        module.register_parameter("unused", nn.Parameter(torch.zeros((), device=_device(module))))
        spread = DistributedDataParallel(module, find_unused_parameters=True)
        spread.broadcast_buffers = False  # each has computed the same
        spread.register_comm_hook(None, lambda state, bucket: _summed(bucket))
        return spread

    def held_back(self, module: nn.Module) -> AbstractContextManager[None]:
        """Keep the gradients of a module that was spread in this process, within the block.

        Not where they are cut up: to keep them whole would take the room that is saved.
        """
        if isinstance(module, DistributedDataParallel):
            return module.no_sync()
        return contextlib.nullcontext()

    def readable(self, module: nn.Module) -> AbstractContextManager[None]:
        """Let each process read with a module that was spread, within the block.

        Where it is cut up, all weights are there but those of units, each of which comes when it is
        called. So the processes call them equally often: see `in_step`.
        """
        return with_common_weights(module) if self.sharded else contextlib.nullcontext()

    @contextlib.contextmanager
    def in_step(self, module: nn.Module, idle: Callable[[], object]) -> Iterator[None]:
        """Let processes make unequal numbers of passes within the block, and nothing else together.

        Before each pass they tell each other who was asked to stop, so all stop before the same
        one. Where weights are cut up, a pass needs all processes: those that have made theirs take
        part in those of the others.

        Args:
            module: what is called.
            idle: makes a pass through it, of which nothing is used.

        Raises:
            InterruptedWorkError: one of the processes was asked to stop.
        """
        hook = module.register_forward_pre_hook(lambda *given: self.heed())
        try:
            yield
        finally:
            hook.remove()
        while self._ask_for_a_pass(False):
            if self.sharded:
                idle()

    def _ask_for_a_pass(self, wanted: bool) -> bool:
        """Tell the others whether this process makes another pass; return whether any does."""
        wanted_by_one, asked_of_one = self.most(wanted, self.asked())
        if asked_of_one:
            raise InterruptedWorkError("interrupted; what was begun here begins anew.")
        return wanted_by_one > 0

    def heed(self) -> None:
        """Stop here where one of the processes was asked to; all make this call.

        Raises:
            InterruptedWorkError: one was.
        """
        self._ask_for_a_pass(True)


ALONE = World()
"""A single process."""


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _gathered(data: bytes, size: int) -> list[bytes]:
    """Return the bytes that every process gives, by rank."""
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(size)]
    dist.all_gather(lengths, torch.tensor([len(data)]))
    longest = int(torch.cat(lengths).max())
    mine = torch.frombuffer(bytearray(data.ljust(longest, b"\0")), dtype=torch.uint8)
    found = [torch.empty_like(mine) for _ in range(size)]
    dist.all_gather(found, mine)
    return [
        row[: int(length)].numpy().tobytes() for row, length in zip(found, lengths, strict=True)
    ]


def _summed(bucket: GradBucket) -> torch.futures.Future[Tensor]:
    """Add up a pack of gradients: each is a share of the gradient of the whole batch."""
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    assert work is not None
    summed: torch.futures.Future[Tensor] = work.get_future().then(lambda done: done.value()[0])
    return summed
