"""A run that begins with another's weights.

It takes over what they are bound to, and writes down nothing that is not so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from inklings.config import RunConfig
from inklings.errors import ConfigError, InputError, RunError, TokenizerError
from inklings.models.contract import SequenceModel
from inklings.models.registry import ARCHITECTURES
from inklings.runs.directory import RunDirectory
from inklings.text.store import prepare
from inklings.text.vocabularies import make_tokenizer
from inklings.training.find_batch_size import find_batch_size
from inklings.training.plan import plan_run
from inklings.training.train import resume, train

from .conftest import SMALL, TEXT, small_config

OWN = Path(__file__).parents[1] / "contracts" / "fixtures" / "own_architecture.py"
NEW = TEXT + "foë\nñandú\n" * 20
INSIDE = "gpt:n_layer=1,n_head=2,n_embd=16"
FIELDS: dict[str, dict[str, Any]] = {
    "mlp": SMALL["mlp"],
    "recurrent": SMALL["recurrent"],
    "tree_wavenet": {"n_embd": 4, "n_hidden": 8, "norm": "layer"},
    "wavenet": {"n_layer": 2, "n_embd": 8, "n_skip": 8},
    "gpt2": {"n_layer": 1, "n_head": 2, "n_embd": 8, "context_length": 8},
    "gpt": SMALL["gpt"],
    "gpt, tied": {**SMALL["gpt"], "tied_head": True},
    "wavegpt": {"n_layer": 1, "n_head": 2, "n_embd": 8, "wave_layers": 1},
    "wavegpt, two heads": {
        "n_layer": 1,
        "n_head": 2,
        "n_embd": 8,
        "wave_layers": 1,
        "mix": "logits",
        "fusion": "closed_blocks",
    },
    "varda": {"backbone": INSIDE, "segment": 4, "num_search_results": 3},
    "varda, attention": {
        "backbone": INSIDE,
        "segment": 4,
        "num_search_results": 3,
        "reader": "attention",
    },
}
CANNOT = {
    "ngram": ({"order": 2}, "counts its text anew"),
    "textgan": (
        {"context_length": 16, "n_embd": 8, "n_hidden": 8, "n_critic_hidden": 8},
        "its critic reads",
    ),
    "one_shot": (
        {"context_length": 16, "n_embd": 8, "n_hidden": 8, "n_critic_hidden": 8, "n_noise": 4},
        "its critic reads",
    ),
}


@pytest.fixture(scope="session")
def new_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("new") / "new.txt"
    path.write_text(NEW, encoding="utf-8")
    return path


def settings(
    text: Path, architecture: str, fields: dict[str, Any], **training: object
) -> RunConfig:
    return replace(
        small_config(text, architecture, **{"budget": "1-steps", "evaluations": 1, **training}),
        model=fields,
    )


def made(
    text: Path, name: str, run: Path, fields: dict[str, Any] | None = None, **training: object
) -> Path:
    train(
        settings(
            text, name.partition(",")[0], FIELDS[name] if fields is None else fields, **training
        ),
        run,
    )
    return run


def test_every_architecture_is_tried() -> None:
    assert {name.partition(",")[0] for name in (*FIELDS, *CANNOT)} == set(ARCHITECTURES)


@pytest.mark.parametrize("name", FIELDS)
def test_new_characters_leave_all_else_as_it_was(
    name: str, text: Path, new_text: Path, tmp_path: Path
) -> None:
    parent = made(text, name, tmp_path / "old")
    config = settings(new_text, name.partition(",")[0], {}, budget="0-steps")
    with pytest.raises(TokenizerError, match="lacks"):
        train(config, tmp_path / "no", initial=parent)
    train(config, tmp_path / "new", initial=parent, extend_vocabulary=True)
    old, run = RunDirectory.open(parent), RunDirectory.open(tmp_path / "new")
    assert run.record.new_tokens == 4, "f, ë, ñ and ú"
    before, after = old.load_model(), run.load_model()
    assert isinstance(before, SequenceModel) and isinstance(after, SequenceModel)
    size = before.config.vocab_size
    assert after.config.vocab_size == size + 4
    fresh = before.state_dict()
    for key, tensor in after.state_dict().items():
        assert torch.equal(tensor[:size] if key in after.token_rows else tensor, fresh[key]), key
    tied = {key: tensor.data_ptr() for key, tensor in before.state_dict().items()}
    pairs = {(a, b) for a in tied for b in tied if tied[a] == tied[b]}
    own = {key: tensor.data_ptr() for key, tensor in after.state_dict().items()}
    assert all(own[a] == own[b] for a, b in pairs)
    read = (
        "anna" if name == "varda" else "annabelssy"
    )  # later, a share of its probabilities is what it remembers
    tokens = torch.from_numpy(old.tokenizer().encode(read)).long()[None]
    assert run.tokenizer().encode("anna").tolist() == old.tokenizer().encode("anna").tolist()
    with torch.no_grad():
        mine = torch.log_softmax(after(tokens).logits[..., :size], -1)
        theirs = torch.log_softmax(before(tokens).logits, -1)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-5)
    resumed = resume(tmp_path / "new", budget="2-steps")
    assert resumed.steps == 2 and RunDirectory.open(tmp_path / "new").check() == []
    moved = RunDirectory.open(tmp_path / "new").load_model("last")
    assert not torch.equal(
        moved.state_dict()[after.token_rows[-1]][size:],
        after.state_dict()[after.token_rows[-1]][size:],
    )


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_grow_is_refused_with_the_reason(
    name: str, text: Path, new_text: Path, tmp_path: Path
) -> None:
    fields, reason = CANNOT[name]
    parent = made(text, name, tmp_path / "old", fields)
    with pytest.raises(InputError, match=reason):
        train(
            settings(new_text, name, fields),
            tmp_path / "new",
            initial=parent,
            extend_vocabulary=True,
        )
    assert not (tmp_path / "new").exists()


def test_a_memory_is_put_around_a_run_whose_vocabulary_grows(
    text: Path, new_text: Path, tmp_path: Path
) -> None:
    parent = made(text, "gpt", tmp_path / "old")
    config = settings(new_text, "varda", {"segment": 4}, budget="0-steps")
    train(config, tmp_path / "new", initial=parent, extend_vocabulary=True)
    assert RunDirectory.open(tmp_path / "new").load_model().config.vocab_size == (
        RunDirectory.open(parent).load_model().config.vocab_size + 4
    )


def test_a_file_of_ones_own_says_what_grows(text: Path, new_text: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.write_bytes(OWN.read_bytes())
    parent = tmp_path / "old"
    train(settings(text, f"{own}:Convolution", {"n_embd": 8}), parent)
    config = settings(new_text, f"{own}:Convolution", {}, budget="0-steps")
    with pytest.raises(RunError, match="token_rows"):
        train(config, tmp_path / "new", initial=parent, extend_vocabulary=True)
    train(
        settings(text, f"{own}:Convolution", {}, budget="0-steps"),
        tmp_path / "same",
        initial=parent,
    )
    assert RunDirectory.open(tmp_path / "same").config.model["n_embd"] == 8, "inherited"


def test_a_text_without_news_leaves_the_vocabulary_as_it_is(text: Path, tmp_path: Path) -> None:
    parent = made(text, "mlp", tmp_path / "old")
    train(settings(text, "mlp", {}), tmp_path / "new", initial=parent, extend_vocabulary=True)
    old, new = RunDirectory.open(parent), RunDirectory.open(tmp_path / "new")
    assert (new.record.new_tokens, new.record.tokenizer) == (0, old.record.tokenizer)


def test_extending_needs_a_run_to_begin_with(
    config_of: Callable[..., RunConfig], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="--extend-vocabulary needs --from"):
        train(config_of(), tmp_path / "new", extend_vocabulary=True)


def test_the_models_settings_are_inherited_and_others_are_used(text: Path, tmp_path: Path) -> None:
    parent = made(text, "gpt", tmp_path / "old")
    train(settings(text, "gpt", {"dropout": 0.4}), tmp_path / "new", initial=parent)
    model = RunDirectory.open(tmp_path / "new").config.model
    assert model == {**RunDirectory.open(parent).config.model, "dropout": 0.4}
    plan = plan_run(settings(text, "gpt", {}), initial=parent)
    assert plan.config.model == RunDirectory.open(parent).config.model
    assert find_batch_size(settings(text, "gpt", {}), initial=parent) >= 1
    with pytest.raises(RunError, match="n_embd is 32 here and 16 there"):
        find_batch_size(settings(text, "gpt", {"n_embd": 32}), initial=parent)


@pytest.mark.parametrize("spec", ["bpe:400", "byte", "word:9", "bpe:4096", "theirs.json"])
def test_another_tokenizer_is_refused(
    spec: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parent = made(text, "mlp", tmp_path / "old")
    make_tokenizer("byte", lambda: iter([])).save(tmp_path / "theirs.json")
    config = settings(text, "mlp", {})
    config = replace(config, data=replace(config.data, tokenizer=spec, unknown="skip"))
    with pytest.raises(ConfigError, match=r"data\.tokenizer is .* bound to its own \(char"):
        train(config, tmp_path / "new", initial=parent)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("spec", ["auto", "char", "old/tokenizer.json"])
def test_its_own_tokenizer_may_be_named_and_is_written_down_as_it_was(
    spec: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parent = made(text, "mlp", tmp_path / "old")
    config = settings(text, "mlp", {})
    train(
        replace(config, data=replace(config.data, tokenizer=spec)), tmp_path / "new", initial=parent
    )
    run = RunDirectory.open(tmp_path / "new")
    assert run.config.data.tokenizer == RunDirectory.open(parent).config.data.tokenizer
    assert run.tokenizer().hash == RunDirectory.open(parent).tokenizer().hash


def test_unknown_characters_are_what_is_said_of_them(
    text: Path, new_text: Path, tmp_path: Path
) -> None:
    parent = made(text, "mlp", tmp_path / "old")
    config = settings(new_text, "mlp", {})

    def with_rule(rule: Any) -> RunConfig:
        return replace(config, data=replace(config.data, unknown=rule))

    train(with_rule("skip"), tmp_path / "skips", initial=parent)
    run = RunDirectory.open(tmp_path / "skips")
    assert (run.tokenizer().unknown, run.config.data.unknown) == ("skip", "skip")
    assert run.tokenizer().decode(run.tokenizer().encode("anëna")) == "anna"
    with pytest.raises(TokenizerError, match="lacks"):
        train(with_rule("error"), tmp_path / "refuses", initial=parent)
    with pytest.raises(TokenizerError, match="--extend-vocabulary"):
        train(with_rule("replace"), tmp_path / "no", initial=parent)
    train(with_rule("replace"), tmp_path / "marks", initial=parent, extend_vocabulary=True)
    marks = RunDirectory.open(tmp_path / "marks")
    assert marks.tokenizer().decode(marks.tokenizer().encode("ë€")) == "ë\ufffd"
    train(settings(new_text, "mlp", {}), tmp_path / "again", initial=tmp_path / "skips")
    assert RunDirectory.open(tmp_path / "again").tokenizer().unknown == "skip", (
        "the rule is inherited"
    )


def test_what_only_says_how_weights_begin_is_refused(text: Path, tmp_path: Path) -> None:
    parent = made(text, "varda", tmp_path / "old")
    for name in ("share", "sharpness"):
        with pytest.raises(
            ConfigError, match=rf"model\.{name} is 0\.5, but says only how the weights begin"
        ):
            train(settings(text, "varda", {name: 0.5}), tmp_path / "new", initial=parent)
    with pytest.raises(ConfigError, match="init_seed is 3, but no weights are drawn"):
        train(settings(text, "varda", {}, init_seed=3), tmp_path / "new", initial=parent)
    inner = made(text, "gpt", tmp_path / "inner")
    train(
        settings(text, "varda", {"share": 0.5, "segment": 4}, init_seed=3),
        tmp_path / "new",
        initial=inner,
    )
    assert RunDirectory.open(tmp_path / "new").config.model["share"] == 0.5, (
        "around a backbone they begin"
    )


def test_a_store_made_with_another_vocabulary_is_refused(
    text: Path, new_text: Path, tmp_path: Path
) -> None:
    parent = made(text, "mlp", tmp_path / "old")
    other = prepare(settings(new_text, "mlp", {}).data)
    for extend in (False, True):
        with pytest.raises(TokenizerError, match="prepared with another tokenizer"):
            train(
                settings(new_text, "mlp", {}),
                tmp_path / "new",
                initial=parent,
                store=other,
                extend_vocabulary=extend,
            )
    own = RunDirectory.open(parent).tokenizer()
    grown = prepare(settings(new_text, "mlp", {}).data, tokenizer=own, extend=True)
    train(
        settings(new_text, "mlp", {}),
        tmp_path / "new",
        initial=parent,
        store=grown,
        extend_vocabulary=True,
    )
