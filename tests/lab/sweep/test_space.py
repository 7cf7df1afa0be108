"""The grammar of a sweep's space: what is read, what is refused and with which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.config import RunConfig, TrainingConfig
from inklings.errors import ConfigError
from inklings.lab.sweep.space import Dimension, apply, default_space, parse_space

GPT = RunConfig(architecture="gpt")


def one(text: str, config: RunConfig = GPT) -> Dimension:
    (dimension,) = parse_space([text], config)
    return dimension


def test_ranges_steps_logarithms_and_choices() -> None:
    assert one("model.n_layer=2..8") == Dimension(field="model.n_layer", kind="int", low=2, high=8)
    assert one("n_embd=32..128:32") == Dimension(
        field="model.n_embd", kind="int", low=32, high=128, step=32
    )
    assert one("training.lr=1e-4..1e-2:log") == Dimension(
        field="training.learning_rate", kind="float", low=1e-4, high=1e-2, log=True
    )
    assert one("lr=0.1..0.3:0.1") == Dimension(
        field="training.learning_rate", kind="float", low=0.1, high=0.3, step=0.1
    )
    assert one("training.optimizer=muon|adamw") == Dimension(
        field="training.optimizer", kind="choice", choices=("muon", "adamw")
    )
    assert one("training.betas=0.9/0.95|0.9/0.99").choices == ((0.9, 0.95), (0.9, 0.99))
    assert one("training.sequence_length=16..64:16").kind == "int", "a number that may be left open"
    assert one("training.batch-size=8|16").field == "training.batch_size"


@given(low=st.integers(1, 50), steps=st.integers(1, 20), step=st.integers(1, 9), log=st.booleans())
def test_what_is_said_reads_back_to_the_same(low: int, steps: int, step: int, log: bool) -> None:
    for text in (
        f"n_layer={low}..{low + steps * step}:{'log' if log else step}",
        f"lr={low / 100}..{low}{':log' if log else ''}",
    ):
        dimension = one(text)
        assert one(str(dimension)) == dimension
    choice = one("training.schedule=wsd|cosine")
    assert one(str(choice)) == choice


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n_layer", "FIELD=LOW..HIGH"),
        ("n_layer=", "FIELD=LOW..HIGH"),
        ("n_layers=2..8", "Did you mean 'n_layer'"),
        ("training.learnrate=1..2", "Did you mean 'learning_rate'"),
        ("batch_size=8..16", "Did you mean 'training.batch_size'"),
        ("modle.n_layer=2..8", "model. or training."),
        ("data.min_length=2..8", "model. or training."),
        ("training.seed=1..8", "the same for all trials"),
        ("training.budget=1-steps|2-steps", "the same for all trials"),
        ("n_layer=8..2", "is empty"),
        ("n_layer=2..2", "is empty"),
        ("lr=0.1..inf", "is empty"),
        ("n_layer=2..x", "must be a whole number"),
        ("n_layer=2.5..4", "must be a whole number"),
        ("lr=0..1:log", "must begin above 0"),
        ("n_layer=2..8:4", "does not lead from 2 to 8"),
        ("n_layer=2..8:0", "must be positive"),
        ("n_layer=2..8:-2", "must be positive"),
        ("n_layer=2..8:lg", "neither log nor a step"),
        ("n_layer=2..8:1.5", "a whole number"),
        ("training.optimizer=muon|adamm", "Did you mean 'adamw'"),
        ("training.optimizer=a..b", "Allowed: muon, adamw, sgd"),
        ("training.optimizer=muon", "one value is no choice"),
        ("n_layer=2|2", "written twice"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_what_can(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_space([text], GPT)
    assert words in str(raised.value)


def test_a_field_named_twice_is_refused_under_any_of_its_names() -> None:
    with pytest.raises(ConfigError, match=r"training\.learning_rate twice"):
        parse_space(["lr=1e-4..1e-2", "training.learning_rate=1e-3..1e-2"], GPT)


def test_without_a_space_the_learning_rates_in_use_are_searched_a_decade_each_way() -> None:
    ours = GPT.training
    both = parse_space([], GPT)
    assert [(d.field, d.low, d.high, d.log) for d in both] == [
        ("training.learning_rate", ours.learning_rate / 10, ours.learning_rate * 10, True),
        (
            "training.matrix_learning_rate",
            ours.matrix_learning_rate / 10,
            ours.matrix_learning_rate * 10,
            True,
        ),
    ]
    adam = RunConfig(architecture="gpt", training=TrainingConfig(optimizer="adamw"))
    assert [d.field for d in default_space(adam)] == ["training.learning_rate"], (
        "AdamW does not look at Muon's"
    )
    with pytest.raises(ConfigError, match="Say what to search: --space"):
        default_space(RunConfig(architecture="ngram"))
    assert one("order=2..5", RunConfig(architecture="ngram")).field == "model.order"


def test_a_point_becomes_settings_and_the_rest_stays() -> None:
    base = RunConfig(architecture="gpt", model={"n_head": 2}, training=TrainingConfig(batch_size=8))
    made = apply(base, {"model.n_layer": 3, "training.learning_rate": 0.5})
    assert made.model == {"n_head": 2, "n_layer": 3}
    assert (made.training.learning_rate, made.training.batch_size) == (0.5, 8)
    assert base.model == {"n_head": 2}
    with pytest.raises(ConfigError, match="batch_size"):
        apply(base, {"training.batch_size": 0})
