"""Comparisons that tests have time for: their arms are asked one check, and no picture is written.

What the checks find is the matter of `tests/auditing`, and what a report's figures look like that
of `tests/lab/report`; of a small comparison the two are most of the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from inklings.auditing import audit
from inklings.lab.report.export import static_files

CHECKS_ASKED = {
    "comparison.before_runs.before_training": audit.before_training,
    "execution.run_arm.before_training": audit.before_training,
    "execution.run_arm.after_training": audit.after_training,
}


FILES_WRITTEN = "inklings.lab.report.page.static_files"


@contextmanager
def brief_comparisons() -> Iterator[None]:
    """Make comparisons of this process brief."""
    with pytest.MonkeyPatch.context() as patch:
        for place in CHECKS_ASKED:
            patch.setattr(f"inklings.lab.{place}", lambda: ["contract"])
        patch.setattr(FILES_WRITTEN, lambda figure: {})
        yield


@contextmanager
def whole_comparisons() -> Iterator[None]:
    """Make them whole again, for the tests that are about what is left out."""
    with pytest.MonkeyPatch.context() as patch:
        for place, checks in CHECKS_ASKED.items():
            patch.setattr(f"inklings.lab.{place}", checks)
        patch.setattr(FILES_WRITTEN, static_files)
        yield
