"""The record of a run in a report: `results/ARM/seed-N/record.json`.

It is copied from the run when that is scored, so that a report needs neither weights nor torch, and
an existing run that lies elsewhere may be moved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inklings.auditing.memory.proof import MemoryProof
from inklings.durable import read_checked_json, write_checked_json
from inklings.values import from_file

FORMAT_VERSION = 1
FILE_NAME = "record.json"
ANEW = "Delete comparison.json: the same command makes both anew."
"""What to do about a file of a run's results that is damaged."""


@dataclass(frozen=True, kw_only=True)
class ReportRecord:
    """What the report shows of one (arm, seed)."""

    curve: dict[str, Any]
    """The learning curve; see `curves.learning_curve`."""
    loss_by_position: list[list[float]]
    """[first, last, loss, targets]: nats per token at these places of a document. Empty without a
    likelihood.
    """
    settings: dict[str, Any]
    """The run's configuration with nothing left open."""
    samples: list[str]
    """Texts written from nothing by the weights that were scored."""
    memory: MemoryProof | None = None
    """What the memory is worth, of an arm's first run that has one."""


Records = Mapping[tuple[str, int | None], ReportRecord]
"""Records by (arm, seed)."""


def write_record(folder: Path, record: ReportRecord) -> None:
    """Write `record.json` into a folder, which is made where it is absent."""
    content = dataclasses.asdict(record)
    write_checked_json(folder / FILE_NAME, content, format_version=FORMAT_VERSION)


def read_record(folder: Path) -> ReportRecord:
    """Read what `write_record` wrote.

    Raises:
        RunError: the file is missing, damaged, or from a newer format.
    """
    path = folder / FILE_NAME
    value = read_checked_json(path, format_version=FORMAT_VERSION, unhashed=True, remedy=ANEW)
    return from_file(ReportRecord, value, path, ANEW)
