"""Plans for accelerators that are not here, beside what real steps on a CPU keep and send."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch.profiler import ProfilerActivity, profile

from inklings.config import RunConfig
from inklings.device import Runtime
from inklings.errors import ConfigError, WorldError
from inklings.text.store import TokenStore
from inklings.training.objectives.base import make_objective
from inklings.training.plan import plan_run
from inklings.training.planning.accelerators import ACCELERATORS, Machine, parse_machine
from inklings.training.planning.machine_plan import MachinePlan, plan_machine
from inklings.training.setup import Setup, set_up
from inklings.world import World
from tests.worlds import in_world

ConfigOf = Callable[..., RunConfig]
GPT: dict[str, Any] = {"n_layer": 3, "n_head": 2, "n_embd": 64, "context_length": 16}


def ready(config_of: ConfigOf, store: TokenStore, architecture: str, **training: Any) -> Setup:
    config = config_of(architecture, batch_size=16, **training)
    wide = {
        "gpt": GPT,
        "recurrent": {"n_embd": 64, "n_hidden": 64},
        "mlp": {"n_hidden": 512},
        "wavenet": {"n_layer": 4, "n_embd": 48, "n_skip": 48},
    }
    model = {**config.model, **wide.get(architecture, {})}
    return set_up(replace(config, model=model), store=store, unmeasured=True)


def planned(setup: Setup, count: int = 1, name: str = "H100") -> MachinePlan:
    asked = replace(setup.record.given.training, precision="float32")
    record = replace(setup.record, given=replace(setup.record.given, training=asked))
    return plan_machine(replace(setup, record=record), Machine(ACCELERATORS[name], count))


def weights_of(setup: Setup) -> int:
    return sum(parameter.nbytes for parameter in setup.model.parameters())


def most_held(work: Callable[[], object]) -> int:
    """The most bytes that tensors take while something is done, beyond those before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        work()
    assert watched.profiler is not None and watched.profiler.kineto_results is not None
    held = most = 0
    events = [e for e in watched.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


ABOUT = {"gpt": (1.3, 1.8), "wavenet": (1.3, 1.8), "recurrent": (0.9, 1.3), "mlp": (0.5, 0.7)}
"""What is computed over what is held: an `mlp` of one wide layer holds more for a moment."""


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "sgd"])
@pytest.mark.parametrize("architecture", list(ABOUT))
def test_the_memory_is_about_what_a_real_step_takes(
    config_of: ConfigOf, store: TokenStore, architecture: str, optimizer: str
) -> None:
    setup = ready(config_of, store, architecture, optimizer=optimizer)
    share = planned(setup).shares[0]
    weights = weights_of(setup)
    objective = make_objective(setup.model, store.split("train"), setup.record.config, Runtime())
    taken = most_held(lambda: objective.step(0, 1.0, measure=True))
    kept = sum(t.nbytes for name, t in objective.tensors().items() if name.startswith("optimizer/"))
    assert (share.weights, share.gradients, share.optimizer) == (weights, weights, kept)
    assert share.exchanged == 0
    low, high = ABOUT[architecture]
    assert low < (share.memory - share.weights) / taken < high


def sent_bytes() -> int:
    """What this process has written so far, sockets included."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("wchar")).split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process knows what it sent")
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("optimizer", ["muon", pytest.param("adamw", marks=pytest.mark.slow)])
@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
def test_what_is_sent_is_what_real_processes_send(
    config_of: ConfigOf, store: TokenStore, sharded: bool, optimizer: str, accumulate: int
) -> None:
    setup = ready(config_of, store, "gpt", optimizer=optimizer, accumulate=accumulate)
    share = planned(setup, 2).shares[sharded]

    def measured(world: World) -> int:
        objective = make_objective(
            setup.model, store.split("train"), setup.record.config, Runtime(), world
        )
        objective.step(0, 1.0, measure=True)  # which also settles how gradients are packed
        before = sent_bytes()
        objective.step(1, 1.0, measure=True)
        return sent_bytes() - before

    # gloo scatters by a sum of which each keeps a part: twice the bytes of a ring
    expected = share.sent + sharded * accumulate * weights_of(setup) / 2
    for sent in in_world(2, measured, sharded=sharded):
        assert sent == pytest.approx(expected, rel=0.01)


def test_cut_up_weights_take_their_share(config_of: ConfigOf, store: TokenStore) -> None:
    setup = ready(config_of, store, "gpt", optimizer="adamw")
    whole, cut = planned(setup, 8).shares
    assert cut.weights == whole.weights // 8
    assert cut.optimizer == whole.optimizer // 8
    one = planned(setup)
    assert one.shares[0].sent == one.shares[1].sent == 0
    # an eighth of the rows, and what the rows have in common
    assert one.shares[0].activations / 8 <= whole.activations < one.shares[0].activations / 4


def test_the_rate_follows_the_cards(config_of: ConfigOf, store: TokenStore) -> None:
    setup = ready(config_of, store, "gpt")
    one, eight = planned(setup), planned(setup, 8)
    assert eight.flops_per_step == one.flops_per_step == setup.model.flops(16 * 16)
    assert eight.peak == 8 * one.peak == 8 * 67e12
    for plan in (one, eight):
        assert plan.tokens_per_second * plan.step_seconds == pytest.approx(16 * 16)
        assert plan.checkpoint_bytes == one.shares[0].weights + one.shares[0].optimizer
    assert one.bytes_per_step is not None
    seconds = one.flops_per_step / 67e12 / one.share_of_peak, one.bytes_per_step / 3350e9
    assert one.step_seconds == max(seconds)
    # bytes decide where products are fast for the memory behind them
    assert planned(setup, name="L4").step_seconds == one.bytes_per_step / 300e9


def test_bfloat16_where_the_card_has_it(config_of: ConfigOf, store: TokenStore) -> None:
    setup = ready(config_of, store, "gpt", precision="auto")
    low, plain = (plan_machine(setup, Machine(ACCELERATORS[name], 1)) for name in ("A100", "V100"))
    assert (low.precision, plain.precision) == ("bfloat16", "float32")
    assert low.shares[0].activations < plain.shares[0].activations
    asked = ready(config_of, store, "gpt", precision="bfloat16")
    with pytest.raises(ConfigError, match="V100 has no units for bfloat16"):
        plan_machine(asked, Machine(ACCELERATORS["V100"], 1))


def test_what_cannot_be_computed_says_so(config_of: ConfigOf, store: TokenStore) -> None:
    counting = ready(config_of, store, "ngram")
    plan = plan_machine(counting, Machine(ACCELERATORS["H100"], 8))
    assert "counts the text once" in plan.missing[0]
    assert plan.shares == ()
    texts = ready(config_of, store, "textgan", sequence_length=None)
    plan = plan_machine(texts, Machine(ACCELERATORS["H100"], 2))
    assert "two models" in plan.missing[0]
    assert plan.checkpoint_bytes is None and plan.tokens_per_second > 0
    with pytest.raises(WorldError, match="3 processes cannot share a batch of 16"):
        planned(ready(config_of, store, "gpt"), 3)


def test_no_step_is_timed_for_another_machine(config_of: ConfigOf, store: TokenStore) -> None:
    config = config_of("gpt", threads=0, precision="auto")
    plan = plan_run(config, store=store, on=parse_machine("2xL4"))
    assert plan.seconds is None
    assert plan.on is not None and plan.on.machine == "2 x L4"
    assert plan.steps == 12


@pytest.mark.parametrize("given", ["8xH100", "8 x h100", " 8*H100 ", "8X H100"])
def test_a_machine_is_read_as_people_write_it(given: str) -> None:
    assert parse_machine(given) == Machine(ACCELERATORS["H100"], 8)


@pytest.mark.parametrize("name", list(ACCELERATORS))
def test_every_accelerator_is_found_by_its_name(name: str) -> None:
    assert parse_machine(name) == Machine(ACCELERATORS[name], 1)
    assert parse_machine(str(Machine(ACCELERATORS[name], 3))) == Machine(ACCELERATORS[name], 3)


@pytest.mark.parametrize("given", ["0xH100", "-1xH100", "100000xH100"])
def test_a_number_of_cards_that_cannot_be_is_refused_as_that(given: str) -> None:
    with pytest.raises(ConfigError, match=f"'{given}': a machine has 1 to 99,999"):
        parse_machine(given)


@pytest.mark.parametrize("given", ["8xH10", "x", "", "8x", "H100x8"])
def test_an_unknown_machine_is_refused_with_what_is_known(given: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown accelerator .* Allowed: A100, A100-40, B200"):
        parse_machine(given)
