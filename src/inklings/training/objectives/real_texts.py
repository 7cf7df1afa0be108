"""Real texts for a critic, and notes on what of a text it never sees."""

from __future__ import annotations

from inklings.models.from_noise import SampleModel
from inklings.text.store import TokenSplit
from inklings.text.whole_texts import TextBatches, left_out, text_windows, whole_texts

FEW_TEXTS = 100
"""A generator learns fewer real texts than this by heart."""


def real_texts(model: SampleModel, split: TokenSplit, batch_size: int, seed: int) -> TextBatches:
    """Return batches of the real texts that the model learns to imitate.

    Args:
        model: says whether it reads documents or windows, and how long.
        split: the training split.
        batch_size: texts in a batch.
        seed: of their order.

    Raises:
        SourceError: no text of the split fits.
    """
    texts = whole_texts if model.reads == "documents" else text_windows
    return texts(split, batch_size=batch_size, length=model.config.context_length, seed=seed)


def notes_on_real_texts(model: SampleModel, split: TokenSplit) -> list[str]:
    """Say in sentences that texts are few, or that documents are left out.

    Raises:
        SourceError: no text of the split fits.
    """
    length = model.config.context_length
    texts = real_texts(model, split, 1, 0).n_texts  # nothing is on disk yet, if there is none
    ending = "" if texts == 1 else "s"
    notes = []
    if texts < FEW_TEXTS:
        notes.append(
            f"the training part has {texts:,} such text{ending}: a generator can hardly learn more"
            " than to repeat what is there."
        )
    longer = left_out(split, length=length) if model.reads == "documents" else 0
    if longer:
        notes.append(
            f"{longer:,} of {split.n_documents:,} documents ({longer / split.n_documents:.1%}) have"
            f" more than {length} tokens with their end mark and are left out: a larger"
            " model.context_length takes longer ones."
        )
    return notes
