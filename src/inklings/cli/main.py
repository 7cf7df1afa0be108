"""The command `inklings`.

It finds the verb, runs it, and turns errors into one clear message and an exit code.

Exit codes: 0 done, 1 failed, 2 wrong input, 3 an audit or a verdict that was asked to hold did not.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import shlex
import shutil
import signal
import sys
import textwrap
import threading
import warnings
from pathlib import Path
from types import FrameType
from typing import TextIO

from inklings.cli.flags_of_others import refuse_flags_of_others
from inklings.cli.launched import (
    check_verb,
    failure_of_another,
    leave_word,
    loud,
    one_voice,
)
from inklings.durable import OUT_OF_REACH, disk_error
from inklings.errors import InklingsError, LostProcessError, unknown_name
from inklings.showing import without_control

VERBS = {
    "models": "the architectures there are, or the settings of one",
    "corpora": "the texts that are known by name",
    "runs": "the runs below a folder",
    "doctor": "check this machine, or every file of a run",
    "new": "write a template of an architecture of your own",
    "prepare": "build the token store of a text and show what is in it",
    "train": "train one generator",
    "resume": "go on with a run that was stopped, or train it further",
    "evaluate": "score a run on held-out text",
    "generate": "write text with a run",
    "audit": "check that a generator is what it claims to be",
    "import": "make a run of weights that somebody else trained",
    "export": "write a run as a model that transformers opens by itself",
    "compare": "train several generators under one budget and compare them",
    "sweep": "search the settings of a generator",
    "memory": "look into the long-term memory of a run, add text to it, or forget",
    "report": "write the HTML report of a comparison again",
    "completion": "print the script that lets a shell complete verbs and flags",
    "serve": "answer requests over HTTP, and show a page to try models on",
}
"""Verbs and what they do. Each is in the module of its name, which is imported only when it is
called.
"""

MODULES = {"import": "import_model"}
"""Modules of verbs whose name is a keyword of Python."""

GO_ON = "The same command goes on where it stopped."
BEGIN = "The same command begins again."
AFTER = {"compare": GO_ON, "sweep": GO_ON, "resume": GO_ON, "serve": "", "generate": ""}
"""What to do after an interruption, by verb; for the others, `BEGIN`."""

EXAMPLES = """\
examples:
  inklings compare ngram gru.toml gpt --data my.txt --budget 1M-tokens --seeds 3
  inklings train gpt --data my.txt --budget 3-min --run runs/mine
  inklings generate runs/mine "Once upon" --temperature 0.8
  inklings generate builtin:reference
  inklings serve runs/mine
"""


def help_text() -> str:
    """Return what `inklings --help` prints."""
    width = max(len(verb) for verb in VERBS)
    verbs = "\n".join(f"  {verb:<{width}}  {what}" for verb, what in VERBS.items())
    return (
        "usage: inklings VERB ...\n\nA workbench for text generators.\n\nverbs:\n"
        f"{verbs}\n\n{EXAMPLES}\n`inklings VERB --help` tells more; every verb takes --json.\n"
    )


def main(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help_text(), end="")
        return 0
    if arguments[0] in ("-V", "--version"):
        from inklings import __version__

        print(f"inklings {__version__}")
        return 0
    with one_voice():
        return _main(arguments[0], arguments[1:])


def _main(verb: str, rest: list[str]) -> int:
    try:
        if verb not in VERBS:
            from inklings.errors import ConfigError

            raise ConfigError(f"{unknown_name('verb', verb, VERBS)} `inklings --help` lists them.")
        refuse_flags_of_others(verb, rest)
        check_verb(verb, rest)
        module = importlib.import_module(f"inklings.cli.{MODULES.get(verb, verb)}")
        code: int = module.main(rest)
        sys.stdout.flush()
        return code
    except InklingsError as error:
        if not isinstance(error, LostProcessError):
            leave_word(str(error))
        with loud(error):
            return _fail(str(error), error.exit_code, as_json="--json" in rest)
    except SystemExit as end:
        if end.code:  # of the parser, which has printed why
            leave_word(f"its command line is refused: inklings {shlex.join([verb, *rest])}")
        raise
    except KeyboardInterrupt:
        interrupted = f"interrupted; what was finished is kept. {AFTER.get(verb, BEGIN)}"
        return _fail(failure_of_another() or interrupted, 1, as_json="--json" in rest)
    except BrokenPipeError:
        _drop_output()  # the reader (`| head`) has gone: nothing to tell
        return 0
    except OSError as error:
        if error.errno not in OUT_OF_REACH:
            raise
        _drop_output()
        return _fail(str(disk_error(error, Path(error.filename or "the output"))), 1, as_json=False)


def _drop_output() -> None:
    """Make sure that nothing is flushed at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": message, "exit_code": code}))
    text = without_control(f"inklings: {message}")
    if sys.stderr.isatty():  # a terminal breaks lines anywhere
        width = shutil.get_terminal_size().columns
        text = "\n".join(
            textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
            for line in text.splitlines()
        )
    print(text, file=sys.stderr)
    return code


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print our own warnings as one line; hide what other packages warn developers of."""
    if issubclass(category, UserWarning):
        print(without_control(f"inklings: {message}"), file=sys.stderr)


def run() -> None:
    """Run the installed command."""
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # what its encoding lacks is escaped: nobody chose it for our texts
            stream.reconfigure(errors="backslashreplace")
    for name in (
        "SIGTERM",
        "SIGHUP",
    ):  # as Ctrl-C does: what is half-made is removed on the way out
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)
    code = main(sys.argv[1:])
    # Python would end by SIGINT where Ctrl-C came while text was executed, as dataclasses do,
    # although it was answered; it forgets that when it executes another
    exec("")
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # all is said; while Python ends, it could only print a traceback
    if threading.active_count() > 1:
        from inklings.text.side_thread import left_at_work

        if left_at_work():
            sys.stdout.flush()
            os._exit(code)
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
