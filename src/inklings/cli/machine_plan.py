"""The output of `inklings train --dry-run --on 8xH100`: what was computed for that machine."""

from __future__ import annotations

from collections.abc import Callable

from inklings.amounts import byte_size, short_count
from inklings.cli.table import number_column, words_column
from inklings.cli.terminal import Terminal
from inklings.training.planning.holdings import Holding
from inklings.training.planning.machine_plan import MachinePlan


def show_machine_plan(plan: MachinePlan, terminal: Terminal) -> None:
    """Print what a run would take on a machine that is not here."""
    terminal.say(f"on {plan.machine}: computed, nothing of it was measured", style="bold")
    for what in plan.missing:
        terminal.say(f"not computed: {what}")
    if not plan.flops_per_step:
        return
    per_second = f"at {plan.share_of_peak:.0%} of the peak, nothing sent"
    rows = [
        ("peak", f"{plan.peak / 1e12:,.0f} TFLOP/s", f"of all cards, in {plan.precision}"),
        ("FLOPs of a step", short_count(plan.flops_per_step), "of all cards"),
        ("memory traffic", _bytes(plan.bytes_per_step), "of a card in a step, at least"),
        ("a step", _seconds(plan.step_seconds), f"{per_second}, or as memory allows"),
        ("tokens a second", f"{plan.tokens_per_second:,.0f}", per_second),
        ("read", f"{_bytes(plan.read_per_second)}/s", "of tokens, by each process"),
        ("fed", f"{_bytes(plan.fed_per_second)}/s", "to each card"),
        (
            "a checkpoint",
            _bytes(plan.checkpoint_bytes),
            "" if plan.checkpoint_seconds is None else f"{_seconds(plan.checkpoint_seconds)} at"
            " 1 GB/s; process 0 writes it, by fsdp each process its part",
        ),
    ]  # fmt: skip
    terminal.table([words_column(), number_column(""), words_column()], rows)
    if plan.shares:
        lines: list[tuple[str, Callable[[Holding], str]]] = [
            ("weights", lambda share: byte_size(share.weights)),
            ("gradients", lambda share: byte_size(share.gradients)),
            ("optimiser", lambda share: byte_size(share.optimizer)),
            ("what is exchanged", lambda share: byte_size(share.exchanged)),
            ("activations", lambda share: byte_size(share.activations)),
            ("together", lambda share: byte_size(share.memory)),
            ("sent in a step", lambda share: _bytes(share.sent)),
            ("sending", lambda share: _seconds(share.sending_seconds)),
        ]
        possible = [share for share in plan.shares if share.refused is None]
        terminal.table(
            [
                words_column("of one process"),
                *(number_column(share.strategy) for share in possible),
            ],
            [(name, *(figure(share) for share in possible)) for name, figure in lines],
        )
    for share in plan.shares:
        if said := _remark(share, plan.machine):
            terminal.say(said)


def _remark(share: Holding, machine: str) -> str | None:
    if share.refused is not None:
        return f"{share.strategy} cannot train it: {share.refused}"
    if not share.fits:
        return (
            f"{share.strategy} does not fit: {byte_size(share.memory)} a card of {machine}. Take a"
            " smaller --training.batch-size, or --training.accumulate."
        )
    return None


def _bytes(amount: float | None) -> str:
    """Format decimal bytes, as speeds and disks are told in."""
    return "?" if amount is None else f"{short_count(round(amount))}B"


def _seconds(seconds: float) -> str:
    """Format a time that may be far below a second."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"
