"""Replays the ledger: every claim of configs/ledger/ by its command, and whether its verdict holds.

    python scripts/ledger.py [--list] [--only NAME ...] [--out DIR] [--write]

First says what will run and how long it will take. What is there already is not run again, so an
interrupted replay goes on. With INKLINGS_TEST_DATA, a folder laid out as FOLDER/names/names.txt, no
corpus is downloaded. NANOGPT and GAN_TEXTGEN name checkouts of those projects, for the claims that
are measured beside them. Exit code: 3 if a verdict no longer holds, else 1 if a command failed,
else 0.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from inklings.cli.table import name_column, number_column, words_column
from inklings.cli.terminal import Terminal, open_terminal
from inklings.durable import write_bytes
from inklings.errors import ConfigError, InklingsError
from ledger_claims import PLACES, Claim, chosen, identity, markdown, read_claims
from ledger_replay import ROOT, Outcome, is_there, lay_out_corpora, places_here, replay

DOCUMENT = ROOT / "docs" / "ledger.md"
BEGIN, END = (
    "<!-- the claims: written by scripts/ledger.py --write -->\n",
    "<!-- the end of the claims -->\n",
)
STYLES = {
    "holds": "green",
    "ran": "green",
    "no longer holds": "bold red",
    "failed": "bold red",
    "not run": "dim",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--list",
        action="store_true",
        help="say what would run and how long it would take, and run nothing",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="these claims, and those whose runs they read",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("ledger"), help="where all that is made goes (ledger)"
    )
    parser.add_argument(
        "--write", action="store_true", help="write the table of docs/ledger.md, and run nothing"
    )
    flags = parser.parse_args(arguments)
    terminal = open_terminal(False)
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        claims = read_claims()
        if flags.write:
            write_bytes(DOCUMENT, with_table(DOCUMENT.read_text(encoding="utf-8"), claims).encode())
            terminal.say(f"{DOCUMENT}: {len(claims)} claims")
            return 0
        wanted, places, out = chosen(claims, flags.only), places_here(), flags.out.resolve()
        show_plan(wanted if flags.only else claims, wanted, out, places, terminal)
        return 0 if flags.list else replay_all(claims, wanted, out, places, terminal)
    except InklingsError as error:
        terminal.say(f"ledger: {error}", style="bold red")
        return error.exit_code


def _as_interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def with_table(text: str, claims: Mapping[str, Claim]) -> str:
    """The document with its table of claims replaced.

    Raises:
        ConfigError: it has no place for the table.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(
            f"{DOCUMENT} has no place for the table: the lines {BEGIN.strip()!r} and"
            f" {END.strip()!r}."
        )
    return f"{before}{begin}\n{markdown(claims)}\n{end}{after}"


def hindrance(claim: Claim, places: Mapping[str, Path]) -> str | None:
    """Why a claim cannot be replayed here."""
    absent = [PLACES[place] for place in claim.places if place not in places]
    return f"set {' and '.join(absent)}" if absent else None


def show_plan(
    claims: Mapping[str, Claim],
    wanted: Mapping[str, Claim],
    out: Path,
    places: Mapping[str, Path],
    terminal: Terminal,
) -> None:
    """Print what will run and how long it will take, before anything runs."""
    rows, minutes = [], 0.0
    for name, claim in claims.items():
        if name not in wanted and claim.verdict != "not tried":
            continue
        absent = hindrance(claim, places)
        if name not in wanted:
            what = f"not tried: {claim.why}"
        elif is_there(out / name, identity(claims, name), claim.leaves_with):
            what = "there already"
        elif absent:
            what = f"not here: {absent}"
        else:
            what, minutes = "to run", minutes + claim.minutes
        length = f"{'about ' if claim.estimated else ''}{claim.minutes:g} min"
        rows.append((name, claim.source, length, claim.verdict, what))
    columns = [
        name_column("claim"),
        words_column("source", 2),
        number_column("time", 1),
        words_column("verdict"),
        words_column(),
    ]
    terminal.table(columns, rows)
    runs = sum(row[4] == "to run" for row in rows)
    terminal.say(
        f"\n{runs} commands to run, {_duration(minutes)} in all on two cores; into {out}",
        style="bold",
    )


def replay_all(
    claims: Mapping[str, Claim],
    wanted: Mapping[str, Claim],
    out: Path,
    places: Mapping[str, Path],
    terminal: Terminal,
) -> int:
    """Replay the claims one after the other, and print the verdicts.

    A failure does not keep the others from running.
    """
    if "data" in places:
        lay_out_corpora(places["data"], out / "cache")
    outcomes: dict[str, Outcome] = {}
    interrupted = False
    try:
        for number, (name, claim) in enumerate(wanted.items(), start=1):
            terminal.say(f"\n[{number}/{len(wanted)}] {name}: {claim.claim}", style="bold")
            missing = [
                needed for needed in claim.needs if outcomes[needed].state in ("failed", "not run")
            ]
            reason = hindrance(claim, places) or (
                f"it needs {', '.join(missing)}" if missing else None
            )
            if reason:
                outcomes[name] = Outcome(state="not run", words=reason)
            else:
                terminal.say(f"  {claim.command}", style="dim")
                outcomes[name] = replay(claim, identity(claims, name), out=out, places=places)
            terminal.say(
                f"  {outcomes[name].state}: {outcomes[name].words}",
                style=STYLES[outcomes[name].state],
            )
    except KeyboardInterrupt:
        interrupted = True
    show_outcomes(wanted, outcomes, terminal)
    if interrupted:
        terminal.say(
            "interrupted; what is done is kept, and the same command goes on.", style="bold yellow"
        )
    states = {outcome.state for outcome in outcomes.values()}
    return 3 if "no longer holds" in states else int(interrupted or "failed" in states)


def show_outcomes(
    wanted: Mapping[str, Claim], outcomes: Mapping[str, Outcome], terminal: Terminal
) -> None:
    """Print the table of verdicts."""
    rows = []
    for name, claim in wanted.items():
        outcome = outcomes.get(name, Outcome(state="not run", words="interrupted before"))
        length = "" if outcome.seconds is None else _duration(outcome.seconds / 60)
        rows.append((name, claim.verdict, outcome.state, outcome.words.splitlines()[0], length))
    terminal.say()
    columns = [
        name_column("claim"),
        words_column("verdict"),
        words_column("now"),
        words_column(),
        number_column("took", 1),
    ]
    terminal.table(columns, rows)
    counts = {
        state: sum(outcome.state == state for outcome in outcomes.values()) for state in STYLES
    }
    terminal.say(
        "\n" + ", ".join(f"{count} {state}" for state, count in counts.items() if count),
        style="bold",
    )


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} hours"


if __name__ == "__main__":
    sys.exit(main())
