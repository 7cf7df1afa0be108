"""The contestants of a comparison, settled: each arm's settings made those of the comparison, and seen to work."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from inklings.config import DataConfig, RunConfig, to_mapping
from inklings.device import choose_runtime
from inklings.errors import InklingsError, TokenizerError
from inklings.lab.comparison import ArmPlan
from inklings.lab.job import OnEvent
from inklings.models.contract import Architecture
from inklings.models.from_noise import SampleModel
from inklings.text.store import TokenStore, prepare
from inklings.training.arms import Arm
from inklings.training.run_directory import RunDirectory
from inklings.training.setup import fresh_model


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """An arm, settled: what its runs need to know."""

    plan: ArmPlan
    config: RunConfig | None
    run: Path | None
    store: TokenStore
    kind: Literal["trained", "counted", "as it is"]
    architecture: str
    notes: list[str]
    likelihood_free: bool = False
    windows: int | None = None
    """Tokens of what it writes, if it has no likelihood and was made for windows instead of documents."""


def unique_labels(arms: Sequence[Arm]) -> list[str]:
    """The arms' labels, made different where two are equal: as folders too, and where case does not count."""
    labels: list[str] = []
    for arm in arms:
        label, number = arm.label, 1
        while folder_name(label).lower() in {folder_name(taken).lower() for taken in labels}:
            number += 1
            label = f"{arm.label} ({number})"
        labels.append(label)
    return labels


def folder_name(label: str) -> str:
    """The label as a folder of any system."""
    return re.sub(r"[^A-Za-z0-9._=,+-]+", "-", label).strip("-.") or "arm"


def settle(arm: Arm, label: str, data: DataConfig, budget: str | None, store: TokenStore, on_event: OnEvent) -> Contestant:
    """Make an arm's settings those of the comparison, and see that it can be built.

    Precision, compilation and threads are the same for all: what differs is the arm. One thread each, so that the same
    losses come out of any number of workers.
    """
    if arm.config is None:
        assert arm.run is not None
        return _settle_run(arm.run, label, data, store, on_event)
    assert budget is not None
    training = arm.config.training
    device = choose_runtime(training).device
    precision: Literal["bfloat16", "float32"] = "bfloat16" if device.startswith("cuda") else "float32"
    training = replace(
        training,
        budget=budget,
        threads=training.threads or 1,
        precision=precision if training.precision == "auto" else training.precision,
        compile="off" if training.compile == "auto" else training.compile,
        seed=0,
    )
    config = replace(arm.config, data=data, training=training)
    model = fresh_model(config, store)
    traits = model.traits
    return Contestant(
        plan=ArmPlan(label=label, config=_plain(config)),
        config=config,
        run=None,
        store=store,
        kind="counted" if traits.objective == "counting" else "trained",
        architecture=config.architecture,
        notes=["it counts the whole training text once, whatever the budget, and has no seeds: one run stands for all"]
        if traits.objective == "counting"
        else [],
        likelihood_free=isinstance(model, SampleModel),
        windows=_windows(model),
    )


def _settle_run(run: Path, label: str, data: DataConfig, store: TokenStore, on_event: OnEvent) -> Contestant:
    """An existing run: the text is encoded with its own tokenizer."""
    directory = RunDirectory.open(run)
    tokenizer = directory.tokenizer()
    notes = ["scored as it is: it had a budget of its own"]
    if tokenizer.hash != store.tokenizer.hash:
        store = prepare(data, tokenizer=tokenizer, on_event=on_event)
        notes.append("it has another tokenizer than the others")
        if not tokenizer.lossless:
            raise TokenizerError(
                f"{run} has a tokenizer of its own that loses bytes, so it cannot be compared with the others. Leave it out."
            )
    theirs = replace(directory.config.data, tokenizer=data.tokenizer, unknown=data.unknown)
    if theirs != data:
        notes.append(f"it was trained on {directory.config.data.source}, split its own way: it may have seen the held-out text")
    model: Architecture | None = None
    with contextlib.suppress(InklingsError):  # what is wrong with a run is said where it is scored, and the others go on
        model = directory.build_model()
    return Contestant(
        plan=ArmPlan(label=label, run=str(run.resolve())),
        config=None,
        run=run,
        store=store,
        kind="as it is",
        architecture=directory.config.architecture,
        notes=notes,
        likelihood_free=isinstance(model, SampleModel),
        windows=_windows(model),
    )


def _windows(model: Architecture | None) -> int | None:
    return model.windows if isinstance(model, SampleModel) else None


def _plain(config: RunConfig) -> dict[str, Any]:
    """Settings as JSON holds them, the seed left out: it is the comparison's."""
    plain: dict[str, Any] = json.loads(json.dumps(to_mapping(config)))
    del plain["training"]["seed"]
    return plain
