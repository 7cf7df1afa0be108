"""Models of others become ours with the same logits, and leave again: in and out is one circle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import inklings
from inklings.errors import (
    ArchitectureError,
    ConfigError,
    ForeignFormError,
    InklingsError,
    RunError,
)
from inklings.interop.exports.export import export_run
from inklings.interop.imports import rotary_decoder
from inklings.interop.imports.import_model import AS_IT_IS, import_model, import_ours_or_as_it_is
from inklings.models.adapters.causal_model import CausalModel
from inklings.runs.directory import RunDirectory
from tests.built import as_sequence_model
from tests.commands import Command
from tests.interop.foreign import foreign

pytest.importorskip("transformers")

SLIDING = {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 0}
OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {}),
    "qwen3": ("qwen3", {"rope_parameters": {"rope_type": "default", "rope_theta": 300.0}}),
    "qwen3, windows, tied": ("qwen3", {**SLIDING, "tie_word_embeddings": True}),
    "llama, another epsilon": ("llama", {"rms_norm_eps": 1e-4}),
    "llama, tied": ("llama", {"tie_word_embeddings": True}),
    "mistral": ("mistral", {}),
    "nanochat": ("nanochat", {"final_logit_softcapping": None}),
    "nanochat, tied": ("nanochat", {"final_logit_softcapping": None, "tie_word_embeddings": True}),
}
"""Makes and fields whose form is ours; four heads of queries share two of keys."""


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(f"line {number} says {number * 37 % 101}\n" for number in range(400)))
    return path


def theirs(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("case", OURS)
def test_in_and_out_is_one_circle(case: str, text: Path, tmp_path: Path) -> None:
    """A folder is imported, trained further and exported; both ways transformers says the same."""
    make, fields = OURS[case]
    source = foreign(tmp_path / "source", make, **fields)
    run = import_model(str(source), tmp_path / "run").run
    assert run.check() == []
    model, before = as_sequence_model(run.load_model()), theirs(source)
    tokens = torch.randint(model.config.vocab_size, (2, 48))  # three windows where they slide
    with torch.no_grad():
        ours, there = model(tokens).logits, before(tokens).logits[..., : model.config.vocab_size]
    assert ours.std() > 0.3, "weights that say nothing prove nothing"
    torch.testing.assert_close(ours, there, atol=1e-4, rtol=1e-4)

    inklings.train(
        run.config.architecture, tmp_path / "further", initial=run.path, data=text,
        budget="3-steps", threads=1, samples=0, batch_size=2, evaluations=1,
        precision="float32", show=False,
    )  # fmt: skip
    inklings.export(tmp_path / "further", tmp_path / "exported")
    after = theirs(tmp_path / "exported")
    further = as_sequence_model(RunDirectory.open(tmp_path / "further").load_model())
    with torch.no_grad():
        ours, there = further(tokens).logits, after(tokens).logits
    torch.testing.assert_close(ours, there, atol=1e-4, rtol=1e-4)
    assert float((ours - before(tokens).logits[..., : ours.shape[-1]]).detach().abs().max()) > 0.01


def test_an_export_without_a_base_comes_back_with_its_own_frequencies(
    text: Path, tmp_path: Path
) -> None:
    inklings.train(
        "gpt:n_layer=1,n_head=2,n_embd=16,context_length=16,feed_forward=swiglu", tmp_path / "run",
        data=text, budget="2-steps", threads=1, samples=0, batch_size=2, evaluations=1,
        precision="float32", tokenizer="bpe:300", show=False,
    )  # fmt: skip
    inklings.export(tmp_path / "run", tmp_path / "exported")
    back = import_model(str(tmp_path / "exported"), tmp_path / "back").run
    assert back.config.model["rotary_base"] is None
    assert back.config.model["qk_norm"] == "plain"
    model, again = RunDirectory.open(tmp_path / "run").load_model(), back.load_model()
    tokens = torch.randint(300, (1, 100))
    with torch.no_grad():
        torch.testing.assert_close(again(tokens).logits, model(tokens).logits, atol=1e-4, rtol=0)
    said = "Grüße, <|endoftext|>"
    assert list(back.tokenizer().encode(said)) == list(
        RunDirectory.open(tmp_path / "run").tokenizer().encode(said)
    )


FOREIGN: dict[str, tuple[str, dict[str, Any], str]] = {
    "capped logits": ("nanochat", {}, "final_logit_softcapping is 15.0"),
    "wide heads": ("qwen3", {"head_dim": 16}, "4 heads of 16 channels"),
    "biases": ("llama", {"attention_bias": True}, "attention_bias is True"),
    "some layers with a window": (
        "qwen3",
        {**SLIDING, "layer_types": ["sliding_attention", "full_attention"]},
        "some layers have a window",
    ),
    "scaled positions": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
        "rotary positions of the type 'linear'",
    ),
    "a relative of GPT-2": ("gpt2", {"activation_function": "relu"}, "only plain GPT-2"),
    "another make": ("opt", {}, "is a 'opt'; gpt2, qwen3"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_is_missing_is_named_and_the_model_can_be_taken_as_it_is(
    case: str, tmp_path: Path
) -> None:
    make, fields, words = FOREIGN[case]
    source = foreign(tmp_path / "source", make, **fields)
    with pytest.raises(ForeignFormError, match=words):
        import_model(str(source), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    made = import_ours_or_as_it_is(str(source), tmp_path / "run")
    assert made.kind == AS_IT_IS
    model = as_sequence_model(RunDirectory.open(tmp_path / "run").load_model())
    assert model.config.vocab_size == 257
    tokens = torch.randint(257, (1, 40))
    with torch.no_grad():
        expected = theirs(source)(tokens).logits[..., :257]
        torch.testing.assert_close(model(tokens).logits, expected, atol=1e-5, rtol=1e-5)
    assert made.run.check() == []


def test_weights_that_nothing_takes_are_named(tmp_path: Path) -> None:
    import safetensors.torch

    source = foreign(tmp_path / "source", "llama")
    weights = safetensors.torch.load_file(source / "model.safetensors")
    weights["model.layers.0.self_attn.sinks"] = torch.zeros(4)
    safetensors.torch.save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ForeignFormError, match=r"weights layers\.0\.self_attn\.sinks"):
        import_model(str(source), tmp_path / "run")


def test_an_import_that_computes_something_else_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = foreign(tmp_path / "source", "llama")
    # pairs that turn are left as they are there
    monkeypatch.setattr(rotary_decoder, "neighbours", lambda matrix, n_head, first: matrix)
    with pytest.raises(InklingsError, match=r"nothing was imported.*as-it-is"):
        import_model(str(source), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_taken_as_it_is_is_not_sent_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = foreign(tmp_path / "source", "phi")
    settings = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**settings, "model_type": "t5"}))
    for verb in (import_model, import_ours_or_as_it_is):
        with pytest.raises(InklingsError, match="no causal model of the type 't5'") as caught:
            verb(str(source), tmp_path / "run")
        assert "import as-it-is" not in str(caught.value) and len(str(caught.value)) < 500
    (source / "config.json").write_text(json.dumps(settings))
    for found, words in ((1.0, "not the same each time"), (float("nan"), "no finite numbers")):
        monkeypatch.setattr(
            CausalModel,
            "read",
            lambda self, tokens, found=found: (tokens[..., None] * found * torch.ones(257),) * 2,
        )
        with pytest.raises(InklingsError, match=words) as caught:
            import_model(str(source), tmp_path / "run", kind=AS_IT_IS)
        assert "import as-it-is" not in str(caught.value)


def test_an_export_of_what_is_as_it_came_says_where_it_is_already(tmp_path: Path) -> None:
    source = foreign(tmp_path / "source", "phi")
    run = import_model(str(source), tmp_path / "run", kind=AS_IT_IS).run
    for target, words in (
        ("transformers", f"as it came, and {source} is that model already"),
        ("onnx", "it looks up which windows to read again, which the host works out"),
        ("gguf", "no architecture with its layers"),
    ):
        with pytest.raises(ArchitectureError) as caught:
            export_run(run, tmp_path / "out", to=target)
        assert words in str(caught.value) and "looks nothing up on the host" not in str(
            caught.value
        )
        with pytest.raises(ConfigError, match=r"cannot be stored as 'int4'\. Allowed: float32"):
            export_run(run, tmp_path / "out", to=target, precision="int4")


def test_wrong_input_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, command = foreign(tmp_path / "source", "llama"), Command(capsys)
    run = tmp_path / "run"
    with pytest.raises(RunError, match="is a 'llama', not a qwen3"):
        import_model(str(source), run, kind="qwen3")
    command.refuses("import", "quen3", source, "--run", run, saying="Did you mean 'qwen3'")
    command.refuses("import", "--run", run, saying="FOLDER_OR_NAME")
    settings = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**settings, "vocab_size": 200}))
    command.refuses("import", source, "--run", run, saying="does not belong to these weights")
    (source / "config.json").write_text(json.dumps({**settings, "hidden_size": "many"}))
    command.refuses("import", source, "--run", run, saying="hidden_size is 'many'")
    (source / "config.json").write_text(json.dumps({**settings, "intermediate_size": 50}))
    command.refuses("import", source, "--run", run, saying="is of shape")
    assert not run.exists()


def test_any_causal_model_is_scored_in_bits_per_byte_with_its_windows_stated(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, command = foreign(tmp_path / "source", "phi"), Command(capsys)
    command.refuses("evaluate", f"hf:{source}", saying="Name one: --data FILE")
    code, said = command("evaluate", f"hf:{source}", "--data", text, "--split", "all")
    assert code == 0 and "bits per byte" in said
    assert "read as whole documents, in windows of 64 tokens" in " ".join(said.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]
