"""The files of a comparison: `comparison.json` has the plan and all figures.

OUT/ comparison.json the plan, the data, every run's figures, the differences, the verdict
calibration.json the scale of sample metrics, where samples are compared search/ARM/ the search for
an arm's learning rate runs/ARM/seed-N/ run directories; the whole budget's, where there are
branches imports/ runs made of models from elsewhere trunks/ARM/seed-N/ the stable run that the
branches of one arm and seed share points/ARM/seed-N/share-S/ the run of the share S of the budget
results/ARM/seed-N/ figures of a run, those of every document, curve, samples report.html, figures/
what `write_report` makes of the rest
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from inklings.auditing.audit import dishonest
from inklings.auditing.findings import Finding
from inklings.events import TRACKERS_FOLDER
from inklings.lab.comparison.plan import Plan
from inklings.lab.comparison.rates import RateSearch
from inklings.lab.scaling.result import Scaling

FILE_NAME = "comparison.json"
CALIBRATION = "calibration.json"
RANKING = "ranking.md"
CONTENT = {
    FILE_NAME,
    CALIBRATION,
    RANKING,
    "runs",
    "trunks",
    "points",
    "search",
    "imports",
    "shards",
    "results",
    "figures",
    "report.html",
    TRACKERS_FOLDER,
}
"""Names of what a comparison's folder holds."""


@dataclass(frozen=True, kw_only=True)
class SampleFigures:
    """Figures of the samples of a run, drawn at temperature 1.

    Intervals and other temperatures are in its `samples.json`.
    """

    values: dict[str, float]
    """Figures by the names of `evaluation.samples.metric.METRICS`."""
    alarm: list[str] = field(default_factory=list)
    """Why the samples must be called collapsed."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A moment of a run at which its learning rate has decayed.

    Only then do its weights show what its training is worth.
    """

    share: float
    """Share of the whole budget."""
    run: str
    """The run directory that ends here, as `RunResult.run`."""
    weights: str
    """SHA-256 of the weights that were scored."""
    steps: int
    tokens: int
    flops: int
    """Forward and backward, computed from the sizes."""
    seconds: float
    """Seconds of training up to here, as if it were a run of its own."""
    loss: float
    """On the held-out split, nats per token."""
    bits_per_byte: float | None
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One (arm, seed): how it was trained and how it scored on the held-out split."""

    seed: int | None
    """Seed of the run; None for an existing run, whose seed is its own."""
    status: Literal["done", "failed", "not ranked"]
    run: str
    """The run directory: relative to the comparison's folder, or absolute where it lies outside."""
    message: str | None = None
    """Why it failed or is not ranked, or what is doubtful of one that is done."""
    weights: str | None = None
    """SHA-256 of the weights that were scored."""
    parameters: int | None = None
    steps: int | None = None
    tokens: int | None = None
    """Target tokens that it was trained on."""
    seconds: float | None = None
    """Wall-clock time of training."""
    flops: int | None = None
    """Operations of training, forward and backward, computed from the sizes."""
    non_embedding: int | None = None
    """Parameters that are neither the embedding of the tokens nor the head that maps back to them.
    """
    points: list[Point] = field(default_factory=list)
    """The moments at which it was scored, in the order of their budgets; the last has the run's own
    figures. Empty where there is one budget.
    """
    targets: int | None = None
    """Held-out targets scored."""
    loss: float | None = None
    """Loss in nats per token."""
    loss_interval: tuple[float, float] | None = None
    """95% interval of `loss`, from resampling its text: how sure this run's figure is, not the
    architecture's.
    """
    bits_per_byte: float | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    """The other metrics of likelihood by their names; on disk they stand among the run's own keys.
    """
    samples: SampleFigures | None = None
    """None where no samples were compared."""
    audit: list[Finding] = field(default_factory=list)
    """What the audit needs trained weights for, of an arm's first run."""
    results: str | None = None
    """`results/ARM/seed-N`, relative to the comparison's folder: `record.json`, of the scored
    `likelihood.json` and `units.safetensors`, and of those whose samples were compared
    `samples.json`.
    """


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """How an arm was brought to a number of parameters."""

    asked: int
    """Parameters without embedding and head."""
    reached: int
    changed: dict[str, int]
    """Fields of the model that were set for it."""


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """The result of a probe: a small task that shows one ability."""

    name: Literal["copying", "induction", "associative recall"]
    accuracy: float
    """Share of the tokens right that the ability decides, on sequences that were not trained on."""
    chance: float
    """The score of guessing."""
    steps: int


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """One contestant with all its runs."""

    label: str
    architecture: str
    kind: Literal["trained", "counted", "as it is"]
    """How the arm is made. A `counted` arm is deterministic: one run stands for every seed. One
    that is taken `as it is` had a budget of its own.
    """
    tokenizer: str | None = None
    """Hash of the tokenizer; losses per token are comparable between equal ones only."""
    notes: list[str] = field(default_factory=list)
    floor: bool = False
    """Whether it is the baseline that the comparison itself added: shown, not ranked."""
    smaller_of: str | None = None
    """The arm of which this is a smaller size; None for the contestants themselves."""
    sizing: Sizing | None = None
    """None where it was taken at the size that it has."""
    search: RateSearch | None = None
    """None where its learning rates were taken as they are."""
    probes: list[ProbeResult] = field(default_factory=list)
    audit: list[Finding] = field(default_factory=list)
    """Audit of the architecture, before any training."""
    runs: list[RunResult] = field(default_factory=list)

    @property
    def done(self) -> list[RunResult]:
        """The runs that were scored by their likelihood."""
        return [run for run in self.runs if run.status == "done" and run.loss is not None]

    @property
    def measured(self) -> list[RunResult]:
        """The runs whose samples were measured."""
        return [run for run in self.runs if run.samples is not None]

    @property
    def likelihood_free(self) -> bool:
        """Whether its runs came to their end and have no likelihood."""
        return not self.done and any(run.status != "failed" for run in self.runs)

    @property
    def findings(self) -> list[Finding]:
        """The findings of the audit, of trained weights where those of random ones did not fail."""
        found = {finding.check: finding for finding in self.audit}
        for run in self.runs:
            for finding in run.audit:
                before = found.get(finding.check)
                if before is None or before.holds or not finding.holds:
                    found[finding.check] = finding
        return list(found.values())

    @property
    def dishonest(self) -> list[Finding]:
        """Failed checks for which the arm is shown but not ranked.

        Its loss does not mean what the others' does.
        """
        return dishonest(self.findings)

    @property
    def ranked(self) -> bool:
        """Whether it has a figure that may be ranked."""
        return bool(self.done) and not self.dishonest and not self.floor


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The difference of two arms, in the comparison's unit or in nats of reverse likelihood.

    `better` has the lower mean.
    """

    better: str
    worse: str
    mean: float
    """How much lower the better arm is."""
    low: float | None
    high: float | None
    """95% interval of `mean`; None where there is too little text for one."""
    p: float | None
    """Two-sided p over the seeds, corrected by Holm for all pairs; None where text was resampled.
    """
    evidence: Literal["seeds", "documents", "blocks", "samples"]
    count: int
    """Paired seeds, or resampled documents, or blocks of 2 KiB where documents are few, or samples
    of a run.
    """
    finding: Literal["better", "better on this text", "no claim"]
    relative: float | None = None
    """`mean` as a share of the worse arm's own mean."""
    bits_per_byte: float | None = None
    """`mean` in bits per byte; None where it is not known of all runs."""
    flips: float | None = None
    """Two-sided p of the sign-flip test, not corrected, which a claim needs too; None where seeds
    are too few for one.
    """
    any_text: float | None = None
    """`p` if the held-out text is taken as a sample too, as are the seeds; a claim needs this as
    well. Corrected as `p`. None where text was resampled, and for samples.
    """
    detectable: float | None = None
    """The smallest true difference that this number of seeds, with their spread and that of the
    text, finds in 4 of 5 comparisons; None where text was resampled.
    """


@dataclass(frozen=True, kw_only=True)
class ArmAt:
    """An arm at an equal budget."""

    label: str
    values: dict[str, float]
    """Seed (as text, for JSON) -> ranking figure, between two decayed points interpolated over the
    logarithm of the budget.
    """


@dataclass(frozen=True, kw_only=True)
class EqualBudget:
    """The trained arms at an equal amount of tokens, FLOPs or time.

    It is the largest amount that all of them reached, or that most have a figure at.
    """

    axis: Literal["tokens", "flops", "seconds"]
    amount: float
    arms: list[ArmAt]
    """The arms, the best first."""
    absent: list[str]
    """Arms whose smallest point has cost more than `amount` already, or, where that holds for most,
    whose training cost less.
    """
    differences: list[Difference]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome in words."""

    headline: str
    sentences: list[str]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A comparison, finished or not."""

    plan: Plan
    created: str
    """When it was begun (UTC, ISO 8601)."""
    command: str | None
    """The command line that repeats it."""
    status: Literal["complete", "interrupted"]
    split: Literal["test", "validation"]
    """On which split the arms are ranked; validation only where there is no test text."""
    unit: Literal["nats per token", "bits per byte"]
    """Unit of the ranking; bits per byte where tokenizers differ."""
    environment: dict[str, Any]
    text: dict[str, Any]
    """Source, layout, tokenizer, splits with their documents, tokens and bytes, and overlap."""
    arms: list[ArmResult]
    """The arms in the order in which they were given."""
    smaller: list[ArmResult] = field(default_factory=list)
    """Smaller sizes of the arms, which tell how each gains by size and compute."""
    scaling: Scaling | None = None
    """What the sizes tell; None where there is one size."""
    differences: list[Difference] = field(default_factory=list)
    """Differences at the budget that the arms were given."""
    budgets: list[EqualBudget] = field(default_factory=list)
    """The arms at equal tokens, FLOPs and time; empty where runs have no points."""
    verdict: Verdict | None = None
    sample_differences: list[Difference] = field(default_factory=list)
    """Differences in nats per token of reverse likelihood."""
    sample_verdict: Verdict | None = None
    """None where no samples were compared."""

    @property
    def failed(self) -> list[tuple[str, RunResult]]:
        """Arm and run of everything that failed."""
        return [
            (arm.label, run)
            for arm in [*self.arms, *self.smaller]
            for run in arm.runs
            if run.status == "failed"
        ]


def run_value(run: RunResult | Point, unit: str) -> float:
    """Return the ranking figure of a scored run."""
    value = run.loss if unit == "nats per token" else run.bits_per_byte
    assert value is not None
    return value


def mean_value(arm: ArmResult, unit: str) -> float:
    """Return the mean of an arm's ranking figure over its scored runs."""
    return sum(run_value(run, unit) for run in arm.done) / len(arm.done)


def ranked_arms(arms: Sequence[ArmResult], unit: str) -> list[ArmResult]:
    """Return the arms that may be ranked, the best first.

    Ties by name, so that the order is always the same.
    """
    return sorted(
        (arm for arm in arms if arm.ranked), key=lambda arm: (mean_value(arm, unit), arm.label)
    )
