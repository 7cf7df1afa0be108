"""Any causal model that `transformers` has a class for, as it is: it is scored, not rebuilt."""

from __future__ import annotations

import json

from inklings.interop.any_causal_model import load_any_causal
from inklings.interop.imports.foreign_folder import ModelFolder
from inklings.interop.imports.kind import ImportKind
from inklings.models.adapters.causal_model import CausalModel, CausalModelConfig
from inklings.models.adapters.hugging_face import HuggingFaceModel
from inklings.models.contract import SequenceModel


def _load(folder: ModelFolder, vocab_size: int, boundary: int) -> SequenceModel:
    inner = load_any_causal(str(folder.path)).inner
    config = CausalModelConfig(
        vocab_size=vocab_size,
        boundary_token=boundary,
        context_length=HuggingFaceModel(inner).config.context_length,
        settings=json.dumps(folder.settings, sort_keys=True),
    )
    model = CausalModel(config)
    model.inner.load_state_dict(inner.state_dict())
    return model.eval()


AS_IT_IS = ImportKind(name="as-it-is", architecture="causal_model", load=_load)
