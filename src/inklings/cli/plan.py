"""The output of `inklings train --dry-run`: the plan of a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from inklings.amounts import byte_size, duration
from inklings.cli.machine_plan import show_machine_plan
from inklings.cli.progress import Display
from inklings.cli.table import name_column, number_column, words_column
from inklings.cli.terminal import Terminal
from inklings.config import RunConfig, to_mapping
from inklings.models.objectives import objective_of
from inklings.models.registry import load_class
from inklings.optimizers import OPTIMIZERS
from inklings.training.plan import RunPlan, plan_run
from inklings.training.planning.accelerators import Machine


def show_plan(
    config: RunConfig,
    terminal: Terminal,
    *,
    initial: Path | None,
    extend_vocabulary: bool,
    trust_code: bool,
    on: Machine | None = None,
) -> int:
    """Print the resolved plan and train nothing.

    Args:
        config: settings of the run.
        terminal: where it is printed.
        initial: the run whose weights are the beginning.
        extend_vocabulary: add new characters of the training part to that run's tokenizer.
        trust_code: run the Python code of `initial` even if another user or machine made it.
        on: accelerators that are not here.
    """
    with Display(terminal) as display:
        plan = plan_run(
            config,
            initial=initial,
            extend_vocabulary=extend_vocabulary,
            on_event=display,
            trust_code=trust_code,
            on=on,
        )
    rows = [
        ("architecture", plan.config.architecture, ""),
        ("parameters", f"{plan.parameters:,}", f"vocabulary of {plan.vocab_size:,}"),
        (
            "receptive field",
            "all" if plan.receptive_field is None else f"{plan.receptive_field:,}",
            "tokens that can change a prediction",
        ),
        ("steps", f"{plan.steps:,}", ""),
        ("tokens", f"{plan.tokens:,}", f"{plan.epochs:.2f} times the training part"),
        *_rates(plan),
        ("FLOPs", f"{plan.flops:.3g}", "forward and backward"),
        (
            "memory",
            byte_size(plan.memory),
            "weights, gradients, optimiser and activations",
        ),
    ]
    if plan.seconds is not None:
        here = "of the training steps, evaluations not counted"
        rows.append(("expected time", duration(plan.seconds), here))
    terminal.table([words_column(), number_column(""), words_column()], rows)
    if plan.on is not None:
        show_machine_plan(plan.on, terminal)
    settings = to_mapping(plan.config)
    terminal.table(
        [name_column("setting"), words_column("value")],
        [(f"model.{k}", str(v)) for k, v in settings["model"].items()],
    )
    terminal.table(
        [name_column("setting"), words_column("value")],
        [(f"training.{k}", str(v)) for k, v in settings["training"].items()],
    )
    for reason in plan.reasons:
        terminal.say(reason, style="dim")
    terminal.result({**dataclasses.asdict(plan), "config": settings})
    return 0


def _rates(plan: RunPlan) -> list[tuple[str, str, str]]:
    """Return a row for each peak rate that the optimiser looks at."""
    training = plan.config.training
    if objective_of(load_class(plan.config.architecture)).without_rate:
        return []
    rates = OPTIMIZERS[training.optimizer].rates
    moves = "; one rate given moves all" if len(rates) > 1 else ""
    return [
        (
            rate.setting.replace("_", " "),
            f"{getattr(training, rate.setting):g}",
            f"of {rate.whose}, at its peak{moves if rate is rates[0] else ''}",
        )
        for rate in rates
    ]
