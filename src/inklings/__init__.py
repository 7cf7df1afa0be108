"""Inklings: a workbench for text generators.

    import inklings

    run = inklings.train("gpt", data="my.txt", budget="1M-tokens")
    run.generate("Once", temperature=0.8)
    inklings.load("runs/x").evaluate("test")
    inklings.compare(["gpt", "recurrent:cell=lstm"], data="my.txt", budget="300k-tokens", seeds=3)
    inklings.audit("my_model.py:MyModel")

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
    from inklings.interface.comparing import compare, load_comparison, merge_comparisons
    from inklings.interface.comparison_folder import ComparisonFolder
    from inklings.interface.records import Records
    from inklings.interface.run import Run
    from inklings.interface.server import serve
    from inklings.interface.text import GeneratedText
    from inklings.interface.verbs import (
        audit,
        export,
        load,
        prepare,
        resume,
        sweep,
        train,
    )
    from inklings.lab.comparison.settings import Method
    from inklings.lab.report.page import write_report
    from inklings.memory.settings import MemoryConfig
    from inklings.memory.store import Memory
    from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits
    from inklings.runs.arms import Arm, parse_arm
    from inklings.runs.directory import RunDirectory

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
    "compare": "inklings.interface.comparing",
    "load_comparison": "inklings.interface.comparing",
    "merge_comparisons": "inklings.interface.comparing",
    "ComparisonFolder": "inklings.interface.comparison_folder",
    "Records": "inklings.interface.records",
    "Run": "inklings.interface.run",
    "serve": "inklings.interface.server",
    "GeneratedText": "inklings.interface.text",
    "audit": "inklings.interface.verbs",
    "export": "inklings.interface.verbs",
    "load": "inklings.interface.verbs",
    "prepare": "inklings.interface.verbs",
    "resume": "inklings.interface.verbs",
    "sweep": "inklings.interface.verbs",
    "train": "inklings.interface.verbs",
    "Method": "inklings.lab.comparison.settings",
    "write_report": "inklings.lab.report.page",
    "MemoryConfig": "inklings.memory.settings",
    "Memory": "inklings.memory.store",
    "ModelConfig": "inklings.models.contract",
    "Output": "inklings.models.contract",
    "SequenceModel": "inklings.models.contract",
    "State": "inklings.models.contract",
    "Traits": "inklings.models.contract",
    "Arm": "inklings.runs.arms",
    "parse_arm": "inklings.runs.arms",
    "RunDirectory": "inklings.runs.directory",
}

__all__ = [
    "Arm",
    "ComparisonFolder",
    "DataConfig",
    "GeneratedText",
    "InklingsError",
    "InputError",
    "Memory",
    "MemoryConfig",
    "Method",
    "ModelConfig",
    "Output",
    "Records",
    "Run",
    "RunConfig",
    "RunDirectory",
    "SamplingConfig",
    "SequenceModel",
    "State",
    "TrainingConfig",
    "Traits",
    "audit",
    "compare",
    "evaluate",
    "export",
    "generate",
    "load",
    "load_comparison",
    "merge_comparisons",
    "parse_arm",
    "prepare",
    "resume",
    "serve",
    "stream",
    "sweep",
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
