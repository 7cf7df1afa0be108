"""What a subject was trained on, beside the text that it is audited with.

Held-out text is unseen only if it is not among that.
"""

from __future__ import annotations

from inklings.auditing.checks.data import check_overlap, span_length
from inklings.auditing.findings import Finding
from inklings.errors import RunError
from inklings.runs.directory import RunDirectory
from inklings.runs.own_text import is_own, training_text
from inklings.text.splits import SPLITS
from inklings.text.store import TokenSplit, TokenStore


def learned_part(store: TokenStore, run: RunDirectory | None) -> TokenSplit:
    """What a run was trained on, where it is audited with another text than its own.

    Else the training part of the text.

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


def check_learned_overlap(store: TokenStore, run: RunDirectory | None) -> Finding:
    """`check_overlap` of the text.

    With what the run was trained on as the training part, where that is another text.

    Raises:
        RunError: it is not at hand, or a store is damaged.
    """
    if run is None or not run.record.data or is_own(run, store):
        return check_overlap(store)
    held_out: dict[str, TokenSplit] = {
        name: store.split(name)
        for name in SPLITS
        if name != "train" and store.manifest["splits"][name]["documents"]
    }
    return check_overlap(
        {"train": learned_part(store, run), **held_out}, length=span_length(store.tokenizer)
    )
