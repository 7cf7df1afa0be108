"""GPT-2 becomes `gpt2`, tensor for tensor."""

from __future__ import annotations

from inklings.errors import ForeignFormError
from inklings.interop.gpt2_weights import load_gpt2
from inklings.interop.imports.foreign_folder import ModelFolder
from inklings.interop.imports.kind import ImportKind
from inklings.models.contract import SequenceModel


def _load(folder: ModelFolder, vocab_size: int, boundary: int) -> SequenceModel:
    opening = folder.opening(vocab_size)
    if opening not in (None, boundary):
        raise ForeignFormError(
            f"{folder.path} opens a text with token {opening} and ends it with {boundary}; only"
            " plain GPT-2 can be loaded, where both are one."
        )
    return load_gpt2(folder.path, vocab_size=vocab_size, boundary_token=boundary)


GPT2_KIND = ImportKind(name="gpt2", architecture="gpt2", load=_load)
