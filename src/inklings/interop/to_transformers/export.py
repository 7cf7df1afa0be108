"""A run becomes a folder that plain `transformers` opens, checked before it appears."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch

import inklings
from inklings.config import with_source
from inklings.durable import disk_errors, new_directory, write_bytes, write_json
from inklings.errors import ArchitectureError, InklingsError, RunError, import_extra
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.events import OnEvent, silent
from inklings.interop.to_transformers.agreement import compare_logits
from inklings.interop.to_transformers.card import format_card
from inklings.interop.to_transformers.exported import Export, named
from inklings.interop.to_transformers.form import Form, form_of
from inklings.interop.to_transformers.vocabulary import (
    FILES,
    difference,
    lines_of,
    why_absent,
    write_tokenizer,
)
from inklings.models.adapters.hugging_face import load_hugging_face
from inklings.models.contract import SequenceModel
from inklings.runs.directory import RunDirectory
from inklings.runs.own_text import own_store
from inklings.text.store import TokenStore, prepare

REPORT = "inklings_export.json"
"""What was exported, compared and found, beside the model."""
WINDOWS = 2
"""Windows of a row that is compared, where more than one is promised: the second slides."""


def export_run(
    run: RunDirectory, folder: Path, *, data: str | None = None, on_event: OnEvent = silent
) -> Export:
    """Write the best weights of a run as a model of `transformers`, and compare the two.

    The folder appears whole and checked, or not at all.

    Args:
        run: of an architecture that has a twin there.
        folder: where to; nothing may be there, or an empty folder.
        data: the text whose validation part is compared on; None takes the run's own.
        on_event: called while the text is prepared.

    Raises:
        ArchitectureError: the run has no twin there, or the installed version has none.
        RunError: something is at `folder`, or the run or its text is not at hand.
        MissingExtraError: `transformers` is not installed.
        InklingsError: what was written predicts something else than the run.
    """
    form = form_of(run.config)
    _refuse_occupied(folder)
    transformers = import_extra("transformers", "export to transformers", "transformers")
    versions = {
        "inklings": inklings.__version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
    }
    if not hasattr(transformers, form.class_name):
        raise ArchitectureError(
            f"transformers {versions['transformers']} has no {form.class_name}. Install a newer"
            " one."
        )
    model = run.load_model()
    assert isinstance(model, SequenceModel)
    store = _store(run, data, on_event)
    split = store.split("validation")
    if folder.is_dir():
        folder.rmdir()  # empty; not every system renames onto a directory
    with new_directory(folder) as temporary:
        tokenizer = run.tokenizer()
        absent = why_absent(tokenizer)
        _write_model(temporary, form, model)
        if absent is None:
            write_tokenizer(tokenizer, temporary, longest=form.reach(model))
        loaded = load_hugging_face(str(temporary))
        agreement = compare_logits(
            model,
            loaded.inner,
            split,
            row_length=min(form.reach(model), WINDOWS * model.config.context_length),
            named=named(data or run.config.data.source),
        )
        if not agreement.holds:
            raise InklingsError(
                f"nothing was exported: transformers {versions['transformers']} computes"
                f" {form.class_name} otherwise than the run: {agreement}."
            )
        lines = lines_of(tokenizer, split) if absent is None else []
        if absent is None and (absent := difference(tokenizer, loaded.tokenizer, lines)):
            for name in FILES:
                (temporary / name).unlink()
        likelihood = evaluate(model, split, lossless=store.lossless("validation"))
        made = Export(
            folder=folder,
            run=run.path.name,
            form=form.name,
            class_name=form.class_name,
            notes=form.notes(model),
            without_tokenizer=absent,
            lines=len(lines),
            agreement=agreement,
            likelihood=likelihood,
            interval=likelihood.known_interval(),
            versions=versions,
        )
        write_bytes(temporary / "README.md", format_card(made, run, model).encode())
        write_json(temporary / REPORT, made.to_mapping())
    return made


def _refuse_occupied(folder: Path) -> None:
    with disk_errors(folder):
        free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not free:
        raise RunError(f"{folder} is there already and not empty. Choose another folder.")


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


def _write_model(folder: Path, form: Form, model: SequenceModel) -> None:
    boundary = model.config.boundary_token
    ends = {"bos_token_id": boundary, "eos_token_id": boundary}
    settings = {
        "architectures": [form.class_name],
        "dtype": "float32",
        **form.settings(model),
        **ends,
    }
    write_json(folder / "config.json", settings)
    write_json(folder / "generation_config.json", {**ends, "pad_token_id": boundary})
    tensors = {
        name: tensor.detach().to("cpu", torch.float32).contiguous().clone()
        for name, tensor in form.tensors(model).items()
    }
    data = safetensors.torch.save(tensors, metadata={"format": "pt"})
    write_bytes(folder / "model.safetensors", data)
