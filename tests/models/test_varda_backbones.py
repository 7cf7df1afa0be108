"""Every reader and every backbone, on documents longer than its context.

It works, or is refused when it is built.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from inklings.errors import ConfigError
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.models.registry import ARCHITECTURES, build
from inklings.models.varda.model import Varda
from inklings.text.store import TokenSplit

V, CONTEXT, LENGTH = 11, 4, 19
OWN = f"{Path(__file__).parents[1] / 'contracts' / 'fixtures' / 'own_architecture.py'}:Convolution"
BACKBONES = {
    "mlp": "mlp:n_embd=4,n_hidden=8",
    "recurrent": "recurrent:n_embd=8,n_hidden=8",
    "tree_wavenet": "tree_wavenet:n_embd=4,n_hidden=8,norm=layer",
    "wavenet": "wavenet:n_layer=1,n_embd=8,n_skip=8",
    "gpt2": "gpt2:n_layer=1,n_head=2,n_embd=8",
    "gpt": "gpt:n_layer=1,n_head=2,n_embd=8",
    "wavegpt": "wavegpt:n_layer=1,n_head=2,n_embd=8,wave_layers=1",
    "own": f"{OWN}:n_embd=8",
}
NO_CONCAT = {"mlp", "tree_wavenet", "own"}
"""They have no one layer through which every token goes once."""
REREADING = '''
import torch
from torch import nn
from inklings.models.gpt2.model import GPT2, GPT2Config
from inklings.models.contract import Traits


class Silent(GPT2):
    """Reads tokens again, and does not say so."""

    traits = Traits()


class Bypass(GPT2):
    """Embeds its tokens by other means than the layer that it names."""

    def __init__(self, config):
        super().__init__(config)
        self.other = nn.Embedding(config.vocab_size, config.n_embd)

    @property
    def input_embedding(self):
        return self.other
'''


def made(backbone: str, reader: str, **fields: object) -> Varda:
    torch.manual_seed(0)
    sizes = {
        "context_length": CONTEXT,
        "segment": 3,
        "num_search_results": 2,
        "memory_size": 40,
        "backbone": backbone,
        "reader": reader,
    }
    model = build("varda", {**sizes, **fields}, vocab_size=V, boundary_token=0)
    assert isinstance(model, Varda)
    return model


SHOWN = ("gpt", "own")


def test_every_architecture_that_can_be_a_backbone_is_here() -> None:
    others = {"ngram", "varda", "textgan", "one_shot"}
    assert set(BACKBONES) - {"own"} == set(ARCHITECTURES) - others
    for name in others:
        with pytest.raises(Exception, match="cannot be a backbone"):
            made(name, "mixture")


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        # what is frozen has no gradient, whatever it is: two are enough where time is short
        pytest.param(name, frozen, marks=[pytest.mark.slow] if frozen and name not in SHOWN else [])
        for name in BACKBONES
        for frozen in (False, True)
    ],
)
@pytest.mark.parametrize(
    "reader", ["mixture", pytest.param("attention", marks=pytest.mark.slow), "concat"]
)
def test_documents_of_any_length_are_read(name: str, reader: str, frozen: bool) -> None:
    if reader == "concat" and name in NO_CONCAT:
        with pytest.raises(ConfigError, match="input_embedding"):
            made(BACKBONES[name], reader)
        return
    model = made(BACKBONES[name], reader, frozen=frozen)
    with torch.no_grad():  # so that the memory has a say
        for weight in model.reader.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    tokens = torch.randint(1, V, (2, LENGTH))
    starts = torch.zeros_like(tokens, dtype=torch.bool)
    starts[:, 0] = starts[1, 7] = True  # the rows' contexts are full at different places
    # training: with a state and without one
    output = model(tokens, model.initial_state(2), starts=starts)
    output.logits.square().mean().backward()
    assert all(
        torch.isfinite(weight.grad).all()
        for weight in model.parameters()
        if weight.grad is not None
    )
    model(tokens, starts=starts).logits.square().mean().backward()
    # streaming gives what one pass does, in whatever pieces
    model.eval()
    with torch.no_grad():
        whole = model(tokens, starts=starts).logits
        for size in (1, 4, 7):
            state, pieces = model.initial_state(2), []
            for at in range(0, LENGTH, size):
                output = model(tokens[:, at : at + size], state, starts=starts[:, at : at + size])
                assert output.state is not None
                state = output.state
                pieces.append(output.logits)
            torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-4, rtol=1e-4)
        # nothing of the future is seen
        changed = tokens.clone()
        changed[:, 12:] = torch.randint(1, V, (2, LENGTH - 12))
        torch.testing.assert_close(
            model(changed, starts=starts).logits[:, :12], whole[:, :12], atol=1e-5, rtol=1e-5
        )
    # evaluation, and filling a memory
    numbers = np.array([0, *tokens[0].tolist(), 0, *tokens[1].tolist(), 0], np.uint16)
    split = TokenSplit(
        tokens=numbers,
        offsets=np.array([0, LENGTH + 1, 2 * LENGTH + 2]),
        document_bytes=np.array([LENGTH, LENGTH]),
        boundary=0,
    )
    assert np.isfinite(evaluate(model, split).loss)
    document = torch.from_numpy(numbers[: LENGTH + 2].astype(np.int64))[None]
    assert len(model.written(document).vectors) == LENGTH + 1


@pytest.mark.parametrize("frozen", [False, True])
def test_a_context_that_is_full_begins_anew_and_only_the_memory_goes_on(frozen: bool) -> None:
    """Without hits, every window of gpt2's context is read as if it were a document.

    Gpt2 alone would read half of it again.
    """
    model = made(BACKBONES["gpt2"], "concat", frozen=frozen).eval()
    tokens = torch.randint(1, V, (1, LENGTH))
    with torch.no_grad(), model.controlled("off"):
        logits = model(tokens).logits
        for at in range(0, LENGTH, CONTEXT):
            torch.testing.assert_close(
                logits[:, at : at + CONTEXT], model.backbone(tokens[:, at : at + CONTEXT]).logits
            )
        assert not torch.allclose(logits, model.backbone(tokens).logits)
    if not frozen:
        with torch.no_grad():
            model.reader.get_parameter("join.weight").normal_()
            assert not torch.allclose(model(tokens).logits, logits), "the memory reaches across"


@pytest.mark.parametrize(
    ("name", "message"), [("Silent", "rereads"), ("Bypass", "input_embedding")]
)
def test_a_backbone_of_ones_own_that_concat_cannot_follow_is_refused_at_once(
    name: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(REREADING)
    fields = ":n_layer=1,n_head=2,n_embd=8"
    with pytest.raises(ConfigError, match=message):
        made(f"{file}:{name}{fields}", "concat")
    made(f"{file}:{name}{fields}", "mixture")
