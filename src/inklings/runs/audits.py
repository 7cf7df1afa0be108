"""Audits of a run, kept in its folder: the document of the latest for each split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inklings.durable import read_checked_json, refuse_links_out, write_checked_json
from inklings.runs.directory import RunDirectory
from inklings.runs.metrics import best_evaluation

AUDITS = "audits"


@dataclass(frozen=True, kw_only=True)
class KeptAudit:
    """An audit that was kept."""

    split: str
    """The held-out text that losses were taken on."""
    document: dict[str, Any]
    """As `inklings audit --json` prints it (`auditing/audit.schema.json`)."""
    is_current: bool
    """Whether the run's best weights are those that were audited."""

    @property
    def failed(self) -> list[str]:
        """Names of the checks that do not hold."""
        return [found["check"] for found in self.document["findings"] if found["status"] == "fail"]

    def __str__(self) -> str:
        outcome = f"does not hold: {', '.join(self.failed)}" if self.failed else "holds"
        age = "" if self.is_current else " (with earlier weights)"
        return f"audited on {self.split}: it {outcome}{age}"


def keep_audit(run: RunDirectory, split: str, document: Mapping[str, Any]) -> Path:
    """Write an audit of a run's best weights into its folder; return the file.

    Args:
        run: the run that was audited.
        split: the held-out text that losses were taken on.
        document: the audit, as plain values.

    Raises:
        DiskError: it cannot be written there.
    """
    refuse_links_out(run.path, AUDITS)
    path = run.path / AUDITS / f"{split}.json"
    path.parent.mkdir(exist_ok=True)
    write_checked_json(path, {**document, "weights_step": _step(run)})
    return path


def kept_audits(run: RunDirectory) -> list[KeptAudit]:
    """Read the audits of a run.

    Raises:
        RunError: a file is damaged or was edited.
    """
    found = []
    for path in sorted((run.path / AUDITS).glob("*.json")):
        document = read_checked_json(path, remedy="Audit the run again.")
        step = document.pop("weights_step", None)
        found.append(KeptAudit(split=path.stem, document=document, is_current=step == _step(run)))
    return found


def _step(run: RunDirectory) -> int | None:
    """The step of the best weights; None where nothing was evaluated."""
    best = best_evaluation(run.metrics())
    return None if best is None else best["step"]
