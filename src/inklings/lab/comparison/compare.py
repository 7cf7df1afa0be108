"""`compare`: train arms under one budget, score them on held-out text, and say which is better.

A comparison is a folder. The same call goes on where it stopped: a run that is complete is not
trained again, and one that is scored is not scored again. More arms or more seeds may be added to
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from inklings.config import DataConfig
from inklings.evaluation.samples.reference_set import ReferenceSet
from inklings.events import OnEvent, note, silent
from inklings.lab.comparison.arms import ResolvedArm
from inklings.lab.comparison.before_runs import (
    Preliminary,
    audited,
    probed,
    searched,
    work_ahead,
)
from inklings.lab.comparison.judging import judged
from inklings.lab.comparison.request import Request, settle_request
from inklings.lab.comparison.result import Comparison
from inklings.lab.comparison.resume import (
    apart,
    finished,
    plan_before,
    save,
    with_results,
)
from inklings.lab.comparison.run_samples import ground_of
from inklings.lab.comparison.runs import planned_runs, workers_for
from inklings.lab.comparison.sample_settings import calibrated
from inklings.lab.comparison.settings import Method
from inklings.lab.execution.processes import TaskHandler, do_jobs
from inklings.lab.execution.ray_cluster import do_jobs_on_cluster
from inklings.lab.execution.run_arm import RUNS
from inklings.lab.shards.beginning import begun
from inklings.lab.shards.shard import WHOLE, Shard, Share
from inklings.runs.arms import Arm
from inklings.runs.interruption import Interruption
from inklings.text.store import TokenStore
from inklings.training.text_notes import overlap_notes


def compare(
    arms: Sequence[Arm],
    *,
    out: Path,
    seeds: Sequence[int],
    data: DataConfig | None = None,
    budget: str | None = None,
    method: Method | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    shard: Shard = WHOLE,
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
        shard: do this share of the runs alone, and judge nothing; `merge` makes the whole of all
            shards. Each is written down in a folder of its own, `out/shards/I-of-N`.
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
    asked = settle_request(
        arms,
        seeds=seeds,
        data=data,
        budget=budget,
        method=method or Method(),
        workers=workers,
        before=plan_before(shard.home(out)),
        trust_code=trust_code,
        on_event=report,
    )
    for sentence in overlap_notes(asked.store):
        report(note(sentence))
    with begun(out, asked, shard, command) as comparison:
        return _made(asked, comparison, out, shard, workers, cluster, report)


def _made(
    asked: Request,
    comparison: Comparison,
    out: Path,
    shard: Shard,
    workers: int | None,
    cluster: str | None,
    report: OnEvent,
) -> Comparison:
    """Do what is still to be done of a comparison, or of a shard of it.

    Args:
        asked: the comparison as it was asked for.
        comparison: what is known of it so far.
        out: as in `compare`; so are `shard`, `workers` and `cluster`.
        shard: what of it is done here.
        workers: how many runs at a time.
        cluster: where they are done.
        report: called with every event.
    """
    plan, contestants, store, split = asked.plan, asked.contestants, asked.store, asked.split
    keep = partial(save, shard.home(out))
    share = shard.share(planned_runs(out, asked, comparison))
    drawn = plan.samples
    calibration = (
        None
        if drawn is None or shard.number != 1  # one measures it for all
        else calibrated(out, _named(ground_of(store.path, split, drawn), store), report)
    )
    comparison = audited(comparison, contestants, share, report)
    keep(comparison)

    def do_all(tasks: Sequence[Any], work: TaskHandler[Any, Any]) -> Iterator[tuple[Any, Any]]:
        if cluster is None:
            done = do_jobs(tasks, work, workers=workers_for(workers, tasks), on_event=report)
        else:
            done = do_jobs_on_cluster(tasks, work, address=cluster, on_event=report)
        for task, made in done:
            yield task, made
            if isinstance(task, Preliminary):
                report({"event": "result", "run": task.name, "loss": None})

    items = work_ahead(comparison, contestants, share, out)
    report({"event": "work", "items": items, "workers": workers_for(workers, share.runs)})
    with Interruption():  # one Ctrl-C ends searches, probes and runs alike
        comparison = searched(comparison, contestants, share, out, keep, do_all)
        comparison = probed(comparison, contestants, share, out, keep, do_all)
        jobs = shard.share(planned_runs(out, asked, comparison)).runs
        results = finished(comparison, jobs)
        if _ready(comparison, contestants, share):
            waiting = [job for job in jobs if (job.arm, job.seed) not in results]
            if len(waiting) < len(jobs):
                report(
                    note(
                        f"{len(jobs) - len(waiting)} of {len(jobs)} runs are there already and"
                        " are used again."
                    )
                )
            comparison = with_results(comparison, jobs, results)
            keep(comparison)
            for job, result in do_all(waiting, RUNS):
                results[job.arm, job.seed] = result
                comparison = with_results(comparison, jobs, results)
                keep(comparison)
                text = f"{job.name} {result.status}: {result.message}" if result.message else None
                if text:
                    report(note(text))
                report({"event": "result", "run": job.name, "loss": result.loss})
    complete = len(results) == len(jobs)
    comparison = replace(apart(comparison), status="complete" if complete else "interrupted")
    if shard.is_whole:
        comparison = judged(out, comparison, calibration)
    keep(comparison)
    if not complete:
        text = (
            f"Interrupted with {len(results)} of {len(jobs)} runs done; all is saved. The same"
            " command goes on where it stopped."
        )
        report(note(text))
    return comparison


def _named(ground: ReferenceSet, store: TokenStore) -> ReferenceSet:
    """Return the ground under the name by which the text was asked for.

    The store may be that of another file with the same bytes.
    """
    return replace(ground, setting=replace(ground.setting, source=store.manifest["source"]["name"]))


def _ready(comparison: Comparison, contestants: Sequence[ResolvedArm], share: Share) -> bool:
    """Return whether all searches for learning rates of the share are over.

    Then every arm has the rate that it is trained with.
    """
    waiting = {
        c.plan.label for c in contestants if c.learns_by_likelihood and comparison.plan.rates
    }
    return all(
        arm.search is not None for arm in comparison.arms if arm.label in waiting & share.arms
    )
