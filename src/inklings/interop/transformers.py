"""Models of Inklings in transformers: after this import its `Auto` classes know them.

    import inklings.interop.transformers
    from transformers import AutoModelForCausalLM

The import is meant to have that effect, and no other.
"""

from __future__ import annotations

from inklings.errors import ConfigError, import_extra

_library = import_extra("transformers", "a model of Inklings in transformers", "transformers")
if int(_library.__version__.partition(".")[0]) < 5:
    # before, models are built without memory whatever their code says
    raise ConfigError(
        f"models of Inklings need transformers 5 or newer, and {_library.__version__} is installed:"
        " pip install -U transformers. Runs of gpt and gpt2 are exported to older ones too."
    )

from inklings.interop.registered.causal_lm import (  # noqa: E402  # they need the library
    InklingsForCausalLM,
    as_transformers,
)
from inklings.interop.registered.inklings_config import InklingsConfig  # noqa: E402
from inklings.interop.registered.state_cache import StateCache  # noqa: E402

__all__ = ["InklingsConfig", "InklingsForCausalLM", "StateCache", "as_transformers"]

_library.AutoConfig.register(InklingsConfig.model_type, InklingsConfig, exist_ok=True)
_library.AutoModelForCausalLM.register(InklingsConfig, InklingsForCausalLM, exist_ok=True)
