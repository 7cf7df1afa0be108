"""Runs that leave as our own classes: what is in the folder, and who can open it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import inklings
from inklings.cli import templates
from inklings.errors import ArchitectureError, DownloadError, RunError
from inklings.interop.any_causal_model import load_any_causal
from inklings.interop.exports.export import export_run
from inklings.interop.exports.target import TARGETS
from inklings.interop.imports.import_model import import_model
from inklings.models.contract import SequenceModel
from inklings.models.registry import ARCHITECTURES
from inklings.runs import user_code
from inklings.runs.directory import RunDirectory
from tests.built import as_sequence_model
from tests.commands import Command

pytest.importorskip("transformers")

TEMPLATE = Path(templates.__path__[0]) / "architecture.py"
INSIDE = "gpt:n_layer=1,n_head=2,n_embd=16"
MEMORY = "context_length=16,segment=8,num_search_results=2,memory_size=40,reader=mixture"
OPENED = """\
import json, sys
import inklings.interop.transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline, set_seed
folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
batch = tokenizer(["", "wir", "zürich"], padding=True, return_tensors="pt")
greedy = model.generate(**batch, max_new_tokens=20, do_sample=False, eos_token_id=-1)
writer = pipeline("text-generation", model=folder)
set_seed(0)
drawn = writer("wir", max_new_tokens=20, do_sample=True)[0]["generated_text"]
print(json.dumps({"greedy": greedy[:, -20:].tolist(), "drawn": drawn}))
"""


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # of other processes
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path))


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "lines.txt"
    parts = ("über", "don't", "12.5", "zürich", "wir", "so")
    lines = [f"{one} {other} {number}" for one in parts for other in parts for number in range(32)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def trained(arm: str, text: Path, place: Path) -> RunDirectory:
    inklings.train(
        arm, place, data=text, budget="1-steps", tokenizer="char", threads=1, samples=0,
        batch_size=2, evaluations=1, precision="float32", show=False,
    )  # fmt: skip
    return RunDirectory.open(place)


def greedy(model: SequenceModel, prompt: list[int], count: int = 20) -> list[int]:
    output, tokens = model(torch.tensor([prompt]), model.initial_state(1)), []
    for _ in range(count):
        tokens.append(int(output.logits[0, -1].argmax()))
        output = model(torch.tensor([tokens[-1:]]), output.state)
    return tokens


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["ngram:order=3", f"varda:{MEMORY},backbone=[{INSIDE}]"])
def test_another_process_opens_it_after_one_import(arm: str, text: Path, tmp_path: Path) -> None:
    run = trained(arm, text, tmp_path / "run")
    export_run(run, tmp_path / "exported")
    said = subprocess.run(
        [sys.executable, "-c", OPENED, str(tmp_path / "exported")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found, model = json.loads(said.stdout), as_sequence_model(run.load_model())
    with torch.no_grad():
        for row, prompt in zip(found["greedy"], ("", "wir", "zürich"), strict=True):
            begun = [model.config.boundary_token, *run.tokenizer().encode(prompt).tolist()]
            assert row == greedy(model, begun)
    assert found["drawn"].startswith("wir") and len(found["drawn"]) > 3


@pytest.fixture(scope="module")
def run(text: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return trained(
        "recurrent:n_layer=1,n_embd=8,n_hidden=12", text, tmp_path_factory.mktemp("runs") / "run"
    )


def test_the_folder_and_the_command_say_how_it_is_loaded(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    code, said = Command(capsys)("export", run.path, "--to", "transformers", folder)
    assert code == 0 and "`import inklings.interop.transformers` comes first" in said
    card = (folder / "README.md").read_text()
    assert "import inklings.interop.transformers" in card and "trust_remote_code" not in card
    config = json.loads((folder / "config.json").read_text())
    assert config["architecture"] == "recurrent" and config["fields"]["n_hidden"] == 12
    compared = json.loads((folder / "inklings_export.json").read_text())["compared"]
    assert compared["largest_difference"] <= compared["allowed"] and compared["tokenizer_lines"]


def test_who_gives_no_probabilities_is_refused_with_the_reason() -> None:
    for name in ARCHITECTURES:
        config = replace(inklings.RunConfig(), architecture=name)
        if name in ("textgan", "one_shot"):
            with pytest.raises(ArchitectureError, match=f"{name} cannot.*gives no probabilities"):
                TARGETS["transformers"].form_of(config)
        else:
            native = {"gpt": "nanochat", "gpt2": "gpt2"}
            form = TARGETS["transformers"].form_of(
                replace(config, model={"feed_forward": "relu2"} if name == "gpt" else {})
            )
            assert form.name == native.get(name, "inklings")


def test_code_inside_another_architecture_is_refused() -> None:
    config = replace(
        inklings.RunConfig(), architecture="varda", model={"backbone": f"{TEMPLATE}:MyModel"}
    )
    with pytest.raises(ArchitectureError, match=r"inside another architecture.*entry point"):
        TARGETS["transformers"].form_of(config)


def test_own_code_goes_along_and_is_run_where_that_is_said(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(f"{TEMPLATE}:MyModel", text, tmp_path / "run")
    folder = tmp_path / "exported"
    made = export_run(run, folder)
    assert "trust_remote_code=True" in made.loading
    assert (folder / "architecture.py").read_bytes() == TEMPLATE.read_bytes()
    with pytest.raises(ArchitectureError, match="trust_remote_code=True"):
        load_any_causal(str(folder))
    theirs: Any = load_any_causal(str(folder), trust_code=True).inner
    tokens = torch.arange(12)[None] % theirs.config.vocab_size
    with torch.no_grad():
        expected = as_sequence_model(run.load_model())(tokens).logits
        torch.testing.assert_close(theirs(tokens).logits, expected, atol=1e-4, rtol=0)
    monkeypatch.setattr(user_code, "_signature", lambda digest: None)  # another user's run
    with pytest.raises(RunError, match="--trust-code"):
        export_run(run, tmp_path / "again")
    export_run(run, tmp_path / "again", trust_code=True)


def test_what_is_not_on_this_machine_says_what_to_do_without_a_network() -> None:
    with pytest.raises(ArchitectureError, match=r"hf download nobody/nothing.*copy the folder"):
        load_any_causal("nobody/nothing")


def test_the_hub_is_quoted_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("Name or service not known\nPlease set a parameter of this function.")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(DownloadError) as refused:
        import_model("nobody/nothing", tmp_path / "run")
    said = str(refused.value)
    assert "Name or service not known. To do without a network, run `hf download nobody/" in said
    assert "\n" not in said and "parameter" not in said
