"""The audit.

Every check that applies to a subject, one after the other, whatever becomes of the others.

A subject is an architecture with settings, or a run. Checks of the architecture use random weights,
and a run's own as well.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from inklings.auditing.checks.branches import check_branches, check_gradients
from inklings.auditing.checks.causality import check_causality
from inklings.auditing.checks.contract import check_contract
from inklings.auditing.checks.data import check_coverage, check_overlap
from inklings.auditing.checks.from_noise import NoiseSubject, noise_checks
from inklings.auditing.checks.loss import check_loss, floors
from inklings.auditing.checks.novelty import check_novelty
from inklings.auditing.checks.prefixes import (
    CLIFF_ROWS,
    check_prefixes,
    text_windows,
    window_length,
)
from inklings.auditing.checks.reads_memory import check_memory
from inklings.auditing.checks.rows import check_documents, check_rows
from inklings.auditing.checks.streaming import check_generation, check_streaming
from inklings.auditing.checks.targets import check_random_tokens, check_targets
from inklings.auditing.findings import Finding
from inklings.auditing.learned_text import check_learned_overlap, learned_part
from inklings.auditing.probes import scrambled
from inklings.auditing.subjects import Subject
from inklings.device import Runtime, threads_of
from inklings.errors import InputError
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.generation.generate import generate
from inklings.generation.sampling import SamplingConfig
from inklings.models.contract import SequenceModel
from inklings.text.batches import Batch
from inklings.text.store import TokenStore
from inklings.training.objectives.likelihood import make_batches
from inklings.training.setup import settle_training

HONEST = ("contract", "causality", "prefixes", "rows", "documents", "targets", "random tokens")
"""Checks of the architecture and its loss: who fails one is not ranked, for its loss does not mean
what others' do.
"""
BEFORE = (
    "contract",
    "causality",
    "prefixes",
    "rows",
    "documents",
    "targets",
    "coverage",
    "streaming",
    "branches",
    "gradients",
)
"""What a comparison checks of an arm before it trains it."""
AFTER = ("prefixes", "rows", "branches")
"""What it checks once more of a trained run, where the text says what something is worth."""
OF_TEXT = ("overlap", "coverage", "novelty", "loss")
"""Checks that a text may be too small for. In the others an error of ours is raised by the model,
and fails them.
"""
TARGETS = 16_384
"""Held-out targets that are scored."""
BATCHES = 8
"""Training batches on which batch statistics are valued."""
SAMPLES = {"lines": (64, 48), "documents": (8, 192)}
"""By layout: samples, and tokens of each at most."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What the checks said."""

    subject: str
    trained: bool
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> list[Finding]:
        """The checks that should hold and do not."""
        return [finding for finding in self.findings if not finding.holds]

    def plain(self) -> dict[str, Any]:
        """As values for JSON."""
        return {
            "subject": self.subject,
            "trained": self.trained,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }


def dishonest(findings: Iterable[Finding]) -> list[Finding]:
    """Those failures for which a loss may not be ranked."""
    return [finding for finding in findings if not finding.holds and finding.check in HONEST]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def audit(
    subject: Subject | NoiseSubject,
    *,
    on_finding: Callable[[Finding], None] | None = None,
    only: Sequence[str] = (),
) -> Audit:
    """Carry out every check that applies, or those named in `only` that its kind has.

    `on_finding` is told each outcome as it comes.
    """
    findings = []
    checks = noise_checks(subject) if isinstance(subject, NoiseSubject) else _checks(subject)
    with threads_of(
        Runtime(threads=1)
    ):  # many small passes: a second thread gains little, and loses much beside another process
        for name in (name for name in only or checks if name in checks):
            finding = _carried_out(name, checks[name])
            findings.append(finding)
            if on_finding is not None:
                on_finding(finding)
    return Audit(
        subject=subject.label, trained=subject.trained is not None, findings=tuple(findings)
    )


def audit_text(label: str, store: TokenStore, *, on_finding: Callable[[Finding], None]) -> Audit:
    """What can be said of a text alone, where there is no model to be audited."""
    finding = _carried_out("overlap", lambda: check_overlap(store))
    on_finding(finding)
    return Audit(subject=label, trained=False, findings=(finding,))


def _carried_out(name: str, check: Callable[[], Finding]) -> Finding:
    """The finding, or what kept the check from one.

    A user's model may raise anything anywhere, and the other checks go on.
    """
    try:
        finding = check()
        # JSON has no number for what is not finite
        return dataclasses.replace(finding, evidence=_finite(finding.evidence))
    except Exception as error:
        if (
            isinstance(error, InputError) and name in OF_TEXT
        ):  # it is too small, say: the message tells what it would take
            return Finding(check=name, status="not applicable", summary=str(error).rstrip("."))
        return Finding(
            check=name,
            status="fail",
            summary=f"the check ended with {type(error).__name__}: {error}",
        )


def _checks(subject: Subject) -> dict[str, Callable[[], Finding]]:
    """The checks by name, in their order; each makes what it needs only when it is called."""
    made: list[SequenceModel] = []

    def model() -> SequenceModel:
        """With random weights, made once."""
        if not made:
            made.append(scrambled(subject.fresh))
        return made[0]

    def on_both(check: Callable[[SequenceModel], Finding]) -> Callable[[], Finding]:
        """With random weights and, if these pass, with a run's own."""

        def both() -> Finding:
            finding = check(model())
            return (
                check(subject.trained)
                if finding.status == "pass" and subject.trained is not None
                else finding
            )

        return both

    return {
        "contract": on_both(check_contract),
        "causality": on_both(check_causality),
        "prefixes": lambda: _prefixes(subject, model),
        "rows": lambda: _rows(subject, model),
        "documents": on_both(check_documents),
        "targets": lambda: _targets(subject, model()),
        "random tokens": lambda: check_random_tokens(subject.fresh(0)),
        "overlap": lambda: (
            _without_text("overlap")
            if subject.store is None
            else check_learned_overlap(subject.store, subject.run)
        ),
        "coverage": lambda: _coverage(subject, model()),
        "streaming": on_both(check_streaming),
        "generation": on_both(check_generation),
        "branches": lambda: _branches(subject, model),
        "gradients": lambda: check_gradients(subject.fresh),
        "memory": lambda: _memory(subject, model),
        "novelty": lambda: _novelty(subject),
        "loss": lambda: _loss(subject),
    }


def _without_text(check: str) -> Finding:
    return Finding(
        check=check, status="not applicable", summary="it needs a text: give one with --data"
    )


def _of_a_run_only(check: str) -> Finding:
    return Finding(
        check=check, status="not applicable", summary="it needs a trained model: audit a run"
    )


def _prefixes(subject: Subject, model: Callable[[], SequenceModel]) -> Finding:
    finding = check_prefixes(model(), None, trained=False)
    if subject.trained is None or not subject.trained.traits.has_likelihood:
        return finding
    split = None if subject.store is None else subject.store.split(subject.split)
    return check_prefixes(subject.trained, split, trained=split is not None)


def _rows(subject: Subject, model: Callable[[], SequenceModel]) -> Finding:
    finding = check_rows(model())
    if finding.status == "fail" or subject.trained is None or subject.store is None:
        return finding
    learns = subject.trained.traits.objective == "likelihood"
    training = settle_training(subject.trained, subject.training)
    batches: list[Batch] = []
    if (
        learns and training.order != "positions"
    ):  # single positions come with a context, which a fresh pass does not take
        with contextlib.suppress(InputError):  # a text too small for a batch values nothing
            loader = make_batches(subject.trained, subject.store.split("train"), training)
            batches = [loader.batch(step) for step in range(BATCHES)]
    return check_rows(subject.trained, batches, trained=True)


def _targets(subject: Subject, model: SequenceModel) -> Finding:
    if model.traits.objective == "counting":
        return Finding(
            check="targets",
            status="not applicable",
            summary="it counts the whole text; there are no batches",
        )
    training = settle_training(model, subject.training)
    targets = (training.sequence_length or 1) * training.batch_size + model.lead
    return check_targets(lambda split: make_batches(model, split, training), targets=targets)


def _coverage(subject: Subject, model: SequenceModel) -> Finding:
    if subject.store is None:
        return _without_text("coverage")
    if model.traits.objective == "counting":
        return Finding(
            check="coverage",
            status="not applicable",
            summary="it counts the whole text; there are no batches",
        )
    training = settle_training(model, subject.training)
    return check_coverage(
        lambda split: make_batches(model, split, training), subject.store.split("train")
    )


def _branches(subject: Subject, model: Callable[[], SequenceModel]) -> Finding:
    finding = check_branches(model())
    if finding.status != "pass" or subject.trained is None or subject.store is None:
        return finding
    split = subject.store.split(subject.split)
    length = window_length(subject.trained)
    if split.n_targets <= length:
        return finding
    return check_branches(
        subject.trained, text_windows(split, CLIFF_ROWS, length).to(subject.trained.device)
    )


def _memory(subject: Subject, model: Callable[[], SequenceModel]) -> Finding:
    finding = check_memory(model())
    if finding.status in ("fail", "not applicable") or subject.trained is None:
        return finding
    return check_memory(
        subject.trained, None if subject.store is None else subject.store.split(subject.split)
    )


def _novelty(subject: Subject) -> Finding:
    if subject.trained is None:
        return _of_a_run_only("novelty")
    if subject.store is None:
        return _without_text("novelty")
    store = subject.store
    lines = store.manifest["source"]["layout"] == "lines"
    samples, length = SAMPLES["lines" if lines else "documents"]
    with torch.random.fork_rng(devices=[]):
        made = generate(
            subject.trained,
            store.tokenizer,
            "",
            max_new_tokens=length,
            sampling=SamplingConfig(temperature=1.0, seed=0),
            samples=samples,
            stop_at_boundary=lines,
        )
    split = store.split(subject.split).head(4 * samples * length)
    held_out = [split.document(index).tolist() for index in range(split.n_documents)]
    characters = store.tokenizer.kind in ("char", "byte")
    return check_novelty(
        [list(text.tokens) for text in made],
        held_out,
        learned_part(store, subject.run),
        characters=characters,
    )


def _loss(subject: Subject) -> Finding:
    if subject.store is None:
        return _without_text("loss")
    model = subject.trained or subject.fresh(0)
    if not model.traits.has_likelihood:
        return Finding(check="loss", status="not applicable", summary="it has no likelihood")
    loss = evaluate(model, subject.store.split(subject.split).head(TARGETS), lossless=False).loss
    counts = model.traits.objective == "counting" and subject.trained is None
    return check_loss(
        loss,
        floors(subject.store, subject.split, targets=TARGETS),
        trained=subject.trained is not None and not counts,
    )
