"""A small text and runs of a few steps on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.text.store import TokenStore, prepare

TEXT = "".join(
    f"{first}{middle}{last}\n"
    for first in "abcde"
    for middle in ("an", "el", "oo", "irt")
    for last in ("a", "n", "ssy", "", "ton", "e")
)

SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"n_embd": 4, "n_hidden": 16, "context_length": 4},
    "recurrent": {"n_embd": 4, "n_hidden": 8},
    "gpt": {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 16, "dropout": 0.2},
    "ngram": {"order": 3},
}


def small_config(text: Path, architecture: str = "mlp", **training: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "budget": "12-steps",
        "batch_size": 4,
        "sequence_length": 16,
        "evaluations": 3,
        "samples": 0,
        "threads": 1,
        "precision": "float32",
        "compile": "off",
    }
    return RunConfig(
        architecture=architecture,
        model=dict(SMALL.get(architecture, {})),
        data=DataConfig(source=str(text), layout="lines"),
        training=TrainingConfig(**{**settings, **training}),
    )


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "names.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def store(text: Path) -> TokenStore:
    return prepare(small_config(text).data)


@pytest.fixture
def config_of(text: Path) -> Callable[..., RunConfig]:
    """Makes the settings of a run of a few steps: `config_of(architecture, field=value, ...)`."""
    return lambda architecture="mlp", **training: small_config(text, architecture, **training)


@pytest.fixture(autouse=True)
def _own_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests sign code with a secret of their own, not the user's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
