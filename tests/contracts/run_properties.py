"""What every architecture promises once it is trained, kept and used by the rest of the package.

Like `properties.py`: one function a property, `check_x(subject)` raises an `AssertionError` with
evidence.
"""

from __future__ import annotations

import dataclasses
import functools
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.events import Event
from inklings.generation.generate import generate
from inklings.generation.sampling import SamplingConfig
from inklings.models.from_noise import Noise, SampleModel
from inklings.models.registry import load_class
from inklings.runs.checkpoints import read_model, write_model
from inklings.runs.directory import RunDirectory
from inklings.text.store import TokenStore, prepare
from inklings.training.train import resume, train

from .subjects import (
    DEVICE,
    Subject,
    is_counting,
    prepared,
    random_tokens,
    require_gradient,
    require_likelihood,
    require_separate_rows,
)

STEPS = 5


@functools.cache
def small_store() -> TokenStore:
    """Sixty lines of nine different characters."""
    rng = np.random.default_rng(0)
    lines = [
        "".join(rng.choice(list("abcdefg h"), rng.integers(4, 30))).strip() or "a"
        for _ in range(60)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return prepare(DataConfig(source=str(path), layout="lines", tokenizer="char"))


@dataclass(frozen=True)
class Run:
    """What two runs are compared by."""

    weights: dict[str, Tensor]
    losses: list[float]


def configuration(subject: Subject, *, dropout: float = 0.2, **training: Any) -> RunConfig:
    """A run of a few steps.

    With dropout where the architecture has it, so that its seed matters too.
    """
    fields, model_type = dict(subject.fields), load_class(subject.architecture)
    if "dropout" in {field.name for field in dataclasses.fields(model_type.Config)}:
        fields["dropout"] = dropout
    settings: dict[str, Any] = {
        "budget": f"{STEPS}-steps",
        "batch_size": 4,
        "sequence_length": (
            None if issubclass(model_type, SampleModel) else 12
        ),  # whole texts are as long as the model makes them
        "schedule": "cosine",
        "warmup": 0.3,
        "evaluations": 1,
        "samples": 0,
        "device": str(DEVICE),
        "precision": "float32",
        "compile": "off",
        "threads": 1,
    }
    training_config = TrainingConfig(**{**settings, **training})
    return RunConfig(architecture=subject.architecture, model=fields, training=training_config)


def outcome(run: Path) -> Run:
    directory = RunDirectory.open(run)
    model = directory.load_model(weights="last")
    losses = [event["loss"] for event in directory.metrics() if event["event"] == "step"]
    return Run({name: tensor.clone() for name, tensor in model.state_dict().items()}, losses)


def trained(subject: Subject, **training: Any) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(configuration(subject, **training), run, store=small_store())
        return outcome(run)


WHOLE: dict[str, Run] = {}
"""The runs that several properties compare with, each made once."""


def whole_run(subject: Subject) -> Run:
    """A run at the settings of `configuration`, not stopped."""
    if str(subject) not in WHOLE:
        WHOLE[str(subject)] = trained(subject)
    return WHOLE[str(subject)]


def differences(one: Run, other: Run) -> list[str]:
    """Names of the weights that are not the same to the last bit."""
    return [
        name for name, tensor in one.weights.items() if not torch.equal(tensor, other.weights[name])
    ]


def check_save_and_load(subject: Subject) -> None:
    """Weights written and read into a fresh model give the same logits, to the last bit."""
    model, fresh = prepared(subject), subject.build(seed=1).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        write_model(path, model, architecture=subject.architecture, step=7)
        assert read_model(path, fresh, architecture=subject.architecture) == 7
    read: Noise | Tensor
    if isinstance(model, SampleModel):
        read = model.noise(3, model.config.context_length)
    else:
        read = random_tokens(subject.vocab_size, 3, 2 * model.config.context_length)
    with torch.no_grad():
        assert torch.equal(fresh(read).logits, model(read).logits), (
            "the loaded model predicts something else than the saved one"
        )


def check_greedy(subject: Subject) -> None:
    """At temperature 0 text is the same whatever the seed and the company.

    And each token is the likeliest.
    """
    require_likelihood(subject.build())
    store = small_store()
    model = prepared(dataclasses.replace(subject, vocab_size=store.tokenizer.vocab_size))
    length = 2 * model.config.context_length + 3

    def write(seed: int, samples: int) -> list[list[int]]:
        sampling = SamplingConfig(temperature=0.0, seed=seed)
        texts = generate(
            model,
            store.tokenizer,
            "abc",
            max_new_tokens=length,
            sampling=sampling,
            samples=samples,
            stop_at_boundary=False,
        )
        return [text.tokens for text in texts]

    (text,) = write(seed=0, samples=1)
    assert len(text) == length
    assert write(seed=1, samples=3) == [text] * 3, (
        "at temperature 0 another seed, or other samples beside it, change the text"
    )
    tokens = torch.tensor(
        [[store.tokenizer.boundary, *store.tokenizer.encode("abc").tolist(), *text]],
        device=model.device,
    )
    starts = tokens == store.tokenizer.boundary
    with torch.no_grad():
        logits = model(tokens, starts=starts).logits[0, -length - 1 : -1]
    short = logits.max(dim=-1).values - logits.gather(1, tokens[0, -length:, None])[:, 0]
    assert short.max() < 1e-4, (
        f"token {int(short.argmax())} is {float(short.max()):.3f} less likely than the likeliest"
    )


def check_same_seed_same_run(subject: Subject) -> None:
    """A run is a function of its seed: again the same bits; and another seed begins elsewhere."""
    different = differences(whole_run(subject), trained(subject))
    assert not different, f"the same seed gave other weights: {', '.join(different)}"
    model = subject.build()
    if not is_counting(model):
        other = subject.build(seed=1).state_dict()
        assert any(
            not torch.equal(tensor, other[name]) for name, tensor in model.state_dict().items()
        ), "all seeds begin with the same weights"


def check_resume(subject: Subject) -> None:
    """A run that is stopped and resumed gives the same bits as one that was not."""
    require_gradient(subject.build())

    def stop(event: Event) -> None:
        if event["event"] == "step" and event["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        stopped = train(configuration(subject), run, store=small_store(), on_event=stop)
        assert stopped.steps < STEPS, "the run did not stop when it was interrupted"
        resume(run, store=small_store())
        resumed = outcome(run)
    whole = whole_run(subject)
    assert resumed.losses == whole.losses, (
        f"resumed after step {stopped.steps} the losses are {resumed.losses}, not {whole.losses}"
    )
    different = differences(whole, resumed)
    assert not different, (
        f"resumed after step {stopped.steps}, other weights: {', '.join(different)}"
    )


def check_accumulation_in_the_loop(subject: Subject) -> None:
    """A batch computed in parts trains like the whole: weights within 1e-6 after some steps.

    Of a model that looks things up, so at one seed of three, and within 1e-4 at all before it: its
    gradient jumps where two entries are equally far, and in a small text rounding decides some.
    """
    model = subject.build()
    require_gradient(model)
    require_likelihood(model)
    require_separate_rows(model)
    for seed in range(3 if model.untraceable else 1):
        gap, name = difference_in_parts(subject, seed)
        if gap < 1e-6:
            return
        assert gap < 1e-4, f"accumulated in 2 parts, {name} differs by {gap:.2e}"
    raise AssertionError(f"accumulated in 2 parts, {name} differs by {gap:.2e} at every seed")


def difference_in_parts(subject: Subject, seed: int) -> tuple[float, str]:
    """How far weights are apart if batches are computed in two parts; and which are it most."""
    # plain gradient descent: the other optimisers divide by the gradient, and make much of its last
    # bits
    whole, parts = (
        trained(
            subject,
            seed=seed,
            accumulate=accumulate,
            optimizer="sgd",
            learning_rate=0.1,
            dropout=0.0,
        )
        for accumulate in (1, 2)
    )
    return max(
        (float((tensor.double() - parts.weights[name].double()).abs().max()), name)
        for name, tensor in whole.weights.items()
    )
