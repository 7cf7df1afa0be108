"""Whatever JSON stands in a configuration, an import ends in a run or in one message."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.errors import InklingsError
from inklings.interop.imports.import_model import AS_IT_IS, import_model
from inklings.interop.imports.kind import KINDS
from tests.interop.foreign import foreign

pytest.importorskip("transformers")

AWAY: dict[str, Any] = {
    "rope_scaling": None,
    "rope_theta": 1e4,
    "layer_types": None,
    "max_window_layers": 2,
    "sliding_window": None,
    "n_inner": None,
    "head_dim": None,
}
"""Settings that stand in some folders only."""

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 0, 1, 2, 3, 10**9, 2**31, 2**64, 10**400, 1e-300, 1e300])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "default", "linear", "longrope", "sliding_attention", "full_attention"])
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
"""Any JSON."""


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small model of each kind."""
    place = tmp_path_factory.mktemp("kinds")
    makes = {AS_IT_IS: "phi"}
    fields: dict[str, dict[str, Any]] = {"nanochat": {"final_logit_softcapping": None}}
    return {
        kind: foreign(place / kind, makes.get(kind, kind), **fields.get(kind, {}))
        for kind in KINDS.places
    }


def imported(source: Path, kind: str, place: Path, **changes: Any) -> None:
    """Import a folder after some settings were changed; `a.b` is b in the object a."""
    shutil.copytree(source, place / "source")
    path = place / "source" / "config.json"
    settings = json.loads(path.read_text())
    for name, value in changes.items():
        outer, _, inner = name.rpartition(".")
        holder = settings.setdefault(outer, {}) if outer else settings
        if isinstance(holder, dict):
            holder[inner] = value
    path.write_text(json.dumps(settings))
    asked = AS_IT_IS if kind == AS_IT_IS else None
    import_model(str(place / "source"), place / "run", kind=asked)


@pytest.mark.parametrize("kind", KINDS.places)
@pytest.mark.filterwarnings("ignore:.*several rates of dropout")
@given(data=st.data())
def test_any_value_of_any_setting_ends_in_a_run_or_in_one_message(
    kind: str, folders: dict[str, Path], data: Any
) -> None:
    settings = {**AWAY, **json.loads((folders[kind] / "config.json").read_text())}
    inner = [
        f"{outer}.{name}"
        for outer, held in settings.items()
        if isinstance(held, dict)
        for name in held
    ]
    names = data.draw(st.sets(st.sampled_from([*settings, *inner]), min_size=1, max_size=2))
    changes = {name: data.draw(VALUES, label=name) for name in sorted(names)}
    with tempfile.TemporaryDirectory() as place, contextlib.suppress(InklingsError):
        imported(folders[kind], kind, Path(place), **changes)


ODD: list[tuple[str, str, Any, str]] = [
    ("llama", "rms_norm_eps", None, "rms_norm_eps is None, where a model has a positive number"),
    ("llama", "rms_norm_eps", "small", "rms_norm_eps is 'small'"),
    ("mistral", "rms_norm_eps", True, "rms_norm_eps is True"),
    ("llama", "rope_parameters.rope_theta", None, "rope_parameters.rope_theta is None"),
    ("qwen3", "rope_parameters.rope_theta", "many", "rope_parameters.rope_theta is 'many'"),
    ("nanochat", "rope_parameters", "yarn", "rope_parameters is 'yarn', where a model has an"),
    ("qwen3", "layer_types", "sliding_attention", "where a model has a list of words"),
    ("qwen3", "layer_types", [["full_attention"]], "where a model has a list of words"),
    ("qwen3", "layer_types", ["linear_attention"], "layers are of the kind linear_attention"),
    ("qwen3", "use_sliding_window", "no", "use_sliding_window is 'no', where a model has true or"),
    ("qwen3", "max_window_layers", "all", "max_window_layers is 'all', where a model has a whole"),
    ("mistral", "sliding_window", "wide", "sliding_window is 'wide'"),
    ("mistral", "sliding_window", True, "sliding_window is True"),
    ("llama", "hidden_size", 10**30, "where a model has a whole number from 1 to 100,000,000"),
    ("llama", "vocab_size", "many", "vocab_size is 'many'"),
    ("llama", "model_type", ["llama"], "says model_type is ['llama']"),
    ("llama", "model_type", None, "names no model_type"),
    (AS_IT_IS, "model_type", None, "names no model_type"),
    ("gpt2", "n_layer", True, "n_layer is True"),
    ("gpt2", "n_layer", 10**8, "has no tensor h.2.ln_1"),
    ("gpt2", "embd_pdrop", [0.1], "embd_pdrop is [0.1]"),
    ("gpt2", "n_positions", 10**12, "n_positions is 1000000000000"),
    (AS_IT_IS, "vocab_size", [], "vocab_size is []"),
    (AS_IT_IS, "hidden_act", "no such thing", "cannot be loaded as a causal model"),
]
"""Kind, setting, value, and words of the message."""


@pytest.mark.parametrize("case", ODD, ids=lambda case: f"{case[0]}, {case[1]}: {case[2]}")
def test_a_setting_that_is_none_is_named_with_what_it_must_be(
    case: tuple[str, str, Any, str], folders: dict[str, Path], tmp_path: Path
) -> None:
    kind, name, value, words = case
    with pytest.raises(InklingsError) as caught:
        imported(folders[kind], kind, tmp_path, **{name: value})
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["llama", "gpt2", AS_IT_IS])
@pytest.mark.parametrize("token", [-1, 10**30, 2**40])
def test_an_end_that_is_no_token_is_none(
    token: int, kind: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    imported(folders[kind], kind, tmp_path, eos_token_id=token)
