"""`inklings serve RUN [RUN ...]`.

Answer requests over HTTP, and show a page to try the models on.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from inklings.cli.arguments import Json, called, parse
from inklings.cli.reference import REFERENCE, open_run
from inklings.cli.table import name_column, number_column, words_column
from inklings.cli.terminal import Terminal, open_terminal
from inklings.errors import ConfigError
from inklings.runs.directory import RunDirectory
from inklings.serving.api.origins import ANY
from inklings.serving.extra import needing_serve
from inklings.serving.settings import ServeConfig

if TYPE_CHECKING:
    from inklings.serving.process.server import ServerEvent

KEY = "INKLINGS_API_KEY"
"""The environment variable that may hold the key."""


@dataclass(frozen=True)
class Serve:
    """Flags of the verb `serve`."""

    runs: tyro.conf.Positional[Annotated[tuple[str, ...], called("[RUN ...]")]] = ()
    """Directories of runs, or builtin:reference; NAME=RUN has clients call it NAME."""
    host: str = ServeConfig.host
    """Address to listen on; any but this machine's own loopback needs a key."""
    port: int = ServeConfig.port
    """Port to listen on; 0 takes any free one."""
    api_key: str | None = None
    """A file whose first line is the key that clients must show; the environment variable
    INKLINGS_API_KEY does too.
    """
    allow_origin: tuple[str, ...] = ServeConfig.allow_origin
    """Sites whose pages may ask from a browser, such as http://localhost:3000; * is all sites that
    anybody here visits.
    """
    workers: int = ServeConfig.workers
    """Processes of each model."""
    rows: int = ServeConfig.rows
    """Texts that one process reads and writes side by side."""
    queue: int = ServeConfig.queue
    """Texts of one model that may wait beyond those."""
    max_body_bytes: int = ServeConfig.max_body_bytes
    """Most bytes in the body of a request."""
    max_prompt_tokens: int = ServeConfig.max_prompt_tokens
    """Most tokens of a prompt."""
    max_new_tokens: int = ServeConfig.max_new_tokens
    """Most tokens that a request may ask for."""
    max_samples: int = ServeConfig.max_samples
    """Texts that one request may ask for."""
    receive_timeout: float = ServeConfig.receive_timeout
    """Seconds in which a request must arrive whole, and in which a client must read on."""
    timeout: float = ServeConfig.timeout
    """Seconds that a request may take."""
    grace: float = ServeConfig.grace
    """Seconds in which what runs is finished after Ctrl-C or SIGTERM."""
    precision: Literal["auto", "float32", "bfloat16"] = ServeConfig.precision
    """Precision of the weights. With bfloat16 the same seed may give another text beside other
    requests.
    """
    device: str = ServeConfig.device
    """Where models compute: cpu, cuda, cuda:N, mps, or auto for a GPU where there is one.
    """
    chat_template: Path | None = None
    """A file that says how the turns of a chat become one prompt."""
    memory: bool = ServeConfig.memory
    """Whether the runs' long-term memories are read, where they have one."""
    trust_code: bool = False
    """Allow a run's own copy of an architecture file to be executed though another machine made it.
    """
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        Serve,
        arguments,
        verb="serve",
        description="Serve runs over HTTP: an API that OpenAI's clients speak, and a page.",
    )
    with needing_serve():
        from inklings.serving.api.chat_template import ChatTemplate
        from inklings.serving.process.server import serve

    terminal = open_terminal(flags.json)
    shared = {
        field.name: getattr(flags, field.name)
        for field in dataclasses.fields(ServeConfig)
        if field.name != "key"
    }
    config = ServeConfig(key=read_key(flags.api_key), **shared)
    if ANY in config.allow_origin and config.key is None:
        terminal.say(
            "--allow-origin * without a key: every page that is opened in a browser here can use"
            " this server, memories included.",
            style="yellow",
        )
    template = None if flags.chat_template is None else ChatTemplate.load(flags.chat_template)
    runs = name_runs(flags.runs)
    serve(
        runs,
        config,
        on_event=lambda event: _show(event, terminal),
        template=template,
        trust_code=flags.trust_code,
    )
    return 0


def read_key(file: str | None) -> str | None:
    """Return the key that clients must show, from a file or the environment.

    None if neither is given.

    Raises:
        ConfigError: there is no such file, or it has no key. What was given is not repeated: it may
            be a key.
    """
    if file is None:
        return os.environ.get(KEY) or None
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(
            "--api-key takes the name of a file whose first line is the key, and what was given is"
            " no file that can be read. A key on the command line would be seen by every user of"
            f" this machine: write it to a file, or set the environment variable {KEY}."
        ) from error
    key = lines[0].strip() if lines else ""
    if not key:
        raise ConfigError(
            "the first line of the file that --api-key names is empty; it must be the key."
        )
    return key


def name_runs(given: Sequence[str]) -> dict[str, RunDirectory]:
    """Return the runs under the names that clients call them by.

    The last part of the path, or NAME of `NAME=RUN`.

    Raises:
        ConfigError: no run is given, two have one name, or a name is none that a client could ask
            for.
        RunError: one is no run.
    """
    if not given:
        raise ConfigError(
            "no run is given: `inklings serve RUN [RUN ...]`. `inklings serve builtin:reference`"
            " serves a small one to try."
        )
    paths: dict[str, str] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or Path(text).is_dir():
            path = text
            name = path.partition(":")[2] if path == REFERENCE else Path(path).resolve().name
        if not re.fullmatch(r"[\w.:-]+", name):
            raise ConfigError(
                f"{name!r} cannot be the name of a model: letters, digits, and . : _ - can."
                f" NAME=RUN gives {path} another."
            )
        if name in paths:
            raise ConfigError(
                f"{paths[name]} and {path} would both be called {name}. NAME=RUN gives one another"
                f" name: {name}-2={path}."
            )
        paths[name] = path
    return {name: open_run(path) for name, path in paths.items()}


def _show(event: ServerEvent, terminal: Terminal) -> None:
    """Tell people and, once requests are taken, the machine."""
    from inklings.serving.process.current_weights import format_progress
    from inklings.serving.process.server import Listening, Loading, Spelled, Stopping

    if isinstance(event, Loading):
        terminal.say(f"loading {', '.join(event.names)}", style="dim")
        for name in event.training:
            terminal.say(
                f"{name} is being trained; its newest checkpoint of now is served, and later ones"
                " only by a new start.",
                style="yellow",
            )
    elif isinstance(event, Spelled):
        terminal.say(
            f"the chat template names {', '.join(event.names)}, which {event.model} reads as text,"
            " since its vocabulary lacks them.",
            style="yellow",
        )
    elif isinstance(event, Listening):
        rows = [
            (
                card.name,
                card.architecture,
                f"{card.parameters:,}",
                "-" if card.memory is None else f"{card.memory:,}",
                ", ".join(
                    part
                    for part in (
                        "goes on from a prompt" if card.predicts else "makes texts out of noise",
                        format_progress(card, Path(card.run)),
                    )
                    if part
                ),
            )
            for card in event.cards
        ]
        columns = [
            name_column("model"),
            name_column("architecture", 2),
            number_column("parameters", 1),
            number_column("memory", 3),
            words_column(),
        ]
        terminal.table(columns, rows)
        terminal.say(f"serving on {event.url} (Ctrl-C ends it)", style="bold")
        terminal.result(
            {"url": event.url, "models": [dataclasses.asdict(card) for card in event.cards]}
        )
    elif isinstance(event, Stopping):
        texts = "1 text" if event.running == 1 else f"{event.running:,} texts"
        doing = (
            f"finishing {texts}, for {event.grace:g} seconds at most; again ends it at once"
            if event.running
            else "nothing is running"
        )
        terminal.say(f"stopping: {doing}", style="dim")
