"""The claims of the ledger.

One file each in configs/ledger/, read and checked, put in order, and shown as a table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inklings.config import read_toml
from inklings.errors import ConfigError, unknown_name
from inklings.values import from_mapping

FOLDER = Path(__file__).parents[1] / "configs" / "ledger"
PLACES = {"data": "INKLINGS_TEST_DATA", "nanogpt": "NANOGPT", "gan_textgen": "GAN_TEXTGEN"}
"""Placeholder of a command -> the environment variable that fills it: a folder with the corpora, a
checkout of a project.
"""

Verdict = Literal["reproduced", "not reproduced", "artefact", "not tried"]
Source = Literal["WaveGPT", "makemore", "text GAN", "VardaGPT", "nanoGPT", "Inklings"]
SOURCES = ("WaveGPT", "makemore", "text GAN", "VardaGPT", "nanoGPT", "Inklings")
"""In the order of the table: the four projects, a peer, and what this project says of itself."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_MADE_BY = re.compile(r"\{out\}/([a-z0-9-]+)(?=/|\s|$)")


@dataclass(frozen=True, kw_only=True)
class Check:
    """The one figure that tells whether a verdict holds again.

    In the JSON that a command prints, or in its words.
    """

    expected: float
    """What was measured when the verdict was given."""
    tolerance: float
    """How far from it the figure may lie."""
    read: list[str] | None = None
    """The way to the figure in the JSON document: a key; a number, for a place in a list;
    `key=value`, for the first item of a list with that value; `*`, for the mean over a list.
    """
    minus: list[str] | None = None
    """The way to a second figure, which is taken off the first."""
    pattern: str | None = None
    """A regular expression with one group, the figure, in what the command prints; the last place
    that fits counts.
    """

    def __post_init__(self) -> None:
        if (self.read is None) == (self.pattern is None):
            raise ConfigError(
                "check says `read` (a way into the JSON) or `pattern` (a regular expression), one"
                " of them."
            )
        if self.minus is not None and self.read is None:
            raise ConfigError("check.minus goes with check.read; a pattern reads one figure.")
        if self.tolerance <= 0:
            raise ConfigError(f"check.tolerance is {self.tolerance}; it must be above 0.")
        if self.pattern is not None:
            try:
                groups = re.compile(self.pattern).groups
            except re.error as error:
                raise ConfigError(
                    f"check.pattern {self.pattern!r} is no regular expression: {error}."
                ) from None
            if groups != 1:
                raise ConfigError(
                    f"check.pattern {self.pattern!r} has {groups} groups; it must have one, the"
                    " figure."
                )


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What somebody says of a generator, the one command that tries it, and what came of it."""

    name: str
    """That of its file."""
    claim: str
    """In short, in the words of who makes it."""
    source: Source
    """Who makes it."""
    published: str
    """The figure or the words that stand for it."""
    measured: str
    """What the command gave."""
    command: str
    """`inklings ...` or `python benchmarks/...`. `{out}` is the folder of the replay; what a claim
    makes is in `{out}/NAME`, and a command that reads another claim's runs needs that claim first.
    `PLACES` has the other placeholders.
    """
    minutes: float
    """On two cores."""
    estimated: bool = False
    """Whether `minutes` was never measured."""
    verdict: Verdict
    why: str
    """In one or two sentences."""
    leaves_with: int = 0
    """The exit code that belongs to the verdict: an audit that is to fail leaves with 3."""
    check: Check | None = None
    """None where no single figure tells."""

    def __post_init__(self) -> None:
        for field in ("claim", "published", "measured", "command", "why"):
            if not getattr(self, field).strip():
                raise ConfigError(f"{self.name}: {field} is empty.")
        if self.minutes <= 0:
            raise ConfigError(f"{self.name}: minutes is {self.minutes}; it must be above 0.")
        if not self.command.startswith(("inklings ", "python ")):
            raise ConfigError(
                f"{self.name}: the command is {self.command!r}; it must begin with `inklings` or"
                " `python`."
            )
        for place in _PLACEHOLDER.findall(self.command):
            if place != "out" and place not in PLACES:
                raise ConfigError(
                    f"{self.name}: {unknown_name('placeholder', place, ['out', *PLACES])}"
                )

    @property
    def needs(self) -> list[str]:
        """The claims whose runs its command reads."""
        return sorted(set(_MADE_BY.findall(self.command)) - {self.name})

    @property
    def places(self) -> list[str]:
        """The placeholders that the environment must fill."""
        return sorted(set(_PLACEHOLDER.findall(self.command)) - {"out"})


def read_claims(folder: Path = FOLDER) -> dict[str, Claim]:
    """All claims by their names, each after those that it needs.

    Raises:
        ConfigError: a file cannot be read, has an unknown key or a wrong value, or names a claim
            that there is not; or claims need each other.
    """
    found = {}
    for path in sorted(folder.glob("*.toml")):
        values = read_toml(path)
        if "name" in values:
            raise ConfigError(f"{path}: a claim is named after its file. Leave `name` out.")
        found[path.stem] = from_mapping(Claim, {"name": path.stem, **values}, where=str(path))
    if not found:
        raise ConfigError(f"{folder} holds no claims: there is no .toml file in it.")
    return in_order(found)


def in_order(claims: Mapping[str, Claim]) -> dict[str, Claim]:
    """The claims sorted by source, then name, but each after those that it needs.

    Raises:
        ConfigError: one needs a claim that there is not, or they need each other.
    """
    ordered: dict[str, Claim] = {}

    def place(name: str, waiting: tuple[str, ...]) -> None:
        if name in waiting:
            raise ConfigError(
                f"these claims need each other: {' -> '.join([*waiting, name])}. A command may read"
                " what earlier ones made."
            )
        for needed in claims[name].needs:
            if needed not in claims:
                raise ConfigError(
                    f"{name}: its command reads {{out}}/{needed}, and"
                    f" {unknown_name('claim', needed, claims)}"
                )
            if needed not in ordered:
                place(needed, (*waiting, name))
        ordered[name] = claims[name]

    for name in sorted(claims, key=lambda name: (SOURCES.index(claims[name].source), name)):
        if name not in ordered:
            place(name, ())
    return ordered


def chosen(claims: Mapping[str, Claim], only: Sequence[str]) -> dict[str, Claim]:
    """Those named in `only` and what they need; all that were tried, if none is named.

    Raises:
        ConfigError: there is no claim of a name.
    """
    wanted = set(only) or {name for name, claim in claims.items() if claim.verdict != "not tried"}
    for name in only:
        if name not in claims:
            raise ConfigError(unknown_name("claim", name, claims))
    for name in reversed(list(claims)):  # what is needed stands before what needs it
        if name in wanted:
            wanted |= set(claims[name].needs)
    return {name: claim for name, claim in claims.items() if name in wanted}


def identity(claims: Mapping[str, Claim], name: str) -> list[str]:
    """The commands that the output of a claim rests on, its own last.

    Where one changes, the output is no longer that of the claim.
    """
    claim = claims[name]
    return [
        *(command for needed in claim.needs for command in identity(claims, needed)),
        claim.command,
    ]


def markdown(claims: Mapping[str, Claim]) -> str:
    """The table of all claims for the documents."""
    lines = [
        "| claim | source | command | published | measured | verdict |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    order = sorted(claims.values(), key=lambda claim: (SOURCES.index(claim.source), claim.name))
    for claim in order:
        link = f"[{claim.name}](../configs/ledger/{claim.name}.toml)"
        cells = (
            claim.claim,
            claim.source,
            link,
            claim.published,
            claim.measured,
            f"**{claim.verdict}**",
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def figure(document: Any, way: Sequence[str]) -> float:
    """The number at the end of a way into a JSON document.

    Raises:
        ConfigError: the way leads nowhere, or to something that is no number.
    """
    value = document
    for place, step in enumerate(way):
        if step == "*" and isinstance(value, list) and value:
            return sum(figure(item, way[place + 1 :]) for item in value) / len(value)
        key, equals, wanted = step.partition("=")
        if isinstance(value, list) and equals:
            value = next(
                (item for item in value if isinstance(item, dict) and str(item.get(key)) == wanted),
                None,
            )
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            raise ConfigError(f"the output has no {' > '.join(way)}: there is nothing at {step!r}.")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"the output has {value!r} at {' > '.join(way)}; it must be a number.")
    return float(value)
