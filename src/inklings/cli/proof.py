"""The output of `inklings audit RUN --memory`.

Each way of reading, the table, and the conclusion.
"""

from __future__ import annotations

import textwrap

from inklings.auditing.memory.proof import ARMS, Change, MemoryProof, ProofArm, prove
from inklings.auditing.memory.verdict import say_proof
from inklings.auditing.subjects import Subject
from inklings.cli.table import name_column, number_column, words_column
from inklings.cli.terminal import Terminal
from inklings.device import Runtime, threads_of
from inklings.errors import SourceError
from inklings.text.documents import SplitName
from inklings.text.store import TokenSplit, TokenStore

COLUMNS = (
    name_column(),
    number_column("nats"),
    number_column("perplexity", 3),
    number_column("change"),
    number_column("95% interval", 2),
)
WIDTH = 100
"""Columns that the sentence may take, where the terminal has as many."""


def show_proof(subject: Subject, terminal: Terminal, *, targets: int | None) -> int:
    """Carry out the proof of a run's memory and show it.

    Return exit code 3 if the gain cannot be the memory's, else 0.

    Args:
        subject: the run.
        terminal: where it is shown.
        targets: read whole documents until they hold this many targets; None reads all.

    Raises:
        InputError: the text cannot be used.
    """
    assert subject.trained is not None
    assert subject.store is not None
    other: SplitName = "test" if subject.split == "validation" else "validation"
    terminal.say(
        f"the memory of {subject.label}, on its {subject.split} split; what is chosen is chosen on"
        f" {other}",
        style="bold",
    )
    done = 0

    def show(arm: ProofArm) -> None:
        """Tell that an arm is done."""
        nonlocal done
        done += 1
        loss = "not applicable" if arm.loss is None else f"{arm.loss:.4f} nats per token"
        terminal.say(f"  {done}/{len(ARMS)} {arm.name}: {loss}", style="dim")

    with threads_of(Runtime(threads=1)):
        proof = prove(
            subject.trained,
            subject.store.split(subject.split),
            fit=_other(subject.store, other),
            targets=targets,
            on_arm=show,
        )
    terminal.say()
    terminal.table(COLUMNS, _rows(proof))
    terminal.say()
    terminal.table(
        (name_column(), words_column("what it is")),
        [*((arm.name, arm.note) for arm in proof.arms), *_parts(proof)],
    )
    terminal.say(f"\n{_facts(proof)}", style="dim")
    sentence = say_proof(proof)
    width = max(40, min(WIDTH, terminal.console.width - 1))
    terminal.say(
        "\n" + "\n".join(textwrap.wrap(sentence, width)),
        style="bold green" if proof.holds else "bold red",
    )
    terminal.result(
        {
            "subject": subject.label,
            "split": subject.split,
            "verdict": sentence,
            "holds": proof.holds,
            **proof.plain(),
        }
    )
    return 0 if proof.holds else 3


def _other(store: TokenStore, name: SplitName) -> TokenSplit | None:
    try:
        return store.split(name)
    except SourceError:  # it has no such split
        return None


def _rows(proof: MemoryProof) -> list[list[str]]:
    """Return the arms that apply, and the parts of the text."""
    rows = [
        [arm.name, f"{arm.loss:.4f}", f"{arm.perplexity:.2f}", *_changed(arm.change)]
        for arm in proof.arms
        if arm.loss is not None and arm.perplexity is not None
    ]
    return rows + [
        [name, "", "", *_changed(part.change)]
        for name, part in (("repeated tokens", proof.seen), ("new tokens", proof.new))
    ]


def _parts(proof: MemoryProof) -> list[tuple[str, str]]:
    return [
        (
            "repeated tokens",
            (
                f"the memory's change for the {proof.seen.share:.0%} of targets that occurred in"
                " their document before"
            ),
        ),
        ("new tokens", f"for the {proof.new.share:.0%} that did not"),
    ]


def _changed(change: Change | None) -> tuple[str, str]:
    return ("", "") if change is None else (f"{change.percent[0]:+.1f}%", interval(change))


def interval(change: Change) -> str:
    """Format an interval of perplexity: `-20.4% to -17.8%`."""
    _, low, high = change.percent
    return "not known" if low is None or high is None else f"{low:+.1f}% to {high:+.1f}%"


def _facts(proof: MemoryProof) -> str:
    """Print the facts that all figures rest on."""
    of = proof.provenance
    wrong = of.ahead + of.untrue
    origin = (
        f"{wrong:,} of them are not from before their targets"
        if wrong
        else "all of them from before their targets"
    )
    unit = proof.resampled + (" of 2 KiB" if proof.unit == "blocks" else "")
    return f"{proof.targets:,} targets, {unit} resampled; {of.hits:,} hits traced, {origin}."
