"""Resuming a comparison: the present call goes on with what is in the folder, or is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from inklings.config import DataConfig, TrainingConfig, to_mapping
from inklings.device import environment
from inklings.durable import refuse_links_out
from inklings.errors import RunError
from inklings.lab.comparison.arms import ResolvedArm
from inklings.lab.comparison.comparison_file import read_comparison, write_comparison
from inklings.lab.comparison.plan import Plan, SamplePlan
from inklings.lab.comparison.result import CONTENT, FILE_NAME, ArmResult, Comparison, RunResult
from inklings.lab.comparison.settings import differing_settings
from inklings.lab.comparison.text_facts import describe_text
from inklings.lab.execution.run_arm import ArmRun, weights_hash
from inklings.text.store import TokenStore
from inklings.text.vocabularies import names_a_file

Split = Literal["test", "validation"]
Results = dict[tuple[str, int | None], RunResult]


def save(out: Path, comparison: Comparison) -> None:
    """Write the comparison, the contestants without their smaller sizes.

    Those are worked on together with them.
    """
    write_comparison(out, apart(comparison))


def apart(comparison: Comparison) -> Comparison:
    """Return the comparison with the contestants apart from their smaller sizes."""
    together = [*comparison.arms, *comparison.smaller]
    return replace(
        comparison,
        arms=[arm for arm in together if arm.smaller_of is None],
        smaller=[arm for arm in together if arm.smaller_of is not None],
    )


def begin(
    out: Path,
    plan: Plan,
    contestants: Sequence[ResolvedArm],
    store: TokenStore,
    split: Split,
    command: str | None,
    *,
    home: Path | None = None,
) -> Comparison:
    """Return a new comparison, or the one in `out` with what was added to the plan.

    Args:
        out: the folder.
        plan: what is asked for now.
        contestants: its arms, settled.
        store: the text.
        split: the held-out split.
        command: the command line that repeats this.
        home: where a shard keeps its comparison, in `out`; None is `out` itself.

    Raises:
        RunError: `out` holds another comparison, or something else.
        DiskError: a link in it leads out of it.
    """
    refuse_foreign(out)
    home = out if home is None else home
    equal = len({c.store.tokenizer.hash for c in contestants}) == 1
    made = Comparison(
        plan=plan,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        status="interrupted",
        split=split,
        unit="nats per token" if equal else "bits per byte",
        environment=environment(),
        text=describe_text(store),
        arms=[
            ArmResult(
                label=c.plan.label,
                architecture=c.architecture,
                kind=c.kind,
                tokenizer=c.store.tokenizer.hash,
                floor=c.floor,
                smaller_of=c.smaller_of,
                sizing=c.sizing,
                notes=(
                    c.notes
                    if plan.samples is None or measurable(c, store)
                    else [*c.notes, "its samples, of other tokens, are not measured"]
                ),
            )
            for c in contestants
        ],
    )
    if not (home / FILE_NAME).is_file():
        return made
    before = read_comparison(home)
    differing = [
        *conflicts(before.plan, plan),
        *_other_tokens(before, made),
    ]
    if differing:
        raise RunError(
            f"{out} holds another comparison, which differs in {'; '.join(differing)}. Choose"
            " another --out, or move that one away."
        )
    seeds = sorted({*before.plan.seeds, *plan.seeds})
    arms = [
        (
            replace(arm, runs=old.runs, audit=old.audit, search=old.search, probes=old.probes)
            if (old := _arm(before, arm.label))
            else arm
        )
        for arm in made.arms
    ]
    return replace(made, created=before.created, plan=replace(plan, seeds=seeds), arms=arms)


def refuse_foreign(out: Path) -> None:
    """Raise an error if a folder cannot be that of a comparison.

    Raises:
        RunError: it holds something else.
        DiskError: a link in it leads out of it.
    """
    foreign = (
        out.is_dir()
        and not (out / FILE_NAME).is_file()
        and any(path.name not in CONTENT for path in out.iterdir())
    )
    if out.is_file() or foreign:
        raise RunError(f"{out} exists and is not a comparison. Choose another --out.")
    refuse_links_out(out)


def conflicts(before: Plan, now: Plan) -> list[str]:
    """Return what of an earlier plan the new one lacks or changes, in words.

    More arms and more seeds are no conflict.
    """
    before = _completed(before)
    data = json.loads(json.dumps(now.data))  # tuples as lists, as they are read back
    found = [
        f"data.{name} ({before.data.get(name)!r}, now {value!r})"
        for name, value in data.items()
        if before.data.get(name) != value
    ]
    if before.budget != now.budget and before.budget is not None and now.budget is not None:
        found.append(f"the budget ({before.budget}, now {now.budget})")
    if before.samples is not None and before.samples != now.samples:
        found.append(
            f"the samples ({_say_samples(before.samples)}, now {_say_samples(now.samples)})"
        )
    found += [
        f"the {title} ({old or 'none'}, now {new or 'none'})"
        for title, old, new in differing_settings(before, now)
    ]
    arms = {arm.label: arm for arm in now.arms}
    for arm in before.arms:
        if arm.label not in arms:
            found.append(f"the arm {arm.label}, which is missing now")
        elif not found and arm != arms[arm.label]:
            found.append(f"the settings of {arm.label}")
    return found


def _other_tokens(before: Comparison, now: Comparison) -> list[str]:
    """Say whether the tokens are others: those of another text, or of another vocabulary."""
    if before.text.get("hash") == now.text["hash"]:
        return []
    path = str(now.plan.data["tokenizer"])
    theirs, ours = ({arm.label: arm.tokenizer for arm in c.arms} for c in (before, now))
    if names_a_file(path) and any(
        theirs[label] not in (None, ours[label]) for label in theirs.keys() & ours.keys()
    ):
        return [f"the vocabulary {path}, which is not what it was"]
    return ["the text itself"]


def _completed(plan: Plan) -> Plan:
    """Return a plan with the settings that did not exist when it was written, at their defaults.

    They change nothing.
    """
    defaults = {
        "data": to_mapping(DataConfig()),
        "training": json.loads(json.dumps(to_mapping(TrainingConfig()))),
    }
    del defaults["training"]["seed"]  # the comparison's own

    def completed(config: dict[str, Any]) -> dict[str, Any]:
        return {
            **config,
            **{section: {**values, **config[section]} for section, values in defaults.items()},
        }

    arms = [
        arm if arm.config is None else replace(arm, config=completed(arm.config))
        for arm in plan.arms
    ]
    return replace(plan, data={**defaults["data"], **plan.data}, arms=arms)


def _say_samples(plan: SamplePlan | None) -> str:
    if plan is None:
        return "none"
    return (
        f"{plan.samples:,}"
        f" {'documents' if plan.windows is None else f'windows of {plan.windows} tokens'}"
    )


def _arm(comparison: Comparison, label: str) -> ArmResult | None:
    return next(
        (arm for arm in [*comparison.arms, *comparison.smaller] if arm.label == label), None
    )


def plan_before(out: Path) -> Plan | None:
    """Return the plan of the comparison in a folder, if there is one."""
    return read_comparison(out).plan if (out / FILE_NAME).is_file() else None


def measurable(contestant: ResolvedArm, store: TokenStore) -> bool:
    """Return whether its samples can be compared with the text.

    Tokens of another tokenizer cannot.
    """
    return contestant.store.tokenizer.hash == store.tokenizer.hash


def finished(comparison: Comparison, jobs: Sequence[ArmRun]) -> Results:
    """Return the results of an earlier call that still hold.

    Scored, with the weights that are there.
    """
    before = {
        (arm.label, run.seed): run
        for arm in comparison.arms
        for run in arm.runs
        if run.status != "failed"
    }
    found = {}
    for job in jobs:
        result = before.get((job.arm, job.seed))
        if (
            result is None
            or result.weights is None
            or (job.samples is not None and result.samples is None)
        ):
            continue
        if result.weights == weights_hash(job.run):
            found[job.arm, job.seed] = result
    return found


def with_results(comparison: Comparison, jobs: Sequence[ArmRun], results: Results) -> Comparison:
    """Return the comparison with the results so far, in the order of the seeds.

    Args:
        comparison: the comparison so far.
        jobs: all runs that it needs.
        results: those that are known.
    """
    keys = {
        arm.label: sorted(
            (job.seed for job in jobs if job.arm == arm.label), key=lambda seed: seed or 0
        )
        for arm in comparison.arms
    }
    return replace(
        comparison,
        arms=[
            replace(
                arm,
                runs=[
                    results[arm.label, seed]
                    for seed in keys[arm.label]
                    if (arm.label, seed) in results
                ],
            )
            for arm in comparison.arms
        ],
    )
