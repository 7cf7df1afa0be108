"""The state of a model with a memory: made empty, written out and read."""

from __future__ import annotations

import torch
from torch import Tensor

from inklings.memory.settings import MemoryConfig
from inklings.memory.streams import Stream, on_cpu
from inklings.models.contract import State, Store
from inklings.models.varda.config import VardaConfig
from inklings.models.varda.joining import PENDING


def empty_state(
    config: VardaConfig, memory: MemoryConfig, batch_size: int, device: torch.device
) -> tuple[dict[str, Tensor], dict[int, Store]]:
    """Make an empty memory for each row, with room for a segment that is read and not yet written.

    Args:
        config: settings of the model.
        memory: settings of each row's memory.
        batch_size: B.
        device: of the tensors.
    """
    segment, k = config.segment, config.num_search_results
    with on_cpu():
        streams = [Stream.new(memory) for _ in range(batch_size)]
    with device:
        tensors = {
            name: torch.zeros(batch_size, dtype=torch.int64)
            for name in ("version", "position", "document")
        }
        tensors["memory"] = torch.tensor([stream.number for stream in streams])
        tensors[f"{PENDING}tokens"] = torch.zeros(batch_size, segment, dtype=torch.int64)
        tensors[f"{PENDING}priority"] = torch.zeros(batch_size, segment)
        for name in ("keys", "deletable", "queries") if config.delete_within else ("keys",):
            tensors[f"{PENDING}{name}"] = torch.zeros(batch_size, segment, memory.dimension)
        if config.delete_within:
            tensors[f"{PENDING}delete_gates"] = torch.zeros(batch_size, segment, k)
        if config.gist:
            tensors["gist"] = torch.zeros(batch_size, memory.dimension)
        if config.write == "surprisal":
            tensors["next"] = torch.zeros(batch_size, config.vocab_size)
    return tensors, {stream.number: stream for stream in streams}


def row_streams(state: State) -> list[Stream]:
    """Return the memory of each row of a state."""
    streams = [state.stores[number] for number in state.tensors["memory"].tolist()]
    return [stream for stream in streams if isinstance(stream, Stream)]


def state_to_tensors(state: State) -> dict[str, Tensor]:
    """Return the state with every row's memory written out."""
    arrays: dict[str, Tensor] = {}
    for row, stream in enumerate(row_streams(state)):
        arrays |= {
            f"store.{row}.{name}": torch.from_numpy(array)
            for name, array in stream.to_arrays().items()
        }
    # the numbers of the memories are those of this process; written down, each row has its own
    return {**state.tensors, "memory": torch.arange(state.batch_size), **arrays}


def state_from_tensors(
    tensors: dict[str, Tensor], memory: MemoryConfig, device: torch.device
) -> State:
    """Make the state that `state_to_tensors` wrote, with new memories.

    Args:
        tensors: what it wrote.
        memory: settings of each row's memory.
        device: of the tensors.
    """
    plain = {
        name: tensor.to(device) for name, tensor in tensors.items() if not name.startswith("store.")
    }
    streams = []
    for row in range(len(plain["memory"])):
        prefix = f"store.{row}."
        arrays = {
            name.removeprefix(prefix): tensor.cpu().numpy()
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        streams.append(Stream.from_arrays(memory, arrays))
    plain["memory"] = torch.tensor([stream.number for stream in streams], device=device)
    return State(plain, {stream.number: stream for stream in streams})
