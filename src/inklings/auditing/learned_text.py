"""The text that a subject was trained on, beside the text that it is audited with.

Held-out text is unseen only if it is not part of that.
"""

from __future__ import annotations

from inklings.errors import RunError
from inklings.runs.directory import RunDirectory
from inklings.runs.own_text import is_own, training_text
from inklings.text.store import TokenSplit, TokenStore


def learned_part(store: TokenStore, run: RunDirectory | None) -> TokenSplit:
    """Return what a run was trained on, where it is audited with another text than its own.

    Else it is the training part of the text.

    Raises:
        RunError: the run has another text, which is not at hand.
    """
    if run is None or not run.record.data or is_own(run, store):
        return store.split("train")
    trained = training_text(run)
    if trained is None:
        raise RunError(
            f"the prepared text that {run.path} was trained beside is not on this machine, and this"
            " is another text."
        )
    return trained.split("train")
