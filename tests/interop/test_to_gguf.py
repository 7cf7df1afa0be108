"""Exported files say what llama.cpp has to know, and hold the run: logits and vocabulary."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from inklings.cli.export import ExportFlags
from inklings.config import load_run_config
from inklings.errors import (
    ArchitectureError,
    ConfigError,
    InklingsError,
    MissingExtraError,
    TokenizerError,
)
from inklings.interop.exports.export import export_run
from inklings.interop.exports.exported import Export
from inklings.interop.exports.form import Form
from inklings.interop.exports.target import TARGETS, Target
from inklings.interop.to_gguf import as_llama_cpp, gguf_file
from inklings.interop.to_gguf.gguf_forms import FORMS, GgufForm
from inklings.interop.to_gguf.gguf_vocabulary import Vocabulary, vocabulary_of, why_absent
from inklings.models.contract import chosen_fields
from inklings.runs.directory import RunDirectory
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import make_tokenizer, read_tokenizer
from tests.built import build_sequence_model
from tests.commands import Command
from tests.interop.scrambled import hard_lines, scrambled

pytest.importorskip("gguf")
pytest.importorskip("transformers")

PORTABLE = "gpt:feed_forward=swiglu,rotary_base=10000,context_length=24,n_layer=1"
RUNS = {
    "gpt2": ("gpt2:n_layer=2,n_head=2,n_embd=32,context_length=24", "bpe:280"),
    "qwen3": (f"{PORTABLE},n_head=3,n_embd=96", "char"),
    "llama": (f"{PORTABLE},n_head=2,n_embd=16,qk_norm=none", "byte"),
    "llama, tied, of another base": (
        f"{PORTABLE.replace('10000', '500')},n_head=1,n_embd=16,qk_norm=none,"
        "norm_embedding=false,tied_head=true",
        "bpe:280",
    ),
    "qwen3, tied": (f"{PORTABLE},n_head=2,n_embd=16,tied_head=true", "char+bytes"),
}
LETTERS = "aäb \nßc▁🙂"
KINDS = ["byte", "char", "char+bytes", "bpe:290"]


@dataclass(frozen=True)
class Exported:
    """A run, and what was made of it."""

    run: RunDirectory
    made: Export


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "lines.txt"
    path.write_text(hard_lines(512), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=list(RUNS))
def exported(
    request: pytest.FixtureRequest, text: Path, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    place = tmp_path_factory.mktemp("gguf")
    arm, tokenizer = RUNS[request.param]
    run = scrambled(arm, text, place / "run", tokenizer)
    return Exported(run, export_run(run, place / "made.gguf", to="gguf"))


@pytest.fixture(scope="module")
def run(text: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    place = tmp_path_factory.mktemp("run") / "run"
    return scrambled("gpt2:n_layer=1,n_head=2,n_embd=16,context_length=24", text, place, "char")


def said(path: Path, key: str) -> Any:
    import gguf

    field = gguf.GGUFReader(path).get_field(key)
    assert field is not None, key
    return field.contents()


def test_a_file_says_its_sizes_its_ends_and_what_was_compared(exported: Exported) -> None:
    made, boundary = exported.made, exported.run.tokenizer().boundary
    assert said(made.path, "general.architecture") == made.class_name
    assert said(made.path, f"{made.class_name}.context_length") == 24
    assert said(made.path, "tokenizer.ggml.bos_token_id") == boundary
    assert said(made.path, "tokenizer.ggml.eos_token_id") == boundary
    assert said(made.path, "tokenizer.ggml.add_bos_token") is True
    assert said(made.path, "tokenizer.ggml.add_space_prefix") is False
    epsilon, size = (
        ("layer_norm_epsilon", 1e-5)
        if made.class_name == "gpt2"
        else ("layer_norm_rms_epsilon", 1e-6)
    )
    assert said(made.path, f"{made.class_name}.attention.{epsilon}") == pytest.approx(size)
    report = json.loads(made.path.with_name("made.gguf.json").read_text())
    compared = report["compared"]
    assert compared["largest_difference"] <= compared["allowed"] and compared["row_length"] == 24
    assert compared["largest_difference"] < 1e-4 < compared["largest_logit"]
    assert compared["tokenizer_lines"] > 20 and report["precision"] == "float32"
    assert report["loss"] is None, "a file has no card that the whole part is scored for"
    assert {path.name for path in made.path.parent.iterdir()} == {
        "run",
        "made.gguf",
        "made.gguf.json",
    }


def test_half_precision_is_bounded_and_eight_bits_are_stated(
    exported: Exported, tmp_path: Path
) -> None:
    half = export_run(exported.run, tmp_path / "half.gguf", to="gguf", precision="float16")
    assert half.agreement.largest_difference > 1e-6
    assert half.agreement.allowed == pytest.approx(2e-3 * (1 + half.agreement.largest_logit))
    if exported.run.config.model["n_embd"] % 32:
        with pytest.raises(ArchitectureError, match=r"16 and 48.*float16.*multiple of 96"):
            export_run(exported.run, tmp_path / "eight.gguf", to="gguf", precision="q8_0")
        assert not (tmp_path / "eight.gguf").exists()
        return
    eight = export_run(exported.run, tmp_path / "eight.gguf", to="gguf", precision="q8_0")
    assert eight.agreement.allowed is None
    assert half.agreement.largest_difference < eight.agreement.largest_difference < 5
    sizes = [path.stat().st_size for path in (exported.made.path, half.path, eight.path)]
    assert sizes == sorted(sizes, reverse=True)


@pytest.fixture(scope="module", params=KINDS)
def spoken(request: pytest.FixtureRequest) -> tuple[Tokenizer, Vocabulary]:
    known = LETTERS.replace("▁", "") if request.param == "char+bytes" else LETTERS
    learned = known + hard_lines(64)
    tokenizer = make_tokenizer(request.param, lambda: iter([(learned, True)]), unknown="error")
    return tokenizer, vocabulary_of(tokenizer, tokenizer.boundary)


@given(text=st.text(st.sampled_from(LETTERS), max_size=30))
def test_a_vocabulary_reads_and_writes_what_the_run_does(
    spoken: tuple[Tokenizer, Vocabulary], text: str
) -> None:
    tokenizer, vocabulary = spoken
    if tokenizer.kind == "char+bytes":
        text = text.replace("▁", "é")  # a blank there, which a note says
    found = as_llama_cpp.encode(vocabulary, text)
    assert found == [tokenizer.boundary, *tokenizer.encode(text).tolist()]
    assert as_llama_cpp.decode(vocabulary, found) == text
    assert len(set(vocabulary.tokens)) == tokenizer.vocab_size


def test_characters_that_a_vocabulary_lacks_are_dropped_whole() -> None:
    learned = make_tokenizer("char", lambda: iter([(LETTERS, True)]), unknown="error")
    # they begin with the bytes that others begin with
    assert "é" not in LETTERS and "☺" not in LETTERS
    vocabulary = vocabulary_of(learned, learned.boundary)
    assert as_llama_cpp.encode(vocabulary, "aéb☺") == as_llama_cpp.encode(vocabulary, "ab")


def test_tokenizers_that_it_would_read_otherwise_are_refused(tmp_path: Path) -> None:
    def learned(spec: str, **options: Any) -> Tokenizer:
        return make_tokenizer(spec, lambda: iter([(hard_lines(64) + "▁", True)]), **options)

    assert "words" in str(why_absent(learned("word:30")))
    assert "char+bytes" in str(why_absent(learned("char", unknown="replace")))
    assert "blanks" in str(why_absent(learned("char+bytes")))
    path = tmp_path / "tokenizer.json"
    backend = tokenizers.Tokenizer.from_str(learned("bpe:290").backend.to_str())
    backend.save(str(path))
    theirs = read_tokenizer(path)
    assert theirs.kind == "file" and why_absent(theirs) is None
    ours = learned("bpe:290")
    assert vocabulary_of(theirs, theirs.boundary) == vocabulary_of(ours, ours.boundary)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.save(str(path))
    assert "other rules" in str(why_absent(read_tokenizer(path)))


@pytest.mark.parametrize("target", ["gguf", "transformers"])
def test_the_run_file_of_the_portable_form_has_it(target: str) -> None:
    config = load_run_config(Path(__file__).parents[2] / "configs" / "portable.toml")
    model = build_sequence_model("gpt", config.model, vocab_size=300)
    config = replace(config, model=chosen_fields(model.config))
    assert TARGETS[target].form_of(config).name == "qwen3"


@pytest.mark.parametrize(
    ("arm", "tokenizer", "error", "saying"),
    [
        ("gpt:n_layer=1,n_head=2,n_embd=16", "char", ArchitectureError, "rotary_base=10000"),
        (
            "gpt:n_layer=1,n_head=2,n_embd=16,feed_forward=swiglu",
            "char",
            ArchitectureError,
            "rotary_base=10000",
        ),
        ("gpt:n_layer=1,n_head=2,n_embd=16", "char", ArchitectureError, "feed_forward=relu2"),
        (
            "gpt:n_layer=1,n_head=2,n_embd=16,feed_forward=swiglu,qk_norm=none",
            "char",
            ArchitectureError,
            "that is it with no rotary_base. What can",
        ),
        ("mlp", "char", ArchitectureError, "no architecture with its layers"),
        (f"{PORTABLE},n_head=2,n_embd=16", "word:30", TokenizerError, "no model without its"),
    ],
)
def test_what_has_no_form_there_is_refused_by_what_could_be(
    arm: str, tokenizer: str, error: type[Exception], saying: str, text: Path, tmp_path: Path
) -> None:
    run = scrambled(arm, text, tmp_path / "run", tokenizer)
    with pytest.raises(error, match=saying):
        export_run(run, tmp_path / "out.gguf", to="gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_file_that_differs_does_not_appear(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = FORMS["gpt2"]
    assert isinstance(form, GgufForm)

    def off(model: Any) -> dict[str, Any]:
        return {name: tensor + 0.1 for name, tensor in form.twin.tensors(model).items()}

    def other(_: Target, config: Any, **__: Any) -> Form:
        return replace(form, twin=replace(form.twin, tensors=off))

    with monkeypatch.context() as changed:
        changed.setattr(Target, "form_of", other)
        with pytest.raises(InklingsError, match="nothing was exported"):
            export_run(run, tmp_path / "out.gguf", to="gguf")

    def swapped(tokenizer: Tokenizer, opening: int) -> Vocabulary:
        vocabulary = vocabulary_of(tokenizer, opening)
        first, second, third, *rest = vocabulary.tokens
        return replace(vocabulary, tokens=[first, third, second, *rest])

    monkeypatch.setattr(gguf_file, "vocabulary_of", swapped)
    with pytest.raises(InklingsError, match=r"nothing was exported: gguf reads"):
        export_run(run, tmp_path / "out.gguf", to="gguf")
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_message_and_leaves_nothing(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"q8_0"):
        export_run(run, tmp_path / "out.gguf", to="gguf", precision="q4_0")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "gguf", None)
        with pytest.raises(MissingExtraError, match=r"inklings\[gguf\]"):
            export_run(run, tmp_path / "out.gguf", to="gguf")
    assert list(tmp_path.iterdir()) == []


def test_the_verb_writes_a_file_and_leaves_one_that_is_there(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, path = Command(capsys), tmp_path / "mine.gguf"
    code, printed = command("export", run.path, "--to", "gguf", "--precision", "float16", path)
    assert code == 0 and "in float16" in printed and "logits differ by" in printed
    assert f"next: llama-server -m {path}" in printed
    before = path.read_bytes()
    command.refuses("export", run.path, "--to", "gguf", path, saying="is there already")
    assert path.read_bytes() == before


def test_the_verb_takes_every_target() -> None:
    assert get_args(get_type_hints(ExportFlags)["to"]) == tuple(target.name for target in TARGETS)
