"""Steps before the ranked runs of an arm: the audit, the learning-rate search, the probes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inklings.auditing.audit import audit, before_training, dishonest
from inklings.auditing.findings import Finding
from inklings.auditing.subjects import of_architecture
from inklings.config import RunConfig, scaled_rates
from inklings.errors import InklingsError
from inklings.events import OnEvent, WorkItem, note, stage
from inklings.lab.comparison.arms import ResolvedArm, folder_name
from inklings.lab.comparison.learning_rate import search_rate
from inklings.lab.comparison.rates import RateSearch
from inklings.lab.comparison.result import ArmResult, Comparison, ProbeResult
from inklings.lab.comparison.resume import finished
from inklings.lab.execution.processes import TaskHandler
from inklings.lab.probes.probe import probe
from inklings.lab.probes.tasks import TASKS
from inklings.lab.shards.shard import Share
from inklings.runs.lock import in_turn
from inklings.text.store import TokenStore

DoAll = Callable[[Sequence[Any], TaskHandler[Any, Any]], Iterator[tuple[Any, Any]]]
"""Does tasks, on one machine or many; see `workers.do_jobs`."""
Keep = Callable[[Comparison], None]
"""Writes a comparison down."""


@dataclass(frozen=True, kw_only=True)
class Preliminary:
    """A task of an arm before its runs."""

    arm: str
    what: str
    config: RunConfig
    folder: Path
    store: Path
    trials: int = 0
    seed: int | None = None

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"{self.arm} {self.what}"


def audited(
    comparison: Comparison, contestants: Sequence[ResolvedArm], share: Share, report: OnEvent
) -> Comparison:
    """Audit every architecture of the share that was not audited yet; return it with the findings.

    An arm that fails is trained and shown, but not ranked.

    Args:
        comparison: the comparison so far.
        contestants: its arms, settled.
        share: what of it is done here.
        report: called with every event.
    """
    arms: list[ArmResult] = []
    waiting = audits_ahead(comparison, contestants, share)
    for arm, contestant in zip(comparison.arms, contestants, strict=True):
        if (
            contestant.smaller_of or contestant.plan.copy
        ):  # the same architecture: what is found of the one holds for the other
            first = contestant.smaller_of or _original(contestants, arm)
            arm = replace(arm, audit=next(done.audit for done in arms if done.label == first))
        elif contestant.config is not None and arm.label in waiting:
            place = waiting.index(arm.label) + 1
            report(stage(f"auditing {arm.label}, {place} of {len(waiting)}"))
            subject = of_architecture(arm.label, contestant.config, contestant.store)
            arm = replace(arm, audit=list(audit(subject, only=before_training()).findings))
            tell_failures(arm.label, arm.audit, report)
        arms.append(arm)
    return replace(comparison, arms=arms)


def tell_failures(label: str, findings: Sequence[Finding], report: OnEvent) -> None:
    """Say for which findings an arm will not be ranked.

    Args:
        label: the arm.
        findings: of its audit.
        report: called with a note for each.
    """
    for finding in dishonest(findings):
        text = f"{label} fails {finding.check} and will not be ranked: {finding.summary}"
        report(note(text))


def audits_ahead(
    comparison: Comparison, contestants: Sequence[ResolvedArm], share: Share
) -> list[str]:
    """Return the labels of the share's arms that are still to be audited before their runs.

    Args:
        comparison: the comparison so far.
        contestants: its arms, settled.
        share: what of it is done here.
    """
    done = {arm.label for arm in comparison.arms if arm.audit}
    return [
        c.plan.label
        for c in contestants
        if c.config is not None
        and c.plan.label in share.begun
        and not (c.smaller_of or c.plan.copy or c.plan.label in done)
    ]


def searched(
    comparison: Comparison,
    contestants: Sequence[ResolvedArm],
    share: Share,
    out: Path,
    keep: Keep,
    do_all: DoAll,
) -> Comparison:
    """Search the learning rate of every arm of the share; return the comparison with the results.

    Each is saved as it ends. Copies of an arm share one.

    Args:
        comparison: the comparison so far.
        contestants: its arms, settled.
        share: what of it is done here.
        out: its folder.
        keep: writes it down.
        do_all: does the searches.
    """
    for task, search in do_all(
        _searches(comparison, contestants, share, out), TaskHandler(_search, _search_died)
    ):
        comparison = replace(
            comparison,
            arms=[
                replace(arm, search=search) if _original(contestants, arm) == task.arm else arm
                for arm in comparison.arms
            ],
        )
        keep(comparison)
    return comparison


def probed(
    comparison: Comparison,
    contestants: Sequence[ResolvedArm],
    share: Share,
    out: Path,
    keep: Keep,
    do_all: DoAll,
) -> Comparison:
    """Probe every arm that begins in the share; return the comparison with the results.

    Each is saved as it ends.

    Args:
        comparison: the comparison so far.
        contestants: its arms, settled.
        share: what of it is done here.
        out: its folder.
        keep: writes it down.
        do_all: does the probes.
    """
    for task, found in do_all(
        probes_ahead(comparison, contestants, share, out), TaskHandler(_probe, _probe_died)
    ):
        comparison = replace(
            comparison,
            arms=[
                replace(arm, probes=found) if _original(contestants, arm) == task.arm else arm
                for arm in comparison.arms
            ],
        )
        keep(comparison)
    return comparison


def work_ahead(
    comparison: Comparison, contestants: Sequence[ResolvedArm], share: Share, out: Path
) -> list[WorkItem]:
    """Return the searches, probes and runs that are still to be done.

    Args:
        comparison: the comparison so far.
        contestants: its arms, settled.
        share: what of it is done here.
        out: its folder.
    """
    kinds = {c.plan.label: c.kind for c in contestants}
    items: list[WorkItem] = [
        {
            "run": task.name,
            "arm": task.arm,
            "stage": "learning-rate search",
            "weight": float(task.trials),
            "trials": task.trials,
        }
        for task in _searches(comparison, contestants, share, out)
    ]
    items += [
        {"run": task.name, "arm": task.name, "stage": "probe", "weight": 1.0, "trials": len(TASKS)}
        for task in probes_ahead(comparison, contestants, share, out)
    ]
    done = finished(comparison, share.runs)
    for job in share.runs:
        if (job.arm, job.seed) not in done:
            # decayed checkpoints share the steps before they leave
            branches = job.branches
            steps = branches[-1].leaves if branches else job.steps
            steps += sum(branch.steps - branch.leaves for branch in branches)
            weight = steps / job.steps if branches else 1.0
            items.append(
                {
                    "run": job.name,
                    "arm": job.arm,
                    "stage": "run",
                    "weight": weight if kinds[job.arm] == "trained" else 0.0,
                    "trials": 1,
                }
            )
    return items


def _searches(
    comparison: Comparison, contestants: Sequence[ResolvedArm], share: Share, out: Path
) -> list[Preliminary]:
    """Return the searches that the share's runs need and that are not over."""
    needed = {_original(contestants, arm) for arm in comparison.arms if arm.label in share.arms}
    return [
        replace(task, folder=out / "search" / folder_name(task.arm), trials=comparison.plan.rates)
        for task in _tasks(contestants, "learning rate", out)
        if comparison.plan.rates and task.arm in needed and not _found(comparison, task.arm)
    ]


def probes_ahead(
    comparison: Comparison, contestants: Sequence[ResolvedArm], share: Share, out: Path
) -> list[Preliminary]:
    """Return the share's probes that are not done, at the rates found so far.

    Args:
        comparison: the comparison so far.
        contestants: its arms, settled.
        share: what of it is done here.
        out: its folder.
    """
    arms = {arm.label: arm for arm in comparison.arms}
    return [
        replace(task, config=with_rate(task.config, arms[task.arm].search))
        for task in _tasks(contestants, "probes", out)
        if comparison.plan.probes
        and task.arm in share.begun
        and not arms[task.arm].probes
        and arms[task.arm].smaller_of is None
    ]


def with_rate(config: RunConfig, search: RateSearch | None) -> RunConfig:
    """Return the settings with the learning rates that were found for them."""
    if search is None:
        return config
    return replace(config, training=scaled_rates(config.training, search.factor))


def _tasks(contestants: Sequence[ResolvedArm], what: str, out: Path) -> list[Preliminary]:
    """Make a task for each different arm that learns by gradient on its likelihood."""
    return [
        Preliminary(arm=c.plan.label, what=what, config=c.config, folder=out, store=c.store.path)
        for c in contestants
        if c.config is not None and c.learns_by_likelihood and not c.plan.copy
    ]


def _original(contestants: Sequence[ResolvedArm], arm: ArmResult) -> str:
    """Return the first of the arms that are the same as this one."""
    plan = next(c.plan for c in contestants if c.plan.label == arm.label)
    return next(
        c.plan.label
        for c in contestants
        if c.plan.copy == 0 and (c.plan is plan or c.plan.config == plan.config)
    )


def _found(comparison: Comparison, label: str) -> bool:
    search = next(arm.search for arm in comparison.arms if arm.label == label)
    return search is not None and search.message is None


def _search(task: Preliminary, on_event: OnEvent) -> RateSearch | None:
    try:
        # Shards that share a folder need the same rate: the first to come searches, the others wait
        # and find what is written down.
        with in_turn(task.folder):
            return search_rate(
                task.config,
                task.folder,
                TokenStore(task.store),
                trials=task.trials,
                on_event=on_event,
            )
    except InklingsError as error:
        return RateSearch(trials=[], factor=1.0, message=str(error))


def _search_died(task: Preliminary, message: str) -> RateSearch:
    return RateSearch(trials=[], factor=1.0, message=message)


def _probe(task: Preliminary, on_event: OnEvent) -> list[ProbeResult] | None:
    try:
        return probe(task.config, on_event=on_event)
    except InklingsError as error:
        on_event(note(f"the probes of {task.arm} came to nothing: {error}"))
        return []


def _probe_died(task: Preliminary, message: str) -> list[ProbeResult]:
    return []
