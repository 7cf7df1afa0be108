"""Runs the command of one claim, keeps what it prints.

And says whether the claim's verdict held again.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inklings.durable import read_json, write_json
from inklings.errors import ConfigError, InklingsError, RunError
from inklings.text.sources.well_known import CORPORA
from ledger_claims import PLACES, Check, Claim, figure

ROOT = Path(__file__).parents[1]
RECORD = "replay.json"
FORMAT_VERSION = 1
PATIENCE = 60.0
"""Seconds that an interrupted command gets to save what it has."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a claim."""

    state: Literal["holds", "ran", "no longer holds", "failed", "not run"]
    """`ran`: to its end, and there is no figure to check."""
    words: str
    found: float | None = None
    seconds: float | None = None
    """None if nothing was run."""


def places_here() -> dict[str, Path]:
    """What the environment fills placeholders with.

    Raises:
        ConfigError: a variable names no folder.
    """
    found = {}
    for place, variable in PLACES.items():
        if given := os.environ.get(variable):
            found[place] = Path(given).expanduser().resolve()
            if not found[place].is_dir():
                raise ConfigError(
                    f"{variable} is {given!r}, which is no folder. Give a folder, or leave the"
                    " variable out."
                )
    return found


def lay_out_corpora(folder: Path, cache: Path) -> None:
    """Put the texts of `folder` where downloads are kept, so that the well-known names need none.

    Who reads them checks their hashes.
    """
    for name, corpus in CORPORA.items():
        for file in corpus.files:
            known = Path(file.path).name
            there = f"{Path(known).stem}.txt" if file.convert is not None else known
            if (folder / name / there).is_file() and not (
                cache / "downloads" / name / there
            ).is_file():
                (cache / "downloads" / name).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name / there, cache / "downloads" / name / there)


def is_there(folder: Path, commands: Sequence[str], leaves_with: int) -> bool:
    """Whether the claim's folder holds the whole output of the same commands."""
    record = _record(folder)
    return (
        record is not None
        and record["commands"] == list(commands)
        and record["exit"] == leaves_with
    )


def arguments_of(claim: Claim, out: Path, places: Mapping[str, Path]) -> list[str]:
    """The command with its placeholders filled, as the arguments of a process of this Python."""
    filled = []
    for word in shlex.split(claim.command):
        for place, path in {"out": out, **places}.items():
            word = word.replace("{" + place + "}", str(path))
        filled.append(word)
    if filled[0] == "inklings":
        return [sys.executable, "-m", "inklings", *filled[1:], "--json"]
    return [sys.executable, *filled[1:]]


def replay(
    claim: Claim,
    commands: Sequence[str],
    *,
    out: Path,
    places: Mapping[str, Path],
    root: Path = ROOT,
) -> Outcome:
    """Run a claim's command, unless its output is there, and judge it.

    Args:
        claim: what is tried.
        commands: what its output rests on (`identity`).
        out: the folder of the replay, absolute.
        places: what placeholders are filled with.
        root: the folder that the command runs in.

    Raises:
        KeyboardInterrupt: the replay was interrupted; the command was asked to save, and is run
            again next time.
        RunError: something else is in the way of the claim's folder.
    """
    folder = out / claim.name
    if not is_there(folder, commands, claim.leaves_with):
        _make_room(folder, commands)
        record = {
            "format_version": FORMAT_VERSION,
            "commands": list(commands),
            "exit": None,
            "seconds": None,
        }
        write_json(folder / RECORD, record)
        began = time.perf_counter()
        code = _run(arguments_of(claim, out, places), folder, root, _environment(out, places))
        write_json(
            folder / RECORD, {**record, "exit": code, "seconds": time.perf_counter() - began}
        )
    return judge(claim, folder)


def judge(claim: Claim, folder: Path) -> Outcome:
    """What the output of a claim's command says of its verdict."""
    record = _record(folder)
    assert record is not None, "only what has run is judged"
    code, seconds = record["exit"], record["seconds"]
    printed, said = (
        (folder / name).read_text(encoding="utf-8", errors="replace")
        for name in ("stdout.txt", "stderr.txt")
    )
    if code != claim.leaves_with:
        if {code, claim.leaves_with} == {0, 3}:
            words = f"it left with {code}, and the verdict asks for {claim.leaves_with}"
            return Outcome(state="no longer holds", words=words, seconds=seconds)
        last = [line for line in (said or printed).splitlines() if line.strip()][-8:]
        return Outcome(
            state="failed", words="\n".join([f"it left with {code}", *last]), seconds=seconds
        )
    if claim.check is None:
        return Outcome(state="ran", words="no figure to check", seconds=seconds)
    try:
        found = read_figure(claim.check, printed, said)
    except ConfigError as error:
        return Outcome(state="failed", words=str(error), seconds=seconds)
    check = claim.check
    words = f"{found:,.6g}, expected {check.expected:,.6g} to within {check.tolerance:g}"
    state: Literal["holds", "no longer holds"] = (
        "holds" if abs(found - check.expected) <= check.tolerance else "no longer holds"
    )
    return Outcome(state=state, words=words, found=found, seconds=seconds)


def read_figure(check: Check, printed: str, said: str) -> float:
    """The figure of a check, from what a command printed for machines, and for people.

    Raises:
        ConfigError: it is not there.
    """
    if check.pattern is not None:
        places = re.findall(check.pattern, f"{printed}\n{said}")
        if not places:
            raise ConfigError(f"nothing in the output fits {check.pattern!r}.")
        try:
            return float(places[-1].replace(",", ""))
        except ValueError:
            raise ConfigError(
                f"{places[-1]!r}, which fits {check.pattern!r}, is no number."
            ) from None
    try:
        document = json.loads(printed)
    except json.JSONDecodeError as error:
        raise ConfigError(f"the output is not one JSON document: {error}.") from None
    assert check.read is not None
    return figure(document, check.read) - (
        0.0 if check.minus is None else figure(document, check.minus)
    )


def _record(folder: Path) -> dict[str, Any] | None:
    try:
        return (
            read_json(folder / RECORD, format_version=FORMAT_VERSION)
            if (folder / RECORD).is_file()
            else None
        )
    except InklingsError:  # damaged, or of another version: as if it were not there
        return None


def _make_room(folder: Path, commands: Sequence[str]) -> None:
    """An empty folder for a command.

    A comparison that was interrupted is kept, for the same command goes on with it.
    """
    if folder.exists():
        record = _record(folder)
        if record is None:
            raise RunError(
                f"{folder} is in the way: it is not of a replay. Give another folder with --out, or"
                " move it."
            )
        if record["commands"] == list(commands) and commands[-1].startswith("inklings compare "):
            return
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _environment(out: Path, places: Mapping[str, Path]) -> dict[str, str]:
    return {**os.environ, **({"INKLINGS_CACHE": str(out / "cache")} if "data" in places else {})}


def _run(arguments: Sequence[str], folder: Path, root: Path, environment: Mapping[str, str]) -> int:
    """The exit code of a command whose output goes to two files.

    In a session of its own, so that it is interrupted once, by us.
    """
    with open(folder / "stdout.txt", "wb") as printed, open(folder / "stderr.txt", "wb") as said:
        process = subprocess.Popen(
            arguments,
            cwd=root,
            env=dict(environment),
            stdout=printed,
            stderr=said,
            start_new_session=True,
        )
        try:
            return process.wait()
        except KeyboardInterrupt:
            # verbs save what they have on this too, and it reaches those that were started with
            # Ctrl-C switched off
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()
                process.wait()
            raise
