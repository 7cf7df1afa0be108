"""The architectures of `examples/`: each keeps the contract, streams and learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from inklings.auditing.audit import audit
from inklings.auditing.subjects import of_architecture
from inklings.config import RunConfig
from inklings.models.contract import SequenceModel
from inklings.models.own_code.contract_check import try_contract
from inklings.models.registry import build

FOLDER = Path(__file__).parents[2] / "examples" / "architectures"
CLASSES = {
    "linear_attention": "LinearAttention",
    "long_convolution": "LongConvolution",
    "minimal_lstm": "MinimalLSTM",
    "mixture_of_experts": "MixtureOfExperts",
    "selective_scan": "SelectiveScan",
}
EXAMPLES = {name: f"{FOLDER / name}.py:{kind}" for name, kind in CLASSES.items()}
TINY = {"n_layer": 2, "n_embd": 16, "context_length": 8}


def test_every_file_is_tried() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_keeps_the_contract_and_streams_over_documents(name: str) -> None:
    try_contract(EXAMPLES[name], TINY)
    torch.manual_seed(0)
    model = build(EXAMPLES[name], TINY, vocab_size=11, boundary_token=0)
    assert isinstance(model, SequenceModel)
    model.eval()
    tokens, starts = torch.randint(1, 11, (3, 20)), torch.rand(3, 20) < 0.15
    with torch.no_grad():
        whole = model(tokens, starts=starts).logits
        state, parts = model.initial_state(3), []
        for piece in (slice(0, 1), slice(1, 9), slice(9, 10), slice(10, 20)):
            output = model(tokens[:, piece], state, starts=starts[:, piece])
            assert output.state is not None
            state = output.state
            parts.append(output.logits)
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=1e-4)
        row, place = starts.nonzero()[0].tolist()
        alone = model(tokens[row : row + 1, place:], starts=starts[row : row + 1, place:]).logits
        torch.testing.assert_close(alone[0], whole[row, place:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_learns_a_row_by_heart(name: str) -> None:
    torch.manual_seed(0)
    model = build(EXAMPLES[name], TINY, vocab_size=11, boundary_token=0)
    tokens = torch.randint(1, 11, (2, 9))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        loss = F.cross_entropy(model(tokens[:, :-1]).logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_it_passes_the_audit(name: str) -> None:
    result = audit(
        of_architecture(name, RunConfig(architecture=EXAMPLES[name], model=dict(TINY)), None)
    )
    assert not result.failed, [(finding.check, finding.summary) for finding in result.failed]
