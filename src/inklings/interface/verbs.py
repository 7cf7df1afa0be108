"""What `import inklings` gives to work with: the verbs, with names where names are natural."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inklings.auditing.audit import Audit
from inklings.auditing.audit import audit as audit_subject
from inklings.cli.audited import asked_for, subject_of
from inklings.cli.reference import open_run
from inklings.config import DataConfig, RunConfig
from inklings.errors import RunError
from inklings.events import OnEvent, note, silent
from inklings.interface.arguments import (
    TextLike,
    config_of,
    text_of,
    with_settings,
)
from inklings.interface.run import Run
from inklings.interface.watching import watched
from inklings.interop.exports.export import export_run
from inklings.interop.exports.exported import Export
from inklings.interop.trackers.tracking import tracked
from inklings.lab.comparison.result import FILE_NAME
from inklings.lab.sweep.sweep import TRIALS
from inklings.lab.sweep.sweep import sweep as search
from inklings.lab.sweep.sweep_results import Sweep
from inklings.runs.free_folder import free_folder
from inklings.text.store import TokenStore
from inklings.text.store import prepare as prepare_text
from inklings.training.inheritance import beginning_of
from inklings.training.train import resume as resume_run
from inklings.training.train import train as train_run


def prepare(
    data: TextLike,
    *,
    show: bool = True,
    on_event: OnEvent = silent,
    **settings: Any,
) -> TokenStore:
    """Make a text tokens on disk, or find those that are there.

    Args:
        data: its source, or all its settings.
        show: whether a bar or a live view shows how far it is.
        on_event: called with every event as it happens.
        settings: fields of `DataConfig`, such as `tokenizer="byte"`, or `tokenizer=run` for the
            vocabulary of a run.

    Raises:
        InputError: the text or a setting cannot be used.
    """
    config, _ = with_settings(RunConfig(), frozenset(), data=data, budget=None, settings=settings)
    with watched(on_event, show=show) as listener:
        return prepare_text(config.data, on_event=listener)


def train(
    arm: str | Path | RunConfig,
    run: Path | str | None = None,
    *,
    data: TextLike | None = None,
    budget: str | None = None,
    initial: Path | str | Run | None = None,
    extend_vocabulary: bool = False,
    store: TokenStore | None = None,
    trust_code: bool = False,
    show: bool = True,
    log_to: Sequence[str] = (),
    on_event: OnEvent = silent,
    **settings: Any,
) -> Run:
    """Train a new run.

    Args:
        arm: what is trained: an ARM as `inklings train` takes it ("gpt", "gpt:n_layer=2",
            "my_model.py:MyModel", "run.toml"), or settings.
        run: where it is kept; None takes a fresh folder below `runs`, and says which.
        data: the text; None keeps that of the arm (`builtin:unicode-names` where it says none).
        budget: how much it learns, such as "1M-tokens"; None keeps that of the arm.
        initial: begin with the best weights, the tokenizer and the settings of the model of this
            run.
        extend_vocabulary: take characters of the training part that the tokenizer of `initial`
            lacks into it.
        store: the text, if it is prepared already; it must be what the settings describe.
        trust_code: whether the Python code of `initial` may be run although another user or machine
            made it.
        show: whether a bar in a terminal, or a live chart in a notebook, shows how far it is.
        log_to: trackers that are told of every figure, by name: `tensorboard`, `trackio`, `mlflow`,
            `wandb`.
        on_event: called with every event as it happens.
        settings: fields of `DataConfig` and `TrainingConfig`, such as `seed=1` or
            `tokenizer="byte"`; they win over the arm.

    Returns:
        The run. Where Ctrl-C came, `stopped` is "interrupted", and `inklings.resume` goes on.

    Raises:
        InputError: something in the settings cannot be used.
        DivergedError: the loss or the gradient is no longer finite.
        DiskError: the run cannot be written; what is there goes on from its last checkpoint.
        OutOfMemoryError: a step does not fit into memory; the message names what would.
    """
    begin = initial.path if isinstance(initial, Run) else initial
    base = RunConfig()
    if begin is not None and not isinstance(arm, RunConfig):
        base = beginning_of(Path(begin), str(arm), trust_code=trust_code)
    config, _ = config_of(arm, base=base, data=data, budget=budget, settings=settings)
    place = Path(run or free_folder("runs", [config.architecture], config.data.source))
    with watched(on_event, show=show) as shown, tracked(shown, log_to, run=place) as listener:
        if run is None:
            listener(note(f"The run is kept in {place}."))
        return Run.of(
            train_run(
                config,
                place,
                on_event=listener,
                store=store,
                initial=begin,
                extend_vocabulary=extend_vocabulary,
                trust_code=trust_code,
            ),
            trust_code=trust_code,
        )


def resume(
    run: Path | str | Run,
    *,
    budget: str | None = None,
    store: TokenStore | None = None,
    trust_code: bool = False,
    show: bool = True,
    log_to: Sequence[str] = (),
    on_event: OnEvent = silent,
) -> Run:
    """Go on with a run from its last checkpoint, to the same bits as if it had not stopped.

    A complete one is left as it is.

    Args:
        run: its directory, or the run.
        budget: a new budget for the whole run, larger than what it has.
        store: the text, if it is prepared already.
        trust_code: whether the run's Python code may be run although another user or machine made
            it.
        show: whether a bar or a live chart shows how far it is.
        log_to: trackers that are told of every figure, as in `train`.
        on_event: called with every event as it happens.

    Raises:
        InputError, DivergedError, DiskError, OutOfMemoryError: as in `train`; also where there is
            no such run, or its text changed.
    """
    with watched(on_event, show=show) as shown, tracked(shown, log_to, run=_path(run)) as listener:
        result = resume_run(
            _path(run), budget=budget, on_event=listener, store=store, trust_code=trust_code
        )
    return Run.of(result, trust_code=trust_code)


def load(run: Path | str, *, trust_code: bool = False) -> Run:
    """Open a run on disk, or `builtin:reference`.

    Args:
        run: its directory.
        trust_code: whether its Python code may be run although another user or machine made it.

    Raises:
        RunError: there is none, or it is damaged.
    """
    if (Path(run) / FILE_NAME).is_file():
        raise RunError(
            f"{run} is a comparison: inklings.load_comparison({str(run)!r}) opens it, and its runs"
            " are below it."
        )
    return Run.open(open_run(str(run)).path, trust_code=trust_code)


def audit(
    thing: str | Path | Run, *, data: TextLike | None = None, only: Sequence[str] = ()
) -> Audit:
    """Check that a generator is what it claims to be.

    Args:
        thing: what `inklings audit` takes: an architecture by name or from a file
            ("my_model.py:MyModel"), a run, a scorer, a claim.
        data: the text that losses are taken on; None takes a run's own, or none.
        only: names of the checks to carry out; none names all.

    Raises:
        InputError: the thing or the text cannot be used.
    """
    name = str(thing.path) if isinstance(thing, Run) else str(thing)
    given = None if data is None else text_of(data, DataConfig())
    return audit_subject(subject_of(asked_for(name, given)), only=only)


def export(
    run: Path | str | Run,
    path: Path | str,
    *,
    to: str = "transformers",
    precision: str | None = None,
    data: str | None = None,
    trust_code: bool = False,
) -> Export:
    """Write a run for another library or engine, and compare the two.

    Args:
        run: its directory, or the run.
        path: where to; nothing may be there, or an empty folder where a folder is written.
        to: the library or engine: "transformers", "onnx" (folders) or "gguf" (a file).
        precision: what weights are stored as; None takes float32. For gguf float16 and q8_0 too.
        data: compare on the validation part of this text; None takes the run's own.
        trust_code: whether the run's Python code may be run although another user or machine made
            it.

    Returns:
        What was made and compared. It appears whole and checked, or not at all.

    Raises:
        InputError: there is no such run, its architecture has no twin there, its text is not at
            hand, or something is at `path`.
        MissingExtraError: the library is not installed.
    """
    return export_run(
        open_run(str(_path(run))),
        Path(path),
        to=to,
        precision=precision,
        data=data,
        trust_code=trust_code,
    )


def sweep(
    arm: str | Path | RunConfig,
    *,
    space: Sequence[str] = (),
    trials: int = TRIALS,
    out: Path | str | None = None,
    data: TextLike | None = None,
    budget: str | None = None,
    storage: str | None = None,
    workers: int | None = None,
    show: bool = True,
    log_to: Sequence[str] = (),
    on_event: OnEvent = silent,
    **settings: Any,
) -> Sweep:
    """Search an architecture's settings for the lowest validation loss at the end of a budget.

    Args:
        arm: what is trained, as in `train`.
        space: what is searched: "FIELD=LOW..HIGH[:log|:STEP]" for numbers, "FIELD=a|b" for choices;
            nothing takes the learning rates.
        trials: how many are to be finished in all, those of earlier calls included.
        out: a new folder, or one with this sweep begun, which then goes on. None takes a fresh
            folder below `sweeps`, and says which.
        data: the text, as in `train`.
        budget: of each trial.
        storage: a PostgreSQL address whose trials all machines share; None keeps them in the
            folder.
        workers: trials at a time, each in its own process; None takes one a core.
        show: whether bars or a live view show how far it is.
        log_to: trackers that are told of every figure, as in `train`.
        on_event: called with every event of every trial, which carries `run`.
        settings: fields of `DataConfig` and `TrainingConfig`; they win over the arm.

    Raises:
        MissingExtraError: Optuna is not installed.
        InputError: the space, the budget, the text or the architecture cannot be used, or `out`
            holds something else.
    """
    config, rates = config_of(arm, base=RunConfig(), data=data, budget=budget, settings=settings)
    place = Path(out or free_folder("sweeps", [config.architecture], config.data.source))
    with (
        watched(on_event, show=show, many=True) as shown,
        tracked(shown, log_to, out=place) as listener,
    ):
        if out is None:
            listener(note(f"The sweep is kept in {place}."))
        return search(
            config,
            space=space,
            trials=trials,
            out=place,
            storage=storage,
            workers=workers,
            rates=rates,
            on_event=listener,
        )


def _path(run: Path | str | Run) -> Path:
    return run.path if isinstance(run, Run) else Path(run)
