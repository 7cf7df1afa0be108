"""`inklings.train` and `inklings.load`: a run, and what is done with it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import inklings
from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import InputError
from inklings.events import Event
from inklings.interface.run import Run
from inklings.interface.text import SHADES, GeneratedText, TextToken, shaded
from inklings.models.objectives import predictor
from inklings.training.training_result import TrainingResult

from .conftest import ARM, SETTINGS


def test_a_run_goes_to_a_fresh_folder_that_is_said(folder: Path, text: Path) -> None:
    said: list[Event] = []
    given: dict[str, Any] = {"data": text, "budget": "1-steps", "show": False, **SETTINGS}
    runs = [inklings.train(ARM, on_event=said.append, **given) for _ in range(2)]
    assert [str(run.path) for run in runs] == ["runs/gpt-words-1", "runs/gpt-words-2"]
    notes = [event["text"] for event in said if event["event"] == "note"]
    assert all(any(str(run.path) in text for text in notes) for run in runs)


def test_settings_and_a_directory_do_as_names_do(folder: Path, run: Run, text: Path) -> None:
    """The same function takes what it took before, and makes the same weights."""
    config = RunConfig(
        architecture="gpt",
        model={"n_layer": 1, "n_embd": 16, "n_head": 2, "context_length": 16},
        data=DataConfig(source=str(text)),
        training=TrainingConfig(budget="12-steps", **SETTINGS),
    )
    other = inklings.train(config, folder / "other", show=False)
    assert isinstance(other, TrainingResult)
    assert other.final_validation_loss == run.final_validation_loss
    assert replace(other, run=run.run, seconds=0.0) == replace(run, seconds=0.0)


def test_keywords_win_over_the_arm(folder: Path, text: Path) -> None:
    made = inklings.train(
        f"{ARM},training.seed=1,training.clip=2",
        data=text,
        budget="1-steps",
        seed=7,
        tokenizer="byte",
        show=False,
        **SETTINGS,
    )
    training, data = made.config.training, made.config.data
    assert (training.seed, training.clip, data.tokenizer) == (7, 2.0, "byte")


def test_what_is_loaded_is_what_was_trained(run: Run) -> None:
    assert inklings.load(str(run.path)) == run
    assert inklings.load("builtin:reference").steps > 0


def test_a_run_goes_on(folder: Path, text: Path) -> None:
    begun = inklings.train(ARM, data=text, budget="2-steps", show=False, **SETTINGS)
    assert inklings.resume(begun, budget="4-steps", show=False).steps == 4


def test_a_run_begins_with_another(folder: Path, run: Run, text: Path) -> None:
    tuned = inklings.train(
        "gpt", data=text, budget="0-steps", initial=run, show=False, **{**SETTINGS, "samples": 0}
    )
    assert tuned.config.model["n_embd"] == 16
    assert tuned.final_validation_loss == pytest.approx(run.best_validation_loss)


def test_metrics_are_one_table(run: Run) -> None:
    records = run.metrics
    assert len({tuple(record) for record in records}) == 1
    logged = [event for event in run.directory.metrics() if event["event"] == "step"]
    steps = [record for record in records if record["split"] == "train"]
    assert [one["loss"] for one in steps] == [event["loss"] for event in logged]
    assert records[-1]["split"] == "validation" and records[-1]["accuracy"] is not None
    json.dumps(records)


def test_a_run_scores_a_split_or_another_text(run: Run, tmp_path: Path) -> None:
    split = run.text.split("test")
    alone = inklings.evaluate(predictor(run.model, "a test"), split)
    assert run.evaluate("test").loss == alone.loss
    other = tmp_path / "other.txt"
    other.write_text("foo bar 1\nbar foo 2\n" * 20)
    assert run.evaluate("train", data=other).loss != alone.loss
    assert "nats per token" in repr(alone) and len(repr(alone)) < 200


def test_one_text_is_a_string_and_several_are_a_list(run: Run) -> None:
    one = run.generate("foo", max_new_tokens=8)
    assert isinstance(one, str) and one.startswith("foo") and one == one.prompt + one.continuation
    several = run.generate("foo", samples=2, max_new_tokens=8)
    assert several[0] == one and len(several) == 2
    assert run.generate("foo", max_new_tokens=8, seed=1, temperature=1.5) != one


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"stop": " ", "max_new_tokens": 60},
        {"across_documents": True},
        {"temperature": 2.0, "max_new_tokens": 60},
    ],
)
def test_each_token_has_the_probability_that_the_model_gives_it(
    run: Run, given: dict[str, Any]
) -> None:
    made = run.generate("ü", **{"max_new_tokens": 20, "seed": 4, **given})
    assert "".join(token.text for token in made.tokens) == made
    assert ("stop" in given) == (made.finished == "stop")
    if "across_documents" in given or "stop" in given:
        return
    ids = torch.tensor([[run.tokenizer.boundary, *run.tokenizer.encode(made).tolist()]])
    chances = predictor(run.model, "a test")(ids).logits[0, :-1].log_softmax(-1)
    expected = chances.gather(1, ids[0, 1:, None])[:, 0].exp().tolist()
    assert [token.probability for token in made.tokens] == pytest.approx(expected, abs=1e-5)


def test_a_shaded_text_is_escaped_and_the_unlikely_is_darker() -> None:
    pieces = [("<b>", 0.9), ("&", 0.3), ("z", 0.001)]
    tokens = [TextToken(text, chance) for text, chance in pieces]
    made = GeneratedText.of("", "<b>&z", finished="length", score=lambda: tokens)
    html = shaded(made)
    assert "&lt;b&gt;" in html and "&amp;" in html and "<b>" not in html
    strengths = [strength for _, strength in SHADES]
    assert strengths == sorted(strengths) and f"{strengths[-1]})" in html
    assert (
        GeneratedText.of("", "<i>", finished="length", score=None)._repr_html_().count("&lt;i&gt;")
        == 1
    )


def test_a_run_shows_its_curve_and_three_samples(run: Run) -> None:
    assert len(repr(run)) < 200 and str(run.path) in repr(run)
    html = run._repr_html_()
    assert html.count("data:image/svg+xml") == 1
    assert html.count("<pre") == 3
    assert f"{run.best_validation_loss:.4f}" in html
    assert len(html) < 30_000


@pytest.mark.slow
def test_an_audit_shows_every_finding(run: Run) -> None:
    made = run.audit()
    assert all(finding.check in repr(made) for finding in made.findings)
    assert made._repr_html_().count("<tr>") == len(made.findings) + 1


def test_settings_show_what_is_not_default() -> None:
    assert repr(TrainingConfig(batch_size=8)) == "TrainingConfig(batch_size=8)"
    assert repr(RunConfig()) == "RunConfig()"
    shown = RunConfig(training=TrainingConfig(optimizer="adamw"), data=DataConfig(source="a.txt"))
    assert eval(repr(shown), vars(inklings.config)) == shown


def test_what_cannot_be_is_told_before_anything_is_made(folder: Path, run: Run) -> None:
    train: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        (("gpt",), {"learnin_rate": 1}, "Did you mean 'learning_rate'"),
        (("gpt",), {"n_layer": 2}, "'gpt:n_layer=2'"),
        (("gpt",), {"batch_size": 0}, "at least 1"),
        (("gpt",), {"budget": "1M"}, "NUMBER-UNIT"),
        (("gtp",), {}, "Did you mean 'gpt'"),
        ((run.path,), {}, "inklings.resume"),
    ]
    for arguments, given, words in train:
        with pytest.raises(InputError, match=words):
            inklings.train(*arguments, **given)
    with pytest.raises(InputError, match="Did you mean 'temperature'"):
        run.generate(temprature=1)
    with pytest.raises(InputError, match="'train', 'validation' or 'test'"):
        run.evaluate("tset")  # type: ignore[arg-type]  # the mistake
    with pytest.raises(InputError, match="has no noise"):
        run.generate(style_seed=1)
    assert not any(folder.iterdir())
    assert math.isfinite(run.evaluate().loss)
