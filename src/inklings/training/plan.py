"""The plan of a run before it begins: steps, parameters, operations, memory and time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inklings.config import RunConfig
from inklings.events import OnEvent, silent
from inklings.models.contract import parameter_count
from inklings.models.objectives import objective_of, predicts_tokens
from inklings.text.store import TokenStore
from inklings.training.find_batch_size import step_bytes
from inklings.training.planning.accelerators import Machine
from inklings.training.planning.machine_plan import MachinePlan, plan_machine
from inklings.training.setup import Setup, set_up


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """The figures of a run that was planned and not trained."""

    config: RunConfig
    """The settings with nothing left open."""
    parameters: int
    vocab_size: int
    receptive_field: int | None
    """How many tokens, the current one included, can change a prediction; None where there is no
    limit.
    """
    steps: int
    tokens: int
    """Target tokens that are trained on."""
    epochs: float
    """How often the training part is read."""
    flops: int
    """Floating-point operations, forward and backward, over the whole run."""
    memory: int | None
    """Bytes of weights, gradients, the optimiser and activations, forecast; None where that is not
    known beforehand.
    """
    seconds: float | None
    """Seconds of the training steps, as they were measured just now; evaluations come on top. None
    where another machine was named, and no budget of time asks for a measurement.
    """
    reasons: tuple[str, ...]
    """Why device, precision and threads were chosen, and which settings have no effect."""
    on: MachinePlan | None = None
    """What it would take on a machine that was named."""


def plan_run(
    config: RunConfig,
    *,
    store: TokenStore | None = None,
    initial: Path | None = None,
    extend_vocabulary: bool = False,
    trust_code: bool = False,
    on: Machine | None = None,
    on_event: OnEvent = silent,
) -> RunPlan:
    """Settle a run as `train` would, and train nothing.

    Args:
        config: settings of the run.
        store: the prepared text; None prepares `config.data`.
        initial: the run whose best weights, tokenizer and model settings are the beginning.
        extend_vocabulary: add new characters of the training part to that run's tokenizer.
        trust_code: run the Python code of `initial` even if another user or machine made it.
        on: accelerators that are not here, to compute what it would take on them too.
        on_event: called with every event as it happens.

    Raises:
        InputError: as in `train`.
    """
    setup = set_up(
        config,
        store=store,
        initial=initial,
        extend_vocabulary=extend_vocabulary,
        on_event=on_event,
        trust_code=trust_code,
        measure=on is None,
        # a model for eight cards need not take a step here
        unmeasured=on is not None,
    )
    tokens = setup.record.steps * setup.record.tokens_per_step
    step, one_pass = setup.record.seconds_per_step, objective_of(setup.model).one_pass
    return RunPlan(
        config=setup.record.config,
        parameters=parameter_count(setup.model),
        vocab_size=setup.store.tokenizer.vocab_size,
        receptive_field=setup.model.receptive_field,
        steps=setup.record.steps,
        tokens=tokens,
        epochs=tokens / setup.store.split("train").n_targets,
        flops=setup.model.flops(tokens),
        memory=_memory(setup),
        seconds=0.0 if one_pass else None if step is None else setup.record.steps * step,
        reasons=(*setup.runtime.reasons, *setup.notes),
        on=None if on is None else plan_machine(setup, on),
    )


def _memory(setup: Setup) -> int | None:
    """Forecast the bytes that a step takes.

    They are 0 where the text is read once, and not known for models that do not predict tokens.
    """
    if objective_of(setup.model).one_pass:
        return 0
    if not predicts_tokens(setup.model):
        return None
    return step_bytes(setup.model, setup.store, setup.record.config)
