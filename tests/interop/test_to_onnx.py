"""Exported graphs are run by onnxruntime, and are the runs: streamed, in batches, as texts."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import inklings
from inklings.errors import ArchitectureError, InklingsError, MissingExtraError
from inklings.interop.exports.export import export_run
from inklings.interop.exports.target import TARGETS
from inklings.interop.to_onnx import onnx_folder, step_graph
from inklings.interop.to_onnx.graph_forms import GRAPH
from inklings.models.contract import Output, SequenceModel, State
from inklings.models.mlp import MLP, MLPConfig
from inklings.models.registry import ADAPTERS, ARCHITECTURES, build, load_class
from inklings.runs.directory import RunDirectory
from tests.built import as_sequence_model
from tests.commands import Command
from tests.interop.scrambled import hard_lines, scrambled

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

ARMS = {
    "mlp": ("mlp:context_length=4,n_embd=6,n_hidden=16", "byte"),
    "rnn": ("recurrent:cell=rnn,n_embd=6,n_hidden=16", "word:30"),
    "gru": ("recurrent:n_layer=2,n_embd=6,n_hidden=16", "char"),
    "lstm": ("recurrent:cell=lstm,n_embd=6,n_hidden=16", "char"),
    "tree": ("tree_wavenet:context_length=8,n_embd=6,n_hidden=16", "char"),
    "tree in windows": (
        "tree_wavenet:context_length=4,n_embd=6,n_hidden=16,execution=window",
        "char",
    ),
    "wavenet": ("wavenet:n_layer=4,cycles=2,n_embd=16,n_skip=16", "char+bytes"),
    "gpt": ("gpt:n_layer=2,n_head=2,n_embd=16,context_length=16", "bpe:280"),
    "gpt of a base": (
        "gpt:n_layer=2,n_head=2,n_embd=16,context_length=9,rotary_base=500,feed_forward=swiglu",
        "char",
    ),
    "gpt2": ("gpt2:n_layer=2,n_head=2,n_embd=16,context_length=17", "char"),
    "wavegpt": ("wavegpt:n_layer=2,n_head=2,n_embd=16,context_length=16", "char"),
}
"""ARM and tokenizer; windows are far shorter than the texts."""
QUICK = ("mlp", "rnn")
LENGTH = 1000


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lines with blanks at the ends, marks, letters of several bytes and the boundary's name."""
    path = tmp_path_factory.mktemp("lines") / "lines.txt"
    path.write_text(hard_lines(640), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Exported:
    """A run, its model, and the folder that it was exported to."""

    run: RunDirectory
    folder: Path
    model: SequenceModel


def streamed(folder: Path, tokens: Tensor, cuts: list[int]) -> np.ndarray:
    """The logits of onnxruntime for rows that are read in pieces, as `stream.json` says."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options)
    parts = json.loads((folder / "stream.json").read_text())["state"]
    wanted = ["logits", *(part["after"] for part in parts)]
    state = [np.full([len(tokens), *p["shape"]], p["fill"], p["dtype"]) for p in parts]
    found = []
    for piece in np.split(tokens.numpy(), cuts, axis=1):
        given = {part["name"]: one for part, one in zip(parts, state, strict=True)}
        logits, *state = session.run(wanted, {"tokens": piece, **given})
        found.append(logits)
    return np.concatenate(found, axis=1)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow, id=name)
        for name in ARMS
    ],
)
def exported(
    request: pytest.FixtureRequest, lines: Path, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    arm, tokenizer = ARMS[request.param]
    place = tmp_path_factory.mktemp("onnx")
    run = scrambled(arm, lines, place / "run", tokenizer)
    export_run(run, place / "exported", to="onnx")
    return Exported(run, place / "exported", as_sequence_model(run.load_model()))


def our_stream(model: SequenceModel, tokens: Tensor) -> Tensor:
    """The logits of our own stream, token by token."""
    state, found = model.initial_state(len(tokens)), []
    with torch.no_grad():
        for token in tokens.split(1, dim=1):
            output = model(token, state)
            assert output.state is not None
            state = output.state
            found.append(output.logits)
    return torch.cat(found, dim=1)


def test_a_thousand_tokens_streamed_are_our_stream(exported: Exported) -> None:
    tokens = torch.randint(exported.model.config.vocab_size, (3, LENGTH))
    ours = our_stream(exported.model, tokens)
    assert ours.std() > 0.1, "weights that say nothing prove nothing"
    one_by_one = streamed(exported.folder, tokens, list(range(1, LENGTH)))
    torch.testing.assert_close(torch.from_numpy(one_by_one), ours, atol=1e-4, rtol=1e-4)
    # in pieces of any length, and each row by itself
    pieces = streamed(exported.folder, tokens, [1, 2, 30, 31, 700])
    np.testing.assert_allclose(pieces, one_by_one, atol=1e-5, rtol=1e-5)
    alone = streamed(exported.folder, tokens[1:2], [500])
    np.testing.assert_allclose(alone, one_by_one[1:2], atol=1e-4, rtol=1e-4)


def test_the_graph_says_nothing_of_the_machine_that_made_it(exported: Exported) -> None:
    data = (exported.folder / "model.onnx").read_bytes()
    places = [str(Path(inklings.__file__).parent), str(exported.run.path.parent), "site-packages"]
    assert not [place for place in places if place.encode() in data]


def test_the_card_s_code_writes_a_text(exported: Exported) -> None:
    card = (exported.folder / "README.md").read_text()
    code = card.partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=exported.folder.parent,
        capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert done.stdout.strip()
    words = exported.run.tokenizer().kind == "word"
    assert words == done.stdout.startswith("[") or not words


def test_the_example_writes_with_neither_pytorch_nor_inklings(exported: Exported) -> None:
    if exported.run.tokenizer().kind == "word":
        pytest.skip("words have no tokenizer there")
    script = Path(__file__).parents[2] / "examples" / "onnx" / "write.py"
    alone = "import runpy, sys; sys.modules.update(torch=None, inklings=None); "
    done = subprocess.run(
        [sys.executable, "-c", f"{alone}runpy.run_path({str(script)!r}, run_name='__main__')",
         str(exported.folder), "don't"],
        capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert done.stdout.startswith("don't")


def test_what_was_compared_is_written_down(exported: Exported) -> None:
    report = json.loads((exported.folder / "inklings_export.json").read_text())
    compared = report["compared"]
    assert compared["largest_difference"] <= compared["allowed"] < 0.01
    assert {"onnx", "onnxruntime", "torch"} <= set(report["versions"])
    words = exported.run.tokenizer().kind == "word"
    assert words == (report["without_tokenizer"] is not None)
    assert words != (exported.folder / "tokenizer.json").exists()
    assert (compared["tokenizer_lines"] > 50) != words


@pytest.fixture(scope="module")
def mlp_run(lines: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    arm, tokenizer = ARMS["mlp"]
    return scrambled(arm, lines, tmp_path_factory.mktemp("mlp") / "run", tokenizer)


def test_it_is_refused_where_the_host_looks_things_up_with_what_can_be_exported() -> None:
    able = []
    for name in (*ARCHITECTURES, *ADAPTERS):
        config = replace(inklings.RunConfig(), architecture=name)
        kind = load_class(name)
        if issubclass(kind, SequenceModel) and kind.untraceable is None:
            assert TARGETS["onnx"].form_of(config) is GRAPH
            able.append(name)
        else:
            with pytest.raises(ArchitectureError, match=f"{name} cannot be exported.*host.*gpt2"):
                TARGETS["onnx"].form_of(config)
    assert len(able) >= 6
    assert set(able) < set(GRAPH.arm.replace(",", "").split())


EXAMPLES = {
    "linear_attention": "LinearAttention",
    "long_convolution": "LongConvolution",
    "minimal_lstm": "MinimalLSTM",
    "mixture_of_experts": "MixtureOfExperts",
    "selective_scan": "SelectiveScan",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_architectures_of_the_examples_have_graphs(name: str, tmp_path: Path) -> None:
    file = Path(__file__).parents[2] / "examples" / "architectures" / f"{name}.py"
    fields = {"n_embd": 16, "n_layer": 1, "context_length": 8}
    model = as_sequence_model(
        build(f"{file}:{EXAMPLES[name]}", fields, vocab_size=11, boundary_token=0)
    ).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.3)
    onnx_folder.write_graph(model, tmp_path)
    tokens = torch.randint(11, (3, 60))
    found = streamed(tmp_path, tokens, [1, 2, 20])
    with torch.no_grad():
        ours = model(tokens).logits
    torch.testing.assert_close(torch.from_numpy(found), ours, atol=1e-4, rtol=1e-4)


class AsksTheHost(MLP):
    """Branches on what a tensor holds."""

    def forward(self, tokens: Tensor, state: State | None = None, **others: Any) -> Output:
        out = super().forward(tokens, state, **others)
        return out if int(tokens.sum()) > 3 else Output(logits=2 * out.logits, state=out.state)


class BeginsWithNumbers(MLP):
    """A state that is not full of one number."""

    def traceable_state(self, batch_size: int) -> State:
        return State({"past": torch.arange(3).expand(batch_size, 3)})


CONFIG = MLPConfig(vocab_size=9, context_length=4, n_embd=4, n_hidden=4)


def test_a_pass_that_branches_on_what_a_tensor_holds_is_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"cannot follow the forward of AsksTheHost"):
        step_graph.stream_graph(AsksTheHost(CONFIG).eval())


def test_a_pass_that_looks_things_up_on_the_host_is_refused_by_what_it_says_of_itself() -> None:
    model = as_sequence_model(build("ngram", {}, vocab_size=9, boundary_token=0))
    with pytest.raises(ArchitectureError, match=r"looks up counts, which are on the host"):
        step_graph.stream_graph(model)


def test_a_state_that_json_cannot_say_is_refused(
    mlp_run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MLP, "traceable_state", BeginsWithNumbers.traceable_state)
    with pytest.raises(ArchitectureError, match=r"different numbers in past"):
        export_run(mlp_run, tmp_path / "out", to="onnx")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_no_file_holds_are_refused() -> None:
    with torch.device("meta"):
        model = MLP(MLPConfig(vocab_size=2, n_embd=1, n_hidden=2**28))
    with pytest.raises(ArchitectureError, match=r"GiB, and a file of ONNX holds 2 GiB"):
        step_graph.stream_graph(model)


def test_a_graph_that_differs_only_where_it_is_streamed_is_not_exported(
    mlp_run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is written begins with another past."""

    def other_past(name: str, tensor: Tensor) -> dict[str, Any]:
        return {**part(name, tensor), "fill": 5}

    part = onnx_folder._part
    monkeypatch.setattr(onnx_folder, "_part", other_past)
    with pytest.raises(InklingsError, match="nothing was exported"):
        export_run(mlp_run, tmp_path / "out", to="onnx")
    assert list(tmp_path.iterdir()) == []


def test_rows_that_see_each_other_are_noticed(
    mlp_run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph whose logits are the mean of all rows is right for one row alone."""

    class Mixing(MLP):
        def forward(self, tokens: Tensor, state: State | None = None, **others: Any) -> Output:
            out = super().forward(tokens, state, **others)
            mean = out.logits.mean(0, keepdim=True).expand_as(out.logits)
            return Output(logits=mean, state=out.state)

    def mixed(model: SequenceModel) -> Any:
        other = Mixing(model.config).eval()  # type: ignore[arg-type]
        other.load_state_dict(model.state_dict())
        return graph(other)

    graph = step_graph.stream_graph
    monkeypatch.setattr(onnx_folder, "stream_graph", mixed)
    with pytest.raises(InklingsError, match="nothing was exported"):
        export_run(mlp_run, tmp_path / "out", to="onnx")


@pytest.mark.parametrize("module", ["onnx", "onnxscript", "onnxruntime"])
def test_without_its_libraries_the_extra_is_named(
    mlp_run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"inklings\[onnx\]"):
        export_run(mlp_run, tmp_path / "out", to="onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_verb_says_what_it_compared(
    mlp_run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = Command(capsys)("export", mlp_run.path, "--to", "onnx", tmp_path / "out")
    assert code == 0 and "logits differ by" in said and "tokenizer: the same" in said
    assert "torch.onnx" not in said and "torchvision" not in said
