from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inklings.config import RunConfig
from inklings.errors import RunError, TokenizerError
from inklings.models.gpt import GPT
from inklings.runs.directory import RunDirectory, list_runs
from inklings.runs.lock import locked
from inklings.text.store import TokenStore, prepare
from inklings.training.train import resume, train

ConfigOf = Callable[..., RunConfig]

OWN = """
from dataclasses import dataclass
from torch import nn
from inklings.models.contract import ModelConfig, Output, SequenceModel, State
import torch

@dataclass(frozen=True, kw_only=True)
class MineConfig(ModelConfig):
    width: int = 4

class Mine(SequenceModel):
    Config = MineConfig

    def __init__(self, config):
        super().__init__(config)
        self.table = nn.Embedding(config.vocab_size, config.width)
        self.head = nn.Linear(config.width, config.vocab_size)

    def forward(self, tokens, state=None, *, starts=None):
        hidden = self.table(tokens)
        return Output(self.head(hidden), state, hidden)

    def initial_state(self, batch_size):
        return State({"nothing": torch.zeros(batch_size, 1)})

    def flops(self, tokens):
        return 6 * tokens * self.config.width * self.config.vocab_size
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, text: Path, store: TokenStore) -> Path:
    from ..training.conftest import small_config

    run = tmp_path_factory.mktemp("runs") / "finished"
    train(small_config(text, samples=1), run, store=store)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A finished run that the test may harm."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "environment.json",
        "tokenizer.json",
        "model.safetensors",
        "checkpoints/step_12/model.safetensors",
        "checkpoints/step_8/optimizer.safetensors",
        "checkpoints/step_12/progress.json",
    ],
)
def test_a_flipped_byte_anywhere_is_found(run: Path, name: str) -> None:
    flip(run / name)
    if name in ("config.json", "environment.json"):
        with pytest.raises(RunError, match=name):
            RunDirectory.open(run)
    else:
        problems = RunDirectory.open(run).check()
        assert len(problems) == 1 and name in problems[0]


def test_what_is_no_run_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run"):
        RunDirectory.open(tmp_path / "absent")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match="not a run"):
        RunDirectory.open(tmp_path / "folder")
    (run / "tokenizer.json").unlink()
    with pytest.raises(RunError, match=r"half-written or damaged: it lacks tokenizer\.json"):
        RunDirectory.open(run)
    torch.save({}, tmp_path / "weights.pt")
    with pytest.raises(RunError, match="pickle"):
        RunDirectory.open(tmp_path / "weights.pt")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(RunError, match="a run is a directory"):
        RunDirectory.open(tmp_path / "notes.txt")


def test_pickled_weights_in_place_of_ours_are_refused(run: Path) -> None:
    torch.save({}, run / "model.safetensors")
    with pytest.raises(RunError, match="pickle"):
        RunDirectory.open(run).load_model()
    (run / "model.safetensors").unlink()
    (run / "model.pt").write_bytes(pickle.dumps({}))
    with pytest.raises(RunError, match="pickle"):
        RunDirectory.open(run).load_model()


def test_a_newer_format_asks_for_an_upgrade(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "format_version": 99}))
    with pytest.raises(RunError, match="Upgrade"):
        RunDirectory.open(run)


def test_weights_of_another_architecture_or_size_are_refused(
    run: Path, config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    train(config_of("gpt"), tmp_path / "gpt", store=store)
    shutil.copy(tmp_path / "gpt" / "model.safetensors", run / "model.safetensors")
    with pytest.raises(RunError, match=r"'gpt'.*'mlp'"):
        RunDirectory.open(run).load_model()
    config = config_of("mlp")
    train(replace(config, model={**config.model, "n_hidden": 8}), tmp_path / "small", store=store)
    shutil.copy(tmp_path / "small" / "model.safetensors", run / "model.safetensors")
    with pytest.raises(RunError, match="does not fit the model"):
        RunDirectory.open(run).load_model()


def test_a_tokenizer_that_does_not_belong_is_refused(run: Path, config_of: ConfigOf) -> None:
    prepare(replace(config_of().data, tokenizer="byte")).tokenizer.save(run / "tokenizer.json")
    for use in (RunDirectory.open(run).tokenizer, RunDirectory.open(run).load_model):
        with pytest.raises(TokenizerError, match="does not belong"):
            use()


def test_an_untouched_run_is_whole_and_is_listed(run: Path, tmp_path: Path) -> None:
    directory = RunDirectory.open(run)
    assert directory.check() == []
    assert directory.runtime.threads == 1
    assert set(directory.samples()) == {4, 8, 12}
    (summary,) = list_runs(tmp_path)
    assert (summary.path, summary.architecture, summary.step, summary.state) == (
        str(run),
        "mlp",
        12,
        "complete",
    )
    assert summary.validation_loss is not None
    with locked(run):
        assert list_runs(tmp_path)[0].state == "training"
    flip(run / "config.json")
    assert list_runs(tmp_path)[0].state == "damaged"
    assert list_runs(tmp_path / "nothing") == []


def test_two_processes_never_train_one_run(run: Path, store: TokenStore) -> None:
    with locked(run), pytest.raises(RunError, match="another process"):
        resume(run, store=store, budget="20-steps")


def test_tied_weights_are_stored_once_and_tied_again(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path
) -> None:
    config = config_of("gpt")
    train(replace(config, model={**config.model, "tied_head": True}), tmp_path / "run", store=store)
    model = RunDirectory.open(tmp_path / "run").load_model()
    assert isinstance(model, GPT) and model.head.weight is model.embedding.weight
    train(config, tmp_path / "untied", store=store)
    shutil.copy(tmp_path / "untied" / "model.safetensors", tmp_path / "run" / "model.safetensors")
    with pytest.raises(RunError, match="tied"):
        RunDirectory.open(tmp_path / "run").load_model()


# --- code of the user's own -----------------------------------------------------------------------


@pytest.fixture
def own_run(config_of: ConfigOf, store: TokenStore, tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(OWN)
    config = replace(config_of(), architecture=f"{tmp_path / 'mine.py'}:Mine", model={"width": 6})
    train(config, tmp_path / "own", store=store)
    return tmp_path / "own"


def test_a_run_keeps_the_code_that_made_it(
    own_run: Path, tmp_path: Path, store: TokenStore
) -> None:
    (tmp_path / "mine.py").unlink()
    model = RunDirectory.open(own_run).load_model()
    assert dataclasses.asdict(model.config)["width"] == 6
    assert resume(own_run, budget="14-steps", store=store).steps == 14
    with open(own_run / "architecture.py", "a") as file:
        file.write("# changed\n")
    with pytest.raises(RunError, match=r"architecture\.py is damaged or was edited"):
        RunDirectory.open(own_run).load_model(trust_code=True)
    assert len(RunDirectory.open(own_run).check()) == 1


def test_code_of_another_user_is_not_run_unless_trusted(
    own_run: Path, tmp_path: Path, store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another home"))
    with pytest.raises(RunError, match="--trust-code"):
        RunDirectory.open(own_run).load_model()
    with pytest.raises(RunError, match="--trust-code"):
        resume(own_run, budget="14-steps", store=store)
    assert RunDirectory.open(own_run).load_model(trust_code=True) is not None
    assert resume(own_run, budget="14-steps", store=store, trust_code=True).steps == 14


def test_where_no_secret_can_be_kept_code_must_be_trusted(
    config_of: ConfigOf, store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    (tmp_path / "mine.py").write_text(OWN)
    config = replace(config_of(), architecture=f"{tmp_path / 'mine.py'}:Mine", model={})
    train(config, tmp_path / "own", store=store)
    with pytest.raises(RunError, match="--trust-code"):
        RunDirectory.open(tmp_path / "own").load_model()
