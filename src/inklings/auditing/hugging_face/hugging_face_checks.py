"""The checks of a causal model of `transformers`, in the order in which they are carried out.

Those of every model stand beside those that only such a model can be asked. What is about our own
streaming, documents within rows and batches is left out: the adapter sees to these.
"""

from __future__ import annotations

from typing import Any

from inklings.auditing.check import Check
from inklings.registry import Registry

HUGGING_FACE_CHECKS: Registry[Check[Any]] = Registry(
    "check",
    {
        "contract": "inklings.auditing.checks.contract:CONTRACT",
        "causality": "inklings.auditing.checks.causality:CAUSALITY",
        "prefixes": "inklings.auditing.checks.prefixes:PREFIXES",
        "rows": "inklings.auditing.checks.rows:ROWS_APART",
        "padding": "inklings.auditing.hugging_face.padding:PADDING",
        "cache": "inklings.auditing.hugging_face.cache:CACHE",
        "tied weights": "inklings.auditing.hugging_face.tied_weights:TIED_WEIGHTS",
        "tokenizer": "inklings.auditing.hugging_face.round_trips:TOKENIZER",
        "overlap": "inklings.auditing.checks.text_overlap:OVERLAP",
        "loss": "inklings.auditing.checks.loss:LOSS",
    },
)
