"""`inklings memory RUN info|search|add|keep|remove|forget|compact`.

Look into the long-term memory of a run, add to it, or forget.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from inklings.cli.arguments import Json, RunName, called, parse
from inklings.cli.memory_additions import add_source, keep_stored
from inklings.cli.reference import open_run
from inklings.cli.table import GAP, name_column, number_column, words_column
from inklings.cli.terminal import Terminal, open_terminal
from inklings.errors import ConfigError
from inklings.memory.settings import Backend, SearchedOn
from inklings.models.contract import SequenceModel
from inklings.models.objectives import predictor
from inklings.runs.directory import RunDirectory
from inklings.runs.memory import Hit, MemoryInfo, RunMemory
from inklings.runs.open_memory import CAPACITY, changing, create_memory, has_memory, open_memory

Action = Literal["info", "search", "add", "keep", "remove", "forget", "compact"]

HITS = 5
"""How many hits a search shows, where no other number is asked for."""
NARROWEST, WIDEST = 8, 32
"""Characters that a table shows on each side of a value."""
NAME = 20
"""Characters of a document's name that it shows."""
DOCUMENTS = 20
"""How many documents `info` lists."""


@dataclass(frozen=True)
class MemoryFlags:
    """Flags of the verb `memory`."""

    run: tyro.conf.Positional[RunName]
    """A run's directory."""
    action: tyro.conf.Positional[Action]
    """info; search TEXT; add FILE; keep what the model stored while it was trained; remove IDS (3,
    5-9); forget some at random; compact what is on disk.
    """
    what: tyro.conf.Positional[Annotated[tuple[str, ...], called("[WHAT ...]")]] = ()
    """The TEXT, the FILE (any text source, `-` for stdin) or the IDS."""
    k: int | None = None
    """search: how many entries to show; 5 if nothing is said, or all of fewer."""
    layout: Literal["auto", "lines", "documents"] | None = None
    """add: whether a document is a line, or a file or record."""
    capacity: int | None = None
    """add, keep, the first time: most entries there can be, 1,000,000 if nothing is said; then the
    oldest give way to new ones.
    """
    backend: Backend | None = None
    """add, keep, the first time: how the memory is searched; `exact` if nothing is said."""
    device: SearchedOn | None = None
    """add, keep, the first time: where FAISS searches with the backend `flat` or `ivf`; `cpu` if
    nothing is said. compact: where from now on.
    """
    factor: float | None = None
    """forget: the probability with which each entry is forgotten."""
    seed: int | None = None
    """forget: the same seed forgets the same entries; 0 if nothing is said."""
    connection: str | None = None
    """pgvector: the connection string of the database; other users see it here, so better set
    INKLINGS_POSTGRES.
    """
    table: str | None = None
    """pgvector: a table of one's own choice; one that is not there yet is made."""
    trust_code: bool = False
    """Allow the run's own copy of an architecture file to be executed though another machine made
    it.
    """
    json: Json = False


TAKES: dict[Action, tuple[str, ...]] = {
    "info": (),
    "search": ("what", "k"),
    "add": ("what", "layout", "capacity", "backend", "device"),
    "keep": ("capacity", "backend", "device"),
    "remove": ("what",),
    "forget": ("factor", "seed"),
    "compact": ("device",),
}
"""Flags that each action can use beside those that all can."""

NEEDS = {
    "TEXT": "what stands before the place that is sought",
    "FILE": "any text source, or `-` for stdin",
    "IDS": "numbers or ranges, as in 3 5-9",
}
"""What `what` stands for, where it cannot be left out."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    description = "Look into the long-term memory of a run, add text to it, or forget."
    flags = parse(MemoryFlags, arguments, verb="memory", description=description)
    _check(flags)
    terminal = open_terminal(flags.json)
    run = open_run(flags.run)
    model = predictor(run.load_model(trust_code=flags.trust_code), "a memory")
    if flags.action in READING:
        terminal.result(
            {"run": flags.run, **READING[flags.action](_open(run, model, flags), flags, terminal)}
        )
        return 0
    with changing(run):
        fresh = flags.action in ("add", "keep") and not has_memory(run)
        memory = _create(run, model, flags) if fresh else _open(run, model, flags)
        terminal.result({"run": flags.run, **CHANGING[flags.action](memory, flags, terminal)})
    return 0


def _check(flags: MemoryFlags) -> None:
    """Refuse, with a `ConfigError`, flags that the action cannot use, and missing ones."""
    told = [
        name
        for name in ("what", "k", "layout", "capacity", "backend", "device", "factor", "seed")
        if getattr(flags, name) not in (None, ())
    ]
    other = [name for name in told if name not in TAKES[flags.action]]
    if other:
        shown = repr(" ".join(flags.what)) if other[0] == "what" else f"--{other[0]}"
        users = [action for action, names in TAKES.items() if other[0] in names]
        raise ConfigError(
            f"`memory RUN {flags.action}` takes no {shown}; it is for {' and '.join(users)}."
        )
    noun = {"search": "TEXT", "add": "FILE", "remove": "IDS"}.get(flags.action)
    if noun and not flags.what:
        raise ConfigError(f"`memory RUN {flags.action}` needs {noun}: {NEEDS[noun]}.")
    if noun in ("TEXT", "FILE") and len(flags.what) > 1:
        raise ConfigError(
            f"`memory RUN {flags.action}` takes one {noun}, and {len(flags.what)} are given; quote"
            " it if it has blanks."
        )
    if flags.action == "forget" and flags.factor is None:
        raise ConfigError(
            "`memory RUN forget` needs --factor, the probability with which each entry is"
            " forgotten: 0 to 1."
        )


def _open(run: RunDirectory, model: SequenceModel, flags: MemoryFlags) -> RunMemory:
    changed = flags.device if flags.action == "compact" else None
    memory = open_memory(run, model, device=changed, connection=flags.connection, table=flags.table)
    config = memory.memory.config
    if flags.device not in (None, config.device):
        raise ConfigError(
            f"--device is {flags.device}, but this memory is searched on {config.device}; `inklings"
            f" memory {flags.run} compact --device {flags.device}` changes that."
        )
    for name in ("capacity", "backend"):
        asked, found = getattr(flags, name), getattr(config, name)
        if asked not in (None, found):
            raise ConfigError(
                f"--{name} is {asked}, but this memory was made with {found}, which stays. Leave"
                " the flag out."
            )
    if memory.table is None and (flags.table or flags.connection):
        raise ConfigError(
            f"this memory is in files (backend {config.backend}); --connection and --table are for"
            " pgvector. Leave them out."
        )
    return memory


def _create(run: RunDirectory, model: SequenceModel, flags: MemoryFlags) -> RunMemory:
    if flags.backend != "pgvector" and (flags.table or flags.connection):
        raise ConfigError(
            "--connection and --table are for --backend pgvector; say that too, or leave them out."
        )
    capacity = CAPACITY if flags.capacity is None else flags.capacity
    backend = flags.backend or "exact"
    return create_memory(
        run,
        model,
        capacity=capacity,
        backend=backend,
        device=flags.device or "cpu",
        connection=flags.connection,
        table=flags.table,
    )


def _info(memory: RunMemory, flags: MemoryFlags, terminal: Terminal) -> dict[str, Any]:
    info = memory.info()
    _show_info(info, flags.run, terminal)
    return dataclasses.asdict(info)


def _show_info(info: MemoryInfo, run: str, terminal: Terminal) -> None:
    found = info.memory
    of = "1 document" if len(info.documents) == 1 else f"{len(info.documents):,} documents"
    terminal.say(
        f"{run}: {found.count:,} entries of {of}, room for {found.capacity:,}", style="bold"
    )
    backend = found.backend if info.table is None else f"{found.backend}, table {info.table}"
    rows = [
        ("backend", backend if found.ready else f"{backend} (answers as exact until it has more)"),
        ("vectors of", f"{found.dimension} numbers"),
        ("gives way", f"the {found.eviction}".replace("_", " ")),
        ("additions", f"{found.clock:,}"),
        ("on disk", f"{info.bytes / 1e6:,.1f} MB"),
    ]
    if found.recall is not None:
        rows.append(
            (f"recall@{found.recall_at}", f"{found.recall:.1%} of the truly nearest are found")
        )
    terminal.table([name_column(), words_column()], rows)
    documents = [
        (d.name, f"{d.tokens:,}", f"{d.entries:,}", f"{d.first_id} to {d.last_id}")
        for d in info.documents[:DOCUMENTS]
    ]
    if documents:
        columns = [
            name_column("document"),
            number_column("tokens", 2),
            number_column("entries", 1),
            number_column("ids"),
        ]
        terminal.table(columns, documents)
    if len(info.documents) > DOCUMENTS:
        terminal.say(f"and {len(info.documents) - DOCUMENTS:,} more; --json lists all", style="dim")


def _search(memory: RunMemory, flags: MemoryFlags, terminal: Terminal) -> dict[str, Any]:
    k = min(HITS, max(1, len(memory))) if flags.k is None else flags.k
    hits = memory.search(flags.what[0], k)
    found = [(str(hit.id), f"{hit.distance:.4f}", str(hit.age), _end(hit.document)) for hit in hits]
    columns = [
        number_column("id"),
        number_column("distance", 1),
        number_column("age", 2),
        name_column("document", 3),
    ]
    beside = sum(
        max(len(cell) + GAP for cell in cells)
        for cells in zip([column.title for column in columns], *found, strict=True)
    )
    value = max(len(_shown(hit.value)) for hit in hits) if hits else 0
    side = min(WIDEST, max(NARROWEST, (terminal.console.width - beside - value - 2) // 2))
    rows = [(*cells, _snippet(hit, side)) for cells, hit in zip(found, hits, strict=True)]
    terminal.table([*columns, words_column("text")], rows)
    return {"text": flags.what[0], "hits": [dataclasses.asdict(hit) for hit in hits]}


def _end(name: str) -> str:
    """Return the end of a long name, which tells documents of one source apart."""
    return name if len(name) <= NAME else f"…{name[1 - NAME :]}"


def _snippet(hit: Hit, side: int) -> str:
    """Return the text around a hit in one line, its value between marks that line up."""
    before, after = (re.sub(r"\s+", " ", text) for text in (hit.before, hit.after))
    return f"{before[-side:]:>{side}}«{_shown(hit.value)}»{after[:side]}"


def _shown(value: str) -> str:
    return value if value.isprintable() else repr(value)


def _add(memory: RunMemory, flags: MemoryFlags, terminal: Terminal) -> dict[str, Any]:
    return add_source(memory, flags.what[0], flags.layout or "auto", terminal)


def _keep(memory: RunMemory, flags: MemoryFlags, terminal: Terminal) -> dict[str, Any]:
    return keep_stored(memory, open_run(flags.run), terminal)


def _remove(memory: RunMemory, flags: MemoryFlags, terminal: Terminal) -> dict[str, Any]:
    ids = parse_ids(flags.what, memory.memory.ids)
    memory.remove(ids)
    terminal.say(f"removed {len(ids):,} entries; {len(memory):,} are left.", style="bold")
    return {"removed": ids, "entries": len(memory)}


def parse_ids(given: Sequence[str], known: np.ndarray[Any, np.dtype[np.int64]]) -> list[int]:
    """Parse ids given as numbers and as ranges, both ends included; of a range, the known ones.

    Raises:
        ConfigError: something is not an id, or a range holds none.
    """
    ids: list[int] = []
    for word in (word for argument in given for word in argument.replace(",", " ").split()):
        first, dash, last = word.partition("-")
        if (
            not (first.isdecimal() and (last.isdecimal() or not dash))
            or len(first) > 18
            or len(last) > 18
        ):
            raise ConfigError(
                f"{word!r} is not the id of an entry; give numbers or ranges, as in 3 5-9 (`search`"
                " and `info` show them)."
            )
        if not dash:
            ids.append(int(first))
            continue
        found = np.sort(known[(known >= int(first)) & (known <= int(last))]).tolist()
        if not found:
            raise ConfigError(
                f"there are no entries with ids from {first} to {last}: removed, or never given."
            )
        ids += found
    return ids


def _forget(memory: RunMemory, flags: MemoryFlags, terminal: Terminal) -> dict[str, Any]:
    assert flags.factor is not None
    ids = memory.forget(flags.factor, flags.seed or 0)
    terminal.say(f"forgot {len(ids):,} entries; {len(memory):,} are left.", style="bold")
    return {"forgotten": ids.tolist(), "entries": len(memory)}


def _compact(memory: RunMemory, flags: MemoryFlags, terminal: Terminal) -> dict[str, Any]:
    before = memory.info().bytes
    dropped = memory.compact()
    after = memory.info().bytes
    terminal.say(
        f"{before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB now; {dropped:,} documents without"
        " entries dropped.",
        style="bold",
    )
    return {
        "bytes_before": before,
        "bytes": after,
        "documents_dropped": dropped,
        "entries": len(memory),
    }


Act = Callable[[RunMemory, MemoryFlags, Terminal], dict[str, Any]]

READING: dict[str, Act] = {"info": _info, "search": _search}
CHANGING: dict[str, Act] = {
    "add": _add,
    "keep": _keep,
    "remove": _remove,
    "forget": _forget,
    "compact": _compact,
}
