"""A run made of weights of others: from a folder that `transformers` wrote, or from the hub."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers

from inklings.auditing.probes import TOLERANCE
from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.device import choose_runtime, environment
from inklings.errors import (
    DownloadError,
    ForeignFormError,
    InklingsError,
    RunError,
    import_extra,
    is_installed,
)
from inklings.generation.special_names import spelled_names
from inklings.interop.any_causal_model import load_any_causal, why_not_causal
from inklings.interop.imports.foreign_folder import (
    CONFIG,
    LOGITS,
    TEMPLATES,
    ModelFolder,
    open_folder,
    read_template,
    refuse_no_numbers,
)
from inklings.interop.imports.kind import KINDS, ImportKind
from inklings.models.adapters.hub_models import not_at_hand
from inklings.models.adapters.hugging_face import foreign_errors
from inklings.models.adapters.weight_files import INDEX
from inklings.models.contract import SequenceModel, chosen_fields
from inklings.models.opening import opened
from inklings.runs import checkpoints
from inklings.runs.directory import RunDirectory, RunManifest, refuse_existing
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import read_tokenizer
from inklings.training.objectives.likelihood import LikelihoodObjective

AS_IT_IS = "as-it-is"
"""The kind that takes any causal model."""
FILES = (
    "config.json",
    "model.safetensors",
    "model-*-of-*.safetensors",
    INDEX,
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    *TEMPLATES,
)
"""Files of a model that are fetched from the hub: never a pickle."""
TOKENS = 128
"""Tokens of one text that both models read before there is a run."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """The run that was made of others' weights, and how near it is to what they computed."""

    run: RunDirectory
    kind: str
    difference: float | None
    """The most that a logit differs from what `transformers` computes; None where that is not
    installed.
    """
    largest: float
    """The size of the largest logit."""
    tokens: int
    """How many random tokens both read."""
    boundaries: tuple[str, str]
    """The tokens that documents open with and end with."""
    spelled: tuple[str, ...] = ()
    """Special tokens that its chat template names and that the run reads as text."""
    unread: tuple[str, ...] = ()
    """Tensors of the folder that the model has no place for, such as another head."""

    def __str__(self) -> str:
        if self.difference is None:
            return (
                "not compared with transformers, which is not installed (pip install"
                " 'inklings[transformers]')"
            )
        first, last = self.boundaries
        ends = "" if first == last else f". Documents open with {first} and end with {last}"
        return (
            f"logits differ from those of transformers by {self.difference:.1e} at most (their"
            f" size: up to {self.largest:.1f}) on {self.tokens} random tokens"
            f"{ends}"
        )


def import_model(
    source: str, run: Path, *, kind: str | None = None, data: DataConfig | None = None
) -> Imported:
    """Make a run of the weights and the tokenizer behind `source`, and compare the two.

    It trains nothing; `inklings train --from` does. There is a run whose logits are those that
    `transformers` computes, or none.

    Args:
        source: a folder with `config.json`, `model.safetensors` (or its parts) and `tokenizer.json`
            (or `vocab.json` and `merges.txt`), or OWNER/NAME of a model on the Hugging Face hub, or
            one of its older names without an owner (`gpt2`).
        run: where the run is to be; nothing may be there.
        kind: one of `KINDS`; None is what config.json says.
        data: the text that it is evaluated on where none is named.

    Raises:
        RunError: a file is missing, damaged or a pickle, or something is at `run`.
        ForeignFormError: the model is of a form that none of ours has.
        TokenizerError: the tokenizer cannot be used.
        DownloadError: the hub cannot be reached or has no such model.
        MissingExtraError: the source is on the hub, and the extra `hub` is not installed.
        InklingsError: the imported model computes something else.
    """
    refuse_existing(run)
    folder = open_folder(Path(source) if Path(source).is_dir() else _fetched(source))
    record = _kind(folder, kind)
    tokenizer = _tokenizer(folder)
    if tokenizer.vocab_size > (size := folder.number("vocab_size", tokenizer.vocab_size)):
        raise RunError(
            f"{folder.path / 'config.json'} has {size} tokens, but the tokenizer has"
            f" {tokenizer.vocab_size}: it does not belong to these weights."
        )
    model = record.load(folder, tokenizer.vocab_size, tokenizer.boundary)
    compared = _compared(model, folder, record)
    spelled = tuple(spelled_names(read_template(folder.path), tokenizer))
    made = _make_run(run, record, model, tokenizer, source=source, data=data)
    names = tuple(
        str(tokenizer.backend.id_to_token(token))
        for token in (model.config.opening, tokenizer.boundary)
    )
    return Imported(
        run=made, kind=record.name, boundaries=(names[0], names[1]), spelled=spelled, **compared
    )


def import_ours_or_as_it_is(source: str, run: Path, *, data: DataConfig | None = None) -> Imported:
    """Make a run of a model of ours where its form is one, else of the model as it is.

    Args:
        source: as `import_model` takes it.
        run: likewise.
        data: likewise.
    """
    try:
        return import_model(source, run, data=data)
    except ForeignFormError:
        return import_model(source, run, kind=AS_IT_IS, data=data)


def _kind(folder: ModelFolder, name: str | None) -> ImportKind:
    """Return the kind that was asked for, or the one that the configuration names."""
    found = folder.settings.get("model_type")
    if not isinstance(found, str):
        said = "names no model_type" if found is None else f"says model_type is {found!r}"
        raise RunError(
            f"{folder.path / CONFIG} {said}, so nothing tells of which make the model is. Take the"
            " file that was written beside the weights."
        )
    if name is not None:
        kind = KINDS[name]
        if name not in (found, AS_IT_IS):
            raise RunError(
                f"{folder.path} is a {found!r}, not a {name}. Leave the kind out, or say"
                f" {AS_IT_IS}."
            )
        return kind
    if found not in KINDS.places or found == AS_IT_IS:
        ours = ", ".join(one for one in KINDS.places if one != AS_IT_IS)
        way = why_not_causal(found) or (
            f"As it is any causal model can be scored: inklings import {AS_IT_IS} {folder.path}"
            f" --run RUN, or the arm hf:{folder.path}."
        )
        raise ForeignFormError(
            f"{folder.path} is a {found!r}; {ours} can become models of ours. {way}"
        )
    return KINDS[found]


def _compared(model: SequenceModel, folder: ModelFolder, kind: ImportKind) -> dict[str, Any]:
    """Let both models read the same random tokens, within one window."""
    size = min(model.config.context_length, TOKENS)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(model.config.vocab_size, (1, size), generator=generator)
    with torch.no_grad():
        ours = model(tokens).logits
        refuse_no_numbers({LOGITS: ours}, folder.path)
        largest = float(ours.abs().max())
        found: dict[str, Any] = {"difference": None, "largest": largest, "tokens": size}
        if not is_installed("transformers"):
            return found
        loaded = load_any_causal(str(folder.path))
        there: Any = loaded.inner
        with foreign_errors(f"transformers cannot compute what {folder.path} says"):
            theirs = there(input_ids=opened(tokens, model.config)).logits[
                ..., : model.config.vocab_size
            ]
    difference = float((ours - theirs).abs().max())
    if not difference <= TOLERANCE * (1 + largest):  # NaN too
        way = (
            "It is the same model, read twice: its logits are not the same each time."
            if kind.name == AS_IT_IS
            else f"As it is the model can be scored: inklings import {AS_IT_IS} {folder.path}"
            " --run RUN."
        )
        raise InklingsError(
            f"nothing was imported: from {folder.path} transformers computes other logits, by up to"
            f" {difference:.1e} where the largest is {largest:.1f}. {way}"
        )
    return {**found, "difference": difference, "unread": loaded.unread}


def _make_run(
    run: Path,
    kind: ImportKind,
    model: SequenceModel,
    tokenizer: Tokenizer,
    *,
    source: str,
    data: DataConfig | None,
) -> RunDirectory:
    """Write the run.

    Args:
        run: where to.
        kind: of the import.
        model: with its weights.
        tokenizer: of the model.
        source: what it was made of.
        data: settings of a text.
    """
    training = LikelihoodObjective.settle(model, TrainingConfig(budget="0-steps"))
    runtime = choose_runtime(dataclasses.replace(training, precision="float32", compile="off"))
    training = dataclasses.replace(
        training, device=runtime.device, precision="float32", compile="off", threads=runtime.threads
    )
    config = RunConfig(
        architecture=kind.architecture,
        model=chosen_fields(model.config),
        data=data or DataConfig(),
        training=training,
    )
    assert training.sequence_length is not None
    record = RunManifest(
        config=config,
        given=config,
        steps=0,
        tokens_per_step=training.batch_size * training.sequence_length,
        tokenizer=tokenizer.hash,
        data="",
        initial=source,
    )

    def first_checkpoint(path: Path, record: RunManifest) -> None:
        progress = checkpoints.TrainerState(best_step=0, stopped="budget")
        checkpoints.write_checkpoint(
            path, progress, model.state_dict(), {}, architecture=record.config.architecture
        )
        checkpoints.publish_weights(path, 0)

    facts = {**environment(), "runtime": dataclasses.asdict(runtime), "store": ""}
    return RunDirectory.create(
        run, record, tokenizer=tokenizer, environment=facts, first_checkpoint=first_checkpoint
    )


def _tokenizer(folder: ModelFolder) -> Tokenizer:
    """Return the folder's tokenizer in either of its forms."""
    path = folder.path
    if (path / "tokenizer.json").is_file():
        return read_tokenizer(path / "tokenizer.json", boundary=folder.boundary)
    vocabulary, merges = path / "vocab.json", path / "merges.txt"
    if not (vocabulary.is_file() and merges.is_file()):
        raise RunError(
            f"{path} has no tokenizer: tokenizer.json, or vocab.json and merges.txt. Save the"
            " model's tokenizer beside it."
        )
    backend = tokenizers.Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    with tempfile.TemporaryDirectory() as temporary:
        saved = Path(temporary) / "tokenizer.json"
        backend.save(str(saved))
        return read_tokenizer(saved, boundary=folder.boundary)


def _fetched(name: str) -> Path:
    """Return the files of a model on the hub, in its own cache."""
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise RunError(
            f"there is no folder {name}. Give a folder that transformers wrote, or OWNER/NAME of a"
            " model on the hub."
        )
    what = f"there is no folder {name}; reading it from the Hugging Face hub"
    hub = import_extra("huggingface_hub", what, "hub")
    try:
        return Path(hub.snapshot_download(name, allow_patterns=list(FILES)))
    except (
        Exception
    ) as error:  # the library raises those of several HTTP clients, without a common root
        raise DownloadError(not_at_hand(name, error)) from error
