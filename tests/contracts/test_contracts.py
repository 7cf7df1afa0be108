"""Every promise of the contract, on every registered architecture and on two that are files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inklings.cli import templates
from inklings.models.registry import ARCHITECTURES

from . import properties, run_properties, unit_properties
from .subjects import NotApplicableError, Subject
from .test_from_noise import NOISE_SUBJECTS

FILES = Path(__file__).parent / "fixtures"
TEMPLATE = Path(templates.__path__[0]) / "architecture.py"

WAVEGPT = {"n_layer": 1, "n_head": 2, "n_embd": 16, "wave_layers": 2, "context_length": 6}

TINY = {
    "context_length": 6,
    "segment": 5,
    "num_search_results": 3,
    "memory_size": 20,
    "sharpness": 2.0,
    "share": 0.1,
}
INSIDE = "gpt:n_layer=1,n_head=2,n_embd=16"
VARDAS: list[dict[str, Any]] = [
    {**TINY, "backbone": INSIDE, "reader": "mixture"},
    {
        **TINY,
        "backbone": "recurrent:cell=gru,n_layer=1,n_embd=12,n_hidden=20",
        "reader": "attention",
        "memory_dim": 8,
        "write": "random",
        "gist": 2.0,
        "gist_length": 5,
    },
    {
        **TINY,
        "backbone": "wavenet:n_layer=2,n_embd=12,n_skip=16",
        "reader": "concat",
        "write": "surprisal",
    },
    {**TINY, "backbone": "gpt2:n_layer=1,n_head=2,n_embd=16", "reader": "concat"},
    {
        **TINY,
        "backbone": "gpt2:n_layer=1,n_head=2,n_embd=16",
        "write": "learned",
        "segment": 2,
        "delete_within": 1.0,
        "forgetfulness_factor": 0.1,
    },
]

SUBJECTS = [
    Subject("ngram", {"order": 2}),
    Subject("ngram", {"order": 4}),
    Subject("mlp", {"n_embd": 6, "n_hidden": 20, "context_length": 4}),
    Subject("mlp", {"n_embd": 8, "n_hidden": 32, "context_length": 8}),
    Subject(
        "recurrent",
        {"cell": "rnn", "n_layer": 1, "n_embd": 12, "n_hidden": 20, "context_length": 8},
    ),
    Subject(
        "recurrent",
        {"cell": "gru", "n_layer": 2, "n_embd": 12, "n_hidden": 20, "context_length": 8},
    ),
    Subject(
        "recurrent",
        {"cell": "lstm", "n_layer": 2, "n_embd": 16, "n_hidden": 16, "context_length": 8},
    ),
    Subject(
        "tree_wavenet",
        {
            "norm": "batch",
            "execution": "convolution",
            "n_embd": 6,
            "n_hidden": 24,
            "context_length": 8,
        },
    ),
    Subject(
        "tree_wavenet",
        {"norm": "batch", "execution": "window", "n_embd": 6, "n_hidden": 24, "context_length": 8},
    ),
    Subject(
        "tree_wavenet",
        {
            "norm": "layer",
            "execution": "convolution",
            "n_embd": 6,
            "n_hidden": 24,
            "context_length": 8,
        },
    ),
    Subject(
        "tree_wavenet",
        {"norm": "layer", "execution": "window", "n_embd": 6, "n_hidden": 24, "context_length": 4},
    ),
    Subject(
        "tree_wavenet",
        {
            "batchnorm_bug": True,
            "execution": "window",
            "n_embd": 6,
            "n_hidden": 24,
            "context_length": 8,
        },
    ),
    Subject("wavenet", {"n_layer": 3, "n_embd": 16, "n_skip": 16, "context_length": 8}),
    Subject(
        "wavenet",
        {
            "n_layer": 2,
            "cycles": 2,
            "kernel_size": 3,
            "n_embd": 12,
            "n_skip": 20,
            "skip": False,
            "context_length": 5,
        },
    ),
    Subject("gpt2", {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 8}),
    Subject("gpt2", {"n_layer": 2, "n_head": 4, "n_embd": 16, "context_length": 5}),
    Subject(
        "gpt",
        {"feed_forward": "relu2", "n_layer": 2, "n_head": 2, "n_embd": 16, "context_length": 8},
    ),
    Subject(
        "gpt",
        {
            "feed_forward": "swiglu",
            "rotary_base": 100.0,
            "qk_norm": "gains",
            "norm_embedding": False,
            "n_hidden": 20,
            "n_layer": 1,
            "n_head": 2,
            "n_embd": 16,
            "context_length": 5,
            "tied_head": True,
        },
    ),
    Subject("wavegpt", {**WAVEGPT, "fusion": "causal", "gate": "scalar"}),
    Subject("wavegpt", {**WAVEGPT, "fusion": "previous_segment", "gate": "channel"}),
    Subject("wavegpt", {**WAVEGPT, "fusion": "closed_blocks", "mix": "logits", "gate": "input"}),
    Subject(
        "wavegpt",
        {
            **WAVEGPT,
            "fusion": "closed_blocks",
            "mix": "probabilities",
            "gate": "sigmoid",
            "wave_cycles": 2,
        },
    ),
    *(Subject("varda", fields) for fields in VARDAS),
    Subject(
        "varda",
        {
            **TINY,
            "backbone": f"{FILES / 'own_architecture.py'}:Convolution:n_embd=16",
            "write": "learned",
        },
    ),
    Subject(f"{FILES / 'own_architecture.py'}:Convolution", {"n_embd": 16, "context_length": 5}),
    Subject(f"{FILES / 'own_architecture.py'}:Convolution", {"n_embd": 24, "context_length": 1}),
    Subject(f"{TEMPLATE}:MyModel", {"n_embd": 16, "n_layer": 2, "context_length": 8}),
    Subject(f"{TEMPLATE}:MyModel", {"n_embd": 24, "n_layer": 1, "context_length": 4}),
]

Check = Callable[[Subject], None]
CHECKS: list[Check] = [
    check
    for module in (properties, unit_properties)
    for name, check in vars(module).items()
    if name.startswith("check_")
]
RUN_CHECKS: list[Check] = [
    check for name, check in vars(run_properties).items() if name.startswith("check_")
]


def name_of(check: Check) -> str:
    return check.__name__.removeprefix("check_")


def test_every_registered_architecture_is_a_subject_twice() -> None:
    tried = [subject.architecture for subject in (*SUBJECTS, *NOISE_SUBJECTS)]
    assert all(tried.count(name) >= 2 for name in ARCHITECTURES)


NAMES = [subject.architecture for subject in SUBJECTS]
# a hundred passes each
MANY_PASSES = (
    properties.check_causality,
    properties.check_rows_are_independent,
    properties.check_streaming,
    properties.check_documents_are_separate,
    properties.check_one_batch_is_overfitted,
    properties.check_state_is_all_there_is,
)


def waits(check: Check, index: int) -> bool:
    """Whether a case is left to the slow tests, since another of its kind is a fast one."""
    if check in MANY_PASSES and NAMES[index] == "varda":  # it reads token by token
        return True
    # a run is trained the same way whatever the sizes
    return check in (*MANY_PASSES, *RUN_CHECKS) and NAMES[index] in NAMES[:index]


CASES = [
    pytest.param(
        subject,
        check,
        marks=[pytest.mark.slow] if waits(check, index) else [],
        id=f"{subject}-{name_of(check)}",
    )
    for index, subject in enumerate(SUBJECTS)
    for check in (*CHECKS, *RUN_CHECKS)
]


@pytest.mark.parametrize(("subject", "check"), CASES)
def test_contract(subject: Subject, check: Check) -> None:
    try:
        check(subject)
    except NotApplicableError as reason:
        pytest.skip(f"not applicable: {reason}")


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_streaming_over_many_splits(subject: Subject) -> None:
    # among them some in which a memory has entries that are equally far
    for seed, cases in ((1, 60), (4, 40), (6, 40), (8, 40)):
        properties.check_streaming(subject, cases=cases, seed=seed)
