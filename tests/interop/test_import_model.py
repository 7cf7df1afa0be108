"""Weights of others become a run that can be generated from, scored.

And gone on from with a memory.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers

from inklings.cli.main import main
from inklings.config import DataConfig
from inklings.errors import InklingsError, RunError
from inklings.interop.gpt2_weights import save_gpt2
from inklings.interop.imports.import_model import import_model
from inklings.interop.imports.kind import KINDS
from inklings.models.gpt2.model import GPT2, GPT2Config
from inklings.runs.directory import RunDirectory
from inklings.text.token_bytes import byte_names
from tests.commands import Command

END = "<|endoftext|>"


def folder(path: Path, *, in_parts: bool) -> tuple[Path, GPT2]:
    """A folder as transformers writes one.

    A small GPT-2 over bytes, and its tokenizer in one file or in two.
    """
    torch.manual_seed(0)
    names = {**{name: number for number, name in enumerate(byte_names())}, END: 256}
    model = GPT2(
        GPT2Config(
            vocab_size=257, boundary_token=256, context_length=16, n_layer=1, n_head=2, n_embd=16
        )
    ).eval()
    save_gpt2(model, path)
    if in_parts:
        (path / "vocab.json").write_text(json.dumps(names))
        (path / "merges.txt").write_text("#version: 0.2\n")
        return path, model
    backend = tokenizers.Tokenizer(models.BPE(vocab=names, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([END])
    backend.save(str(path / "tokenizer.json"))
    return path, model


@pytest.mark.parametrize("in_parts", [False, True], ids=["tokenizer.json", "vocab.json"])
def test_an_imported_run_is_the_model_and_its_tokenizer(tmp_path: Path, in_parts: bool) -> None:
    source, model = folder(tmp_path / "theirs", in_parts=in_parts)
    import_model(str(source), tmp_path / "run")
    run = RunDirectory.open(tmp_path / "run")
    tokenizer = run.tokenizer()
    tokens = torch.from_numpy(tokenizer.encode("Grüße!").astype("int64"))[None]
    assert tokenizer.boundary == 256 and tokenizer.decode(tokens[0].tolist()) == "Grüße!"
    with torch.no_grad():
        torch.testing.assert_close(
            run.load_model()(tokens).logits, model(tokens).logits, atol=0.0, rtol=0.0
        )
    assert run.check() == []


@pytest.mark.parametrize("place", ["alone", "with the tokenizer", "several"])
def test_tokens_of_its_chat_template_that_are_read_as_text_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    source, _ = folder(tmp_path / "theirs", in_parts=False)
    assert import_model(str(source), tmp_path / "without").spelled == ()
    template = "{{ messages[0].content }}<|im_end|>"
    if place == "alone":
        (source / "chat_template.jinja").write_text(template)
    else:
        given = (
            template
            if place == "with the tokenizer"
            else [{"name": "default", "template": template}]
        )
        settings = json.dumps({"chat_template": given})
        (source / "tokenizer_config.json").write_text(settings)
    capsys.readouterr()
    assert main(["import", str(source), "--run", str(tmp_path / "run")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "its chat template names <|im_end|>, which the run reads as text" in said


@pytest.mark.slow
def test_a_memory_is_attached_to_imported_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, model = folder(tmp_path / "theirs", in_parts=False)
    run, text = tmp_path / "run", tmp_path / "text.txt"
    text.write_text("the cat sat on the mat. " * 100)
    assert main(["import", "gpt2", str(source), "--run", str(run)]) == 0
    made = tmp_path / "with-memory"
    assert (
        main(
            [
                "train",
                "varda",
                "--from",
                str(run),
                "--data",
                str(text),
                "--budget",
                "0-steps",
                "--run",
                str(made),
                "--json",
            ]
        )
        == 0
    )
    attached = RunDirectory.open(made).load_model()
    backbone = attached.get_submodule("backbone").state_dict()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in backbone.items())
    capsys.readouterr()
    assert main(["generate", str(made), "the cat", "--max-new-tokens", "5"]) == 0
    assert capsys.readouterr().out.startswith("the cat")


def test_what_cannot_be_imported_is_refused_with_the_reason_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    source, _ = folder(tmp_path / "theirs", in_parts=False)
    (source / "tokenizer.json").unlink()
    with pytest.raises(RunError, match="has no tokenizer"):
        import_model(str(source), tmp_path / "run")
    with pytest.raises(RunError, match="there is no folder"):
        import_model("./nowhere", tmp_path / "run")
    with pytest.raises(InklingsError, match="there is no folder nobody/nothing"):
        import_model("nobody/nothing", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("kept")
    with pytest.raises(RunError, match="exists and is not a run"):
        import_model(str(source), tmp_path / "run")


def test_an_imported_run_whose_text_is_not_there_had_none_prepared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, _ = folder(tmp_path / "theirs", in_parts=False)
    (text := tmp_path / "text.txt").write_text("the cat sat on the mat. " * 100)
    import_model(str(source), tmp_path / "run", data=DataConfig(source=str(text)))
    text.unlink()
    said = Command(capsys).refuses("evaluate", tmp_path / "run", saying="that the imported")
    assert "trained beside" not in said and "Name another with --data" in said


def test_help_names_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = Command(capsys)("import", "--help")
    assert code == 0
    assert set(KINDS.places) <= set(said.replace(",", " ").split())


@pytest.mark.slow
def test_a_comparison_takes_it_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, _ = folder(tmp_path / "theirs", in_parts=False)
    text, out = tmp_path / "text.txt", tmp_path / "out"
    text.write_text(
        "".join(
            f"the {animal} sat on the {place}\n"
            for animal in ("cat", "dog", "hen")
            for place in ("mat", "log", "box", "sofa")
        )
    )
    arm = f"hf:{source}"
    command = [
        "compare",
        "ngram:order=2",
        arm,
        "--data",
        str(text),
        "--seeds",
        "1",
        "--rates",
        "0",
        "--points",
        "1",
        "--out",
        str(out),
        "--json",
    ]
    for _ in range(2):
        assert main(command) == 0
        found = json.loads(capsys.readouterr().out)
        assert [(a["label"], a["kind"], len(a["runs"])) for a in found["arms"]] == [
            ("ngram:order=2", "counted", 1),
            (arm, "as it is", 1),
        ]
        assert found["unit"] == "bits per byte"
    assert RunDirectory.open(next((out / "imports").iterdir())).check() == []
