"""Exported runs are opened by plain transformers, and are the runs: logits, texts, tokenizers."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import inklings
from inklings.errors import ArchitectureError, InklingsError, MissingExtraError, RunError
from inklings.interop.exports.export import REPORT, export_run
from inklings.interop.exports.form import Form
from inklings.interop.exports.target import TARGETS, Target
from inklings.interop.to_transformers.forms import FORMS, TransformersForm
from inklings.models.contract import SequenceModel
from inklings.runs.directory import RunDirectory
from tests.built import as_sequence_model
from tests.commands import Command
from tests.interop.scrambled import hard_lines, scrambled

SIZES = "n_layer=2,n_head=2,n_embd=16"
TWINS = {
    "gpt2": (f"gpt2:{SIZES},context_length=64", "byte", "GPT2LMHeadModel"),
    "nanochat": (f"gpt:{SIZES},context_length=64", "char", "NanoChatForCausalLM"),
    "nanochat, tied": (
        f"gpt:{SIZES},context_length=64,tied_head=true",
        "char+bytes",
        "NanoChatForCausalLM",
    ),
    "nanochat of a base": (
        f"gpt:{SIZES},context_length=64,rotary_base=500",
        "char",
        "NanoChatForCausalLM",
    ),
    "qwen3 of a base": (
        f"gpt:{SIZES},context_length=16,feed_forward=swiglu,rotary_base=500",
        "char",
        "Qwen3ForCausalLM",
    ),
    "qwen3 with gains": (
        f"gpt:{SIZES},context_length=16,feed_forward=swiglu,qk_norm=gains,n_hidden=24",
        "char",
        "Qwen3ForCausalLM",
    ),
    "mistral": (
        f"gpt:{SIZES},context_length=16,feed_forward=swiglu,rotary_base=500,qk_norm=none,"
        "norm_embedding=false,tied_head=true",
        "char",
        "MistralForCausalLM",
    ),
    "qwen3": (
        f"gpt:{SIZES},context_length=16,feed_forward=swiglu,dropout=0.5",
        "bpe:280",
        "Qwen3ForCausalLM",
    ),
    "qwen3, tied": (
        f"gpt:{SIZES},context_length=64,feed_forward=swiglu,tied_head=true",
        "word:30",
        "Qwen3ForCausalLM",
    ),
}
"""ARM, tokenizer, and the class that it becomes; the window of one is shorter than its texts."""
QUICK = ("gpt2", "nanochat", "mistral", "qwen3", "qwen3, tied")
NEW = 50


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "lines.txt"
    path.write_text(hard_lines(2048), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Twins:
    """A run, and what transformers made of its export."""

    run: RunDirectory
    folder: Path
    class_name: str
    ours: SequenceModel
    theirs: Any


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in TWINS],
)
def twins(
    request: pytest.FixtureRequest, text: Path, tmp_path_factory: pytest.TempPathFactory
) -> Twins:
    transformers = pytest.importorskip("transformers")
    arm, tokenizer, class_name = TWINS[request.param]
    place = tmp_path_factory.mktemp("twins")
    run = scrambled(arm, text, place / "run", tokenizer)
    export_run(run, place / "exported")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(place / "exported").eval()
    return Twins(run, place / "exported", class_name, as_sequence_model(run.load_model()), theirs)


def tokenizer_of(twins: Twins) -> Any:
    import transformers

    if not (twins.folder / "tokenizer.json").exists():
        pytest.skip("words have no tokenizer there")
    return transformers.AutoTokenizer.from_pretrained(twins.folder)


def test_logits_are_those_of_the_run(twins: Twins) -> None:
    assert type(twins.theirs).__name__ == twins.class_name
    tokens = torch.randint(twins.ours.config.vocab_size, (3, 64))  # four windows of the shortest
    with torch.no_grad():
        ours, theirs = twins.ours(tokens).logits, twins.theirs(tokens).logits
    assert ours.std() > 0.3, "weights that say nothing prove nothing"
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)


def greedy(model: SequenceModel, prompt: list[int], count: int) -> list[int]:
    """The most likely tokens one after the other, streamed."""
    output, tokens = model(torch.tensor([prompt]), model.initial_state(1)), []
    for _ in range(count):
        tokens.append(int(output.logits[0, -1].argmax()))
        output = model(torch.tensor([tokens[-1:]]), output.state)
    return tokens


def test_texts_are_those_of_the_run_in_a_batch_filled_up_on_the_left(twins: Twins) -> None:
    tokenizer = tokenizer_of(twins)
    batch = tokenizer(["", "wir", "zürich"], padding=True, return_tensors="pt")
    assert not batch["attention_mask"][0, 0] and batch["attention_mask"][:, -1].all()
    with torch.no_grad():
        # no token has this number: a text goes on across the end of a document
        written = twins.theirs.generate(
            **batch, max_new_tokens=NEW, do_sample=False, eos_token_id=-1
        )
        for row, prompt in zip(written, ("", "wir", "zürich"), strict=True):
            begun = [twins.ours.config.boundary_token, *twins.run.tokenizer().encode(prompt)]
            assert row[-NEW:].tolist() == greedy(twins.ours, [int(t) for t in begun], NEW)


def test_the_tokenizer_reads_and_writes_held_out_lines_as_the_run_does(
    twins: Twins, text: Path
) -> None:
    theirs, ours = tokenizer_of(twins), twins.run.tokenizer()
    split = inklings.load(twins.run.path).text.split("validation")
    lines = [ours.decode(split.document(index)) for index in range(200)]
    assert any("<|endoftext|>" in line for line in lines)
    for line in lines:
        found = theirs(line)["input_ids"]
        assert found == [ours.boundary, *ours.encode(line).tolist()]
        assert theirs.decode(found, skip_special_tokens=True) == line
    assert theirs.bos_token_id == theirs.eos_token_id == ours.boundary


def test_what_was_compared_is_written_down(twins: Twins) -> None:
    report = json.loads((twins.folder / REPORT).read_text())
    compared = report["compared"]
    assert compared["largest_difference"] <= compared["allowed"] < 0.01
    assert compared["loss_there"] == pytest.approx(compared["loss"], abs=1e-4)
    assert compared["source"] == "lines.txt" and compared["tokens"] > 1000
    ends = json.loads((twins.folder / "generation_config.json").read_text())
    assert ends["bos_token_id"] == ends["eos_token_id"] == twins.ours.config.boundary_token
    card = (twins.folder / "README.md").read_text()
    assert f"{report['loss']:.4f} nats per token" in card and "not audited" in card
    assert str(twins.run.path.parent) not in card, "folders of whoever trained it"
    words = twins.run.tokenizer().kind == "word"
    assert (report["without_tokenizer"] is not None) == words == ("no tokenizer here" in card)
    assert compared["tokenizer_lines"] == (0 if words else 201)


def test_tied_weights_are_stored_as_their_form_has_them(twins: Twins) -> None:
    embedding, head = twins.theirs.get_input_embeddings(), twins.theirs.get_output_embeddings()
    tied = twins.theirs.config.tie_word_embeddings
    assert (embedding.weight is head.weight) == tied
    if twins.class_name == "GPT2LMHeadModel":
        assert tied
    if twins.class_name == "NanoChatForCausalLM":
        assert tied == getattr(twins.ours.config, "tied_head")  # noqa: B009
    if twins.class_name == "Qwen3ForCausalLM":
        assert not tied  # it does not norm what the first layer reads


def test_older_versions_read_the_same_frequencies(twins: Twins) -> None:
    if twins.class_name != "Qwen3ForCausalLM":
        pytest.skip("versions before 5 have no NanoChat, and GPT-2 has no frequencies")
    # they pass over `rope_parameters` without a word: logits were seen to differ by 1
    config = json.loads((twins.folder / "config.json").read_text())
    scaling = config["rope_scaling"] or {"rope_type": "default"}
    assert {**scaling, "rope_theta": config["rope_theta"]} == config["rope_parameters"]
    base = getattr(twins.ours.config, "rotary_base")  # noqa: B009
    kind = "longrope" if base is None else "default"
    assert config["rope_parameters"]["rope_type"] == kind


@pytest.mark.parametrize("name", ["textgan", "one_shot"])
def test_other_architectures_are_refused_with_what_can_be_exported(text: Path, name: str) -> None:
    config = replace(inklings.RunConfig(), architecture=name)
    with pytest.raises(ArchitectureError, match=f"{name} cannot be exported.*gpt2.*swiglu.*relu2"):
        TARGETS["transformers"].form_of(config)


@pytest.fixture(scope="module")
def run(text: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return scrambled(TWINS["gpt2"][0], text, tmp_path_factory.mktemp("runs") / "run", "byte")


def test_wrong_input_is_one_message_and_leaves_nothing(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, target = Command(capsys), tmp_path / "out"
    command.refuses("export", tmp_path, "--to", "transformers", target, saying="is not a run")
    command.refuses("export", "nowhere", "--to", "transformers", target, saying="there is no run")
    command.refuses("export", run.path, "--to", "pickles", target, saying="invalid")
    assert list(tmp_path.iterdir()) == []
    target.mkdir()
    (target / "mine.txt").write_text("kept")
    command.refuses("export", run.path, "--to", "transformers", target, saying="not empty")
    assert [path.name for path in target.iterdir()] == ["mine.txt"]


def test_without_transformers_the_extra_is_named(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"inklings\[transformers\]"):
        export_run(run, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_is_gone_can_be_replaced(tmp_path: Path, text: Path) -> None:
    pytest.importorskip("transformers")
    own = tmp_path / "own.txt"
    own.write_text(text.read_text(encoding="utf-8")[:4000] * 2, encoding="utf-8")
    run = scrambled(TWINS["gpt2"][0], own, tmp_path / "run", "byte")
    own.unlink()
    gone = RunDirectory(run.path, run.record, {**run.environment, "store": ""})
    with pytest.raises(RunError, match=r"compared with its run on held-out text.*--data FILE"):
        export_run(gone, tmp_path / "out")
    made = export_run(gone, tmp_path / "out", data=str(text))
    assert made.agreement.source == "lines.txt"


@pytest.mark.parametrize("change", [float("nan"), 0.1])
def test_a_model_that_differs_is_not_exported(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: float
) -> None:
    pytest.importorskip("transformers")

    form = FORMS["gpt2"]
    assert isinstance(form, TransformersForm)

    def off(model: Any) -> dict[str, Tensor]:
        return {name: tensor + change for name, tensor in form.tensors(model).items()}

    def other(_: Target, config: Any, **__: Any) -> Form:
        return replace(form, tensors=off)

    monkeypatch.setattr(Target, "form_of", other)
    with pytest.raises(InklingsError, match="nothing was exported"):
        export_run(run, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_verb_says_what_it_compared(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "out").mkdir()  # an empty folder is as good as none
    code, said = Command(capsys)("export", run.path, "--to", "transformers", tmp_path / "out")
    assert code == 0 and "logits differ by" in said and "201 lines" in said
    assert inklings.export(run.path, tmp_path / "again").class_name == "GPT2LMHeadModel"
