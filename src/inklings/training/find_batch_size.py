"""The largest batch that memory holds.

It is forecast on a CPU, where trying may end the process, and tried on a GPU.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from inklings.config import RunConfig
from inklings.device import Runtime, memory_bytes
from inklings.errors import OutOfMemoryError
from inklings.events import OnEvent, silent
from inklings.models.contract import SequenceModel
from inklings.models.objectives import objective_of, predictor
from inklings.optimizers import OPTIMIZERS
from inklings.text.store import TokenStore
from inklings.training.objectives.likelihood import LikelihoodObjective, make_batches
from inklings.training.setup import settle_model

USABLE = 0.8
"""Share of the free memory that a forecast may use."""
PEAK = 1.5
"""Peak memory of a step as a multiple of what its forward pass keeps: gradients of activations,
copies, fragments.
"""


def find_batch_size(
    config: RunConfig,
    *,
    store: TokenStore | None = None,
    initial: Path | None = None,
    extend_vocabulary: bool = False,
    trust_code: bool = False,
    on_event: OnEvent = silent,
) -> int:
    """Return the largest `batch_size` whose step fits into memory in one piece.

    It is never more than one epoch holds.

    Args:
        config: settings of the run; its own batch size does not matter.
        store: the prepared text; None prepares `config.data`.
        initial: the run whose best weights, tokenizer and model settings are the beginning.
        extend_vocabulary: add new characters of the training part to that run's tokenizer.
        trust_code: run the Python code of `initial` even if another user or machine made it.
        on_event: called with every event as it happens.

    Raises:
        InputError: as in `train`.
        OutOfMemoryError: not even one row fits.
    """
    settled = settle_model(
        config,
        store=store,
        initial=initial,
        extend_vocabulary=extend_vocabulary,
        on_event=on_event,
        trust_code=trust_code,
    )
    if objective_of(settled.model).one_pass:
        return settled.config.training.batch_size
    model = predictor(settled.model, "looking for the largest batch")
    length = settled.config.training.sequence_length
    assert length is not None
    most = max(1, settled.store.split("train").n_targets // length)
    runtime = settled.plain_runtime
    largest = (
        _forecast_rows(model, settled.store, settled.config, runtime, most)
        if runtime.device == "cpu"
        else None
    )
    if largest is None:
        largest = _tried_rows(model, settled.store, settled.config, runtime, most)
    if largest < 1:
        raise OutOfMemoryError(
            "not even a batch of one row fits into memory. Take a smaller model or a shorter"
            " --training.sequence-length."
        )
    return largest


def step_bytes(model: SequenceModel, store: TokenStore, config: RunConfig) -> int:
    """Forecast the memory that training takes, on top of the program itself, in bytes.

    Args:
        model: the model that is trained.
        store: the text.
        config: settings with nothing left open.
    """
    fixed, per_row = _costs(model, store, config)
    training = config.training
    return int(fixed + per_row * (training.batch_size // training.accumulate))


def activation_bytes(
    model: SequenceModel, store: TokenStore, config: RunConfig, runtime: Runtime
) -> tuple[float, float]:
    """Forecast what a pass keeps for its gradient: bytes of any pass, and bytes for each row of it.

    Both follow from what autograd keeps at two small sizes.

    Args:
        model: the model that is trained.
        store: the text.
        config: settings with nothing left open.
        runtime: the precision, on a CPU.
    """
    kept = [_kept_bytes(model, store, config, runtime, rows) for rows in (4, 8)]
    per_row = max(1.0, (kept[1] - kept[0]) / 4)
    return PEAK * max(0.0, kept[0] - 4 * per_row), PEAK * per_row


def _costs(model: SequenceModel, store: TokenStore, config: RunConfig) -> tuple[float, float]:
    """Return the bytes that any step takes, and the bytes for each row of it."""
    # a weight, its gradient, and what the optimiser keeps for it
    state = OPTIMIZERS[config.training.optimizer].state_bytes
    weights = sum(p.numel() * (2 * p.element_size() + state) for p in model.parameters())
    fixed, per_row = activation_bytes(model, store, config, Runtime())
    return weights + fixed, per_row


def _kept_bytes(
    model: SequenceModel, store: TokenStore, config: RunConfig, runtime: Runtime, rows: int
) -> int:
    training = replace(config.training, batch_size=rows, accumulate=1)
    trial = copy.deepcopy(model).train()
    batches = make_batches(trial, store.split("train"), training)
    objective = LikelihoodObjective(trial, batches, training, runtime)
    own = {p.untyped_storage().data_ptr() for p in trial.parameters()}
    seen: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.random.fork_rng(devices=[]),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        objective.gradients(batches.batch(0))
    return sum(seen.values())


def _forecast_rows(
    model: SequenceModel, store: TokenStore, config: RunConfig, runtime: Runtime, most: int
) -> int | None:
    free = free_bytes()
    if free is None:
        return None
    fixed, per_row = _costs(model, store, config)
    return max(0, min(most, int((USABLE * free - fixed) / per_row)))


def _tried_rows(
    model: SequenceModel, store: TokenStore, config: RunConfig, runtime: Runtime, most: int
) -> int:
    """Return the largest size of which two steps succeed.

    Doubled until one fails, then bisected.
    """

    def fits(rows: int) -> bool:
        training = replace(config.training, batch_size=rows, accumulate=1)
        try:
            trial = copy.deepcopy(model).to(runtime.device).train()
            objective = LikelihoodObjective(
                trial, make_batches(trial, store.split("train"), training), training, runtime
            )
            for step in range(2):  # the optimiser's averages appear in the first
                objective.step(step, 1e-6, measure=True)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            return True
        release()
        return False

    good, bad = 0, None
    rows = 1
    while bad is None and good < most:
        if fits(rows):
            good, rows = rows, min(2 * rows, most)
        else:
            bad = rows
    while bad is not None and bad - good > max(1, good // 16):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def release() -> None:
    """Give cached memory back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # does nothing where CUDA was not used


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out.

    The CPU's allocator has no class of its own for that, so its message is looked at.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "not enough memory" in text or "out of memory" in text
    )


@contextlib.contextmanager
def memory_errors(config: RunConfig) -> Iterator[None]:
    """Turn running out of memory into an `OutOfMemoryError` that names what would fit."""
    try:
        yield
        return
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    # outside of the handler, where the failed step's tensors are free again
    release()
    raise OutOfMemoryError(_advice(config))


def _advice(config: RunConfig) -> str:
    training = config.training
    rows = training.batch_size // training.accumulate
    try:
        fitting = min(find_batch_size(config), rows // 2)
    except Exception:
        fitting = rows // 2
    given = f"a step with batch_size {training.batch_size}" + (
        f" in {training.accumulate} parts" if training.accumulate > 1 else ""
    )
    if fitting < 1:
        return (
            f"{given} did not fit into memory, and no batch does: take a smaller model or a shorter"
            " --training.sequence-length."
        )
    parts = next(
        parts
        for parts in range(1, training.batch_size + 1)
        if training.batch_size % parts == 0 and training.batch_size // parts <= fitting
    )
    return (
        f"{given} did not fit into memory. A batch of {fitting} would, in a new run:"
        f" --training.batch-size {fitting}; or the same batch in parts, with the same gradient:"
        f" --training.accumulate {parts}."
    )


def free_bytes() -> int | None:
    """Return the bytes of main memory that this process may still take.

    None where the system does not tell.
    """
    limits = [] if memory_bytes() is None else [memory_bytes() or 0]
    information = Path("/proc/meminfo")
    if information.is_file():
        fields = dict(
            line.split(":", 1) for line in information.read_text(encoding="ascii").splitlines()
        )
        limits = [int(fields["MemAvailable"].split()[0]) * 1024]
    if sys.platform != "win32":
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            used = Path("/proc/self/statm")
            taken = (
                int(used.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
                if used.is_file()
                else 0
            )
            limits.append(max(0, soft - taken))
    return min(limits, default=None)
