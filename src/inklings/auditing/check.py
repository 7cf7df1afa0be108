"""A check of the audit: what it asks, of whom, and what hangs on the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Protocol, TypeVar

from inklings.auditing.findings import Finding
from inklings.auditing.subjects import NoiseSubject, Subject
from inklings.models.contract import SequenceModel
from inklings.registry import Registry


class Auditable(Protocol):
    """What every subject of an audit says of itself."""

    kind: ClassVar[str]
    """What it is, as the document of an audit names it."""

    @property
    def label(self) -> str:
        """Its name in the audit."""

    @property
    def is_trained(self) -> bool:
        """Whether it is judged with the weights that it is used with."""

    @property
    def has_text(self) -> bool:
        """Whether there is a real text to read to it."""


S = TypeVar("S", bound=Auditable)


@dataclass(frozen=True, kw_only=True)
class Check(Generic[S]):
    """One question that the audit asks of one kind of subject."""

    name: str
    """As findings, the terminal and reports name it."""
    run: Callable[[S], Finding]
    """Answers; what it raises is a failure."""
    needs_text: bool = False
    """Whether it does not apply without a text; then a text may also be too small for it, and an
    `InputError` says so.
    """
    needs_run: bool = False
    """Whether it does not apply to an architecture that is not trained."""
    bars_ranking: bool = False
    """Whether who fails it is not ranked, for its loss does not mean what others' do."""
    bars_ranking_by: str = ""
    """A figure of the evidence, in nats: who fails is not ranked either where it is above zero."""
    before_training: bool = False
    """Whether a comparison asks it of an arm before it trains it."""
    after_training: bool = False
    """Whether a comparison asks it once more of a trained run, where the text says what something
    is worth.
    """

    def bars(self, finding: Finding) -> bool:
        """Return whether this finding of the check is a reason not to rank."""
        gain = finding.evidence.get(self.bars_ranking_by)
        return not finding.holds and (self.bars_ranking or (gain is not None and gain > 0))


CHECKS: Registry[Check[Subject]] = Registry(
    "check",
    {
        "contract": "inklings.auditing.checks.contract:CONTRACT",
        "causality": "inklings.auditing.checks.causality:CAUSALITY",
        "prefixes": "inklings.auditing.checks.prefixes:PREFIXES",
        "rows": "inklings.auditing.checks.rows:ROWS_APART",
        "documents": "inklings.auditing.checks.rows:DOCUMENTS_APART",
        "targets": "inklings.auditing.checks.targets:TARGETS",
        "random tokens": "inklings.auditing.checks.targets:RANDOM_TOKENS",
        "overlap": "inklings.auditing.checks.text_overlap:OVERLAP",
        "coverage": "inklings.auditing.checks.coverage:COVERAGE",
        "repeatable": "inklings.auditing.checks.repeatable:REPEATABLE",
        "state": "inklings.auditing.checks.states:STATES",
        "autocast": "inklings.auditing.checks.autocast:AUTOCAST",
        "declarations": "inklings.auditing.checks.declarations:DECLARATIONS",
        "streaming": "inklings.auditing.checks.streaming:STREAMING",
        "generation": "inklings.auditing.checks.streaming:GENERATION",
        "branches": "inklings.auditing.checks.branches:BRANCHES",
        "gradients": "inklings.auditing.checks.branches:GRADIENTS",
        "recorded": "inklings.auditing.checks.recorded:RECORDED",
        "memory": "inklings.auditing.checks.reads_memory:MEMORY",
        "novelty": "inklings.auditing.checks.novelty:NOVELTY",
        "loss": "inklings.auditing.checks.loss:LOSS",
    },
)
"""Of what predicts tokens, in the order in which they are carried out."""

NOISE_CHECKS: Registry[Check[NoiseSubject]] = Registry(
    "check",
    {
        "contract": "inklings.auditing.checks.from_noise:CONTRACT",
        "rows": "inklings.auditing.checks.from_noise:ROWS_APART",
        "gradients": "inklings.auditing.checks.from_noise:GRADIENTS",
        "overlap": "inklings.auditing.checks.from_noise:OVERLAP",
        "coverage": "inklings.auditing.checks.from_noise:COVERAGE",
        "collapse": "inklings.auditing.checks.from_noise:COLLAPSE",
        "novelty": "inklings.auditing.checks.from_noise:NOVELTY",
    },
)
"""Of what makes whole texts out of noise."""


def trained_first(check: Callable[[SequenceModel], Finding]) -> Callable[[Subject], Finding]:
    """Make a check of a model, of a run's own weights and of random ones.

    The figures are the run's; what random weights show is told where the run shows nothing.
    """

    def both(subject: Subject) -> Finding:
        if subject.trained is None:
            return check(subject.scrambled)
        finding = check(subject.trained)
        if not finding.holds:
            return finding
        other = check(subject.scrambled)
        if other.holds:
            return finding
        return replace(other, summary=f"with random weights, {other.summary}")

    return both


def of_run_or_random(check: Callable[[SequenceModel], Finding]) -> Callable[[Subject], Finding]:
    """Make a check of a model: of a run's own weights where there are any, else of random ones."""
    return lambda subject: check(subject.trained or subject.scrambled)
