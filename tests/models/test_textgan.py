"""The text GAN.

Its fast ways give what the definition gives, and each mend of the described form is a setting.
"""

from __future__ import annotations

import dataclasses
import itertools
import typing
from functools import partial
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from inklings.errors import ConfigError
from inklings.models.from_noise import Drawn, Noise, gumbel_noise, mean_entropy, straight_through
from inklings.models.textgan.config import PRESETS, Recipe, TextGANConfig
from inklings.models.textgan.critic import (
    GROUP,
    PerceptronCritic,
    TransformerCritic,
    spread_appended,
)
from inklings.models.textgan.model import TextGAN
from inklings.models.textgan.noise import unit_noise
from inklings.models.textgan.style import StyleMap

Preset = Literal["robust", "described"]

T, V = 6, 11
SIZES: dict[str, Any] = {
    "vocab_size": V,
    "context_length": T,
    "n_embd": 8,
    "n_head": 2,
    "n_hidden": 12,
    "n_critic_hidden": 10,
}

CAUSAL = st.fixed_dictionaries(
    {
        "rows": st.sampled_from(["soft", "straight_through"]),
        "feedback": st.sampled_from(["argmax", "sampled", "through"]),
        "mapping": st.sampled_from(["linear", "perceptron"]),
        "noise_scale": st.sampled_from(["one", "learned"]),
        "norm": st.sampled_from(["before", "after"]),
        "mask": st.booleans(),
        "style_noise": st.sampled_from(["broadcast", "full"]),
        "word_input": st.sampled_from(["noise", "last_token", "fixed_token"]),
        "n_layer": st.integers(1, 2),
        "n_output_layer": st.integers(0, 2),
    }
).filter(lambda fields: fields["feedback"] != "through" or fields["rows"] != "soft")
"""All that can be chosen where keys are kept."""


def make(seed: int = 0, **fields: Any) -> TextGAN:
    """A generator whose weights are far from small.

    So that its words depend on all that they may depend on.
    """
    torch.manual_seed(seed)
    model = TextGAN(TextGANConfig(**{**SIZES, **fields}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return model


def noise_of(model: TextGAN, n: int = 4, length: int = T, seed: int = 0) -> Noise:
    return model.noise(n, length, generator=torch.Generator().manual_seed(seed))


def assert_alike(found: Drawn, expected: Drawn) -> None:
    assert torch.equal(found.tokens, expected.tokens)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.rows, expected.rows, rtol=1e-4, atol=1e-4)


# --- the fast ways --------------------------------------------------------------------------------


@given(CAUSAL, st.integers(0, 100))
def test_words_with_kept_keys_are_those_computed_anew(fields: dict[str, Any], seed: int) -> None:
    model = make(seed, **fields)
    assert model.keeps_keys
    noise = noise_of(model, seed=seed)
    with torch.no_grad():
        assert_alike(model(noise), model.recomputed(noise))


def told(drawn: Drawn) -> Tensor:
    """Something that depends on every row and every logit."""
    weights = torch.randn(2, *drawn.rows.shape, generator=torch.Generator().manual_seed(1))
    return (weights[0] * drawn.rows).sum() + (weights[1] * drawn.logits).sum()


@settings(max_examples=15)
@given(CAUSAL, st.integers(0, 100))
def test_training_gives_the_words_and_the_gradients_of_the_definition(
    fields: dict[str, Any], seed: int
) -> None:
    model = make(seed, **fields)
    noise = noise_of(model, seed=seed)
    gradients = []
    with torch.no_grad():
        unlearned = model(noise)
    for way in (model, model.recomputed):
        drawn = way(noise)
        assert_alike(drawn, unlearned)
        model.zero_grad()
        told(drawn).backward()
        gradients.append(
            {
                name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
                for name, p in model.named_parameters()
            }
        )
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(
            gradient,
            gradients[1][name],
            rtol=1e-3,
            atol=1e-3,
            msg=partial("{}: {}".format, name),
        )
    assert any(bool(gradient.any()) for gradient in gradients[0].values())


@pytest.mark.parametrize(
    "fields",
    [{}, {"attention": "both_ways"}, {"preset": "described", "attention": "causal"}],
    ids=str,
)
def test_a_shorter_text_is_the_beginning_of_the_longer(fields: dict[str, Any]) -> None:
    model = make(**fields)
    noise = noise_of(model)
    cut = {
        name: tensor[:, :3] for name, tensor in noise.tensors.items() if name in ("word", "gumbel")
    }
    cut["style"], cut["added"] = noise.tensors["style"], noise.tensors["added"][:, :3, :, :3]
    with torch.no_grad():
        assert torch.equal(model(Noise(cut)).tokens, model(noise).tokens[:, :3])


# --- what is described ----------------------------------------------------------------------------


def test_the_described_generator_draws_the_noise_of_all_positions_anew_for_each_word() -> None:
    model = make(preset="described")
    noise = noise_of(model)
    assert noise.tensors["added"].shape == (4, T, 1, T, 8)
    with torch.no_grad():
        before = model(noise).logits
        for t in range(T):
            added = noise.tensors["added"].clone()
            added[:, t, :, 0] += 1  # of the first position, as it is drawn for word t
            after = model(Noise({**noise.tensors, "added": added})).logits
            assert torch.equal(after[:, :t], before[:, :t])
            assert not torch.equal(after[:, t], before[:, t])


def test_noise_drawn_once_stays_with_its_position() -> None:
    model = make()
    assert noise_of(model).tensors["added"].shape == (4, 1, 1, T, 8)
    both = make(attention="both_ways", noise="once")
    assert noise_of(both).tensors["added"].shape == (4, 1, 1, T, 8)


@pytest.mark.parametrize(("attention", "sees"), [("both_ways", True), ("causal", False)])
def test_earlier_positions_see_later_ones_only_both_ways(attention: str, sees: bool) -> None:
    model = make(attention=attention)
    seen: list[Tensor] = []
    model.blocks[0].register_forward_hook(lambda module, inputs, output: seen.append(output))
    noise = noise_of(model)
    word = noise.tensors["word"].clone()
    word[:, 3] += 1
    with torch.no_grad():
        model.recomputed(noise)
        model.recomputed(Noise({**noise.tensors, "word": word}))
    before, after = seen[3], seen[T + 3]  # what was computed for word 3
    assert before.shape[1] == after.shape[1] == 4
    assert not torch.equal(before[:, 3], after[:, 3])
    assert torch.equal(before[:, :3], after[:, :3]) is not sees


@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        ({"preset": "described"}, False),
        ({"attention": "both_ways", "feedback": "sampled"}, False),
        ({"attention": "both_ways", "feedback": "argmax"}, False),
        ({"attention": "both_ways", "feedback": "through"}, True),
    ],
    ids=str,
)
def test_only_through_lets_a_gradient_pass_the_words_fed_back(
    fields: dict[str, Any], passes: bool
) -> None:
    # both ways the noise of an earlier word reaches a later one through that word alone
    model = make(**fields)
    noise = noise_of(model)
    word = noise.tensors["word"].clone().requires_grad_()
    drawn = model(Noise({**noise.tensors, "word": word}))
    (gradient,) = torch.autograd.grad((drawn.logits[:, -1] * torch.randn(V)).sum(), word)
    assert gradient[:, -1].any()
    assert bool(gradient[:, :-1].any()) is passes


@pytest.mark.parametrize("feedback", ["argmax", "sampled"])
def test_what_is_fed_back_is_the_likeliest_word_or_the_drawn_one(feedback: str) -> None:
    model = make(feedback=feedback, norm="after")
    noise = noise_of(model, n=8)
    with torch.no_grad():
        drawn = model(noise)
        likeliest = drawn.logits.argmax(-1)
        assert not torch.equal(likeliest, drawn.tokens)  # or nothing is told apart here
        fed = likeliest if feedback == "argmax" else drawn.tokens
        torch.testing.assert_close(
            model._at_once(noise, drawn.tokens, fed).logits, drawn.logits, rtol=1e-4, atol=1e-4
        )


@given(st.integers(1, 4), st.integers(0, 50))
def test_any_number_of_linear_layers_maps_like_one(layers: int, seed: int) -> None:
    torch.manual_seed(seed)
    mapping = StyleMap(T, 8, layers, "linear", "broadcast")
    weight, bias = torch.eye(T), torch.zeros(T)
    for layer in mapping.layers:
        assert isinstance(layer, nn.Linear)
        weight, bias = layer.weight @ weight, layer.weight @ bias + layer.bias
    noise = torch.randn(3, T)
    with torch.no_grad():
        style = mapping(noise)
    torch.testing.assert_close(
        style, (noise @ weight.T + bias).unsqueeze(-1).expand(3, T, 8), rtol=1e-4, atol=1e-5
    )


def test_the_perceptron_maps_as_no_linear_layer_can() -> None:
    torch.manual_seed(0)
    mapping = StyleMap(T, 8, 2, "perceptron", "broadcast")
    a, b = torch.randn(2, 3, T)
    with torch.no_grad():
        assert (
            float(
                (mapping(a) + mapping(b) - mapping(a + b) - mapping(torch.zeros(3, T))).abs().max()
            )
            > 0.01
        )
        style = mapping(a)
    assert (
        float((style - style[..., :1]).abs().max()) > 0.01
    )  # places can be told apart by their channels


@pytest.mark.parametrize("mapping", ["linear", "perceptron"])
def test_full_noise_is_mapped_place_by_place_over_all_channels(mapping: Any) -> None:
    model = make(mapping=mapping, style_noise="full")
    style = noise_of(model).tensors["style"]
    assert style.shape == (4, T, 8)
    changed = style.clone()
    changed[:, 2, 5] += 1
    with torch.no_grad():
        apart = (model.style(changed) - model.style(style)).abs() > 1e-6
    assert apart[:, 2].all()
    assert not apart[:, [0, 1, *range(3, T)]].any()
    assert make().noise(4, T).tensors["style"].shape == (4, T)


@pytest.mark.parametrize("word_input", ["noise", "last_token", "fixed_token"])
@pytest.mark.parametrize("attention", ["both_ways", "causal"])
def test_a_word_is_made_of_what_is_named(word_input: Any, attention: Any) -> None:
    model = make(word_input=word_input, attention=attention, boundary_token=3, noise_scale="one")
    seen: list[Tensor] = []
    model.blocks[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    noise = noise_of(model)
    with torch.no_grad():
        tokens = model.recomputed(noise).tokens
        end = model.embed.weight[3].expand(4, 1, -1)
        for t in range(T):
            fed = model.embed(tokens[:, :t])
            new = noise.tensors["word"][:, t : t + 1] if word_input == "noise" else end
            nothing = torch.zeros(4, 1, 8)
            if word_input == "last_token":
                expected = torch.cat((end, fed), dim=1)
            elif attention == "both_ways":
                expected = torch.cat((fed, new), dim=1)
            else:
                # each position holds the word before, and what its own word is made of
                made_of = noise.tensors["word"][:, : t + 1] if word_input == "noise" else end
                expected = torch.cat((nothing, fed), dim=1) + made_of
            torch.testing.assert_close(seen[t], expected + model.places[: t + 1])
    assert ("word" in noise.tensors) is (word_input == "noise")


@pytest.mark.parametrize(
    ("distribution", "fourth", "within"),
    [("normal", 3.0, 10.0), ("uniform", 1.8, 3**0.5), ("laplace", 6.0, 30.0)],
)
def test_noise_has_mean_0_and_variance_1_whatever_it_is_drawn_from(
    distribution: Any, fourth: float, within: float
) -> None:
    """The fourth moment tells the three apart."""
    draws = unit_noise(
        400, 1000, distribution=distribution, generator=torch.Generator().manual_seed(0)
    )
    assert draws.dtype == torch.float32
    assert abs(float(draws.mean())) < 0.01
    assert float(draws.var()) == pytest.approx(1, abs=0.02)
    assert float(draws.pow(4).mean()) == pytest.approx(fourth, rel=0.05)
    assert float(draws.abs().max()) <= within + 1e-6
    assert abs(float(draws.pow(3).mean())) < 0.1


@pytest.mark.parametrize("preset", PRESETS)
def test_all_noise_but_that_of_the_draws_is_of_the_distribution(preset: Preset) -> None:
    model = make(preset=preset, noise_distribution="uniform")
    found = noise_of(model, n=40).tensors
    assert {name for name, drawn in found.items() if float(drawn.abs().max()) <= 3**0.5} == {
        *("style", "word", "added")
    }
    usual = make(preset=preset).noise(2, T, generator=torch.Generator().manual_seed(5)).tensors
    same = torch.Generator().manual_seed(5)
    for name in ("style", "word", "added"):
        assert torch.equal(usual[name], torch.randn(usual[name].shape, generator=same))


# --- the mends ------------------------------------------------------------------------------------


def values_of(name: str) -> list[Any]:
    hint = typing.get_type_hints(Recipe)[name]
    choices = typing.get_args(hint)
    if choices:
        return list(choices)
    values: dict[type, list[Any]] = {bool: [True, False], int: [2, 3], float: [0.125, 0.25]}
    return values[hint]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Recipe)])
def test_every_mend_is_a_setting_of_its_own(preset: Preset, name: str) -> None:
    assert TextGANConfig(**SIZES, preset=preset).recipe == PRESETS[preset]
    for value in values_of(name):
        if name == "feedback" and value == "through" and PRESETS[preset].rows == "soft":
            with pytest.raises(ConfigError, match="feedback"):
                TextGANConfig(**SIZES, preset=preset, feedback=value)
            continue
        config = TextGANConfig(**SIZES, preset=preset, **{name: value})
        assert config.recipe == dataclasses.replace(PRESETS[preset], **{name: value})
        model = TextGAN(config)
        assert model.adversary == model.recipe == config.recipe
        with torch.no_grad():
            assert model.make_critic()(model(model.noise(2, T)).rows).shape == (2,)


def test_the_presets_differ_in_what_they_say_they_do() -> None:
    described, robust = (dataclasses.asdict(PRESETS[name]) for name in ("described", "robust"))
    alike = {name for name in described if described[name] == robust[name]}
    assert alike == {"loss", "critic_steps", "penalty", "curriculum"}


def test_the_critic_is_the_one_that_is_named() -> None:
    assert isinstance(make().make_critic(), PerceptronCritic)
    assert isinstance(make(preset="described").make_critic(), TransformerCritic)
    assert isinstance(make(critic="transformer").make_critic(), TransformerCritic)


# --- draws ----------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(1, 7), st.integers(0, 3), st.integers(0, 100))
def test_nothing_is_left_after_the_first_end_mark(
    n: int, length: int, boundary: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 4, (n, length), generator=generator)
    rows = torch.randn(n, length, 4, generator=generator, requires_grad=True)
    model = TextGAN(
        TextGANConfig(vocab_size=4, boundary_token=boundary, context_length=8, n_embd=4, n_head=1)
    )
    masked = rows * model.alive(tokens).unsqueeze(-1)
    (gradient,) = torch.autograd.grad(masked.sum(), rows)
    for row, text in enumerate(tokens.tolist()):
        kept = text.index(boundary) + 1 if boundary in text else length
        assert torch.equal(masked[row, :kept], rows[row, :kept])
        assert not masked[row, kept:].any()
        assert gradient[row, :kept].eq(1).all()
        assert not gradient[row, kept:].any()


@given(st.floats(0.2, 3.0), st.integers(0, 100))
def test_straight_through_is_one_hot_with_the_gradient_of_the_softmax(
    temperature: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = (5 * torch.randn(3, 4, V, generator=generator)).requires_grad_()
    gumbel = gumbel_noise(3, 4, V, generator=generator)
    tokens = (logits.detach() + gumbel).argmax(-1)
    rows = straight_through(logits, gumbel, tokens, temperature)
    assert torch.equal(rows, torch.nn.functional.one_hot(tokens, V).float())
    weights = torch.randn(3, 4, V, generator=generator)
    (found,) = torch.autograd.grad((weights * rows).sum(), logits)
    (expected,) = torch.autograd.grad(
        (weights * ((logits + gumbel) / temperature).softmax(-1)).sum(), logits
    )
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        assert torch.equal(straight_through(logits, gumbel, tokens, temperature), rows)


def test_words_are_drawn_as_often_as_the_softmax_says() -> None:
    logits = torch.tensor([2.0, 0.0, -1.0, 1.0, 0.5])
    draws = (logits + gumbel_noise(20_000, 5, generator=torch.Generator().manual_seed(0))).argmax(
        -1
    )
    expected = 20_000 * logits.softmax(-1)
    statistic = float(((draws.bincount(minlength=5) - expected).square() / expected).sum())
    assert statistic < 18.5, statistic  # chi-square of four degrees of freedom: once in a thousand


def test_entropy_is_nothing_where_a_position_repeats_itself_and_ln_v_where_it_is_open() -> None:
    logits = torch.stack((torch.zeros(4, V), 100 * torch.eye(V)[:1].expand(4, V)), dim=1)
    torch.testing.assert_close(
        mean_entropy(logits), torch.tensor([V, 1.0]).log(), rtol=0, atol=1e-5
    )


# --- critics --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 5, GROUP, 2 * GROUP])
def test_the_spread_of_texts_that_are_alike_is_nothing_and_grows_with_what_sets_them_apart(
    n: int,
) -> None:
    torch.manual_seed(0)
    same = torch.randn(1, 7).expand(n, 7)
    apart = torch.randn(n, 7)
    spreads = [spread_appended(same + by * apart)[:, -1] for by in (0.0, 0.5, 1.0, 2.0)]
    assert float(spreads[0].max()) < 1e-3
    if n > 1:
        assert all(bool((more > 1.5 * less).all()) for less, more in itertools.pairwise(spreads))
    torch.testing.assert_close(spread_appended(apart)[:, :-1], apart)


def test_the_spread_is_that_of_a_group() -> None:
    torch.manual_seed(0)
    texts = torch.randn(2 * GROUP, 5)
    alone = spread_appended(texts[:GROUP])[:, -1]
    torch.testing.assert_close(spread_appended(texts)[:GROUP, -1], alone)
    torch.testing.assert_close(
        alone, texts[:GROUP].var(0, correction=0).add(1e-8).sqrt().mean().expand(GROUP)
    )
    assert torch.isfinite(
        torch.autograd.grad(spread_appended(x := torch.ones(4, 3, requires_grad=True)).sum(), x)[0]
    ).all()


@pytest.mark.parametrize("critic", ["perceptron", "transformer"])
@pytest.mark.parametrize("n_embd", [8, 12])
def test_several_input_layers_read_like_one_of_their_product(critic: str, n_embd: int) -> None:
    several = make(critic=critic, n_embd=n_embd, n_critic_input_layer=3).make_critic()
    one = make(critic=critic, n_embd=n_embd, vocab_size=20).make_critic()
    assert several.reader is not None
    assert [type(layer) for layer in several.inputs] == [nn.Linear, nn.Linear]
    weight = several.reader.weight
    for further in several.inputs.parameters():
        weight = further @ weight
    one.reader = nn.Linear(V, n_embd, bias=False)
    one.load_state_dict(
        {
            **{k: v for k, v in several.state_dict().items() if not k.startswith("inputs.")},
            "reader.weight": weight,
        }
    )
    rows = torch.randn(5, T, V)
    with torch.no_grad():
        torch.testing.assert_close(several(rows), one(rows), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("critic", ["perceptron", "transformer"])
@pytest.mark.parametrize("spread", [True, False])
def test_only_the_spread_lets_a_score_depend_on_other_texts(critic: str, spread: bool) -> None:
    judge = make(critic=critic, minibatch_std=spread).make_critic().double()
    rows = torch.randn(5, T, V, dtype=torch.float64)
    with torch.no_grad():
        apart = float((judge(rows)[:1] - judge(rows[:1])).abs())
    assert (apart > 1e-9) is spread


@pytest.mark.parametrize("n_embd", [8, 12])
def test_to_the_perceptron_a_short_text_is_one_that_nothing_follows(n_embd: int) -> None:
    judge = make(n_embd=n_embd, n_head=2).make_critic()
    rows = torch.rand(3, 4, V)
    with torch.no_grad():
        torch.testing.assert_close(
            judge(rows), judge(torch.nn.functional.pad(rows, (0, 0, 0, T - 4)))
        )


def test_the_style_of_one_generator_is_shared_while_words_differ() -> None:
    model = make()

    def noise(seed: int) -> dict[str, Tensor]:
        return model.noise(
            1,
            T,
            generator=torch.Generator().manual_seed(seed),
            style=torch.Generator().manual_seed(5),
        ).tensors

    one, two = noise(0), noise(1)
    assert torch.equal(one["style"], two["style"])
    assert all(not torch.equal(one[name], two[name]) for name in ("word", "added", "gumbel"))


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"n_head": 3}, "n_embd"),
        ({"n_layer": 0, "n_output_layer": 0}, "n_layer"),
        ({"feedback": "through", "rows": "soft"}, "feedback"),
        ({"average": 1.0}, "average"),
        ({"critic_steps": 0}, "critic_steps"),
        ({"temperature": 0.0}, "temperature"),
        ({"context_length": 1}, "context_length"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_name(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=rf"\.{name} is"):
        TextGANConfig(**{**SIZES, **fields})
