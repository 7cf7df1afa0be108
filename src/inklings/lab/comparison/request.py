"""What a comparison is asked for, settled: its contestants, their plan, and the text.

Nothing is written to the comparison's folder here, and nothing is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inklings.config import DataConfig, to_mapping
from inklings.errors import ConfigError
from inklings.events import OnEvent
from inklings.lab.comparison.arms import ResolvedArm, Terms, settle, unique_labels
from inklings.lab.comparison.plan import Plan
from inklings.lab.comparison.resume import Split
from inklings.lab.comparison.sample_settings import plan_samples
from inklings.lab.comparison.settings import Method, method_of
from inklings.models.objectives import objective_of
from inklings.models.own_code.contract_check import try_contract
from inklings.models.registry import load_class
from inklings.models.sizes import non_embedding_count
from inklings.runs.arms import Arm
from inklings.runs.directory import RunDirectory
from inklings.runs.own_text import own_store
from inklings.text.store import TokenStore, prepare
from inklings.training.budgets.budget import parse_budget
from inklings.training.setup import fresh_model

FLOOR = "ngram"
"""The baseline: interpolated modified Kneser-Ney, of its default order."""
COPY_SEEDS = 1_000_000
"""Distance between the seeds of copies of an arm; a copy differs in its first weights alone."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A comparison that can begin."""

    plan: Plan
    contestants: list[ResolvedArm]
    """Those of the plan, and smaller ones."""
    store: TokenStore
    split: Split
    """The part of the text that the finished runs are ranked on."""
    trust_code: bool


def settle_request(
    arms: Sequence[Arm],
    *,
    seeds: Sequence[int],
    data: DataConfig | None,
    budget: str | None,
    method: Method,
    workers: int | None,
    before: Plan | None,
    trust_code: bool,
    on_event: OnEvent,
) -> Request:
    """Settle all arms, and what they share.

    Args:
        arms: as in `compare`; so are `seeds`, `data`, `budget`, `workers` and `trust_code`.
        seeds: of each arm.
        data: the text.
        budget: of each trained arm.
        method: how the arms are made comparable.
        workers: how many runs at a time.
        before: the plan of an earlier call, whose measurements hold.
        trust_code: of runs of other machines.
        on_event: called with every event as it happens.

    Raises:
        InputError: an arm, the budget or the text cannot be used.
    """
    report = on_event
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
    return Request(
        plan=plan, contestants=contestants, store=store, split=split, trust_code=trust_code
    )


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
