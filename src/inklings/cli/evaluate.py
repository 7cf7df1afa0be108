"""`inklings evaluate RUN`: score a run on held-out text.

With `--samples` its samples are compared with that text.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import tyro

from inklings.auditing.memory.overlap import remembered
from inklings.cli.arguments import Json, RunName, called, parse
from inklings.cli.progress import Display
from inklings.cli.reference import open_run
from inklings.cli.sample_report import report_on_samples
from inklings.cli.table import number_column, words_column
from inklings.cli.terminal import Terminal, open_terminal
from inklings.durable import refuse_links_out
from inklings.errors import ConfigError, DiskError
from inklings.evaluation.likelihood.evaluate import LikelihoodResult, evaluate, save_likelihood
from inklings.evaluation.likelihood.likelihood_metric import METRICS
from inklings.evaluation.samples.reference_set import make_reference_set
from inklings.evaluation.samples.sample_report import save_report
from inklings.events import OnEvent
from inklings.interop.imports.import_model import import_ours_or_as_it_is
from inklings.models.adapters.hugging_face import PREFIX, format_unread
from inklings.models.adapters.rereading import format_windows
from inklings.models.objectives import makes_texts, predicts_tokens, refuse_silent
from inklings.runs.directory import RunDirectory
from inklings.runs.open_memory import attach
from inklings.runs.own_text import is_own, like_own, own_store, training_text
from inklings.runs.run_check import EVALUATIONS
from inklings.runs.shared_text import Remembered, learned
from inklings.text.documents import SplitName
from inklings.text.store import TokenStore, prepare


@dataclass(frozen=True)
class Evaluate:
    """Flags of the verb `evaluate`."""

    run: tyro.conf.Positional[RunName]
    """A run's directory, builtin:reference, or hf: and a causal model of the Hugging Face hub or in
    a folder, which is read with its own tokenizer.
    """
    data: Annotated[str | None, called("SOURCE")] = None
    """Another text than the run's own; it is read with the run's tokenizer, and what of it the run
    was trained on is said.
    """
    split: Literal["train", "validation", "test", "all"] = "validation"
    """Part of the text that is scored, as a whole, in a fixed order; with --data, `all` is the
    whole text.
    """
    batch_size: int = 64
    """Rows scored at a time; the result does not depend on it."""
    weights: Literal["best", "last"] = "best"
    memory: bool = True
    """Whether the run's long-term memory is read, if it has one."""
    trust_code: bool = False
    """Allow the run's own copy of an architecture file to be executed though another machine made
    it.
    """
    samples: int | None = None
    """Let the run write so many samples and compare them with the split; 3000 or as many as the
    split has documents, if less, for a run without a likelihood.
    """
    windows: int | None = None
    """Compare windows of so many tokens instead of whole documents."""
    temperature: float = 1.0
    """Temperature of the samples; a run that has a likelihood is shown at others too."""
    max_length: int | None = None
    """Tokens at which samples and documents are cut; by default the longest training document, at
    most 512.
    """
    seed: int = 0
    """Seed of the samples."""
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        Evaluate,
        arguments,
        verb="evaluate",
        description="Score a run on held-out text, and compare what it writes with that text.",
    )
    terminal = open_terminal(flags.json)
    if not flags.run.startswith(PREFIX):
        return _evaluate(flags, open_run(flags.run), terminal)
    if flags.data is None:
        raise ConfigError(f"{flags.run} has no text of its own. Name one: --data FILE.")
    with TemporaryDirectory() as folder:  # a run for as long as it takes
        made = import_ours_or_as_it_is(flags.run.removeprefix(PREFIX), Path(folder) / "run")
        terminal.say(f"{flags.run}: {made}")
        if (unread := format_unread(made.unread)) is not None:
            terminal.say(f"{flags.run}: {unread}", style="yellow")
        return _evaluate(flags, made.run, terminal)


def _evaluate(flags: Evaluate, run: RunDirectory, terminal: Terminal) -> int:
    """Score a run and show the figures; those of a run that stays are kept beside it."""
    is_foreign = flags.run.startswith(PREFIX)
    model = run.load_model(flags.weights, trust_code=flags.trust_code)
    refuse_silent(model, "an evaluation")
    memory = (
        attach(run, model, weights=flags.weights)
        if flags.memory and predicts_tokens(model)
        else None
    )
    samples = flags.samples is not None or makes_texts(model)
    part: SplitName = "train" if flags.split == "all" else flags.split
    source = flags.data or run.config.data.source
    if flags.split == "all" and samples:
        raise ConfigError(
            "--split all leaves no other part of the text to read samples against. Give --split"
            " validation or test."
        )
    with Display(terminal) as display:
        own = None if flags.data is None else training_text(run)
        store = _store(run, own, flags, display)
    known = (
        None
        if memory is None
        else remembered([d.tokens for d in memory.documents()], store.split(part), memory.tokenizer)
    )
    terminal.say(
        f"{flags.run}: {'all' if flags.split == 'all' else f'{flags.split} split'} of {source}",
        style="bold",
    )
    if memory is not None and known is not None:
        terminal.say(f"with a long-term memory of {len(memory):,} entries (--no-memory reads none)")
        if known.flatters:
            terminal.say(_flattered(known, flags.split), style="yellow")
    keep = run.path.is_dir() and flags.run != "builtin:reference" and not is_foreign
    folder = (
        run.path
        / EVALUATIONS
        / f"{flags.split}-{store.path.name}{'' if memory is None else '-memory'}"
    )
    about = (
        None
        if memory is None or known is None
        else {"entries": len(memory), "held_out": dataclasses.asdict(known)}
    )
    document: dict[str, Any] = {
        "run": flags.run,
        "split": flags.split,
        "source": source,
        "memory": about,
    }
    if flags.data is not None:
        document["trained_on"] = _trained_on(own, store, part, terminal)
    if predicts_tokens(model):
        with terminal.working(f"scoring {store.split(part).n_targets:,} tokens"):
            result = evaluate(
                model, store.split(part), batch_size=flags.batch_size, lossless=store.lossless(part)
            )
        _show(result, terminal)
        way = format_windows(model)
        if way is not None:
            terminal.say(f"read as {way}")
        if keep:
            _keep("per-document losses", run, lambda: save_likelihood(result, folder), terminal)
        document |= {**result.summary(), "read_as": way}
        interval = result.known_interval()
        document["interval"] = None if interval is None else interval.to_mapping()
    if samples:
        windows = flags.windows or (model.windows if makes_texts(model) else None)
        ground = make_reference_set(
            store,
            part,
            samples=flags.samples,
            max_length=flags.max_length,
            windows=windows,
            seed=flags.seed,
            learned=None if own is None or is_own(run, store) else own.split("train"),
        )
        if flags.data is not None and not is_own(run, store):
            terminal.say(
                f"novel and judge are read against the training part of {source}, which is not"
                f" what the run was trained on ({run.config.data.source})"
            )
        report = report_on_samples(
            model, ground, terminal, name=run.path.name, temperature=flags.temperature
        )
        if keep:
            setting = f"{ground.setting.samples}-samples" + (
                f"-windows-{windows}" if windows else ""
            )
            _keep("sample report", run, lambda: save_report(report, folder / setting), terminal)
        document["samples"] = report.to_mapping()
    elif ignored := [
        name
        for name in ("windows", "max_length", "temperature", "seed")
        if getattr(flags, name) != getattr(Evaluate, name)
    ]:
        given = ", ".join("--" + name.replace("_", "-") for name in ignored)
        terminal.say(
            f"warning: {given} ignored: no samples were asked for (--samples 3000).", style="yellow"
        )
    terminal.result(document)
    return 0


def _store(
    run: RunDirectory, own: TokenStore | None, flags: Evaluate, on_event: OnEvent
) -> TokenStore:
    """Return the run's own text as it was trained on it, or the other one that is asked for.

    Args:
        run: the run.
        own: its text, where another is asked for and it is at hand.
        flags: what is asked for.
        on_event: is told how far the preparation is.

    Raises:
        InputError: the text cannot be used, or `all` is asked for of the run's own.
    """
    if flags.data is not None:
        data = like_own(run, flags.data, own)
        if flags.split == "all":
            data = dataclasses.replace(data, split=(1.0, 0.0, 0.0))
        return prepare(data, tokenizer=run.tokenizer(), on_event=on_event)
    if flags.split == "all":
        raise ConfigError(
            "--split all takes the whole of another text (--data FILE); most of the run's own is"
            " what it learned from. Its parts are --split train, validation and test."
        )
    return own_store(run, on_event=on_event)


def _trained_on(
    trained: TokenStore | None, store: TokenStore, part: SplitName, terminal: Terminal
) -> dict[str, Any] | None:
    """Say how much of another text the run was trained on; None where that is not known."""
    if trained is None:
        terminal.say(
            "what of it the run was trained on cannot be told: the prepared text of the run is not"
            " on this machine."
        )
        return None
    split = store.split(part)
    found = learned(trained.split("train"), split, store.tokenizer)
    said = f"{found.documents:,} of its {split.n_documents:,} documents"
    if found.spans is not None:
        said += f" and {found.spans:.1%} of its spans of {found.span} tokens"
    if found.flatters:
        terminal.say(
            f"warning: the run was trained on {said}: these figures are partly a test of memory.",
            style="yellow",
        )
    else:
        terminal.say(f"the run was trained on {said}")
    return {"text_documents": split.n_documents, **dataclasses.asdict(found)}


def _keep(what: str, run: RunDirectory, save: Callable[[], Path], terminal: Terminal) -> None:
    """Save figures beside the run, or say why not: they are printed in any case."""
    try:
        refuse_links_out(run.path, EVALUATIONS)
        terminal.say(f"{what}: {save()}", as_is=True)
    except DiskError as error:
        terminal.say(f"warning: the {what} could not be kept: {error.problem}", style="yellow")


def _show(result: LikelihoodResult, terminal: Terminal) -> None:
    rows = [("targets", f"{result.targets:,}", "")]
    for metric in METRICS:
        value = result.metrics[metric.name]
        beside = _interval(result) if metric.name == "loss" else ""
        rows.append(
            (metric.title, "refused", metric.absent)
            if value is None
            else (metric.title, f"{metric.format(value)} {metric.unit}".rstrip(), beside)
        )
    terminal.table([words_column(), words_column(), words_column()], rows)
    places = [
        (f"{first} to {last}", f"{loss:.4f}", f"{count:,}")
        for first, last, loss, count in result.loss_by_position
    ]
    terminal.table(
        [words_column("place in the document"), number_column("loss"), number_column("targets", 1)],
        places,
    )


def _interval(result: LikelihoodResult) -> str:
    """Return how sure this run's figure is, in words."""
    if not math.isfinite(result.loss):
        return "the run diverged"
    interval = result.interval()
    units = "documents" if result.blocks is None else "blocks of 2 KiB"
    if not interval.known:
        return f"{interval.n:,} {units}: too few for an interval"
    return f"95% interval over {units} {interval.low:.4f} to {interval.high:.4f}"


def _flattered(known: Remembered, split: str) -> str:
    """Return what of the scored text the memory holds, in words."""
    found = [f"{known.documents:,} of the {split} documents"] if known.documents else []
    if known.spans:
        found.append(f"{known.spans:.1%} of its spans of {known.span} tokens")
    return (
        f"warning: the memory holds {' and '.join(found)}: these figures flatter the model; they"
        " say little about new text."
    )
