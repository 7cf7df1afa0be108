"""The runs of a comparison: one for each arm and seed, as tasks for other processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inklings.config import RunConfig
from inklings.device import choose_runtime, usable_cores
from inklings.lab.comparison.arms import folder_name
from inklings.lab.comparison.before_runs import with_rate
from inklings.lab.comparison.request import COPY_SEEDS, Request
from inklings.lab.comparison.result import Comparison
from inklings.lab.comparison.resume import measurable
from inklings.lab.execution.run_arm import ArmRun


def planned_runs(out: Path, asked: Request, comparison: Comparison) -> list[ArmRun]:
    """Return every (arm, seed), seed by seed, so that a comparison stopped early has all arms.

    Args:
        out: the folder of the comparison.
        asked: what it was asked for.
        comparison: what is known of it so far.
    """
    searches = {arm.label: arm.search for arm in comparison.arms}
    jobs = []
    for i, seed in enumerate(comparison.plan.seeds):
        for contestant in asked.contestants:
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
                    if measurable(contestant, asked.store) and not beside
                    else None
                ),
                trust_code=asked.trust_code,
                steps=plan.steps or 0,
                branches=[
                    replace(branch, config=of_seed(branch.config)) for branch in contestant.branches
                ],
            )
            jobs.append(job)
    return jobs


def workers_for(asked: int | None, tasks: Sequence[Any]) -> int:
    """Return how many tasks at a time."""
    if asked is not None:
        return max(1, min(asked, len(tasks)))
    if any(
        task.config is not None and choose_runtime(task.config.training).device != "cpu"
        for task in tasks
    ):
        return 1
    return max(1, min(usable_cores(), len(tasks)))
