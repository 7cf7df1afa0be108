"""The set-up of a run: everything that is settled before the first step.

That is its text, model, precision, threads, and how many steps the budget pays for.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from inklings.config import RunConfig
from inklings.device import Measured, Runtime, choose_runtime, threads_of
from inklings.errors import ConfigError
from inklings.events import OnEvent, silent, stage
from inklings.models.contract import Architecture, chosen_fields
from inklings.models.objectives import objective_of
from inklings.models.own_code.contract_check import try_contract
from inklings.models.registry import build
from inklings.runs.directory import RunDirectory, RunManifest
from inklings.runs.own_text import data_hash
from inklings.seeds import drawn_from, seed_all
from inklings.text.store import TokenStore, prepare
from inklings.training.agreeing import as_given, check_alike, check_shares
from inklings.training.budgets.budget import parse_budget
from inklings.training.budgets.unit import StepCost
from inklings.training.inheritance import (
    check_vocabulary,
    inherited,
    inherited_tokenizer,
    take_weights,
)
from inklings.training.objectives.base import Step, make_objective, objective_type
from inklings.training.settled import Settled
from inklings.training.text_notes import (
    evaluation_notes,
    overlap_notes,
    parent_notes,
    text_notes,
)
from inklings.world import ALONE, World

PROBE_SHARE = 0.05
"""About this share of the run is spent on measuring before it."""
PROBE_SECONDS = 3.0
"""Most seconds spent on it."""
SHORT_STEPS, SHORT_SECONDS = 100, 30.0
"""A run with fewer steps that also takes less time is not worth measuring."""
COMPILE_PAYS = 600.0
"""Seconds of training from which it is worth trying out whether compilation earns its own time
back.
"""


@dataclass(frozen=True, eq=False, kw_only=True)
class Setup:
    """A run that is ready to begin; nothing of it is on disk."""

    record: RunManifest
    store: TokenStore
    model: Architecture
    """The model with its initial weights, on its device."""
    runtime: Runtime
    notes: tuple[str, ...]
    """What the user asked for and will not get, in sentences."""


def set_up(
    config: RunConfig,
    *,
    store: TokenStore | None = None,
    initial: Path | None = None,
    extend_vocabulary: bool = False,
    on_event: OnEvent = silent,
    trust_code: bool = False,
    measure: bool = False,
    unmeasured: bool = False,
    world: World = ALONE,
) -> Setup:
    """Settle everything that `config` leaves open.

    Args:
        config: settings of the run.
        store: the prepared text; None prepares `config.data`.
        initial: the run whose best weights, tokenizer and model settings are the beginning.
        extend_vocabulary: add new characters of the training part to that run's tokenizer.
        on_event: called with every event as it happens.
        trust_code: run the Python code of `initial` even if another user or machine made it.
        measure: time a step even where no choice depends on it.
        unmeasured: time none but for a budget of time, and choose what is plain.
        world: the processes that share the steps: what is measured is a step of all.

    Raises:
        InputError: the budget, the text, the tokenizer, the architecture or a setting cannot be
            used.
    """
    budget = parse_budget(config.training.budget)
    settled = settle_model(
        config,
        store=store,
        initial=initial,
        extend_vocabulary=extend_vocabulary,
        on_event=on_event,
        trust_code=trust_code,
        world=world,
    )
    check_shares(world, settled.model, settled.config.training)
    if world.size > 1:
        settled = replace(settled, config=as_given(settled.config))
    training, model, tokens = settled.config.training, settled.model, settled.tokens_per_step
    seconds: float | None = None
    if objective_of(model).one_pass:
        runtime, steps = replace(settled.plain_runtime, device="cpu"), 1
    else:

        def steps_at(seconds_per_step: float) -> int:
            return budget.steps(
                StepCost(
                    tokens,
                    epoch=lambda: settled.store.split("train").n_targets,
                    flops=lambda: model.flops(tokens),
                    seconds=lambda: seconds_per_step,
                )
            )

        timed = budget.unit.timed
        settled_runtime = unmeasured or bool(
            training.threads and training.precision != "auto" and training.compile == "off"
        )
        if settled_runtime and not timed and not measure:
            runtime = choose_runtime(training)
        else:
            on_event(stage("measuring threads and precision"))
            probe = Probe(settled, world)
            seconds = probe.measure(settled.plain_runtime, steps=2)
            whole = seconds * steps_at(seconds)
            allowance = min(PROBE_SECONDS, PROBE_SHARE * whole)
            worth_it = (
                steps_at(seconds) >= SHORT_STEPS
                or whole > SHORT_SECONDS
                or training.compile == "on"
            )
            long = steps_at(seconds) if whole > COMPILE_PAYS else 0
            runtime = choose_runtime(
                training, probe if worth_it else None, seconds=allowance, steps=long
            )
            if timed or worth_it:
                seconds = probe.measure(runtime, seconds=max(1.0, allowance) if timed else 0.0)
        steps = steps_at(seconds or 1.0)
    made = replace(
        training,
        device=runtime.device,
        precision=runtime.precision,
        compile="on" if runtime.compile else "off",
        threads=runtime.threads,
    )
    record = RunManifest(
        config=replace(settled.config, training=made),
        given=config,
        steps=steps,
        tokens_per_step=tokens,
        seconds_per_step=seconds,
        tokenizer=settled.store.tokenizer.hash,
        data=data_hash(settled.store),
        layout=settled.store.manifest["source"]["layout"],
        initial=None if initial is None else str(initial),
        new_tokens=settled.new_tokens,
    )
    facts = {"the text": record.data, "the tokenizer": record.tokenizer}
    check_alike(world, {**facts, "the steps of the budget": str(record.steps)})
    return Setup(
        record=record,
        store=settled.store,
        model=model.to(runtime.device),
        runtime=runtime,
        notes=(
            *objective_type(model).ignored(model, config.training),
            *text_notes(settled),
            # whoever brings a prepared text has looked at it, once for all its runs
            *(overlap_notes(settled.store) if store is None else ()),
            *(evaluation_notes(settled, steps * tokens) if store is None else ()),
            *parent_notes(initial, settled.store),
        ),
    )


def settle_model(
    config: RunConfig,
    *,
    store: TokenStore | None = None,
    initial: Path | None = None,
    extend_vocabulary: bool = False,
    on_event: OnEvent = silent,
    trust_code: bool = False,
    world: World = ALONE,
) -> Settled:
    """Prepare the text, and make the model with its initial weights.

    Args:
        config: settings of the run.
        store: the prepared text; None prepares `config.data`.
        initial: the run whose best weights, tokenizer and model settings are the beginning.
        extend_vocabulary: add new characters of the training part to that run's tokenizer.
        on_event: called with every event as it happens.
        trust_code: run the Python code of `initial` even if another user or machine made it.
        world: the processes that need the text: one of each host prepares it.

    Raises:
        InputError: as in `set_up`.
    """
    given, new_tokens, tokenizer = config, 0, None
    if initial is None and extend_vocabulary:
        raise ConfigError(
            "a vocabulary is extended that is there already, with the weights of a run:"
            " --extend-vocabulary needs --from."
        )
    parent = None if initial is None else RunDirectory.open(initial)
    if parent is not None:
        config = inherited(parent, config, trust_code=trust_code)
        tokenizer = inherited_tokenizer(parent, given.data, extend=extend_vocabulary)
    try_contract(config.architecture, config.model)
    if store is None:
        store = world.first(
            lambda: prepare(
                config.data, tokenizer=tokenizer, extend=extend_vocabulary, on_event=on_event
            )
        )
    if parent is not None and tokenizer is not None:
        check_vocabulary(store.tokenizer, parent, tokenizer, extend=extend_vocabulary)
        new_tokens = store.tokenizer.vocab_size - tokenizer.vocab_size
    model = fresh_model(config, store)
    if parent is not None:
        take_weights(model, parent, config, trust_code=trust_code)
    training = objective_type(model).settle(model, config.training)
    config = replace(config, model=chosen_fields(model.config), training=training)
    return Settled(given=given, config=config, store=store, model=model, new_tokens=new_tokens)


def fresh_model(config: RunConfig, store: TokenStore) -> Architecture:
    """Make the model with weights drawn from the seed; torch's generator is left as it was."""
    with drawn_from(config.training.weights_seed):
        return build(
            config.architecture,
            config.model,
            vocab_size=store.tokenizer.vocab_size,
            boundary_token=store.tokenizer.boundary,
        )


class Probe:
    """A timer of training steps: it trains copies of the model on real batches.

    The model itself is not touched.
    """

    def __init__(self, settled: Settled, world: World = ALONE) -> None:
        self._settled = settled
        self._world = world
        self._split = settled.store.split("train")
        self._ready: dict[Runtime, Callable[[], Step]] = {}
        self._losses: dict[Runtime, float] = {}

    def __call__(self, runtime: Runtime) -> Measured:
        """Time one step; its loss is that of the first batch."""
        with threads_of(runtime), torch.random.fork_rng(devices=[]):
            step = self._stepper(runtime)
            seed_all(0)
            _synchronize(runtime)
            start = time.perf_counter()
            made = step()
            _synchronize(runtime)
            # of several processes the slowest decides, and all have to choose the same
            (seconds,) = self._world.most(time.perf_counter() - start)
            loss = self._losses.setdefault(
                _alike(runtime), math.nan if made.loss is None else float(made.loss)
            )
            return Measured(seconds, loss)

    def measure(self, runtime: Runtime, *, steps: int = 3, seconds: float = 0.0) -> float:
        """Return the mean seconds of a step, the first one not counted.

        Args:
            runtime: how it computes.
            steps: least number of steps that are timed.
            seconds: least time that is spent.
        """
        self(runtime)
        times: list[float] = []
        while len(times) < steps or sum(times) < seconds:
            times.append(self(runtime).seconds)
        return sum(times) / len(times)

    def _stepper(self, runtime: Runtime) -> Callable[[], Step]:
        key = _alike(runtime)
        if key not in self._ready:
            model = copy.deepcopy(self._settled.model).to(runtime.device).train()
            objective = make_objective(
                model, self._split, self._settled.config, runtime, self._world
            )
            counter = iter(range(1 << 60))
            # at a rate of next to nothing the copy stays finite, and a step costs the same
            self._ready[key] = lambda: objective.step(next(counter), 1e-6, measure=False)
        return self._ready[key]


def _alike(runtime: Runtime) -> Runtime:
    """Return what runtimes have in common that can share a copy of the model: all but threads."""
    return replace(runtime, threads=1, reasons=())


def _synchronize(runtime: Runtime) -> None:
    """Wait until the device has done all queued work."""
    if runtime.device.startswith("cuda"):
        torch.cuda.synchronize(runtime.device)
    elif runtime.device == "mps":
        torch.mps.synchronize()
