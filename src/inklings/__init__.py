"""Inklings: a workbench for text generators.

    import inklings

    store = inklings.prepare(inklings.DataConfig(source="builtin:unicode-names"))
    result = inklings.train(inklings.RunConfig(architecture="gpt"), "runs/first")

Names are loaded when they are first used: importing the package loads neither torch nor anything
else that is slow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inklings.config import DataConfig, RunConfig, TrainingConfig
    from inklings.errors import InklingsError, InputError
    from inklings.evaluation.likelihood.evaluate import evaluate
    from inklings.generation.generate import generate, stream
    from inklings.generation.sampling import SamplingConfig
    from inklings.lab.comparison.compare import compare
    from inklings.lab.report.page import write_report
    from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits
    from inklings.runs.directory import RunDirectory
    from inklings.text.store import prepare
    from inklings.training.train import resume, train

__version__ = "0.1.0"

_HOMES = {
    "DataConfig": "inklings.config",
    "RunConfig": "inklings.config",
    "TrainingConfig": "inklings.config",
    "InklingsError": "inklings.errors",
    "InputError": "inklings.errors",
    "evaluate": "inklings.evaluation.likelihood.evaluate",
    "generate": "inklings.generation.generate",
    "stream": "inklings.generation.generate",
    "SamplingConfig": "inklings.generation.sampling",
    "compare": "inklings.lab.comparison.compare",
    "write_report": "inklings.lab.report.page",
    "ModelConfig": "inklings.models.contract",
    "Output": "inklings.models.contract",
    "SequenceModel": "inklings.models.contract",
    "State": "inklings.models.contract",
    "Traits": "inklings.models.contract",
    "prepare": "inklings.text.store",
    "RunDirectory": "inklings.runs.directory",
    "resume": "inklings.training.train",
    "train": "inklings.training.train",
}

__all__ = [
    "DataConfig",
    "InklingsError",
    "InputError",
    "ModelConfig",
    "Output",
    "RunConfig",
    "RunDirectory",
    "SamplingConfig",
    "SequenceModel",
    "State",
    "TrainingConfig",
    "Traits",
    "compare",
    "evaluate",
    "generate",
    "prepare",
    "resume",
    "stream",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'inklings' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
