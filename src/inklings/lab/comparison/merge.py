"""Merging parts of one comparison, made on several machines or at several times."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from inklings.durable import new_directory, refuse_links_out
from inklings.errors import ConfigError, RunError
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.judging import judged
from inklings.lab.comparison.result import CALIBRATION, FILE_NAME, ArmResult, Comparison, RunResult
from inklings.lab.comparison.resume import apart, save
from inklings.lab.comparison.sample_settings import read_calibration
from inklings.lab.comparison.settings import differing_settings
from inklings.lab.shards.division import read_shards, refuse_incomplete

MACHINE = ("machine", "processor", "cores", "devices")
"""Facts of the environment that tell a reader which machine it was."""


def merge(parts: Sequence[Path], out: Path) -> Comparison:
    """Bring together what several folders hold of one comparison.

    Their arms and their seeds; the parts stay as they are.

    Runs that several of them have are taken from the first. Runs that are somewhere else, because
    they were there before the comparison, are named and not copied.

    Args:
        parts: folders of comparisons of one plan, where arms and seeds may differ; or of shards,
            which have to be all of one comparison's.
        out: a new folder, or one of such a comparison, to which the others are added.

    Returns:
        The whole; `status` is "interrupted" if an arm lacks a seed that another has: the compare
        command adds it.

    Raises:
        RunError: a folder holds no comparison, they differ in more than arms and seeds, or a shard
            is missing.
        ConfigError: fewer than two folders, `out` among them if it is one.
        DiskError: a link in `out` leads out of it.
    """
    if out.resolve() in {part.resolve() for part in parts} or (out / FILE_NAME).is_file():
        parts = [out, *(part for part in parts if part.resolve() != out.resolve())]
    refuse_incomplete([shard for folder in parts for shard in read_shards(folder)])
    found = [part for folder in parts for part in _parts_in(folder)]
    folders = [folder for folder, _ in found]
    if len(found) < 2:
        raise ConfigError(
            f"{len(found)} comparison was given; give at least two folders to bring together."
        )
    if out not in folders and out.exists() and any(out.iterdir()):
        raise RunError(f"{out} exists and is not a comparison. Choose another --out.")
    refuse_links_out(out)
    first = found[0][1]
    for folder, other in found[1:]:
        if differing := differences_of(first, other):
            raise RunError(
                f"{folder} and {folders[0]} are not parts of one comparison: they differ in"
                f" {'; '.join(differing)}. Only arms and seeds may differ."
            )
    whole = first
    for _, other in found[1:]:
        whole = _joined(whole, other)
    for folder, part in found:
        for arm in [*part.arms, *part.smaller]:
            for run in arm.runs:
                _copy(run, folder, out)
    source = next((folder for folder in folders if (folder / CALIBRATION).is_file()), None)
    if source is not None and source != out:
        shutil.copyfile(source / CALIBRATION, out / CALIBRATION)
    calibration = None if whole.plan.samples is None or source is None else read_calibration(out)
    whole = judged(
        out,
        replace(whole, status="complete" if _is_complete(whole) else "interrupted"),
        calibration,
    )
    save(out, whole)
    return whole


def _parts_in(folder: Path) -> list[tuple[Path, Comparison]]:
    """Return the comparison in a folder and the shards of one, each with the folder of its runs."""
    shards = [(folder, found) for _, found in read_shards(folder)]
    if shards and not (folder / FILE_NAME).is_file():
        return shards
    return [(folder, read_comparison(folder)), *shards]


def differences_of(first: Comparison, other: Comparison) -> list[str]:
    """Say in words how two comparisons differ, beside arms and seeds."""
    found = ["the settings of the text"] if first.plan.data != other.plan.data else []
    if first.plan.budget != other.plan.budget:
        found.append(f"the budget ({first.plan.budget} and {other.plan.budget})")
    found += [
        f"the {title} ({one} and {two})"
        for title, one, two in differing_settings(first.plan, other.plan)
    ]
    found += ["the samples"] if first.plan.samples != other.plan.samples else []
    if first.text.get("hash") != other.text.get("hash"):
        found.append("the text itself")
    if (first.split, first.unit) != (other.split, other.unit):
        found.append(
            f"what they rank by ({first.unit} on {first.split}, {other.unit} on {other.split})"
        )
    plans = {plan.label: plan for plan in first.plan.arms}
    arms = {arm.label: arm for arm in first.arms}
    for plan, arm in zip(other.plan.arms, other.arms, strict=True):
        if plan.label in plans and plans[plan.label] != plan:
            found.append(f"the settings of {plan.label}")
        elif (
            plan.label in arms
            and _factor(arms[plan.label]) != _factor(arm)
            and None not in (_factor(arms[plan.label]), _factor(arm))
        ):
            found.append(f"the learning rate that was found for {plan.label}")
    return found


def _factor(arm: ArmResult) -> float | None:
    return None if arm.search is None else arm.search.factor


def _joined(first: Comparison, other: Comparison) -> Comparison:
    """Return the comparison with the arms, seeds and runs of another one."""
    plan = replace(
        first.plan,
        arms=[
            *first.plan.arms,
            *(
                arm
                for arm in other.plan.arms
                if arm.label not in {a.label for a in first.plan.arms}
            ),
        ],
        seeds=sorted({*first.plan.seeds, *other.plan.seeds}),
    )
    theirs = {arm.label: arm for arm in [*other.arms, *other.smaller]}
    ours = [*first.arms, *first.smaller]
    arms = [_with_runs_of(arm, theirs[arm.label]) if arm.label in theirs else arm for arm in ours]
    arms += [arm for arm in theirs.values() if arm.label not in {arm.label for arm in ours}]
    machines = [
        json.dumps({name: side.environment.get(name) for name in MACHINE})
        for side in (first, other)
    ]
    if len(set(machines)) > 1:
        words = "its runs were made on several machines: their times are not comparable"
        arms = [
            replace(arm, notes=[*arm.notes, *([] if words in arm.notes else [words])])
            for arm in arms
        ]
    return apart(replace(first, plan=plan, arms=arms, smaller=[]))


def _with_runs_of(arm: ArmResult, other: ArmResult) -> ArmResult:
    """Return the arm with the runs that another part has and it lacks, or has as failed."""
    arm = replace(
        arm,
        audit=arm.audit or other.audit,
        search=arm.search or other.search,
        probes=arm.probes or other.probes,
    )
    if arm.kind != "trained":  # one run stands for every seed: the first seed's
        both = [run for run in (*arm.runs, *other.runs) if run.status != "failed"] or [
            *arm.runs,
            *other.runs,
        ]
        return replace(arm, runs=sorted(both, key=lambda run: run.seed or 0)[:1])
    kept = {run.seed: run for run in other.runs}
    for run in arm.runs:
        if run.status != "failed" or run.seed not in kept:
            kept[run.seed] = run
    return replace(arm, runs=sorted(kept.values(), key=lambda run: run.seed or 0))


def _copy(run: RunResult, folder: Path, out: Path) -> None:
    """Copy a run, its points and its results, unless they are there: each whole or not at all."""
    for place in (run.run, *(point.run for point in run.points), run.results):
        if (
            place is None
            or Path(place).is_absolute()
            or (out / place).exists()
            or not (folder / place).is_dir()
        ):
            continue
        with new_directory(out / place) as temporary:
            shutil.copytree(folder / place, temporary, dirs_exist_ok=True)


def _is_complete(whole: Comparison) -> bool:
    seeds = len(whole.plan.seeds)
    return all(
        len(arm.runs) == (seeds if arm.kind == "trained" else 1)
        for arm in [*whole.arms, *whole.smaller]
    )
