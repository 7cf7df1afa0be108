"""A run is written for another library or engine, and checked before it appears."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import inklings
from inklings.config import with_source
from inklings.durable import disk_errors, new_directory, new_files, write_bytes, write_json
from inklings.errors import ConfigError, InklingsError, RunError, TokenizerError
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.events import OnEvent, silent
from inklings.interop.exports.agreement import compare_logits
from inklings.interop.exports.card import format_card
from inklings.interop.exports.exported import Export, in_words, named
from inklings.interop.exports.target import TARGETS, Leaving, Target
from inklings.interop.exports.tokens import difference, lines_of
from inklings.models.contract import SequenceModel
from inklings.runs.directory import RunDirectory
from inklings.runs.open_memory import has_memory
from inklings.runs.own_text import own_store
from inklings.text.store import TokenStore, prepare

REPORT = "inklings_export.json"
"""What was exported, compared and found, beside a model that is a folder."""
WINDOWS = 2
"""Windows of a row that is compared, where more than one is promised: the second slides."""


def report_of(path: Path, target: Target) -> Path:
    """Return where what was compared stands: in the folder, or beside the file."""
    return path / REPORT if target.path == "DIR" else path.with_name(f"{path.name}.json")


def export_run(
    run: RunDirectory,
    path: Path,
    *,
    to: str = "transformers",
    precision: str | None = None,
    data: str | None = None,
    trust_code: bool = False,
    on_event: OnEvent = silent,
) -> Export:
    """Write the best weights of a run for another library, and compare the two.

    The folder or file appears whole and checked, or not at all.

    Args:
        run: of an architecture that the target has a form for.
        path: where to; nothing may be there, or an empty folder where a folder is written.
        to: the name of a target (`TARGETS`).
        precision: what weights are stored as; None takes the target's first.
        data: the text whose validation part is compared on; None takes the run's own.
        trust_code: whether to run the architecture's Python code if another user or machine made
            it.
        on_event: called while the text is prepared.

    Raises:
        ConfigError: there is no such target, or it has no such `precision`.
        ArchitectureError: the target has no form for the run.
        TokenizerError: the target takes no model without a tokenizer, and none of the run's kind.
        RunError: something is at `path`, or the run or its text is not at hand.
        MissingExtraError: a library of the target is not installed.
        InklingsError: what was written predicts something else than the run.
    """
    target = TARGETS[to]
    precision = _checked_precision(target, precision)
    config = run.usable_config(trust_code=trust_code)
    form = target.form_of(config, initial=run.record.initial)
    _refuse_occupied(path, target)
    versions = {"inklings": inklings.__version__, **target.prepare(form)}
    tokenizer = run.tokenizer()
    absent = target.why_no_tokenizer(tokenizer)
    if absent is not None and target.needs_tokenizer:
        raise TokenizerError(
            f"{run.path.name} cannot be exported to {target.name}, which takes no model without its"
            f" tokenizer: {absent}. Train with the tokenizer 'byte', 'char+bytes' or 'bpe:N'."
        )
    model = run.load_model(trust_code=trust_code)
    assert isinstance(model, SequenceModel)
    store = _store(run, data, on_event)
    split = store.split("validation")
    with _appearing(path, target) as place:
        leaving = Leaving(
            model=model,
            config=config,
            tokenizer=tokenizer,
            form=form,
            precision=precision,
            path=place,
        )
        target.write(leaving, absent is None)
        reader = target.read(leaving)
        agreement = compare_logits(
            model,
            reader,
            split,
            row_length=min(form.reach(model), WINDOWS * model.config.context_length),
            named=named(data or run.config.data.source),
            tolerance=target.precisions[precision],
        )
        if not agreement.holds:
            raise InklingsError(
                f"nothing was exported: {target.becomes}, read by {in_words(versions)}, computes"
                f" {form.class_name} otherwise than the run: {agreement}."
            )
        lines = lines_of(tokenizer, split) if absent is None else []
        opening = model.config.opening
        if absent is None and (absent := difference(tokenizer, reader, lines, to, opening=opening)):
            if target.needs_tokenizer:
                raise InklingsError(f"nothing was exported: {absent}.")
            target.write(leaving, False)
        likelihood = (
            None
            if target.use is None
            else evaluate(model, split, lossless=store.lossless("validation"))
        )
        made = Export(
            path=path,
            target=target.name,
            becomes=target.becomes,
            run=run.path.name,
            form=form.name,
            class_name=form.class_name,
            loading=form.loading,
            precision=precision,
            notes=(*form.notes(model), *_memory_notes(run)),
            without_tokenizer=absent,
            lines=len(lines),
            agreement=agreement,
            likelihood=likelihood,
            interval=None if likelihood is None else likelihood.known_interval(),
            versions=versions,
        )
        if target.use is not None:
            card = format_card(made, run, model, form, target)
            write_bytes(place / "README.md", card.encode())
        write_json(report_of(place, target), made.to_mapping())
    return made


def _checked_precision(target: Target, asked: str | None) -> str:
    if asked is None:
        return next(iter(target.precisions))
    if asked not in target.precisions:
        raise ConfigError(
            f"weights for {target.name} cannot be stored as {asked!r}. Allowed:"
            f" {', '.join(target.precisions)}."
        )
    return asked


def _refuse_occupied(path: Path, target: Target) -> None:
    with disk_errors(path):
        if target.path == "DIR":
            free = not path.exists() or (path.is_dir() and not any(path.iterdir()))
            problem = f"{path} is there already and not empty. Choose another folder."
        else:
            taken = [file for file in (path, report_of(path, target)) if file.exists()]
            free = not taken
            problem = f"{taken[0]} is there already. Choose another name." if taken else ""
    if not free:
        raise RunError(problem)


@contextlib.contextmanager
def _appearing(path: Path, target: Target) -> Iterator[Path]:
    """Give where to write: what is there appears at `path` when the block ends well."""
    if target.path == "FILE":
        with new_files(path) as folder:
            yield folder / path.name
        return
    if path.is_dir():
        path.rmdir()  # empty; not every system renames onto a directory
    with new_directory(path) as folder:
        yield folder


def _memory_notes(run: RunDirectory) -> list[str]:
    """Say that a long-term memory stays behind, where there is one."""
    if not has_memory(run):
        return []
    return [
        "The run's long-term memory did not come along: the model remembers what it reads itself."
    ]


def _store(run: RunDirectory, data: str | None, on_event: OnEvent) -> TokenStore:
    if data is not None:
        text = with_source(run.config.data, data)
        return prepare(text, tokenizer=run.tokenizer(), on_event=on_event)
    try:
        return own_store(run, on_event=on_event)
    except RunError as error:
        raise RunError(
            f"an export is compared with its run on held-out text, and {error} Or name any text:"
            " `inklings export ... --data FILE`."
        ) from error
