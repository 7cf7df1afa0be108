"""A user's file is tried before training: one message for each kind of fault, with its place."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import jaxtyping
import pytest
import torch

from inklings.cli.main import main
from inklings.errors import ArchitectureError
from inklings.models.contract import Output, State
from inklings.models.own_code.contract_check import try_contract
from inklings.models.registry import _known_traits, build

Write = Callable[[str], str]

WHOLE = """
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits


@dataclass(frozen=True, kw_only=True)
class Config(ModelConfig):
    n_embd: int = 8


class Counting(SequenceModel):
    Config = Config
    traits = Traits(carries_state=True)

    def __init__(self, config):
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.head = nn.Linear(config.n_embd, config.vocab_size)

    def initial_state(self, batch_size):
        return State({"seen": torch.zeros(batch_size)})

    def forward(self, tokens, state=None, *, starts=None):
        x = self.embedding(tokens)
        logits = self.head(x)
        losses = {}
        after = None if state is None else State({"seen": state.tensors["seen"] + tokens.shape[1]})
        return Output(logits, after, losses=losses)
"""
"""A model that keeps the contract, and defines no more than it has to."""

FAULTS = {
    "the decorator of the settings": (
        "@dataclass(frozen=True, kw_only=True)\nclass Config",
        "class Config",
        r"Config has no decorator, so `n_embd` cannot be set. Put @dataclass",
    ),
    "super().__init__": (
        "        super().__init__(config)\n",
        "",
        r"raises AttributeError: .* Call super\(\).__init__\(config\) first",
    ),
    "no configuration": (
        "        super().__init__(config)\n",
        "        torch.nn.Module.__init__(self)\n",
        "sets no `config`",
    ),
    "a method": ("def initial_state", "def first_state", "lacks `initial_state`. Define it"),
    "starts": (", *, starts=None", "", "forward has no argument `starts`"),
    "state": ("state=None, *, starts=None", "*, starts=None", "forward has no argument `state`"),
    "a dict for a state": (
        'return State({"seen": torch.zeros(batch_size)})',
        'return {"seen": torch.zeros(batch_size)}',
        "initial_state gives a dict for a state",
    ),
    "a state without the batch": (
        "torch.zeros(batch_size)",
        "torch.zeros(1)",
        r"has 'seen' of shape \(1,\) in the state of 2 rows",
    ),
    "a state of another form": (
        'state.tensors["seen"] + tokens.shape[1]',
        "x",
        "returns a state of the form .* keep the form of `initial_state`",
    ),
    "a vector among the matrices": (
        "    def initial_state",
        "    def matrices(self):\n        return list(self.parameters())\n\n    def initial_state",
        r"matrices returns a weight of shape \(13,\)\. Allowed: weights of two dimensions",
    ),
    "no state": ("Output(logits, after,", "Output(logits, None,", "returns no state"),
    "a tuple": (
        "return Output(logits, after, losses=losses)",
        "return logits, after",
        "returns a tuple for forward",
    ),
    "logits alone": (
        "return Output(logits, after, losses=losses)",
        "return logits",
        r"returns a tensor of shape \(2, 5, 13\)",
    ),
    "batch second": (
        "self.head(x)",
        "self.head(x).transpose(0, 1)",
        r"logits of shape \(5, 2, 13\) .* the batch comes first",
    ),
    "hidden": ("losses=losses", "x[:, 0]", r"returns `hidden` of shape \(2, 8\)"),
    "a loss of each token": (
        "losses = {}",
        'losses = {"extra": x.mean(-1)}',
        r"the loss 'extra' as a tensor of shape \(2, 5\)\. .* take its mean",
    ),
    "not finite": ("self.head(x)", "self.head(x) / 0", "NaN or infinite"),
    "an unknown trait": (
        "Traits(carries_state=True)",
        "Traits(carry_state=True)",
        "unknown trait 'carry_state'. Did you mean 'carries_state'",
    ),
    "an unknown objective": (
        "Traits(carries_state=True)",
        'Traits(objective="likelyhood")',
        "unknown objective 'likelyhood'. Did you mean 'likelihood'",
    ),
    "traits that are none": ("Traits(carries_state=True)", '"likelihood"', "write traits = Traits"),
    "detached logits": ("self.head(x)", "self.head(x).detach()", "no weight has a gradient"),
    "an error of its own": (
        "logits = self.head(x)",
        "logits = self.head(x[0])[tokens]",
        "raises IndexError",
    ),
    "flops": (
        "    def initial_state",
        "    def flops(self, tokens):\n        return None\n\n    def initial_state",
        "flops returns None",
    ),
}


@pytest.fixture(autouse=True)
def _as_a_user_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes in signatures are not checked there."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def made(text: str) -> str:
        path = tmp_path / "my_model.py"
        path.write_text(textwrap.dedent(text))
        return f"{path}:Counting"

    return made


def test_what_keeps_the_contract_is_let_through_and_draws_nothing(write: Write) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    try_contract(write(WHOLE), {"n_embd": 4})
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_message_with_its_place(fault: str, write: Write) -> None:
    right, wrong, said = FAULTS[fault]
    assert WHOLE.count(right) == 1, fault
    with pytest.raises(ArchitectureError, match=said) as raised:
        try_contract(write(WHOLE.replace(right, wrong)), {})
    (line,) = re.findall(r"my_model\.py, line (\d+)", str(raised.value))
    broken = WHOLE.replace(right, wrong).splitlines()
    assert 1 <= int(line) <= len(broken)


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("an error of its own", "logits = self.head(x[0])[tokens]"),
        ("flops", "def flops"),
        ("starts", "def forward"),
        ("an unknown objective", "traits ="),
    ],
)
def test_the_place_is_the_line_at_fault(fault: str, line: str, write: Write) -> None:
    right, wrong, _ = FAULTS[fault]
    text = WHOLE.replace(right, wrong)
    with pytest.raises(ArchitectureError) as raised:
        try_contract(write(text), {})
    (found,) = re.findall(r"line (\d+)", str(raised.value))
    assert line in text.splitlines()[int(found) - 1]


@pytest.mark.parametrize("verb", ["train", "compare", "sweep", "backbone"])
def test_every_verb_that_trains_asks_first(
    verb: str,
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    right, wrong, said = FAULTS["batch second"]
    model = write(WHOLE.replace(right, wrong))
    # a text that cannot be read: what is said is said before it is looked for
    data = ("--data", "nowhere.txt")
    arguments = {
        "train": ["train", model, *data, "--run", "run"],
        "compare": ["compare", model, "ngram", *data, "--out", "out"],
        "sweep": ["sweep", model, *data, "--space", "n_embd=4..8", "--out", "out"],
        "backbone": ["train", f"varda:backbone=[{model}]", *data, "--run", "run"],
    }[verb]
    assert main(arguments) == 2
    assert re.search(said, " ".join(capsys.readouterr().err.split()))
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "out").exists()


def test_defaults_of_the_contract(write: Write) -> None:
    model = build(write(WHOLE), {}, vocab_size=13, boundary_token=0)
    output = model(torch.zeros(2, 3, dtype=torch.long))
    assert output.hidden is output.logits
    assert model.flops(10) == 6 * (8 * 13 + 13) * 10, "a table that is looked up costs nothing"
    assert Output(output.logits).state is None


def test_a_state_by_layers() -> None:
    layers = [{"h": torch.full((2, 3), float(n)), "c": torch.ones(2)} for n in range(11)]
    state = State.layered(layers)
    assert [set(layer) for layer in state.layers] == [{"h", "c"}] * 11
    assert [float(layer["h"][0, 0]) for layer in state.layers] == list(range(11))
    assert State.layered(state.select(torch.tensor([1])).layers).batch_size == 1


@pytest.mark.parametrize("guess", ["", ". Did you mean 'carries_state'?"], ids=["3.11", "3.13"])
def test_an_unknown_trait_is_known_by_what_any_python_says(guess: str) -> None:
    said = f"Traits.__init__() got an unexpected keyword argument 'carry_state'{guess}"
    assert "unknown trait 'carry_state'. Did you mean 'carries_state'" in _known_traits(
        TypeError(said)
    )
