"""The settled contestants of a comparison.

Each arm gets the comparison's settings, and is built once to see that it works.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from inklings.config import DataConfig, RunConfig, to_mapping
from inklings.device import choose_runtime
from inklings.errors import ConfigError, InklingsError, RunError, TokenizerError
from inklings.events import OnEvent
from inklings.lab.comparison.plan import ArmPlan, Plan
from inklings.lab.comparison.result import Sizing
from inklings.models.adapters.rereading import format_windows
from inklings.models.contract import Architecture
from inklings.models.objectives import makes_texts, objective_of, refuse_silent
from inklings.models.registry import load_class
from inklings.models.sizes import TOLERANCE, non_embedding_count, size_to
from inklings.runs.arms import Arm
from inklings.runs.directory import RunDirectory
from inklings.runs.own_text import is_own, kept_store, known_documents, layout_of, same_text
from inklings.text.store import TokenStore, prepare
from inklings.training.branch import Branch, can_branch, plan_branches
from inklings.training.setup import fresh_model, set_up


@dataclass(frozen=True, kw_only=True)
class ResolvedArm:
    """An arm with everything settled that its runs need."""

    plan: ArmPlan
    config: RunConfig | None
    run: Path | None
    store: TokenStore
    kind: Literal["trained", "counted", "as it is"]
    architecture: str
    notes: list[str]
    sizing: Sizing | None = None
    floor: bool = False
    """Whether it is there to be looked at only."""
    smaller_of: str | None = None
    """The contestant of which this is a smaller size, for scaling alone."""
    branches: list[Branch] = field(default_factory=list)
    """The budgets at which it is decayed and scored; empty where it is trained as one run."""
    makes_texts: bool = False
    """Whether it makes whole texts and has no likelihood."""
    learns_by_likelihood: bool = False
    """Whether it is trained here by gradient on its likelihood, so that its learning rate can be
    searched.
    """
    windows: int | None = None
    """Tokens of what it writes, if it has no likelihood and was made for windows instead of
    documents.
    """


def unique_labels(arms: Sequence[Arm]) -> list[str]:
    """Give the arms labels that differ.

    They differ as folders too, where case does not count.
    """
    labels: list[str] = []
    for arm in arms:
        label, number = arm.label, 1
        while folder_name(label).lower() in {folder_name(taken).lower() for taken in labels}:
            number += 1
            label = f"{arm.label} ({number})"
        labels.append(label)
    return labels


def folder_name(label: str) -> str:
    """Return the label as a folder of any system."""
    return re.sub(r"[^A-Za-z0-9._=,+-]+", "-", label).strip("-.") or "arm"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The settings that are the same for all contestants."""

    data: DataConfig
    budget: str | None
    store: TokenStore
    points: int
    parameters: int | None
    before: Plan | None
    """What an earlier call measured, which then holds."""
    smaller: bool = False
    """Whether arms are made smaller than they are, whatever sizes they name."""
    trust_code: bool = False
    """Whether the Python code of an existing run may be run although another machine made it."""


def settle(arm: Arm, label: str, copy: int, terms: Terms, on_event: OnEvent) -> ResolvedArm:
    """Give an arm the comparison's settings, and check that it can be built.

    Precision, compilation and threads are the same for all: what differs is the arm. One thread
    each, so that the same losses come out of any number of workers.

    Args:
        arm: as it was given.
        label: its name in the comparison.
        copy: which copy of an arm it is, from 0.
        terms: the comparison's settings.
        on_event: called with every event as it happens.
    """
    if arm.config is None:
        assert arm.run is not None
        return _settle_run(arm.run, label, terms, on_event)
    config, sizing, notes = sized(trained_alike(arm.config, terms), terms)
    model = fresh_model(config, terms.store)
    refuse_silent(model, "a comparison")
    objective = objective_of(model)
    if objective.one_pass:
        notes = [
            *notes,
            (
                "it counts as many tokens as the budget gives the others, at most the whole"
                " training text once, and has no seeds: one run stands for all"
            ),
        ]
    plain = _plain(config)
    steps, branches = None, list[Branch]()
    if terms.points > 1 and objective.learns_by_likelihood:
        if can_branch(config.training):
            known = (
                next((known for known in terms.before.arms if known.label == label), None)
                if terms.before
                else None
            )
            steps = (
                known.steps
                if known is not None and known.steps and known.config == plain
                else _steps(config, terms.store)
            )
            branches = plan_branches(config, steps, terms.points)
        else:
            notes = [
                *notes,
                (
                    "scored at the end of its budget only: its learning rate does not stay and then"
                    " fall (`wsd`, no patience)"
                ),
            ]
    return ResolvedArm(
        plan=ArmPlan(label=label, config=plain, steps=steps, copy=copy),
        config=config,
        run=None,
        store=terms.store,
        kind="counted" if objective.one_pass else "trained",
        architecture=config.architecture,
        notes=notes,
        sizing=sizing,
        branches=branches,
        makes_texts=objective.makes_texts,
        learns_by_likelihood=objective.learns_by_likelihood,
        windows=_windows(model),
    )


def trained_alike(config: RunConfig, terms: Terms) -> RunConfig:
    """Return the settings with the comparison's text, budget and way of computing."""
    assert terms.budget is not None
    training = config.training
    device = choose_runtime(training).device
    precision: Literal["bfloat16", "float32"] = (
        "bfloat16" if device.startswith("cuda") else "float32"
    )
    training = replace(
        training,
        budget=terms.budget,
        threads=training.threads or 1,
        precision=precision if training.precision == "auto" else training.precision,
        compile="off" if training.compile == "auto" else training.compile,
        seed=0,
    )
    return replace(config, data=terms.data, training=training)


def sized(config: RunConfig, terms: Terms) -> tuple[RunConfig, Sizing | None, list[str]]:
    """Bring the settings to the comparison's number of parameters, if it has one.

    Also return what a reader must know of that.
    """
    if terms.parameters is None or objective_of(load_class(config.architecture)).one_pass:
        return config, None, []
    asked = terms.parameters
    now = non_embedding_count(fresh_model(config, terms.store))
    if abs(now / asked - 1) <= TOLERANCE:
        return config, Sizing(asked=asked, reached=now, changed={}), []
    given, start = dict(config.model), dict[str, int]()
    if terms.smaller:
        start = {
            name: given.pop(name)
            for name in load_class(config.architecture).Config.sizes
            if name in given
        }
    try:
        found = size_to(
            config.architecture,
            given,
            asked,
            vocab_size=terms.store.tokenizer.vocab_size,
            start=start,
        )
    except ConfigError as error:
        return (
            config,
            Sizing(asked=asked, reached=now, changed={}),
            [f"it has {now:,} parameters: {error}"],
        )
    sizing = Sizing(asked=asked, reached=found.reached, changed=found.fields)
    return replace(config, model={**given, **found.fields}), sizing, []


def _steps(config: RunConfig, store: TokenStore) -> int:
    """Return what the budget pays for; minutes are turned into steps by measuring, once."""
    return set_up(config, store=store).record.steps


def _settle_run(run: Path, label: str, terms: Terms, on_event: OnEvent) -> ResolvedArm:
    """Return an existing run: the text is encoded with its own tokenizer."""
    data, store = terms.data, terms.store
    directory = RunDirectory.open(run)
    tokenizer = directory.tokenizer()
    notes = ["scored as it is: it had a budget of its own"]
    kept = kept_store(directory)
    if tokenizer.hash != store.tokenizer.hash:
        same = kept is not None and same_text(kept, store)
        store = (
            kept
            if kept is not None and same
            else prepare(data, tokenizer=tokenizer, on_event=on_event)
        )
        notes.append("it has another tokenizer than the others")
        if not tokenizer.lossless:
            raise TokenizerError(
                f"{run} has a tokenizer of its own that loses bytes, so it cannot be compared with"
                " the others. Leave it out."
            )
    theirs = replace(directory.config.data, tokenizer=data.tokenizer, unknown=data.unknown)
    # one may say `auto` where the other names what that came to
    layout, now = layout_of(directory, kept), terms.store.manifest["source"]["layout"]
    if layout == now:
        theirs = replace(theirs, layout=data.layout)
    if not directory.record.data:
        notes.append("what it learned from is not known here: it may have seen the held-out text")
    elif theirs != data:
        notes.append(_met(directory, kept, store))
    elif not is_own(directory, store):
        cut = f" (its layout was {layout}, and is {now} now)" if layout not in (None, now) else ""
        raise RunError(
            f"the text {data.source} is not what it was when {run} began{cut}: what is held out now"
            " may be what it learned from. Bring the text back, compare on another one (--data), or"
            " train the run anew."
        )
    model: Architecture | None = None
    with contextlib.suppress(
        InklingsError
    ):  # what is wrong with a run is said where it is scored, and the others go on
        model = directory.build_model(trust_code=terms.trust_code)
    if model is not None:
        refuse_silent(model, "a comparison")
        windows = format_windows(model)
        notes += [] if windows is None else [f"it reads {windows}"]
    return ResolvedArm(
        plan=ArmPlan(label=label, run=str(run.resolve())),
        config=None,
        run=run,
        store=store,
        kind="as it is",
        architecture=directory.config.architecture,
        notes=notes,
        makes_texts=model is not None and makes_texts(model),
        windows=_windows(model),
    )


def _met(run: RunDirectory, kept: TokenStore | None, store: TokenStore) -> str:
    """Return what of the held-out text a run that was trained on another text has met there."""
    where = f"it was trained on {run.config.data.source}, split its own way"
    if kept is None:
        return f"{where}: it may have seen the held-out text"
    held_out = store.split(
        "test" if store.manifest["splits"]["test"]["documents"] else "validation"
    )
    known = known_documents(kept.split("train"), held_out)
    return f"{where}: {known:,} of the {held_out.n_documents:,} held-out documents are among those"


def _windows(model: Architecture | None) -> int | None:
    return model.windows if model is not None and makes_texts(model) else None


def _plain(config: RunConfig) -> dict[str, Any]:
    """Return settings as JSON holds them, without the seed: it is the comparison's."""
    plain: dict[str, Any] = json.loads(json.dumps(to_mapping(config)))
    del plain["training"]["seed"]
    return plain
