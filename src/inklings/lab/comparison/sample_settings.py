"""Settings of a comparison's samples, and the one scale that they are read on.

Both are settled before any run, the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from inklings.durable import read_checked_json, write_checked_json
from inklings.errors import ConfigError, RunError
from inklings.evaluation.samples.calibration import Calibration, calibrate
from inklings.evaluation.samples.reference_set import ReferenceSet, make_reference_set
from inklings.events import OnEvent, note, stage
from inklings.lab.comparison.arms import ResolvedArm
from inklings.lab.comparison.plan import SamplePlan
from inklings.lab.comparison.result import CALIBRATION
from inklings.text.store import TokenStore

ANEW = "Delete it; the same compare command makes it anew."
"""What to do about a calibration that is damaged."""

FORMAT_VERSION = 1


def plan_samples(
    asked: int | None,
    contestants: Sequence[ResolvedArm],
    store: TokenStore,
    split: Literal["test", "validation"],
    before: SamplePlan | None,
) -> SamplePlan | None:
    """Return how many samples every run writes, and in which form; None if none.

    Args:
        asked: how many were asked for. None goes on with what an earlier call settled, and else
            takes as many as there are held-out documents, at most `ground.SAMPLES`, where an arm
            has no likelihood.
        contestants: where one writes windows, all do, of its length.
        store: the text.
        split: what samples are compared with.
        before: what was settled when the comparison was begun.

    Raises:
        ConfigError: some arms without likelihood write documents and others windows, or windows of
            different lengths.
        SourceError: the text has too few documents.
    """
    free = [contestant for contestant in contestants if contestant.makes_texts]
    if asked is None and before is None and not free:
        return None
    forms = {contestant.windows for contestant in free}
    if len(forms) > 1:
        said = [
            f"{c.plan.label} writes"
            f" {'documents' if c.windows is None else f'windows of {c.windows} tokens'}"
            for c in free
        ]
        raise ConfigError(
            f"{'; '.join(said)}: samples are compared in one form only. Give all the same reads and"
            " context_length."
        )
    windows = next(iter(forms)) if forms else None if before is None else before.windows
    if asked is None and before is not None:
        return SamplePlan(samples=before.samples, windows=windows)
    if asked is None:
        asked = make_reference_set(store, split, windows=windows).setting.samples
    return SamplePlan(samples=asked, windows=windows)


def calibrated(out: Path, ground: ReferenceSet, on_event: OnEvent) -> Calibration:
    """Return the scale that is kept in a comparison's folder; measure and keep it if absent.

    Args:
        out: the folder.
        ground: the reference set.
        on_event: called with every event as it happens.

    Raises:
        RunError: the one that is there is damaged.
    """
    for text in ground.setting.notes:
        on_event(note(f"samples: {text}"))
    if (out / CALIBRATION).is_file() and (kept := read_calibration(out)).setting == ground.setting:
        return kept
    on_event(
        stage(
            f"measuring real text and samplers of known worth, {ground.setting.samples:,}"
            " samples of each"
        )
    )
    calibration = calibrate(ground)
    content = calibration.to_mapping()
    write_checked_json(out / CALIBRATION, content, format_version=FORMAT_VERSION)
    return calibration


def read_calibration(out: Path) -> Calibration:
    """Read what `calibrated` keeps.

    Raises:
        RunError: the file is missing, damaged, or from a newer format.
    """
    value = read_checked_json(
        out / CALIBRATION, format_version=FORMAT_VERSION, unhashed=True, remedy=ANEW
    )
    try:
        return Calibration.from_mapping(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{out / CALIBRATION} is damaged ({error}). {ANEW}") from None
