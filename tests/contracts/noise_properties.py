"""What every generator of whole texts promises.

`check_x(subject)`, as in `properties.py`, for architectures without likelihood.

`test_from_noise.py` runs these over all of them, and shows that each catches a model that breaks
its promise.
"""

from __future__ import annotations

import dataclasses
import typing
import warnings

import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from inklings.auditing.checks.from_noise import check_both_learn
from inklings.config import to_mapping
from inklings.errors import ConfigError
from inklings.models.from_noise import Drawn, Noise, SampleModel
from inklings.models.registry import load_class
from inklings.values import from_mapping

from .properties import assert_same, require
from .subjects import DEVICE, Subject, prepared

TEXTS = 5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_of(
    model: SampleModel, n: int = TEXTS, length: int | None = None, *, seed: int = 0
) -> Noise:
    return model.noise(n, length or model.config.context_length, generator=seeded(seed)).to(DEVICE)


@torch.no_grad()
def made(model: SampleModel, noise: Noise) -> Drawn:
    drawn: Drawn = model(noise)
    return drawn


def after_the_end(tokens: Tensor, boundary: int) -> Tensor:
    """Which places come after the first boundary of their row: computed place by place."""
    after = torch.zeros(tokens.shape, dtype=torch.bool, device=tokens.device)
    for row in range(tokens.shape[0]):
        for t in range(1, tokens.shape[1]):
            after[row, t] = bool(after[row, t - 1]) or int(tokens[row, t - 1]) == boundary
    return after


def check_shapes(subject: Subject) -> None:
    """Tokens (N, T), rows and logits (N, T, V), finite, and one score a text.

    For any T up to the context.
    """
    model = prepared(subject)
    critic, whole = model.make_critic(), model.config.context_length
    for n, length in ((1, whole), (3, whole), (4, 2), (8, whole - 1)):
        drawn = made(model, noise_of(model, n, length))
        expected = (n, length, model.config.vocab_size)
        assert tuple(drawn.tokens.shape) == expected[:2], (
            f"tokens have the shape {tuple(drawn.tokens.shape)}, not {expected[:2]}"
        )
        assert drawn.tokens.dtype == torch.int64, f"tokens are {drawn.tokens.dtype}"
        for name, tensor in (("rows", drawn.rows), ("logits", drawn.logits)):
            assert tuple(tensor.shape) == expected, (
                f"{name} have the shape {tuple(tensor.shape)}, not {expected}"
            )
            assert torch.isfinite(tensor).all(), f"some {name} are not finite"
        assert (drawn.tokens >= 0).all() and (drawn.tokens < expected[2]).all(), (
            "a token is none of the vocabulary"
        )
        with torch.no_grad():
            scores = critic(drawn.rows)
        assert tuple(scores.shape) == (n,), (
            f"the critic gives scores of shape {tuple(scores.shape)} for {n} texts"
        )


def check_function_of_noise(subject: Subject) -> None:
    """Texts are a function of the noise and the weights.

    Nothing is drawn in forward, and the noise is left as it was.
    """
    model = prepared(subject)
    noise = noise_of(model)
    kept = {name: tensor.clone() for name, tensor in noise.tensors.items()}
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, again = made(model, noise), made(model, noise)
    assert torch.equal(first.logits, again.logits), "the same noise gives other logits"
    assert torch.equal(first.tokens, again.tokens), "the same noise gives other texts"
    assert torch.equal(torch.get_rng_state(), state), "forward draws from torch's generator"
    assert all(torch.equal(tensor, kept[name]) for name, tensor in noise.tensors.items()), (
        "forward changed the noise"
    )
    other = made(model, noise_of(model, seed=1))
    assert not torch.equal(other.tokens, first.tokens), "other noise gives the same texts"


def check_texts_apart(subject: Subject) -> None:
    """Text r is the same beside others, alone, and at another place of the batch."""
    model = prepared(subject)
    noise = noise_of(model)
    whole = made(model, noise)
    backwards = made(model, Noise({name: tensor.flip(0) for name, tensor in noise.tensors.items()}))
    assert_same(backwards.logits.flip(0), whole.logits, "in another order the texts differ")
    for row in range(TEXTS):
        alone = made(model, noise.part(slice(row, row + 1)))
        assert_same(
            alone.logits[0], whole.logits[row], f"text {row} alone differs from beside others"
        )
        assert torch.equal(alone.tokens[0], whole.tokens[row]), f"text {row} alone has other words"


def check_rows(subject: Subject) -> None:
    """What the critic reads is a distribution at each place, and nothing after the end.

    It is one-hot where tokens are drawn.
    """
    model = prepared(subject)
    boundary = int(made(model, noise_of(model, 24)).tokens[:, 1:-1].flatten().mode().values)
    model.config = dataclasses.replace(
        model.config, boundary_token=boundary
    )  # a common word, so that texts do end
    drawn = made(model, noise_of(model, 24))
    after = after_the_end(drawn.tokens, boundary)
    assert after.any(), "no text ended: the check has nothing to look at"
    kept = drawn.rows[~after] if model.adversary.mask else drawn.rows.flatten(0, 1)
    assert (kept >= 0).all(), "a row has a negative share"
    assert_close(
        kept.sum(-1),
        torch.ones(len(kept), device=DEVICE),
        rtol=0,
        atol=1e-5,
        msg="a row is no distribution",
    )
    if not ((kept == 0) | (kept == 1)).all():
        assert_same(
            kept,
            drawn.logits.softmax(-1)[~after if model.adversary.mask else ...].view_as(kept),
            "rows are not those of the logits",
        )
    else:
        tokens = drawn.tokens[~after] if model.adversary.mask else drawn.tokens.flatten()
        assert torch.equal(kept.argmax(-1), tokens), "a row says another word than the text"
    if model.adversary.mask:
        assert (drawn.rows[after] == 0).all(), "something is left after the end mark"
    real = model.real_rows(drawn.tokens)
    expected = torch.nn.functional.one_hot(drawn.tokens, model.config.vocab_size).float()
    if model.adversary.mask:
        expected[after] = 0
    assert torch.equal(real, expected), (
        "real texts are not under the mask of the ones that are made"
    )


def check_sampling(subject: Subject) -> None:
    """`sample` is a function of its generator, gives (n, length) tokens.

    And refuses more than the context.
    """
    model = prepared(subject)
    length = model.config.context_length
    one, same, other = (model.sample(6, length, generator=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same), "the same generator gives other texts"
    assert not torch.equal(one, other), "another generator gives the same texts"
    assert (
        tuple(one.shape) == (6, length)
        and int(one.max()) < model.config.vocab_size
        and int(one.min()) >= 0
    )
    assert tuple(model.sample(2, 2, generator=seeded()).shape) == (2, 2)
    try:
        model.sample(1, length + 1, generator=seeded())
    except ConfigError as error:
        assert str(length + 1) in str(error), f"the length is not named: {error}"  # noqa: PT017
    else:
        raise AssertionError("a text longer than the context is not refused")


def check_style(subject: Subject) -> None:
    """With a generator of its own the style is that generator's alone.

    And the rest of the noise is drawn as ever.
    """
    model = prepared(subject)
    length = model.config.context_length
    one, two = (
        model.noise(2, length, generator=seeded(seed), style=seeded(7)).tensors for seed in (0, 1)
    )
    shared = {name for name in one if torch.equal(one[name], two[name])}
    assert shared == {"style"}, (
        f"with one style generator and two others, these are the same: {sorted(shared)}"
    )
    elsewhere = model.noise(2, length, generator=seeded(0), style=seeded(8)).tensors
    assert {name for name in one if not torch.equal(one[name], elsewhere[name])} == {"style"}, (
        "another style changes other noise"
    )


def check_both_sides_learn(subject: Subject) -> None:
    """Every parameter of generator and critic gets a gradient."""
    torch.manual_seed(0)
    require(check_both_learn(subject.build()))


def check_config_round_trip(subject: Subject) -> None:
    """The configuration, written down as plain values and read back, is equal.

    And makes the same sizes.
    """
    config = subject.build().config
    plain = to_mapping(config)
    assert all(
        value is None or isinstance(value, int | float | str | bool) for value in plain.values()
    ), plain
    assert from_mapping(type(config), plain, where="test") == config, (
        "read back, the configuration is another"
    )


def check_configuration(subject: Subject) -> None:
    """A number that cannot be is refused with a `ConfigError` that names the field and the value.

    So is a word that is no choice.
    """
    config_type = load_class(subject.architecture).Config
    defaults = {field.name: field.default for field in dataclasses.fields(config_type)}
    refused: list[tuple[str, float | str]] = [
        ("vocab_size", 1),
        ("context_length", 1),
        ("temperature", 0.0),
        ("average", 1.0),
        ("critic_steps", 0),
        ("generator_rate", 0.0),
    ]
    for name, hint in typing.get_type_hints(config_type).items():
        kinds = set(typing.get_args(hint)) or {hint}
        if bool in kinds:
            continue
        if kinds & {int, float}:
            refused.append((name, -1 if int in kinds else -1.0))
        elif name in defaults:
            refused.append((name, "nonsense"))
    for name, value in refused:
        plain = {"vocab_size": subject.vocab_size, **subject.fields, name: value}
        message = None
        try:
            from_mapping(config_type, plain, where="test")
        except ConfigError as error:
            message = str(error)
        assert message is not None, f"{config_type.__name__} accepts {name}={value}"
        assert name in message and str(value) in message, (
            f"{name}={value} is refused without being named: {message}"
        )


def check_flops(subject: Subject) -> None:
    """The counts agree within 20% with torch's.

    Of a text made, of one made and differentiated, and of the critic's pass over one.
    """
    model = subject.build()
    length, critic = model.config.context_length, model.make_critic()
    claimed = model.text_flops(length)
    noise = noise_of(model, 4)

    def counted(run: typing.Callable[[], object]) -> float:
        with warnings.catch_warnings(), FlopCounterMode(display=False) as counter:
            warnings.filterwarnings("ignore", message="TF32 acceleration")
            run()
        return float(counter.get_total_flops()) / 4

    rows = made(model, noise).rows
    with torch.no_grad():
        alone, judged = counted(lambda: model(noise)), counted(lambda: critic(rows))
    differentiated = counted(lambda: model(noise).rows.square().sum().backward())
    for what, claim, count in zip(
        ("made", "differentiated", "judged"), claimed, (alone, differentiated, judged), strict=True
    ):
        assert 0.8 < claim / count < 1.2, (
            f"a text {what}: it claims {claim:,} operations and torch counts {count:,.0f}"
        )
    steps = model.adversary.critic_steps
    step = steps * 4 * length
    assert model.flops(step) >= 4 * (steps * claimed[0] + claimed[1]), (
        "a step costs less than the texts that it makes"
    )
    assert model.flops(2 * step) == 2 * model.flops(step), (
        "twice the text does not cost twice as much"
    )
