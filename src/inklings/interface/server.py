"""`serve`: runs answer over HTTP, from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from inklings.cli.serve import name_runs
from inklings.interface.run import Run
from inklings.serving.extra import needing_serve
from inklings.serving.settings import ServeConfig


def serve(
    runs: str | Path | Run | Sequence[str | Path | Run] | Mapping[str, str | Path | Run],
    *,
    chat_template: Path | str | None = None,
    trust_code: bool = False,
    on_event: Callable[[Any], None] | None = None,
    **settings: Any,
) -> None:
    """Serve runs over HTTP until Ctrl-C: an API that OpenAI's clients speak, and a page.

    It does not return before, and so it is not for a cell of a notebook: start `inklings serve`
    as a process there.

    Args:
        runs: a run, several, or what clients call each of them.
        chat_template: a file that says how the turns of a chat become one prompt.
        trust_code: whether the runs' Python code may be run although another user or machine made
            it.
        on_event: told when models are loaded, where it listens, and when it stops.
        settings: fields of `ServeConfig`, such as `port=8001` or `key="..."`.

    Raises:
        MissingExtraError: what a server needs is not installed.
        InputError: a run or the address cannot be used.
    """
    with needing_serve():
        from inklings.serving.api.chat_template import ChatTemplate
        from inklings.serving.process.server import serve as serve_runs

    template = None if chat_template is None else ChatTemplate.load(Path(chat_template))
    serve_runs(
        name_runs(_named(runs)),
        ServeConfig(**settings),
        on_event=on_event or _nothing,
        template=template,
        trust_code=trust_code,
    )


def _named(
    runs: str | Path | Run | Sequence[str | Path | Run] | Mapping[str, str | Path | Run],
) -> list[str]:
    """Return runs as the command line names them."""
    if isinstance(runs, Mapping):
        return [f"{name}={_place(run)}" for name, run in runs.items()]
    return [_place(run) for run in ([runs] if isinstance(runs, str | Path | Run) else runs)]


def _place(run: str | Path | Run) -> str:
    return str(run.path if isinstance(run, Run) else run)


def _nothing(event: Any) -> None:
    """Ignore what a server tells."""
