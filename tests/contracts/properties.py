"""What every architecture promises, one function a property.

`check_x(subject)` raises an `AssertionError` with evidence.

Each begins with the promise in a sentence. `test_contracts.py` runs them over all architectures;
`test_broken.py` shows that each of them catches a model that breaks its promise. What the audit
asks of every generator, it answers here too.
"""

from __future__ import annotations

import math
import typing
import warnings

import numpy as np
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from inklings.auditing.checks import branches, causality, streaming
from inklings.auditing.checks import rows as batch_rows
from inklings.auditing.findings import Finding
from inklings.errors import ConfigError
from inklings.models.contract import SequenceModel, State
from inklings.models.registry import load_class

from .subjects import (
    DEVICE,
    NotApplicableError,
    Subject,
    changed,
    cross_entropy,
    is_counting,
    prepared,
    random_tokens,
    require_gradient,
    require_separate_rows,
    with_documents,
)

TOLERANCE = 1e-4
"""Between logits in float32 that were computed over other shapes, absolute and relative."""


def assert_same(found: Tensor, expected: Tensor, what: str) -> None:
    assert_close(
        found, expected, rtol=TOLERANCE, atol=TOLERANCE, msg=lambda evidence: f"{what}: {evidence}"
    )


def require(finding: Finding) -> None:
    """What the audit found, as an assertion."""
    if finding.status == "not applicable":
        raise NotApplicableError(finding.summary)
    assert finding.holds, finding.summary


def sample_input(model: SequenceModel, rows: int = 3, seed: int = 0) -> Tensor:
    """Tokens over a little more than three times the context."""
    return random_tokens(model.config.vocab_size, rows, 3 * model.config.context_length + 3, seed)


def read(model: SequenceModel, tokens: Tensor, state: State) -> State:
    """The state after reading tokens (B, T)."""
    after: State | None = model(tokens, state).state
    assert after is not None, "forward was given a state and returned none"
    return after


def check_shapes(subject: Subject) -> None:
    """Logits (B, T, V) and hidden (B, T, C), finite.

    A state that is batch-first and never changes its form.
    """
    model = prepared(subject)
    for rows, length in ((1, 1), (3, 5), (2, 3 * model.config.context_length + 1)):
        tokens = random_tokens(model.config.vocab_size, rows, length)
        given = tokens.clone()
        initial = model.initial_state(rows)
        form = {name: (tensor.shape, tensor.dtype) for name, tensor in initial.tensors.items()}
        assert all(shape[0] == rows for shape, _ in form.values()), (
            f"the state of {rows} rows has the shapes {form}"
        )
        with torch.no_grad():
            fresh, streamed = model(tokens), model(tokens, initial)
        assert torch.equal(tokens, given), "forward changed the tokens that it was given"
        assert fresh.state is None, "forward was given no state and returned one"
        assert streamed.state is not None, "forward was given a state and returned none"
        after = {
            name: (tensor.shape, tensor.dtype) for name, tensor in streamed.state.tensors.items()
        }
        assert after == form, f"the state changed its form from {form} to {after}"
        for output in (fresh, streamed):
            expected = (rows, length, model.config.vocab_size)
            assert output.logits.shape == expected, (
                f"logits have the shape {tuple(output.logits.shape)}, not {expected}"
            )
            assert output.logits.dtype == torch.float32, f"logits are {output.logits.dtype}"
            assert torch.isfinite(output.logits).all(), "some logits are not finite"
            assert output.hidden.shape[:2] == (rows, length) and output.hidden.ndim == 3, (
                f"hidden has the shape {output.hidden.shape}"
            )
            assert torch.isfinite(output.hidden).all(), "some hidden values are not finite"
            assert all(loss.ndim == 0 for loss in output.losses.values()), (
                "an auxiliary loss is not a scalar"
            )


def check_initial_loss(subject: Subject) -> None:
    """Before it has learned anything a model knows nothing.

    Its loss on random tokens is near ln V.
    """
    model = subject.build()
    tokens = torch.randint(
        0, model.config.vocab_size, (16, 2 * model.config.context_length + 1)
    ).to(DEVICE)
    with torch.no_grad():
        loss = float(cross_entropy(model, tokens))
    expected = math.log(model.config.vocab_size)
    assert abs(loss - expected) < 0.2, (
        f"the first loss is {loss:.3f} nats, and ln V is {expected:.3f}"
    )


def check_causality(subject: Subject) -> None:
    """No logit depends on a token after it, in evaluation and (batch statistics aside) in training.

    Later ones do.
    """
    model = prepared(subject)
    require(causality.check_causality(model))
    if model.receptive_field == 0:
        return
    tokens = sample_input(model)
    for t in (0, 1, model.config.context_length - 1, tokens.shape[1] // 2, tokens.shape[1] - 2):
        other = torch.cat(
            [tokens[:, : t + 1], changed(tokens[:, t + 1 :], model.config.vocab_size)], dim=1
        )
        with torch.no_grad():
            before, after = model(tokens).logits, model(other).logits
        assert not torch.equal(after[:, t + 1 :], before[:, t + 1 :]), (
            f"no logit after {t} depends on the tokens after {t}"
        )


def check_documents_are_separate(subject: Subject) -> None:
    """A document predicts the same wherever it lies in a row.

    Nothing of the one before it is seen.
    """
    model = prepared(subject)
    for seed in range(3):
        require(batch_rows.check_documents(model, seed=seed))


def check_rows_are_independent(subject: Subject) -> None:
    """A row's logits do not depend on what else is in the batch, its order, or its size.

    In training only as declared.
    """
    require(batch_rows.check_rows(prepared(subject)))


def check_every_parameter_learns(subject: Subject) -> None:
    """Every parameter gets a finite gradient other than zero in the first three steps."""
    require(branches.check_gradients(lambda seed: subject.build(seed=seed)))


def check_one_batch_is_overfitted(subject: Subject) -> None:
    """Shown the same small batch again and again, a model learns it by heart."""
    model = subject.build()
    vocab_size = model.config.vocab_size
    target = 0.3 * math.log(vocab_size)
    tokens = torch.randint(
        1,
        vocab_size,
        (2, 2 * model.config.context_length + 1),
        generator=torch.Generator().manual_seed(0),
    ).to(DEVICE)
    if is_counting(model):
        text = np.tile(
            np.random.default_rng(0).permutation(np.arange(1, vocab_size)), 10
        )  # one that a bigram can know
        model.count(np.concatenate([[0], text, [0]]).astype(np.uint16))
        with torch.no_grad():
            loss = float(cross_entropy(model.eval(), torch.from_numpy(text)[None].to(DEVICE)))
        assert loss < target, (
            f"after counting one repeated text its loss is {loss:.3f} nats, not below {target:.3f}"
        )
        return
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    loss = math.inf
    for _ in range(150):
        optimizer.zero_grad()
        objective = cross_entropy(model, tokens)
        objective.backward()
        optimizer.step()
        loss = objective.item()
        if loss < target:
            return
    raise AssertionError(
        f"after 150 steps on one batch the loss is {loss:.3f} nats, not below {target:.3f}"
    )


def check_streaming(subject: Subject, cases: int = 8, seed: int = 0) -> None:
    """A sequence read in pieces gives the logits of one pass, wherever it is split."""
    model = prepared(subject)
    require(streaming.check_streaming(model, cases=cases, seed=seed))
    with torch.inference_mode():
        require(streaming.check_streaming(model, cases=3, seed=seed + 1))


def check_rows_of_different_lengths(subject: Subject) -> None:
    """Rows that have read differently many tokens share a batch.

    Rows are picked, repeated and replaced freely.
    """
    model = prepared(subject)
    context = model.config.context_length
    lengths = [1, context + 1, 2 * context + 3, 4]
    tokens = random_tokens(model.config.vocab_size, len(lengths), 4 * context + 8)
    with torch.no_grad():
        expected = model(tokens).logits
        state = model.initial_state(len(lengths))
        for row, length in enumerate(lengths):
            state.assign(
                torch.tensor([row], device=DEVICE),
                read(model, tokens[row : row + 1, :length], model.initial_state(1)),
            )
        rows = torch.arange(len(lengths), device=DEVICE)
        position = torch.tensor(lengths, device=DEVICE)
        for picked, count in (
            (rows, 1),
            (rows, 3),
            (torch.tensor([2, 0, 0], device=DEVICE), 1),
            (torch.tensor([2, 1], device=DEVICE), context),
        ):
            if not torch.equal(picked, rows):
                rows, position, state = rows[picked], position[picked], state.select(picked)
            ahead = position[:, None] + torch.arange(count, device=DEVICE)
            output = model(tokens[rows[:, None], ahead], state)
            what = (
                f"rows at positions {position.tolist()}, picked as {picked.tolist()}, differ from"
                " reading each alone"
            )
            assert_same(output.logits, expected[rows[:, None], ahead], what)
            assert output.state is not None
            position, state = position + count, output.state


def check_state_after(subject: Subject) -> None:
    """`state_after(context)` goes on as if the context had just been read."""
    model = prepared(subject)
    tokens = sample_input(model)
    with torch.no_grad():
        expected = model(tokens).logits
        for length in (1, model.config.context_length + 2):
            logits = model(tokens[:, length:], model.state_after(tokens[:, :length])).logits
            assert_same(
                logits,
                expected[:, length:],
                f"after a context of {length} tokens it goes on differently",
            )


def check_state_is_all_there_is(subject: Subject) -> None:
    """What is carried is in the state alone.

    Clones, new states and other streams do not disturb each other.
    """
    model = prepared(subject)
    context = model.config.context_length
    one, two = random_tokens(model.config.vocab_size, 2, 2 * context + 4)[:, None].unbind()
    half = context + 2
    with torch.no_grad():
        whole_one, whole_two = model(one).logits, model(two).logits
        crossed = model(torch.cat([one[:, :half], two[:, half:]], dim=1)).logits
        state = read(model, one[:, :half], model.initial_state(1))
        kept = state.clone()
        assert_same(
            model(one[:, half:], state).logits,
            whole_one[:, half:],
            "a state does not continue where it was",
        )
        assert_same(
            model(two[:, half:], kept).logits,
            crossed[:, half:],
            "streaming on from a state changes its clone",
        )
        first, second = model.initial_state(1), model.initial_state(1)
        for t in range(2 * context):
            streamed = model(one[:, t : t + 1], first)
            assert_same(
                streamed.logits[:, 0],
                whole_one[:, t],
                f"position {t}: another stream disturbs this one",
            )
            first = streamed.state
            streamed = model(two[:, t : t + 1], second)
            assert_same(
                streamed.logits[:, 0],
                whole_two[:, t],
                f"position {t}: another stream disturbs this one",
            )
            second = streamed.state
        rows = model.initial_state(3)
        rows.assign(torch.tensor([1], device=DEVICE), first)
        others = model(two[:, :half].expand(3, -1), rows).logits[::2]
        assert_same(
            others, whole_two[:, :half].expand(2, -1, -1), "assigning a row changes the others"
        )


def check_autograd_keeps_the_state(subject: Subject) -> None:
    """While gradients are recorded, a given state is not written to.

    And back-propagation through pieces works.
    """
    model = prepared(subject)
    tokens = sample_input(model)
    half = model.config.context_length + 1
    with torch.no_grad():
        state = read(model, tokens[:, :half], model.initial_state(tokens.shape[0]))
    kept = state.clone()
    output = model.train()(tokens[:, half : half + 2], state)
    for name, tensor in state.tensors.items():
        assert torch.equal(tensor, kept.tensors[name]), (
            f"forward wrote into the given state's {name!r} while recording gradients"
        )
    if is_counting(model):
        return
    try:
        (output.logits.sum() + model(tokens[:, half + 2 :], output.state).logits.sum()).backward()
    except RuntimeError as error:
        raise AssertionError(f"back-propagation through two pieces fails: {error}") from error


def check_mixed_precision(subject: Subject) -> None:
    """Under bfloat16 autocast it runs, stays finite, and its state keeps its form."""
    if DEVICE.type == "pretended":
        raise NotApplicableError("autocast is for devices that torch knows")
    model = prepared(subject).train()
    tokens = sample_input(model)
    state = model.initial_state(tokens.shape[0])
    before = {name: tensor.dtype for name, tensor in state.tensors.items()}
    try:
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
            output = model(tokens, state)
            loss = output.logits.float().logsumexp(-1).mean()
        if not is_counting(model):
            loss.backward()
    except RuntimeError as error:
        raise AssertionError(f"it fails under autocast: {error}") from error
    assert torch.isfinite(output.logits).all(), "some logits are not finite under autocast"
    assert output.state is not None
    after = {name: tensor.dtype for name, tensor in output.state.tensors.items()}
    assert after == before, f"autocast changed the state from {before} to {after}"


def check_device(subject: Subject) -> None:
    """Every tensor is made where the weights are; nothing takes the default device for granted."""
    model = prepared(subject)
    tokens, starts = with_documents(sample_input(model))
    with torch.no_grad():
        expected = model(tokens, starts=starts).logits
    try:
        with (
            torch.device("meta"),
            torch.no_grad(),
        ):  # what is made without naming a device comes to lie where the weights are not
            state = model.initial_state(tokens.shape[0])
            logits = model(tokens, starts=starts).logits
            states = [
                state.clone(),
                model(tokens, state, starts=starts).state,
                model.state_after(tokens),
            ]
    except (RuntimeError, NotImplementedError) as error:
        raise AssertionError(
            f"a tensor was made on the default device instead of that of the weights: {error}"
        ) from error
    assert_same(logits, expected, "another default device changes the logits")
    for made in states:
        assert all(tensor.device == model.device for tensor in made.tensors.values()), (
            "a state is not on the device of the weights"
        )


def check_accumulation(subject: Subject) -> None:
    """The gradient of a batch is the mean of the gradients of its parts."""
    model = subject.build()
    require_gradient(model)
    require_separate_rows(model)
    tokens = random_tokens(model.config.vocab_size, 4, 2 * model.config.context_length)
    gradients = []
    for parts in (1, 2, 4):
        model.zero_grad()
        for part in tokens.chunk(parts):
            torch.manual_seed(0)
            (cross_entropy(model, part) / parts).backward()
        gradients.append(
            {
                name: parameter.grad.clone()
                for name, parameter in model.named_parameters()
                if parameter.grad is not None
            }
        )
    for parts, found in zip((2, 4), gradients[1:], strict=True):
        for name, expected in gradients[0].items():
            difference = float((found[name] - expected).abs().max())
            assert difference < 1e-6, (
                f"in {parts} parts the gradient of {name} differs by {difference:.2e}"
            )


def check_flops(subject: Subject) -> None:
    """The analytic count of operations agrees within 10% with what torch counts.

    Where matrix products dominate.
    """
    model = subject.build()
    require_gradient(model)
    tokens = random_tokens(model.config.vocab_size, 2, model.config.context_length + 1)
    with warnings.catch_warnings(), FlopCounterMode(display=False) as counter:
        warnings.filterwarnings(
            "ignore", message="TF32 acceleration"
        )  # said by the switch below wherever there is no Intel GPU
        with torch.backends.mkldnn.flags(
            enabled=False
        ):  # torch does not count inside its fused LSTM
            cross_entropy(model, tokens).backward()
    counted, claimed = counter.get_total_flops(), model.flops(tokens[:, 1:].numel())
    assert 0.9 < claimed / counted < 1.1, (
        f"it claims {claimed:,} operations and torch counts {counted:,}"
    )


def check_receptive_field(subject: Subject) -> None:
    """No token further back than the declared receptive field changes a logit."""
    model = prepared(subject)
    field = model.receptive_field
    if field is None:
        raise NotApplicableError("it declares no limit to what it looks back on")
    tokens = random_tokens(model.config.vocab_size, 3, field + 2 * model.config.context_length)
    far = tokens.shape[1] - max(field, 1)
    other = torch.cat([changed(tokens[:, :far], model.config.vocab_size), tokens[:, far:]], dim=1)
    with torch.no_grad():
        assert_same(
            model(other).logits[:, -1],
            model(tokens).logits[:, -1],
            f"tokens more than {field} back change a logit",
        )


def check_named_parts(subject: Subject) -> None:
    """The branches that traits name exist.

    The matrices for Muon are its own, two-dimensional, and not of the vocabulary's size.
    """
    model = subject.build()
    modules = [f".{name}" for name, _ in model.named_modules()]
    missing = [
        branch
        for branch in model.traits.branches
        if not any(name.endswith(f".{branch}") for name in modules)
    ]
    assert not missing, f"traits name branches that the model lacks: {', '.join(missing)}"
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for matrix in model.matrices():
        assert id(matrix) in names, (
            "matrices() returns something that is not a parameter of the model"
        )
        name = names.pop(id(matrix))
        assert matrix.ndim == 2, f"matrices() returns {name} of shape {tuple(matrix.shape)}"
        assert model.config.vocab_size not in matrix.shape, (
            f"matrices() returns {name}, an embedding or a head"
        )


def check_configuration(subject: Subject) -> None:
    """A size that cannot be is refused with a `ConfigError` that names the field and the value."""
    model_type = load_class(subject.architecture)
    hints = typing.get_type_hints(model_type.Config)
    negative = [(name, hint(-1)) for name, hint in hints.items() if hint in (int, float)]
    impossible = [("vocab_size", 1), ("context_length", 0), *negative]
    for name, value in impossible:
        given = {"vocab_size": subject.vocab_size, **subject.fields, name: value}
        message = None
        try:
            model_type.Config(**given)
        except ConfigError as error:
            message = str(error)
        assert message is not None, f"{model_type.Config.__name__} accepts {name}={value}"
        assert name in message and str(value) in message, (
            f"{name}={value} is refused without being named: {message}"
        )
