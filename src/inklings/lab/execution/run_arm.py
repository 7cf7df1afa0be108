"""The work behind one (arm, seed): train the run, score it on the held-out split, let it write."""

from __future__ import annotations

import math
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from inklings.auditing.audit import after_training, audit, before_training
from inklings.auditing.memory.proof import MemoryProof, prove
from inklings.auditing.memory.rivals import Provable
from inklings.auditing.subjects import of_run
from inklings.config import RunConfig, to_mapping
from inklings.device import threads_of
from inklings.durable import file_sha256, write_bytes
from inklings.errors import DiskError, InklingsError, SourceError
from inklings.evaluation.likelihood.evaluate import evaluate, finite, save_likelihood
from inklings.events import OnEvent
from inklings.generation.from_noise import write
from inklings.generation.generate import generate
from inklings.generation.sampling import READ_AT, SamplingConfig
from inklings.lab.comparison.plan import SamplePlan
from inklings.lab.comparison.records import ReportRecord, write_record
from inklings.lab.comparison.result import Point, RunResult
from inklings.lab.comparison.run_samples import (
    figures_of,
    ground_of,
    measure_run,
    write_run_samples,
)
from inklings.lab.execution.processes import TaskHandler
from inklings.lab.report.learning_curve import learning_curve
from inklings.models.contract import Architecture, SequenceModel, parameter_count
from inklings.models.objectives import makes_texts, predictor, predicts_tokens
from inklings.models.sizes import non_embedding_count
from inklings.runs.checkpoints import WEIGHTS, checkpoint_path, checkpoint_steps, read_progress
from inklings.runs.directory import RunDirectory
from inklings.text.store import TokenStore
from inklings.text.tokenizers import Tokenizer
from inklings.training.branch import Branch, check_settings, exists, train_branches
from inklings.training.train import resume, train

SAMPLES = {"lines": (10, 100), "documents": (2, 400)}
"""How many texts a report shows of an arm, and their greatest length in tokens, by layout."""
PROOF_TARGETS = 30_000
"""Held-out targets on which a memory is proved: the text is read about ten times."""


@dataclass(frozen=True, kw_only=True)
class ArmRun:
    """One (arm, seed), with everything that another process needs to do it."""

    arm: str
    seed: int | None
    config: RunConfig | None
    """None: an existing run, scored as it is."""
    out: Path
    run: Path
    results: str
    """The folder of its results, relative to `out`."""
    store: Path
    """The token store: the comparison's text, in the tokens of this arm."""
    split: Literal["test", "validation"]
    first: bool
    """Whether it is its arm's first run: that one shows what it writes, at other temperatures too,
    and is audited.
    """
    trust_code: bool = False
    """Whether the Python code of an existing run may be run although another machine made it."""
    samples: SamplePlan | None = None
    """How many samples of it are measured; None: none are."""
    steps: int = 0
    """Steps of the whole run, where it has branches."""
    branches: list[Branch] = field(default_factory=list)
    """The budgets at which it is decayed and scored; empty where it is trained as one run."""

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.arm if self.seed is None else f"{self.arm} seed {self.seed}"

    @property
    def trunk(self) -> Path:
        """The run directory that its branches share."""
        return self.out / "trunks" / self._place

    def place(self, branch: Branch) -> Path:
        """Return the run directory of a branch; the whole budget's is that of the run."""
        return (
            self.run
            if branch.share == 1
            else self.out / "points" / self._place / f"share-{branch.share:.4g}"
        )

    @property
    def _place(self) -> str:
        return self.results.partition("/")[2]


def attempt(job: ArmRun, on_event: OnEvent) -> RunResult | None:
    """Do the job; whatever goes wrong becomes a failed result, so that the other arms go on.

    None if it was interrupted.
    """
    try:
        return _do(job, on_event)
    except DiskError as error:
        return failed(job, str(error.going_on("run the same command again")))
    except InklingsError as error:
        return failed(job, str(error))
    # a fault of an architecture, or of ours: what is known of it is kept beside the results
    except Exception as error:
        path = job.out / job.results / "failure.txt"
        write_bytes(path, traceback.format_exc().encode())
        return failed(job, f"{type(error).__name__}: {error} (details in {path})")


def failed(job: ArmRun, message: str) -> RunResult:
    """Return the result of a job that came to nothing."""
    return RunResult(seed=job.seed, status="failed", run=_relative(job, job.run), message=message)


def _do(job: ArmRun, on_event: OnEvent) -> RunResult | None:
    store = TokenStore(job.store)
    if job.config is not None and job.branches:
        if not train_branches(
            job.config,
            job.steps,
            job.branches,
            trunk=job.trunk,
            place=job.place,
            store=store,
            on_event=on_event,
        ):
            return None
    elif job.config is not None:
        if exists(job.run):
            check_settings(job.run, job.config)
            result = resume(job.run, store=store, on_event=on_event)
        else:
            result = train(job.config, job.run, store=store, on_event=on_event)
        if result.stopped == "interrupted":
            return None
    return score(job, store)


RUNS = TaskHandler(attempt, failed)
"""Training and scoring of runs."""


def score(job: ArmRun, store: TokenStore) -> RunResult:
    """Evaluate a run's best weights on the held-out split and return the figures.

    What a report shows is kept in the run's folder.
    """
    directory = RunDirectory.open(job.run)
    events = directory.metrics()
    last = next(
        (event for event in reversed(events) if "tokens" in event),
        {"step": None, "tokens": None, "seconds": None},
    )
    with threads_of(directory.runtime):
        model = directory.load_model(trust_code=job.trust_code).to(directory.runtime.device)
        found = RunResult(
            seed=job.seed,
            status="not ranked",
            run=_relative(job, job.run),
            weights=weights_hash(job.run),
            parameters=parameter_count(model),
            steps=last["step"],
            tokens=last["tokens"],
            seconds=last["seconds"],
            results=job.results,
            flops=(
                model.flops(last["tokens"]) if job.config is not None and last["tokens"] else None
            ),
            non_embedding=non_embedding_count(model),
        )
        positions: list[list[float]] = []
        if predicts_tokens(model):
            likelihood = evaluate(model, store.split(job.split), lossless=store.lossless(job.split))
            if not math.isfinite(likelihood.loss):
                return replace(
                    found,
                    status="failed",
                    results=None,
                    message="it gave a held-out token no probability: its loss is infinite",
                )
            save_likelihood(likelihood, job.out / job.results)
            positions = [[float(value) for value in place] for place in likelihood.loss_by_position]
            interval = likelihood.interval()
            found = replace(
                found,
                status="done",
                message=doubt_of_run(directory),
                targets=likelihood.targets,
                loss=likelihood.loss,
                loss_interval=(interval.low, interval.high) if interval.known else None,
                bits_per_byte=likelihood.bits_per_byte,
                metrics={
                    name: finite(value)
                    for name, value in likelihood.metrics.items()
                    if name not in ("loss", "bits_per_byte")
                },
            )
            found = replace(found, points=_points(job, store, found))
        else:
            found = replace(found, message="it has no likelihood, so it cannot be ranked by one")
        if job.samples is not None:
            found = _with_samples(found, model, job, job.samples)
        proof = _proof(model, store, job) if job.first and predicts_tokens(model) else None
        samples = (
            write_samples(model, store.tokenizer, layout=store.manifest["source"]["layout"])
            if job.first
            else []
        )
    if job.first:
        # An existing run was not seen before it was trained.
        only = [*(before_training() if job.config is None else []), *after_training()]
        found = replace(
            found,
            audit=list(
                audit(
                    of_run(job.arm, directory, store, split=job.split, trust_code=True), only=only
                ).findings
            ),
        )
    # What a generator without likelihood is trained and evaluated by is no loss in nats: it has no
    # place among the curves.
    curve = learning_curve(events if predicts_tokens(model) else [])
    record = ReportRecord(
        curve=curve,
        loss_by_position=positions,
        settings=to_mapping(directory.config),
        samples=samples,
        memory=proof,
    )
    write_record(job.out / job.results, record)
    return found


def doubt_of_run(run: RunDirectory) -> str | None:
    """Return what is doubtful of the loss that a run ended with."""
    steps = checkpoint_steps(run.path)
    return read_progress(checkpoint_path(run.path, steps[-1])).doubt if steps else None


def _with_samples(
    found: RunResult, model: Architecture, job: ArmRun, plan: SamplePlan
) -> RunResult:
    """Return the result with what the samples measure.

    A likelihood is not lost where these cannot be measured.
    """
    ground = ground_of(job.store, job.split, plan)
    try:
        measured = measure_run(model, ground, seed=job.seed or 0, sweep=job.first)
    except SourceError as error:
        return replace(found, message=f"its samples could not be measured: {error}")
    write_run_samples(job.out / job.results, measured)
    return replace(found, status="done", samples=figures_of(measured))


def _proof(model: SequenceModel, store: TokenStore, job: ArmRun) -> MemoryProof | None:
    """Return what the memory is worth, where there is one."""
    if not isinstance(model, Provable):
        return None
    fit = (
        store.split("validation")
        if job.split == "test" and store.manifest["splits"]["validation"]["documents"]
        else None
    )
    return prove(model, store.split(job.split), fit=fit, targets=PROOF_TARGETS)


def write_samples(model: Architecture, tokenizer: Tokenizer, *, layout: str) -> list[str]:
    """Write texts from nothing, with the same draws for every arm.

    Args:
        model: the trained model.
        tokenizer: its own.
        layout: of the text; decides how many there are and how long.
    """
    samples, length = SAMPLES[layout]
    if makes_texts(model):
        return [made.text for made in write(model, tokenizer, samples)]
    sampling = SamplingConfig(temperature=READ_AT, seed=0)
    made = generate(
        predictor(model, "writing"),
        tokenizer,
        "",
        max_new_tokens=length,
        sampling=sampling,
        samples=samples,
        stop_at_boundary=layout == "lines",
    )
    return [generation.text for generation in made]


def _points(job: ArmRun, store: TokenStore, whole: RunResult) -> list[Point]:
    """Return the scores of the run's branches; the last is the run itself."""
    found = []
    for branch in job.branches:
        place = job.place(branch)
        directory = RunDirectory.open(place)
        last = next(
            event for event in reversed(directory.metrics()) if event["event"] == "evaluation"
        )
        if branch.share == 1:
            assert whole.loss is not None
            assert whole.metrics["accuracy"] is not None
            assert whole.flops is not None
            loss, bits, accuracy, flops = (
                whole.loss,
                whole.bits_per_byte,
                whole.metrics["accuracy"],
                whole.flops,
            )
        else:
            model = predictor(directory.load_model().to(directory.runtime.device), "a point")
            flops = model.flops(last["tokens"])
            scored = evaluate(model, store.split(job.split), lossless=store.lossless(job.split))
            loss, bits, accuracy = scored.loss, scored.bits_per_byte, scored.accuracy
        point = Point(
            share=branch.share,
            run=_relative(job, place),
            weights=file_sha256(place / WEIGHTS),
            steps=last["step"],
            tokens=last["tokens"],
            flops=flops,
            seconds=last["seconds"],
            loss=loss,
            bits_per_byte=bits,
            accuracy=accuracy,
        )
        found.append(point)
    return found


def weights_hash(run: Path) -> str | None:
    """Return the SHA-256 of a run's best weights; None where there are none yet."""
    path = run / WEIGHTS
    return file_sha256(path) if path.is_file() else None


def _relative(job: ArmRun, run: Path) -> str:
    return (
        run.relative_to(job.out).as_posix() if run.is_relative_to(job.out) else str(run.resolve())
    )
