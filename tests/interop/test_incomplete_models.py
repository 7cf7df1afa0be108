"""Nobody's weights are made up: a folder that lacks some, or hides them in a pickle, is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from inklings.auditing.audit import audit
from inklings.cli.audited import asked_for, subject_of
from inklings.cli.compare import imported
from inklings.config import DataConfig
from inklings.errors import InklingsError, RunError
from inklings.interop.imports.import_model import (
    AS_IT_IS,
    FILES,
    import_model,
    import_ours_or_as_it_is,
)
from inklings.models.adapters.hugging_face import load_hugging_face
from inklings.models.adapters.weight_files import INDEX, WEIGHTS, read_index
from tests.commands import Command
from tests.interop.foreign import foreign

pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")


def changed(folder: Path, change: Any) -> Path:
    """A folder after its tensors were changed in place."""
    tensors = safetensors.torch.load_file(folder / WEIGHTS)
    change(tensors)
    safetensors.torch.save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def reconfigured(folder: Path, **fields: Any) -> Path:
    """A folder after its configuration was changed in place."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return folder


def pickled(folder: Path) -> Path:
    """A folder whose weights are a pickle."""
    tensors = safetensors.torch.load_file(folder / WEIGHTS)
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    return folder


def in_parts(folder: Path) -> Path:
    """A folder whose weights are in several parts, as transformers writes them."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 2
    return folder


@pytest.mark.parametrize("make", ["gpt_neox", "llama"])
def test_weights_that_a_folder_lacks_are_not_drawn(make: str, tmp_path: Path) -> None:
    def drop(tensors: dict[str, torch.Tensor]) -> None:
        lost = [name for name in tensors if ".layers.1." in name]
        for name in lost:
            del tensors[name]

    source = changed(foreign(tmp_path / "source", make), drop)
    name = f"{'gpt_neox' if make == 'gpt_neox' else 'model'}.layers.1."
    expected = rf"source lacks \d+ of its model's weights: {name}.* more\. They would be drawn"
    with pytest.raises(RunError, match=expected):
        import_model(str(source), tmp_path / "run", kind=AS_IT_IS)
    with pytest.raises(RunError, match=expected):
        subject_of(asked_for(f"hf:{source}", None))
    assert not load_hugging_face(str(source), untrained=True).is_trained
    with pytest.raises(InklingsError, match=r"layers\.1\."):
        import_ours_or_as_it_is(str(source), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_head_is_lacking_unless_it_is_the_embedding(tmp_path: Path) -> None:
    tied = foreign(tmp_path / "tied", "phi", tie_word_embeddings=True)
    assert "lm_head.weight" not in safetensors.torch.load_file(tied / WEIGHTS)
    assert load_hugging_face(str(tied)).is_trained

    apart = foreign(tmp_path / "apart", "phi")
    changed(apart, lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(RunError, match=r"lacks 1 of its model's weights: lm_head\.weight\."):
        load_hugging_face(str(apart))


def test_a_head_that_is_not_the_embedding_is_asked_for_without_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = foreign(tmp_path / "source", "llama")
    changed(source, lambda tensors: tensors.pop("lm_head.weight"))
    monkeypatch.setattr("inklings.interop.imports.import_model.is_installed", lambda name: False)
    with pytest.raises(RunError, match=r"has no tensor lm_head\.weight"):
        import_model(str(source), tmp_path / "run")


def test_a_configuration_alone_is_audited_and_never_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, command = foreign(tmp_path / "source", "phi"), Command(capsys)
    (source / WEIGHTS).unlink()
    (text := tmp_path / "text.txt").write_text("a line\n" * 50)
    said = f"{WEIGHTS} is missing"
    command.refuses("import", AS_IT_IS, source, "--run", tmp_path / "run", saying=said)
    command.refuses("evaluate", f"hf:{source}", "--data", text, saying=said)
    assert not subject_of(asked_for(f"hf:{source}", None)).is_trained


def test_tensors_that_the_model_does_not_read_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, command = foreign(tmp_path / "source", "phi"), Command(capsys)
    changed(source, lambda tensors: tensors.update({"score.weight": torch.zeros(2, 32)}))
    (text := tmp_path / "text.txt").write_text("a line\n" * 50)
    said = "the weights have 1 tensor that this model does not read: score.weight"
    for line in (
        ("import", AS_IT_IS, source, "--run", tmp_path / "run"),
        ("evaluate", f"hf:{source}", "--data", text, "--split", "all"),
    ):
        code, found = command(*line)
        assert code == 0 and said in found, found
    subject_of(asked_for(f"hf:{source}", None))
    assert said in " ".join(capsys.readouterr().err.split())
    with pytest.warns(UserWarning, match=said):
        imported(f"hf:{source}", tmp_path / "out", DataConfig())


def test_weights_of_other_shapes_are_named(tmp_path: Path) -> None:
    source = reconfigured(foreign(tmp_path / "source", "phi"), intermediate_size=40)
    expected = (
        r"model\.layers\.0\.mlp\.fc1\.bias is \(48,\), where the model has \(40,\) and 5 more"
    )
    with pytest.raises(RunError, match=expected) as caught:
        load_hugging_face(str(source))
    assert "ignore_mismatched_sizes" not in str(caught.value)


def test_no_pickle_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("a pickle is opened")

    source = pickled(foreign(tmp_path / "source", "phi"))
    monkeypatch.setattr(torch, "load", opened)
    said = r"only as a pickle \(pytorch_model\.bin\), which is never opened"
    for kind in (None, AS_IT_IS):
        with pytest.raises(RunError, match=said if kind else "is a 'phi'"):
            import_model(str(source), tmp_path / "run", kind=kind)
    with pytest.raises(RunError, match=said):
        subject_of(asked_for(f"hf:{source}", None))
    # nor under another name
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "pytorch_model.bin"}}
    (source / INDEX).write_text(json.dumps(index))
    with pytest.raises(RunError, match="nothing else is opened"):
        load_hugging_face(str(source))
    (source / INDEX).unlink()
    reconfigured(source, transformers_weights="adapter_model.bin")
    (source / "pytorch_model.bin").rename(source / "adapter_model.bin")
    (source / WEIGHTS).write_bytes(b"")
    with pytest.raises(RunError, match=r"transformers_weights is 'adapter_model\.bin'"):
        load_hugging_face(str(source))


def test_a_pickle_on_the_hub_is_none_that_is_not_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    asked: dict[str, Any] = {}

    def given(name: str, **how: Any) -> Any:
        asked.update(how)
        raise OSError(f"{name} has no {WEIGHTS}. Please do not set `use_safetensors=True`.")

    monkeypatch.setattr(transformers.utils, "cached_file", lambda *_, **__: None)
    config = transformers.LlamaConfig()
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", lambda *_, **__: config)
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", given)
    with pytest.raises(InklingsError, match=r"has no model\.safetensors on the hub\. A pickle"):
        load_hugging_face("nobody/nothing")
    assert asked["use_safetensors"] is True


@pytest.mark.parametrize("make", ["gpt2", "qwen3"])
def test_weights_in_several_parts_are_read(
    make: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = in_parts(foreign(tmp_path / "source", make))
    made = import_model(str(source), tmp_path / "run")
    assert made.kind == make and made.difference is not None and made.run.check() == []
    as_it_is = import_model(str(source), tmp_path / "as-it-is", kind=AS_IT_IS)
    assert as_it_is.kind == AS_IT_IS and as_it_is.unread == ()


def test_what_is_wrong_with_parts_is_one_message(tmp_path: Path) -> None:
    source = in_parts(foreign(tmp_path / "source", "llama"))
    index = json.loads((source / INDEX).read_text())
    first = min(index["weight_map"].values())

    def refused(said: str) -> None:
        with pytest.raises(RunError, match=said):
            import_model(str(source), tmp_path / "run")
        assert not (tmp_path / "run").exists()

    more = {**index["weight_map"], "model.layers.9.mlp.weight": first}
    (source / INDEX).write_text(json.dumps({**index, "weight_map": more}))
    refused(rf"{first} has no tensor model\.layers\.9\.mlp\.weight, which .* says it holds")
    (source / INDEX).write_text(json.dumps(index))
    (source / first).rename(source / "away")
    refused(f"{first} is missing")
    (source / first).write_bytes(b"nothing of the kind")
    refused(f"{first} is damaged")


@pytest.mark.parametrize(
    "part",
    [
        "../model-00001.safetensors",
        "/etc/model.safetensors",
        "sub/model.safetensors",
        "sub\\model.safetensors",
        "C:model.safetensors",
        "..",
        "",
        "model.bin",
        7,
        None,
    ],
)
def test_a_part_is_a_file_of_safetensors_beside_the_index(part: Any, tmp_path: Path) -> None:
    (index := tmp_path / INDEX).write_text(json.dumps({"weight_map": {"weight": part}}))
    with pytest.raises(RunError, match="as a part of the weights"):
        read_index(index)


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', "{"])
def test_an_index_that_says_nothing_is_damaged(content: str, tmp_path: Path) -> None:
    (index := tmp_path / INDEX).write_text(content)
    with pytest.raises(RunError, match=INDEX):
        read_index(index)


def test_parts_are_fetched_and_no_pickle() -> None:
    from fnmatch import fnmatch

    def fetched(name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in FILES)

    assert fetched(WEIGHTS) and fetched(INDEX) and fetched("model-00002-of-00007.safetensors")
    assert not any(map(fetched, ("pytorch_model.bin", "model.pt", "model.fp16.safetensors")))


@pytest.mark.parametrize(
    ("make", "prefix", "name"),
    [("llama", "model.", "norm.weight"), ("gpt2", "transformer.", "ln_f.bias")],
)
def test_of_two_tensors_of_one_name_none_is_dropped(
    make: str, prefix: str, name: str, tmp_path: Path
) -> None:
    source = changed(
        foreign(tmp_path / "source", make),
        lambda tensors: tensors.update({name: tensors[prefix + name] + 1}),
    )
    with pytest.raises(RunError, match=f"two tensors {name}, one of them as {prefix}{name}"):
        import_model(str(source), tmp_path / "run")


def test_weights_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.1.mlp.down_proj.weight"][0, 0] = float("nan")

    source = changed(foreign(tmp_path / "source", "llama"), spoil)
    for kind in (None, AS_IT_IS):
        with pytest.raises(
            RunError, match=r"layers\.1\.mlp\.down_proj\.weight some are no"
        ) as caught:
            import_model(str(source), tmp_path / "run", kind=kind)
        assert "inklings import" not in str(caught.value)


BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}


def test_what_reads_later_tokens_is_not_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, command = foreign(tmp_path / "source", "bert", **BERT), Command(capsys)
    (text := tmp_path / "text.txt").write_text("a line\n" * 50)
    said = "reads tokens that come later (is_decoder is False in its configuration)"
    command.refuses("import", AS_IT_IS, source, "--run", tmp_path / "run", saying=said)
    command.refuses("evaluate", f"hf:{source}", "--data", text, saying=said)
    (finding,) = audit(subject_of(asked_for(f"hf:{source}", None)), only=["causality"]).findings
    assert finding.status == "fail" and "the future enters" in finding.summary
    decoder = foreign(tmp_path / "decoder", "bert", is_decoder=True, **BERT)
    assert import_model(str(decoder), tmp_path / "run", kind=AS_IT_IS).kind == AS_IT_IS
