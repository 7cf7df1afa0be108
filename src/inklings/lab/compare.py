"""`compare`: train every arm with every seed under one budget, score all on held-out text, and say which is better.

A comparison is a folder. The same call goes on where it stopped: a run that is complete is not trained again, and one
that is scored is not scored again. More arms or more seeds may be added to it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from inklings.audit.audit import BEFORE, audit
from inklings.audit.subject import of_architecture
from inklings.config import DataConfig, to_mapping
from inklings.device import choose_runtime, environment
from inklings.errors import ConfigError, RunError
from inklings.evaluation.likelihood import load_likelihood
from inklings.lab.calibration import Calibration
from inklings.lab.comparison import (
    CONTENT,
    FILE_NAME,
    ArmResult,
    Comparison,
    Plan,
    RunResult,
    SamplePlan,
    read_comparison,
    write_comparison,
)
from inklings.lab.contestants import Contestant, folder_name, settle, unique_labels
from inklings.lab.job import Job, OnEvent, weights_hash
from inklings.lab.run_samples import ground_of, read_measured
from inklings.lab.sample_verdict import find_sample_differences, say_samples
from inklings.lab.shared_scale import calibrated, plan_samples
from inklings.lab.text_facts import describe_text
from inklings.lab.verdict import Units, find_differences, say
from inklings.lab.workers import do_jobs
from inklings.text.store import TokenStore, prepare
from inklings.training.arms import Arm
from inklings.training.budgets import parse_budget
from inklings.training.run_directory import RunDirectory

Split = Literal["test", "validation"]


def compare(
    arms: Sequence[Arm],
    *,
    out: Path,
    seeds: Sequence[int],
    data: DataConfig | None = None,
    budget: str | None = None,
    workers: int | None = None,
    samples: int | None = None,
    command: str | None = None,
    on_event: OnEvent | None = None,
) -> Comparison:
    """Compare arms; the results are in `out/comparison.json` and, as they come, in the folders beside it.

    Args:
        arms: at least two contestants; existing runs are scored as they are.
        out: a new folder, or one with this comparison begun.
        seeds: each arm is trained with each of them; arms that count are deterministic and run once.
        data: the text; None takes that of the first arm that has one.
        budget: for every trained arm; None takes that of the first trained arm.
        workers: how many runs at a time, each in its own process and on one thread; None takes one a core (one on a GPU).
        samples: how many samples every run writes, to be compared with the held-out documents; None writes as many as there
            are such documents, at most 3000, where an arm has no likelihood, and none otherwise.
        command: the command line that repeats this, for the report.
        on_event: called with every event of every run, which carries `run`, `arm` and `seed`.

    Returns:
        The comparison; `status` is "interrupted" if Ctrl-C or SIGTERM came (the same call goes on), and runs that
        failed are among the results with their message.

    Raises:
        InputError: an arm, the budget or the text cannot be used, or `out` holds something else. Nothing was trained.
    """
    report = on_event or (lambda event: None)
    data = data or _first_data(arms)
    budget = budget or next((arm.config.training.budget for arm in arms if arm.config is not None), None)
    if budget is not None:
        parse_budget(budget)
    _check_request(arms, seeds, workers)
    store = prepare(data, on_event=report)
    contestants = [settle(arm, label, data, budget, store, report) for arm, label in zip(arms, unique_labels(arms), strict=True)]
    split: Split = "test" if store.manifest["splits"]["test"]["documents"] else "validation"
    before = read_comparison(out).plan.samples if (out / FILE_NAME).is_file() else None
    drawn = plan_samples(samples, contestants, store, split, before)
    plan = Plan(arms=[c.plan for c in contestants], seeds=sorted(seeds), data=to_mapping(data), budget=budget, samples=drawn)
    comparison = _begin(out, plan, contestants, store, split, command)
    calibration = None if drawn is None else calibrated(out, ground_of(store.path, split, drawn), report)
    comparison = _audited(comparison, contestants, report)
    jobs = _jobs(out, contestants, comparison, store)
    results = _finished(out, comparison, jobs)
    waiting = [job for job in jobs if (job.arm, job.seed) not in results]
    if len(waiting) < len(jobs):
        report({"event": "note", "text": f"{len(jobs) - len(waiting)} of {len(jobs)} runs are there already and are used again."})
    comparison = _with_results(comparison, jobs, results)
    write_comparison(out, comparison)
    if waiting:
        for job, result in do_jobs(waiting, workers=_workers(workers, waiting), on_event=report):
            results[job.arm, job.seed] = result
            comparison = _with_results(comparison, jobs, results)
            write_comparison(out, comparison)
            text = f"{job.name} {result.status}: {result.message}" if result.message else None
            report({"event": "note", "text": text} if text else {"event": "result", "run": job.name, "loss": result.loss})
    comparison = _judge(out, replace(comparison, status="complete" if len(results) == len(jobs) else "interrupted"), calibration)
    write_comparison(out, comparison)
    if comparison.status == "interrupted":
        text = f"Interrupted with {len(results)} of {len(jobs)} runs done; all is saved. The same command goes on where it stopped."
        report({"event": "note", "text": text})
    return comparison


def _first_data(arms: Sequence[Arm]) -> DataConfig:
    for arm in arms:
        if arm.config is not None:
            return arm.config.data
    for arm in arms:
        if arm.run is not None:
            return RunDirectory.open(arm.run).config.data
    raise ConfigError("no arms were given. Name at least two, for example: inklings compare gpt mlp.")


def _check_request(arms: Sequence[Arm], seeds: Sequence[int], workers: int | None) -> None:
    """What can be refused before any work."""
    if len(arms) < 2:
        raise ConfigError(f"{len(arms)} arm was given; a comparison needs at least two.")
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ConfigError(f"the seeds are {list(seeds)}; they must be different whole numbers from 0 on, at least one.")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; it must be at least 1.")
    for i, arm in enumerate(arms):
        for other in arms[:i]:
            if arm.config == other.config and (None if arm.run is None else arm.run.resolve()) == (
                None if other.run is None else other.run.resolve()
            ):
                raise ConfigError(
                    f"{arm.label} is named twice with the same settings, which would train the same runs. Change a setting of one."
                )


def _begin(out: Path, plan: Plan, contestants: Sequence[Contestant], store: TokenStore, split: Split, command: str | None) -> Comparison:
    """A new comparison, or the one in `out` with what was added to the plan.

    Raises:
        RunError: `out` holds another comparison, or something else.
    """
    foreign = out.is_dir() and not (out / FILE_NAME).is_file() and any(path.name not in CONTENT for path in out.iterdir())
    if out.is_file() or foreign:
        raise RunError(f"{out} exists and is not a comparison. Choose another --out.")
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
                notes=c.notes
                if plan.samples is None or _measurable(c, store)
                else [*c.notes, "its samples, of other tokens, are not measured"],
            )
            for c in contestants
        ],
    )
    if not (out / FILE_NAME).is_file():
        return made
    before = read_comparison(out)
    differing = [*_conflicts(before.plan, plan), *(["the text itself"] if before.text.get("hash") != made.text["hash"] else [])]
    if differing:
        raise RunError(
            f"{out} holds another comparison, which differs in {'; '.join(differing)}. Choose another --out, or move that one away."
        )
    seeds = sorted({*before.plan.seeds, *plan.seeds})
    arms = [replace(arm, runs=old.runs, audit=old.audit) if (old := _arm(before, arm.label)) else arm for arm in made.arms]
    return replace(made, created=before.created, plan=replace(plan, seeds=seeds), arms=arms)


def _audited(comparison: Comparison, contestants: Sequence[Contestant], report: OnEvent) -> Comparison:
    """The comparison with every architecture audited that was not yet: what fails is trained and shown, but not ranked."""
    arms = []
    for arm, contestant in zip(comparison.arms, contestants, strict=True):
        if contestant.config is not None and not arm.audit:
            report({"event": "note", "text": f"auditing {arm.label}"})
            subject = of_architecture(arm.label, contestant.config, contestant.store)
            arm = replace(arm, audit=list(audit(subject, only=BEFORE).findings))
            for finding in arm.dishonest:
                report({"event": "note", "text": f"{arm.label} fails {finding.check} and will not be ranked: {finding.summary}"})
        arms.append(arm)
    return replace(comparison, arms=arms)


def _arm(comparison: Comparison, label: str) -> ArmResult | None:
    return next((arm for arm in comparison.arms if arm.label == label), None)


def _conflicts(before: Plan, now: Plan) -> list[str]:
    """What of an earlier plan the new one lacks or changes, in words; more arms and more seeds are no conflict."""
    before = _completed(before)
    data = json.loads(json.dumps(now.data))  # tuples as lists, as they are read back
    found = [f"data.{name} ({before.data.get(name)!r}, now {value!r})" for name, value in data.items() if before.data.get(name) != value]
    if before.budget != now.budget and before.budget is not None and now.budget is not None:
        found.append(f"the budget ({before.budget}, now {now.budget})")
    if before.samples is not None and before.samples != now.samples:
        found.append(f"the samples ({_say_samples(before.samples)}, now {_say_samples(now.samples)})")
    arms = {arm.label: arm for arm in now.arms}
    for arm in before.arms:
        if arm.label not in arms:
            found.append(f"the arm {arm.label}, which is missing now")
        elif not found and arm != arms[arm.label]:
            found.append(f"the settings of {arm.label}")
    return found


def _completed(plan: Plan) -> Plan:
    """A plan with the settings of the text that did not exist when it was written, at their defaults: they change nothing."""
    defaults = to_mapping(DataConfig())
    arms = [
        arm if arm.config is None else replace(arm, config={**arm.config, "data": {**defaults, **arm.config["data"]}}) for arm in plan.arms
    ]
    return replace(plan, data={**defaults, **plan.data}, arms=arms)


def _say_samples(plan: SamplePlan | None) -> str:
    if plan is None:
        return "none"
    return f"{plan.samples:,} {'documents' if plan.windows is None else f'windows of {plan.windows} tokens'}"


def _notes(contestant: Contestant, plan: Plan, store: TokenStore) -> list[str]:
    """What a reader must know of an arm."""
    unread = plan.samples is not None and not _measurable(contestant, store)
    return [*contestant.notes, *(["its samples, of other tokens, are not measured"] if unread else [])]


def _measurable(contestant: Contestant, store: TokenStore) -> bool:
    """Whether its samples can be compared with the text: tokens of another tokenizer cannot."""
    return contestant.store.tokenizer.hash == store.tokenizer.hash


def _jobs(out: Path, contestants: Sequence[Contestant], comparison: Comparison, store: TokenStore) -> list[Job]:
    """Every (arm, seed), seed by seed, so that a comparison that is stopped early has all arms."""
    jobs = []
    for i, seed in enumerate(comparison.plan.seeds):
        for contestant in contestants:
            if i > 0 and contestant.kind != "trained":
                continue
            folder = folder_name(contestant.plan.label)
            own = seed if contestant.kind != "as it is" else None
            config = contestant.config and replace(contestant.config, training=replace(contestant.config.training, seed=seed))
            place = f"{folder}/seed-{seed}" if own is not None else f"{folder}/as-it-is"
            job = Job(
                arm=contestant.plan.label, seed=own, config=config, out=out, run=contestant.run or out / "runs" / place,
                results=f"results/{place}", store=contestant.store.path, split=comparison.split, first=i == 0,
                samples=comparison.plan.samples if _measurable(contestant, store) else None,
            )  # fmt: skip
            jobs.append(job)
    return jobs


def _finished(out: Path, comparison: Comparison, jobs: Sequence[Job]) -> dict[tuple[str, int | None], RunResult]:
    """The results of an earlier call that still hold: scored, with the weights that are there."""
    before = {(arm.label, run.seed): run for arm in comparison.arms for run in arm.runs if run.status != "failed"}
    found = {}
    for job in jobs:
        result = before.get((job.arm, job.seed))
        if result is None or result.weights is None or (job.samples is not None and result.samples is None):
            continue
        if result.weights == weights_hash(job.run):
            found[job.arm, job.seed] = result
    return found


def _with_results(comparison: Comparison, jobs: Sequence[Job], results: dict[tuple[str, int | None], RunResult]) -> Comparison:
    """The comparison with what is known so far, in the order of the seeds."""
    keys = {arm.label: sorted((job.seed for job in jobs if job.arm == arm.label), key=lambda seed: seed or 0) for arm in comparison.arms}
    return replace(
        comparison,
        arms=[
            replace(arm, runs=[results[arm.label, seed] for seed in keys[arm.label] if (arm.label, seed) in results])
            for arm in comparison.arms
        ],
    )


def _judge(out: Path, comparison: Comparison, calibration: Calibration | None) -> Comparison:
    """Differences and verdicts of what is there."""

    def units(run: RunResult) -> Units:
        assert run.results is not None
        likelihood = load_likelihood(out / run.results)
        return Units("documents" if likelihood.blocks is None else "blocks", likelihood.units)

    differences = find_differences(comparison.arms, unit=comparison.unit, units_of=units)
    verdict = say(comparison.arms, differences, unit=comparison.unit, budget=comparison.plan.budget)
    comparison = replace(comparison, differences=differences, verdict=verdict)
    if calibration is None:
        return comparison
    measured = read_measured(out, comparison)
    of_samples = find_sample_differences(comparison.arms, measured)
    return replace(
        comparison, sample_differences=of_samples, sample_verdict=say_samples(comparison.arms, of_samples, calibration, measured)
    )


def _workers(asked: int | None, jobs: Sequence[Job]) -> int:
    """How many runs at a time."""
    if asked is not None:
        return min(asked, len(jobs))
    if any(job.config is not None and choose_runtime(job.config.training).device != "cpu" for job in jobs):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, len(jobs)))
