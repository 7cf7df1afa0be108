"""Reading and writing a comparison's file, `comparison.json`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from inklings.durable import read_checked_json, write_checked_json
from inklings.errors import RunError, nearest
from inklings.lab.comparison.result import FILE_NAME, Comparison, RunResult
from inklings.values import from_file

FORMAT_VERSION = 1
ANEW = "Delete it: the same compare command makes it again from the runs."
"""What to do about a file of a comparison that is damaged."""


def write_comparison(out: Path, comparison: Comparison) -> None:
    """Write a comparison to `comparison.json`, atomically."""
    write_checked_json(out / FILE_NAME, to_plain(comparison), format_version=FORMAT_VERSION)


def to_plain(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as values for JSON."""
    plain = dataclasses.asdict(comparison)
    for arm in (*plain["arms"], *plain["smaller"]):
        for run in arm["runs"]:
            run |= run.pop("metrics")
    return plain


def _with_metrics(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run's values with its metrics by themselves: whatever is a figure, and no field."""
    names = {f.name for f in dataclasses.fields(RunResult)}
    metrics = {
        name: value
        for name, value in run.items()
        if name not in names and (value is None or type(value) in (int, float))
    }
    return {
        **{name: value for name, value in run.items() if name not in metrics},
        "metrics": metrics,
    }


def read_comparison(out: Path) -> Comparison:
    """Return the comparison in a folder.

    Raises:
        RunError: there is none, it is damaged, or it is from a newer format.
    """
    if not (out / FILE_NAME).is_file():
        siblings = (
            [path.name for path in out.parent.glob("*") if (path / FILE_NAME).is_file()]
            if out.parent.is_dir()
            else []
        )
        raise RunError(
            f"{out} holds no comparison (no {FILE_NAME}).{nearest(out.name, siblings)} "
            f"`inklings compare ARM ARM ... --out {out}` makes one."
        )
    path = out / FILE_NAME
    value = read_checked_json(path, format_version=FORMAT_VERSION, unhashed=True, remedy=ANEW)
    try:
        for arm in (*value.get("arms", []), *value.get("smaller", [])):
            arm["runs"] = [_with_metrics(run) for run in arm.get("runs", [])]
    except (TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged or was edited ({error}). {ANEW}") from None
    return from_file(Comparison, value, path, ANEW)
