"""Opening and making the long-term memory of a run, and giving it to the model to read."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from inklings.durable import disk_errors, file_sha256, read_json, refuse_links_out
from inklings.errors import ArchitectureError, ConfigError, InputError, RunError
from inklings.memory.backends.exact import Exact
from inklings.memory.persistence import MANIFEST, load, read_manifest
from inklings.memory.settings import Backend, MemoryConfig, SearchedOn
from inklings.memory.store import Memory
from inklings.models.contract import SequenceModel
from inklings.models.remembering import Remembering
from inklings.runs.directory import RunDirectory
from inklings.runs.lock import is_locked, locked
from inklings.runs.memory import DOCUMENTS, FORMAT_VERSION, STORE, TABLE, RunMemory
from inklings.runs.memory_documents import read_documents
from inklings.text.tokenizers import Tokenizer

FOLDER = "memory"
CAPACITY = 1_000_000
"""Entries of a new memory, where no other number is asked for; room is taken as it is filled."""
POSTGRES = "INKLINGS_POSTGRES"
"""The environment variable with the connection string of a memory in a database."""

WITHOUT = (
    "`inklings generate RUN --no-memory`, `inklings evaluate RUN --no-memory` and"
    " `inklings serve RUN --no-memory` do without"
)
"""What helps where a memory cannot be used."""

Weights = Literal["best", "last"]


def has_memory(run: RunDirectory) -> bool:
    """Return whether a run has a long-term memory, or has what is left of one."""
    folder = run.path / FOLDER
    return os.path.lexists(folder / STORE / MANIFEST) or any(
        (folder / DOCUMENTS).glob("[0-9]*.json")
    )


def open_memory(
    run: RunDirectory,
    model: SequenceModel,
    *,
    weights: Weights = "best",
    device: SearchedOn | None = None,
    connection: str | None = None,
    table: str | None = None,
) -> RunMemory:
    """Open the long-term memory of a run; the model is not given it (`attach` does that).

    Args:
        run: the run.
        model: the run's model.
        weights: which of the run's weights the model has.
        device: where FAISS searches it from now on; None where it did.
        connection: of a memory in a database; None takes it from the environment variable
            `POSTGRES`.
        table: use this table of the database; an empty one is filled. None takes the one that was
            in use.

    Raises:
        ArchitectureError: the model reads no memory.
        RunError: there is no memory, it is damaged, or other weights wrote it.
        ConfigError: it is in a database that cannot be reached, or is not said; or FAISS cannot
            search on that device.
        MissingExtraError: its backend is not installed.
    """
    reader = _remembering(run, model)
    folder, tokenizer, digest = (
        run.path / FOLDER,
        run.tokenizer(),
        file_sha256(run.weights_path(weights)),
    )
    if not has_memory(run):
        raise RunError(
            f"{run.path} has no long-term memory yet. `inklings memory {run.path} add FILE` makes"
            " one."
        )
    if not os.path.lexists(folder / STORE / MANIFEST):
        raise RunError(_lost(folder))
    manifest = read_manifest(folder / STORE)
    if manifest.model != digest:
        raise RunError(
            f"{folder} was written with other weights than those of {run.weights_path(weights)}:"
            f" its vectors mean nothing to these. If the run was trained further, remove {folder}"
            f" and add the texts again; {WITHOUT}."
        )
    if manifest.config.backend != "pgvector":
        memory = _load_from_files(folder / STORE, reader.dimension, tokenizer, device)
        return RunMemory(folder, memory, reader, tokenizer, digest, None)
    table = table or _table_of(folder)
    memory = _load_from_table(folder, reader.dimension, tokenizer, connection, table)
    return RunMemory(folder, memory, reader, tokenizer, digest, table)


def create_memory(
    run: RunDirectory,
    model: SequenceModel,
    *,
    capacity: int = CAPACITY,
    backend: Backend = "exact",
    device: SearchedOn = "cpu",
    connection: str | None = None,
    table: str | None = None,
) -> RunMemory:
    """Make a new and empty long-term memory for the best weights of a run.

    Nothing is on disk until something is added.

    Args:
        run: the run.
        model: the run's model.
        capacity: most entries there can be; the oldest give way to new ones.
        backend: how it is searched.
        device: where FAISS searches it.
        connection: of a database, for `pgvector`; None takes it from the environment variable
            `POSTGRES`.
        table: of that database; None takes a name that nobody else has.

    Raises:
        ArchitectureError: the model reads no memory.
        RunError: there is a memory already.
        ConfigError: a setting is out of range, or the database cannot be reached.
        MissingExtraError: the backend is not installed.
    """
    reader = _remembering(run, model)
    if has_memory(run):
        raise RunError(
            f"{run.path} has a long-term memory already; remove {run.path / FOLDER} to begin anew."
        )
    config = MemoryConfig(
        dimension=reader.dimension, capacity=capacity, backend=backend, device=device
    )
    digest = file_sha256(run.weights_path())
    if backend != "pgvector":
        return RunMemory(run.path / FOLDER, Memory(config), reader, run.tokenizer(), digest, None)
    from inklings.memory.backends.pgvector import PgVector

    table = table or f"inklings_{uuid.uuid4().hex[:16]}"
    index = PgVector(_connection(connection), dimension=reader.dimension, table=table)
    if len(index):
        raise ConfigError(
            f"the table {table!r} holds {len(index):,} vectors already; give a new memory a --table"
            " of its own."
        )
    return RunMemory(
        run.path / FOLDER, Memory(config, index), reader, run.tokenizer(), digest, table
    )


def attach(
    run: RunDirectory, model: SequenceModel, *, weights: Weights = "best"
) -> RunMemory | None:
    """Give a run's model its long-term memory to read. Errors as `open_memory`.

    Return None where the model reads none, or the run has none.

    Args:
        run: the run.
        model: the run's model.
        weights: which of the run's weights the model has.
    """
    if not isinstance(model, Remembering) or not has_memory(run):
        return None
    opened = open_memory(run, model, weights=weights)
    model.long_term = opened.memory
    return opened


def check_memory(run: RunDirectory) -> list[str]:
    """Read every byte of the memory of a run and return what is wrong.

    The list is empty if nothing is, or there is no memory.
    """
    if not has_memory(run):
        return []
    folder = run.path / FOLDER
    store, documents = folder / STORE, folder / DOCUMENTS
    if not os.path.lexists(store / MANIFEST):
        return [_lost(folder)]
    problems, needed = [], set[int]()
    try:
        # whatever its backend: it is only read
        manifest = read_manifest(store)
        if manifest.config.backend == "pgvector":
            _table_of(folder)
        memory = load(store, index=Exact(manifest.config.dimension))
        needed = set(memory.entries().documents.tolist())
    except InputError as error:
        problems.append(str(error))
    try:
        missing = sorted(needed - read_documents(documents).keys())
    except RunError as error:
        problems.append(str(error))
    else:
        problems += [f"{documents} lacks document {number}." for number in missing]
    return problems


@contextlib.contextmanager
def changing(run: RunDirectory) -> Iterator[None]:
    """Keep other commands from changing the memory of a run; open and change it within the block.

    Raises:
        RunError: another process changes it, or trains the run, whose weights would not be those
            that the memory is of.
        DiskError: the run may not be written to, or a link in it leads out of it.
    """
    if is_locked(run.path):
        raise RunError(
            f"{run.path} is being trained by another process: its weights change. Wait until it is"
            " done."
        )
    folder = run.path / FOLDER
    refuse_links_out(run.path)
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
    with locked(folder, doing="changed", advice="stop it"):
        yield


def _lost(folder: Path) -> str:
    return (
        f"{folder} is damaged: it holds texts, and {Path(STORE) / MANIFEST}, which says what was"
        f" made of them, is missing. Restore it from a copy, or remove {folder} and add the texts"
        f" again; {WITHOUT}."
    )


def _table_of(folder: Path) -> str:
    """Return the table of the database that a memory is in."""
    content = read_json(folder / TABLE, format_version=FORMAT_VERSION)
    if not isinstance(content.get("table"), str):
        raise RunError(f"{folder / TABLE} is damaged: it names no table. Say it with --table.")
    return str(content["table"])


def _remembering(run: RunDirectory, model: SequenceModel) -> Remembering:
    if not isinstance(model, Remembering):
        raise ArchitectureError(
            f"{run.path} is a {run.config.architecture}, which reads no memory. "
            f"`inklings train varda --from {run.path} --run NEW` makes a run that has one."
        )
    return model


def _connection(given: str | None) -> str:
    found = given or os.environ.get(POSTGRES)
    if not found:
        raise ConfigError(
            "the memory is in a PostgreSQL database, and it is not said how to get there: set the"
            f" environment variable {POSTGRES} to its connection string"
            " (postgresql://USER:PASSWORD@HOST:PORT/DATABASE). `inklings memory` takes it as"
            " --connection too."
        )
    return found


def _load_from_files(
    store: Path, dimension: int, tokenizer: Tokenizer, device: SearchedOn | None
) -> Memory:
    """Load a memory that is searched in this process.

    If a command replaces it while it is read, it is read again.
    """
    while True:
        manifest = read_manifest(store)
        try:
            return load(store, dimension=dimension, tokenizer=tokenizer.hash, device=device)
        except RunError:
            # replaced: the files that the old manifest names are gone, and that is no damage
            if read_manifest(store).files == manifest.files:
                raise


def _load_from_table(
    folder: Path, dimension: int, tokenizer: Tokenizer, connection: str | None, table: str
) -> Memory:
    """Load a memory that is searched in a database, which may not hold what was saved.

    A command may have died between the two.
    """
    from inklings.memory.backends.pgvector import PgVector

    index = PgVector(_connection(connection), dimension=dimension, table=table)
    held = len(index)
    manifest = read_manifest(folder / STORE)
    if held not in (0, manifest.count):
        raise RunError(
            f"the table {table!r} holds {held:,} vectors, the memory in {folder} has"
            f" {manifest.count:,}: a command was killed midway, or somebody else writes there."
            " `inklings memory RUN compact --table NEW` fills a new one from the memory."
        )
    return load(folder / STORE, dimension=dimension, tokenizer=tokenizer.hash, index=index)
