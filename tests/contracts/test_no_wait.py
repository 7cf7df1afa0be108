"""On another device no forward makes the host wait: on `meta` there is nothing to wait for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from inklings.models.registry import load_class
from tests.contracts.subjects import Subject, prepared, random_tokens
from tests.contracts.test_contracts import SUBJECTS
from tests.models.in_pieces import in_pieces

TRACEABLE = [
    subject for subject in SUBJECTS if load_class(subject.architecture).untraceable is None
]
FIRST = {subject.architecture: subject for subject in reversed(TRACEABLE)}
"""The first subject of each architecture, which is tried where time is short."""


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(
            subject, marks=() if subject in FIRST.values() else pytest.mark.slow, id=str(subject)
        )
        for subject in TRACEABLE
    ],
)
def test_nothing_is_read_from_the_device(subject: Subject) -> None:
    model = subject.build().to("meta")
    tokens = torch.zeros(3, 9, dtype=torch.int64, device="meta")
    starts = torch.zeros(3, 9, dtype=torch.bool, device="meta")
    for marks in (None, starts):
        model.train()(tokens, starts=marks).logits.sum().backward()
        with torch.inference_mode():
            model.eval()(tokens, starts=marks)
    with torch.inference_mode():
        state = model(tokens, model.initial_state(3)).state
        for length in (1, 4):
            marks = starts[:, :length]
            state = model(tokens[:, :length], state).state
            state = model(tokens[:, :length], state, starts=marks).state


@pytest.mark.parametrize("subject", TRACEABLE, ids=str)
@torch.no_grad()
def test_a_stream_that_a_compiler_follows_gives_the_logits_of_one_pass(subject: Subject) -> None:
    model = prepared(subject)
    tokens = random_tokens(subject.vocab_size, 2, 23)
    found = in_pieces(model, tokens, None, [1, 1, 9, 4, 1, 1, 1, 5], model.traceable_state(2))
    torch.testing.assert_close(found, model(tokens).logits, rtol=1e-4, atol=1e-4)


BROKEN = """
import torch
from inklings.models.registry import load_class
from tests.contracts.test_contracts import SUBJECTS
for subject in SUBJECTS:
    if load_class(subject.architecture).untraceable:
        continue
    model = subject.build().train()
    tokens = torch.randint(0, model.config.vocab_size, (3, 9))
    for starts in (None, torch.rand(3, 9) < 0.3):
        torch._dynamo.reset()
        try:
            compiled = torch.compile(model, backend="eager", fullgraph=True)
            found = compiled(tokens, starts=starts).logits
        except torch._dynamo.exc.TorchDynamoException:
            print(subject.architecture)
            continue
        torch.testing.assert_close(found, model(tokens, starts=starts).logits)
        found.sum().backward()
"""


@pytest.mark.slow
def test_a_training_pass_is_one_graph_except_where_the_host_decides() -> None:
    """In a process of its own: the checks of shapes are no part of a graph."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root / "src"), str(root)])
    done = subprocess.run(
        [sys.executable, "-c", BROKEN],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == {"recurrent"}
