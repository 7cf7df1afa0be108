"""`compare`: train arms under one budget, score them on held-out text, and say which is better.

A comparison is a folder. The same call goes on where it stopped: a run that is complete is not
trained again, and one that is scored is not scored again. More arms or more seeds may be added to
it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inklings.config import DataConfig, RunConfig, to_mapping
from inklings.device import choose_runtime
from inklings.errors import ConfigError
from inklings.evaluation.samples.reference_set import ReferenceSet
from inklings.events import OnEvent, note, silent
from inklings.lab.comparison.arms import ResolvedArm, Terms, folder_name, settle, unique_labels
from inklings.lab.comparison.before_runs import audited, probed, searched, with_rate
from inklings.lab.comparison.judging import judged
from inklings.lab.comparison.plan import Plan
from inklings.lab.comparison.result import Comparison
from inklings.lab.comparison.resume import (
    Split,
    apart,
    begin,
    finished,
    measurable,
    plan_before,
    save,
    with_results,
)
from inklings.lab.comparison.run_samples import ground_of
from inklings.lab.comparison.sample_settings import calibrated, plan_samples
from inklings.lab.comparison.settings import ComparisonSettings, method_of
from inklings.lab.execution.processes import TaskHandler, do_jobs
from inklings.lab.execution.ray_cluster import do_jobs_on_cluster
from inklings.lab.execution.run_arm import RUNS, ArmRun
from inklings.models.objectives import objective_of
from inklings.models.own_code.contract_check import try_contract
from inklings.models.registry import load_class
from inklings.models.sizes import non_embedding_count
from inklings.runs.arms import Arm
from inklings.runs.directory import RunDirectory
from inklings.runs.interruption import Interruption
from inklings.runs.own_text import own_store
from inklings.text.store import TokenStore, prepare
from inklings.training.budgets.budget import parse_budget
from inklings.training.setup import fresh_model

FLOOR = "ngram"
"""The baseline: interpolated modified Kneser-Ney, of its default order."""
COPY_SEEDS = 1_000_000
"""Distance between the seeds of copies of an arm; a copy differs in its first weights alone."""


def compare(
    arms: Sequence[Arm],
    *,
    out: Path,
    seeds: Sequence[int],
    data: DataConfig | None = None,
    budget: str | None = None,
    method: ComparisonSettings | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    command: str | None = None,
    trust_code: bool = False,
    on_event: OnEvent = silent,
) -> Comparison:
    """Train several arms with several seeds under one budget, and compare them.

    The results are in `out/comparison.json` and, as they come, in the folders beside it.

    Args:
        arms: at least two contestants; existing runs are scored as they are. One that is named
            again is trained again with other first weights and everything else alike: what
            separates the copies is chance.
        out: a new folder, or one with this comparison begun.
        seeds: each arm is trained with each of them; arms that count are deterministic and run
            once.
        data: the text; None takes that of the first arm that has one.
        budget: for every trained arm; None takes that of the first trained arm.
        method: how the arms are made comparable; None takes them as they are.
        workers: how many runs at a time, each in its own process and on one thread; None takes one
            a core (one on a GPU).
        cluster: address of a Ray cluster that does the runs instead, `auto` for the one that this
            machine is part of; its machines must see `out` and the prepared text at the same paths.
        command: the command line that repeats this, for the report.
        trust_code: whether the Python code of runs among the arms may be run although another user
            or machine made it.
        on_event: called with every event of every run, which carries `run`, `arm` and `seed`.

    Returns:
        The comparison; `status` is "interrupted" if Ctrl-C or SIGTERM came (the same call goes on),
            and runs that failed are among the results with their message.

    Raises:
        InputError: an arm, the budget or the text cannot be used, or `out` holds something else.
            Nothing was trained.
        MissingExtraError: Ray is not installed, for a cluster.
    """
    report = on_event
    method = method or ComparisonSettings()
    own_text = data is None and all(arm.config is None for arm in arms)
    data = data or _first_data(arms)
    budget = budget or next(
        (arm.config.training.budget for arm in arms if arm.config is not None), None
    )
    if budget is not None:
        parse_budget(budget)
    check_request(arms, seeds, workers)
    for arm in arms:
        if arm.config is not None:
            try_contract(arm.config.architecture, arm.config.model)
    store = _own_text(arms, report) if own_text else prepare(data, on_event=report)
    split: Split = "test" if store.manifest["splits"]["test"]["documents"] else "validation"
    before = plan_before(out)
    parameters = _first_size(arms, store) if method.parameters == "auto" else method.parameters
    terms = Terms(
        data=data,
        budget=budget,
        store=store,
        points=method.points,
        parameters=parameters,
        before=before,
        trust_code=trust_code,
    )
    floor = _floor(arms) if method.floor else []
    arms = [*arms, *floor]
    labels = unique_labels(arms)
    contestants = [
        settle(arm, labels[i], _copies(arms, i), terms, report) for i, arm in enumerate(arms)
    ]
    contestants[len(arms) - len(floor) :] = [
        replace(c, floor=True) for c in contestants[len(arms) - len(floor) :]
    ]
    contestants += [
        settled for c in contestants for settled in _smaller(c, method.sizes, terms, report)
    ]
    drawn = plan_samples(
        method.samples, contestants, store, split, before.samples if before else None
    )
    plan = Plan(
        arms=[c.plan for c in contestants if c.smaller_of is None],
        seeds=sorted(seeds),
        data=to_mapping(data),
        budget=budget,
        samples=drawn,
        **{**method_of(method), "parameters": parameters},
    )
    comparison = begin(out, plan, contestants, store, split, command)
    calibration = (
        None
        if drawn is None
        else calibrated(out, _named(ground_of(store.path, split, drawn), store), report)
    )
    comparison = audited(comparison, contestants, report)
    save(out, comparison)

    def do_all(tasks: Sequence[Any], work: TaskHandler[Any, Any]) -> Iterator[tuple[Any, Any]]:
        if cluster is None:
            return do_jobs(tasks, work, workers=_workers(workers, tasks), on_event=report)
        return do_jobs_on_cluster(tasks, work, address=cluster, on_event=report)

    with Interruption():  # one Ctrl-C ends searches, probes and runs alike
        comparison = searched(comparison, contestants, out, do_all)
        comparison = probed(comparison, contestants, out, do_all)
        jobs = _jobs(out, contestants, comparison, terms)
        results = finished(comparison, jobs)
        if _ready(comparison, contestants):
            waiting = [job for job in jobs if (job.arm, job.seed) not in results]
            if len(waiting) < len(jobs):
                report(
                    note(
                        f"{len(jobs) - len(waiting)} of {len(jobs)} runs are there already and"
                        " are used again."
                    )
                )
            comparison = with_results(comparison, jobs, results)
            save(out, comparison)
            for job, result in do_all(waiting, RUNS):
                results[job.arm, job.seed] = result
                comparison = with_results(comparison, jobs, results)
                save(out, comparison)
                text = f"{job.name} {result.status}: {result.message}" if result.message else None
                report(
                    note(text)
                    if text
                    else {"event": "result", "run": job.name, "loss": result.loss}
                )
    complete = len(results) == len(jobs)
    comparison = judged(
        out,
        replace(apart(comparison), status="complete" if complete else "interrupted"),
        calibration,
    )
    save(out, comparison)
    if not complete:
        text = (
            f"Interrupted with {len(results)} of {len(jobs)} runs done; all is saved. The same"
            " command goes on where it stopped."
        )
        report(note(text))
    return comparison


def _first_data(arms: Sequence[Arm]) -> DataConfig:
    for arm in arms:
        if arm.config is not None:
            return arm.config.data
    for arm in arms:
        if arm.run is not None:
            return RunDirectory.open(arm.run).config.data
    raise ConfigError(
        "no arms were given. Name at least two, for example: inklings compare gpt mlp."
    )


def _own_text(arms: Sequence[Arm], report: OnEvent) -> TokenStore:
    """Return the text of the first run, where all arms are trained runs."""
    first = next(arm.run for arm in arms if arm.run is not None)
    return own_store(RunDirectory.open(first), on_event=report)


def check_request(arms: Sequence[Arm], seeds: Sequence[int], workers: int | None) -> None:
    """Refuse what can be refused before any work.

    Args:
        arms: the arms as they were given.
        seeds: of each arm.
        workers: how many runs at a time; None is always allowed.

    Raises:
        ConfigError: there are too few arms, one is named twice that cannot be, or a number is out
            of range.
    """
    if len(arms) < 2:
        raise ConfigError(f"{len(arms)} arm was given; a comparison needs at least two.")
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ConfigError(
            f"the seeds are {list(seeds)}; they must be different whole numbers from 0 on, at least"
            " one."
        )
    if max(seeds) >= COPY_SEEDS:
        raise ConfigError(
            f"the seed {max(seeds)} is too large; a comparison takes seeds below {COPY_SEEDS:,}."
        )
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; it must be at least 1.")
    for i, arm in enumerate(arms):
        if not _copies(arms, i):
            continue
        if arm.run is not None:
            raise ConfigError(
                f"{arm.label} is named twice, and a run that exists is what it is. Leave one out."
            )
        assert arm.config is not None
        if objective_of(load_class(arm.config.architecture)).one_pass:
            raise ConfigError(
                f"{arm.label} is named twice, and counting gives the same result each time. Leave"
                " one out."
            )


def _copies(arms: Sequence[Arm], place: int) -> int:
    """Return how many arms before this one are the same."""
    arm = arms[place]
    return sum(
        arm.config == other.config
        and (arm.run and arm.run.resolve()) == (other.run and other.run.resolve())
        for other in arms[:place]
    )


def _floor(arms: Sequence[Arm]) -> list[Arm]:
    """Return the n-grams to put beside the arms, where no arm counts."""
    configs = [arm.config for arm in arms if arm.config is not None]
    if not configs or any(
        objective_of(load_class(config.architecture)).one_pass for config in configs
    ):
        return []
    return [Arm(label=FLOOR, config=replace(configs[0], architecture=FLOOR, model={}))]


def _named(ground: ReferenceSet, store: TokenStore) -> ReferenceSet:
    """Return the ground under the name by which the text was asked for.

    The store may be that of another file with the same bytes.
    """
    return replace(ground, setting=replace(ground.setting, source=store.manifest["source"]["name"]))


def _first_size(arms: Sequence[Arm], store: TokenStore) -> int | None:
    """Return the parameters of the first trained arm."""
    for arm in arms:
        if (
            arm.config is not None
            and not objective_of(load_class(arm.config.architecture)).one_pass
        ):
            return non_embedding_count(fresh_model(arm.config, store))
    return None


def _smaller(
    contestant: ResolvedArm, sizes: int, terms: Terms, report: OnEvent
) -> list[ResolvedArm]:
    """Return a contestant at half its size, half of that, and so on."""
    if contestant.config is None or not contestant.learns_by_likelihood or contestant.plan.copy:
        return []
    largest = non_embedding_count(fresh_model(contestant.config, terms.store))
    found = []
    for halvings in range(1, sizes):
        size = round(largest / 2**halvings)
        label = f"{contestant.plan.label} at {size:,} parameters"
        settled = settle(
            Arm(label=label, config=contestant.config),
            label,
            0,
            replace(terms, parameters=size, smaller=True),
            report,
        )
        found.append(replace(settled, smaller_of=contestant.plan.label))
    return found


def _ready(comparison: Comparison, contestants: Sequence[ResolvedArm]) -> bool:
    """Return whether all searches for learning rates are over.

    Then every arm has the rate that it is trained with.
    """
    waiting = {
        c.plan.label for c in contestants if c.learns_by_likelihood and comparison.plan.rates
    }
    return all(arm.search is not None for arm in comparison.arms if arm.label in waiting)


def _jobs(
    out: Path, contestants: Sequence[ResolvedArm], comparison: Comparison, terms: Terms
) -> list[ArmRun]:
    """Return every (arm, seed), seed by seed, so that a comparison stopped early has all arms."""
    searches = {arm.label: arm.search for arm in comparison.arms}
    jobs = []
    for i, seed in enumerate(comparison.plan.seeds):
        for contestant in contestants:
            if i > 0 and contestant.kind != "trained":
                continue
            plan = contestant.plan
            folder = folder_name(plan.label)
            own = seed if contestant.kind != "as it is" else None
            beside = contestant.floor or contestant.smaller_of is not None
            init = seed + COPY_SEEDS * plan.copy if plan.copy else None

            def of_seed(
                config: RunConfig,
                label: str = plan.label,
                seed: int = seed,
                init: int | None = init,
            ) -> RunConfig:
                config = with_rate(config, searches[label])
                return replace(
                    config,
                    training=replace(
                        config.training, seed=seed, init_seed=init or config.training.init_seed
                    ),
                )

            place = f"{folder}/seed-{seed}" if own is not None else f"{folder}/as-it-is"
            job = ArmRun(
                arm=plan.label,
                seed=own,
                config=contestant.config and of_seed(contestant.config),
                out=out,
                run=contestant.run or out / "runs" / place,
                results=f"results/{place}",
                store=contestant.store.path,
                split=comparison.split,
                first=i == 0 and contestant.smaller_of is None,
                samples=(
                    comparison.plan.samples
                    if measurable(contestant, terms.store) and not beside
                    else None
                ),
                trust_code=terms.trust_code,
                steps=plan.steps or 0,
                branches=[
                    replace(branch, config=of_seed(branch.config)) for branch in contestant.branches
                ],
            )
            jobs.append(job)
    return jobs


def _workers(asked: int | None, tasks: Sequence[Any]) -> int:
    """Return how many tasks at a time."""
    if asked is not None:
        return max(1, min(asked, len(tasks)))
    if any(
        task.config is not None and choose_runtime(task.config.training).device != "cpu"
        for task in tasks
    ):
        return 1
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min(cores, len(tasks)))
