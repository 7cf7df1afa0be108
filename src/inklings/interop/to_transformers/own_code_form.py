"""A user's own architecture: its file goes along, and is run only where that is said.

transformers has its own word for that, `trust_remote_code=True`, and finds in `auto_map` which
class of which file to run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from inklings.config import RunConfig
from inklings.interop.exports.target import Leaving
from inklings.interop.to_transformers.registered_form import CLASSES, REGISTERED
from inklings.models.contract import SequenceModel
from inklings.models.objectives import has_likelihood
from inklings.models.registry import is_file, load_class
from inklings.runs.user_code import named_code

ARCHITECTURE = "architecture"
"""The module of the user's file, beside the weights."""
LOADER = "modeling_inklings"
"""The module that transformers is told to run."""
MODEL_TYPE = "inklings_own"
"""Not the one that our import registers: transformers would then not look at the folder's code."""
LOADING = '''\
"""A model of Inklings whose architecture is in the file beside this one.

transformers runs both where it is told to: `trust_remote_code=True`.
"""

from {classes} import InklingsConfig, InklingsForCausalLM

from .{architecture} import {name}


class OwnConfig(InklingsConfig):
    """Its configuration."""

    model_type = "{model_type}"


class OwnForCausalLM(InklingsForCausalLM):
    """Its model."""

    config_class = OwnConfig
    own_architecture = {name}
'''


def _settings(model: SequenceModel) -> dict[str, Any]:
    from inklings.interop.registered.inklings_config import settings_of

    return {
        "model_type": MODEL_TYPE,
        **settings_of(model, f"{ARCHITECTURE}.py:{type(model).__name__}"),
        "auto_map": {
            "AutoConfig": f"{LOADER}.OwnConfig",
            "AutoModelForCausalLM": f"{LOADER}.OwnForCausalLM",
        },
    }


def _code(leaving: Leaving) -> dict[str, str]:
    file, _, name = leaving.config.architecture.rpartition(":")
    loader = LOADING.format(
        classes=CLASSES, architecture=ARCHITECTURE, name=name, model_type=MODEL_TYPE
    )
    return {
        f"{ARCHITECTURE}.py": Path(file).read_text(encoding="utf-8"),
        f"{LOADER}.py": loader,
    }


def _takes(config: RunConfig) -> bool:
    # the file's hash was checked, and its code is trusted, before a form is asked
    alone = named_code(config) == [config.architecture]
    return (
        alone and is_file(config.architecture) and has_likelihood(load_class(config.architecture))
    )


OWN_CODE = replace(
    REGISTERED,
    name="own_code",
    arm="FILE.py:CLASS of one file",
    takes=_takes,
    settings=_settings,
    code=_code,
    loading=(
        "To load it, Inklings has to be installed, and transformers has to be told that the Python"
        " code in the folder may be run: `trust_remote_code=True`."
    ),
)
