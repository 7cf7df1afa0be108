"""A run made of GPT-2 weights: from a folder that `transformers` wrote, or from the hub."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.device import choose_runtime, environment
from inklings.errors import DownloadError, RunError, import_extra
from inklings.interop.gpt2_weights import load_gpt2
from inklings.models.contract import chosen_fields
from inklings.runs import checkpoints
from inklings.runs.directory import RunDirectory, RunManifest, refuse_existing
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import read_tokenizer
from inklings.training.objectives.likelihood import LikelihoodObjective

FILES = ("config.json", "model.safetensors", "tokenizer.json", "vocab.json", "merges.txt")
"""Files of a model that are fetched from the hub: never a pickle."""


def import_gpt2(source: str, run: Path, *, data: DataConfig | None = None) -> RunDirectory:
    """Make a run of the weights and the tokenizer behind `source`.

    It trains nothing; `inklings train --from` does.

    Args:
        source: a folder with `config.json`, `model.safetensors` and `tokenizer.json` (or
            `vocab.json` and `merges.txt`), or OWNER/NAME of a model on the Hugging Face hub, or one
            of its older names without an owner (`gpt2`).
        run: where the run is to be; nothing may be there.
        data: the text that it is evaluated on where none is named.

    Raises:
        RunError: a file is missing, damaged or a pickle, the model is not a plain GPT-2, or
            something is at `run`.
        TokenizerError: the tokenizer cannot be used.
        DownloadError: the hub cannot be reached or has no such model.
        MissingExtraError: the source is on the hub, and the extra `hub` is not installed.
    """
    refuse_existing(run)
    folder = Path(source) if Path(source).is_dir() else _fetched(source)
    tokenizer = _tokenizer(folder)
    model = load_gpt2(folder, vocab_size=tokenizer.vocab_size, boundary_token=tokenizer.boundary)
    training = LikelihoodObjective.settle(model, TrainingConfig(budget="0-steps"))
    runtime = choose_runtime(dataclasses.replace(training, precision="float32", compile="off"))
    training = dataclasses.replace(
        training, device=runtime.device, precision="float32", compile="off", threads=runtime.threads
    )
    config = RunConfig(
        architecture="gpt2",
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
            path, progress, model, {}, architecture=record.config.architecture
        )
        checkpoints.publish_weights(path, 0)

    facts = {**environment(), "runtime": dataclasses.asdict(runtime), "store": ""}
    return RunDirectory.create(
        run, record, tokenizer=tokenizer, environment=facts, first_checkpoint=first_checkpoint
    )


def _tokenizer(folder: Path) -> Tokenizer:
    """Return the folder's tokenizer in either of its forms."""
    if (folder / "tokenizer.json").is_file():
        return read_tokenizer(folder / "tokenizer.json")
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    if not (vocabulary.is_file() and merges.is_file()):
        raise RunError(
            f"{folder} has no tokenizer: tokenizer.json, or vocab.json and merges.txt. Save the"
            " model's tokenizer beside it."
        )
    backend = tokenizers.Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "tokenizer.json"
        backend.save(str(path))
        return read_tokenizer(path)


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
        raise DownloadError(
            f"there is no folder {name}, and the hub did not give such a model: {error}"
        ) from error
