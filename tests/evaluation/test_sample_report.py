"""Samples are read on a scale of known generators.

Real text above the ladder, cheaters found out, the same every time.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from threadpoolctl import threadpool_info, threadpool_limits

from inklings.config import DataConfig
from inklings.device import Runtime, threads_of
from inklings.errors import ConfigError, RunError, SourceError, TokenizerError
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.evaluation.samples.baselines import cheaters, floor, ladder
from inklings.evaluation.samples.calibration import PLACED, Calibration, calibrate
from inklings.evaluation.samples.metric import METRICS
from inklings.evaluation.samples.metrics import Measures, measure
from inklings.evaluation.samples.reference_models import (
    judge_likelihood,
    nats_of,
    reverse_likelihood,
    train_judge,
)
from inklings.evaluation.samples.reference_set import (
    ReferenceSet,
    SampleSettings,
    make_reference_set,
)
from inklings.evaluation.samples.sample_report import (
    SampleReport,
    load_report,
    measure_model,
    save_report,
)
from inklings.evaluation.samples.sample_set import documents_of, sample_set, windows_of
from inklings.evaluation.samples.two_sample import classifier_accuracy
from inklings.evaluation.statistics import Interval
from inklings.text.store import TokenStore, prepare

N = 250
LENGTH = 16


@pytest.fixture(scope="module")
def store() -> TokenStore:
    return prepare(DataConfig(source="builtin:unicode-names"))


@pytest.fixture(scope="module")
def ground(store: TokenStore) -> ReferenceSet:
    return make_reference_set(store, "validation", samples=N, max_length=LENGTH)


@pytest.fixture(scope="module")
def calibration(ground: ReferenceSet) -> Calibration:
    return calibrate(ground)


@pytest.fixture(scope="module")
def report(ground: ReferenceSet, calibration: Calibration) -> SampleReport:
    runs = measure_model(train_judge(ground.training, order=2), ground, name="mine", others=(0.7,))
    return SampleReport(calibration, runs)


def store_of(path: Path, lines: list[str]) -> TokenStore:
    path.write_text("\n".join(lines))
    return prepare(
        DataConfig(source=str(path), tokenizer="char", layout="lines", unknown="replace")
    )


@pytest.mark.parametrize("metric", ["js3", "js4", "reverse", "classifier", "bleu"])
def test_the_ladder_is_in_order(calibration: Calibration, metric: str) -> None:
    sign = 1 if METRICS[metric].better == "lower" else -1
    rungs = [
        measures.values[metric].estimate * sign
        for measures in (*calibration.ladder.values(), calibration.floor)
    ]
    uniform, unigram, bigram, trigram, _, real = rungs
    assert uniform > unigram > bigram > trigram > real


def test_cheaters_are_found_out(calibration: Calibration) -> None:
    gameable = {metric: calibration.gameable(metric) for metric in METRICS.places}
    assert "repeat" in gameable["judge"] and "repeat" in gameable["bleu"]
    assert (
        "replay" in gameable["js4"]
        and "replay" in gameable["reverse"]
        and "replay" in gameable["classifier"]
    )
    assert not {"replay", "repeat"} & set(gameable["novel"])
    assert "repeat" not in gameable["js3"] + gameable["reverse"] + gameable["unique"]
    assert "uniform" in gameable["novel"] and "uniform" in gameable["distinct3"]
    assert (
        calibration.cheaters["repeat"].alarm
        and not calibration.floor.alarm
        and not calibration.cheaters["replay"].alarm
    )


def test_the_contestants_are_what_they_are_called(ground: ReferenceSet) -> None:
    rungs, frauds, real = ladder(ground), cheaters(ground), floor(ground)
    assert {len(samples) for samples in (*rungs.values(), *frauds.values(), real)} == {N}
    assert len(np.unique(frauds["repeat"].fingerprints())) == 1
    assert np.isin(frauds["replay"].fingerprints(), ground.training.fingerprints()).all()
    assert np.isin(rungs["uniform"].tokens, ground.training.tokens).all()
    letters = np.bincount(rungs["uniform"].tokens)
    assert letters[letters > 50].std() < 0.25 * letters[letters > 50].mean()


def test_a_run_is_placed_beside_its_like(report: SampleReport) -> None:
    """The run is the bigram sampler, with other draws."""
    assert list(report.runs) == ["mine at 1", "mine at 0.7"]
    for metric in PLACED:
        assert "level with bigram" in report.calibration.place(
            report.runs["mine at 1"].values[metric], metric
        )
    assert report.places("mine at 1").startswith("mine at 1: JS-3 level with bigram")


def test_places_between_rungs_and_beyond_them(calibration: Calibration) -> None:
    def value(estimate: float, reach: float) -> Interval:
        return Interval(estimate, estimate - reach, estimate + reach, 0.95, "given", 9)

    at = {name: measures.values["js3"].estimate for name, measures in calibration.ladder.items()}
    assert (
        calibration.place(value((at["unigram"] + at["bigram"]) / 2, 1e-6), "js3")
        == "between unigram and bigram"
    )
    assert calibration.place(value(1.0, 0.0), "js3") == "below uniform"
    assert calibration.place(value(0.0, 0.0), "js3") == "better than real text"
    assert calibration.place(value(at["unigram"], 1e-6), "js3") == "level with unigram"


RUNGS = ("uniform", "unigram", "bigram", "trigram", "5-gram")
VALUES = st.builds(
    lambda estimate, reach: Interval(
        estimate, estimate - reach, estimate + reach, 0.95, "given", 9
    ),
    st.floats(0, 10),
    st.one_of(st.floats(0, 10), st.just(math.inf)),
)


def scale_of(rungs: list[Interval], real: Interval, cheater: Interval, metric: str) -> Calibration:
    setting = SampleSettings(
        source="text",
        split="test",
        samples=9,
        max_length=9,
        windows=None,
        seed=0,
        reference_documents=9,
        training_documents=9,
        notes=[],
    )
    ladder = {name: Measures({metric: rung}, []) for name, rung in zip(RUNGS, rungs, strict=True)}
    return Calibration(
        setting, Measures({metric: real}, []), ladder, {"replay": Measures({metric: cheater}, [])}
    )


def side(rung: Interval, value: Interval) -> int:
    """1 where the rung is clearly worse than the value, -1 where it is clearly better.

    Lower is better.
    """
    apart, chance = (
        rung.estimate - value.estimate,
        math.hypot((rung.high - rung.low) / 2, (value.high - value.low) / 2),
    )
    return 0 if math.isinf(chance) or abs(apart) <= chance else int(math.copysign(1, apart))


def test_a_rung_of_unsure_figure_is_not_level_with_who_beats_a_better_one() -> None:
    def of(estimate: float, low: float, high: float) -> Interval:
        return Interval(estimate, low, high, 0.95, "given", 9)

    rungs = [
        of(4.3, 3.16, 5.55),
        of(3.440, 3.392, 3.488),
        of(2.9, 2.85, 2.95),
        of(2.6, 2.55, 2.65),
        of(2.5, 2.45, 2.55),
    ]
    scale = scale_of(rungs, of(2.4, 2.35, 2.45), of(2.4, 2.35, 2.45), "reverse")
    assert scale.place(of(3.337, 3.280, 3.394), "reverse") == "between unigram and bigram"


@given(st.lists(VALUES, min_size=5, max_size=5), VALUES, VALUES)
def test_no_place_contradicts_a_rung(
    rungs: list[Interval], real: Interval, value: Interval
) -> None:
    """Whatever the order of the rungs.

    No better rung than the place is beaten, no worse one beats, and none of the two is forgotten.
    """
    known = {**dict(zip(RUNGS, rungs, strict=True)), "real text": real}
    said = scale_of(rungs, real, real, "js3").place(value, "js3")
    if said == "not placed, of too few samples":
        assert math.isinf(value.high) or all(math.isinf(rung.high) for rung in known.values())
        return
    beaten = [rung for rung in known.values() if side(rung, value) == 1]
    ahead = [rung for rung in known.values() if side(rung, value) == -1]
    best, worst = (
        min((r.estimate for r in beaten), default=math.inf),
        max((r.estimate for r in ahead), default=-math.inf),
    )
    how, _, names = said.partition(" ")
    if how == "level":
        for name in names.removeprefix("with ").split(" and "):
            assert side(known[name], value) == 0
            assert worst <= known[name].estimate <= best
    elif how == "below":
        assert not beaten
        assert known[names].estimate == worst
    elif how == "better":
        assert not ahead
        assert known[names.removeprefix("than ")].estimate == best
    else:
        low, high = names.split(" and ")
        assert (known[low].estimate, known[high].estimate) == (best, worst)


@given(st.lists(VALUES, min_size=5, max_size=5), VALUES, VALUES)
def test_nothing_games_a_metric_on_which_a_rung_below_real_text_beats_it(
    rungs: list[Interval], real: Interval, cheater: Interval
) -> None:
    gaming = scale_of(rungs, real, cheater, "js3").gameable("js3")
    for name, figure in (("uniform", rungs[0]), ("replay", cheater)):
        bounds = [real, *(rung for rung in rungs if rung.estimate > real.estimate)]
        assert (name in gaming) == all(side(bound, figure) != -1 for bound in bounds)


def test_a_report_is_written_and_read_back(report: SampleReport, tmp_path: Path) -> None:
    assert load_report(save_report(report, tmp_path).parent) == report
    with pytest.raises(RunError, match="missing"):
        load_report(tmp_path / "elsewhere")


def test_measures_with_unknown_ends_come_back() -> None:
    measures = Measures({"js1": Interval(0.5, -math.inf, math.inf, 0.95, "one unit", 1)}, ["why"])
    assert Measures.from_mapping(measures.to_mapping()) == measures


@pytest.mark.slow
def test_everything_repeats(
    ground: ReferenceSet, calibration: Calibration, store: TokenStore
) -> None:
    again = make_reference_set(store, "validation", samples=N, max_length=LENGTH)
    assert again.setting == ground.setting
    assert measure(cheaters(again)["replay"], again) == calibration.cheaters["replay"]
    assert ladder(again)["bigram"].tokens.tolist() == ladder(ground)["bigram"].tokens.tolist()


def test_a_judge_scores_as_evaluate_does(ground: ReferenceSet, store: TokenStore) -> None:
    whole = make_reference_set(store, "validation", samples=N, max_length=512)
    scored = evaluate(whole.judge, store.split("validation"))
    nats = nats_of(whole.judge, whole.reference)
    assert nats.sum() == pytest.approx(scored.nats, rel=1e-5)
    assert sorted(nats) == pytest.approx(sorted(scored.documents.nats), rel=1e-4, abs=1e-3)
    assert judge_likelihood(whole.judge, whole.reference).estimate == pytest.approx(
        scored.loss, rel=1e-5
    )


def test_reverse_likelihood_is_that_of_a_judge_of_the_samples(ground: ReferenceSet) -> None:
    samples = floor(ground)
    expected = nats_of(train_judge(samples), ground.reference).sum() / ground.reference.sizes.sum()
    assert reverse_likelihood(samples, ground.reference).estimate == pytest.approx(expected)


def test_the_classifier_sees_what_differs_and_nothing_else(ground: ReferenceSet) -> None:
    held_out, training = ground.reference, ground.training
    assert classifier_accuracy(
        training.select(np.arange(600)), held_out.select(np.arange(600))
    ).estimate == pytest.approx(0.5, abs=0.06)
    shorter = [training.document(i)[:9].tolist() for i in range(600)]
    cut = sample_set(
        shorter, [True] * 600, boundary=training.boundary, vocab_size=training.vocab_size
    )
    assert classifier_accuracy(cut, held_out).estimate > 0.9
    with pytest.raises(SourceError, match="1 samples and"):
        classifier_accuracy(training.select(np.arange(1)), held_out)


def test_figures_are_computed_on_one_thread_however_many_there_are(
    ground: ReferenceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take several times as long on two, and ten times as long where others compute too."""
    real, seen = optimize.minimize, set[int]()

    def noted(*given: Any, **named: Any) -> Any:
        blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        seen.update((torch.get_num_threads(), *blas))
        return real(*given, **named)

    monkeypatch.setattr(optimize, "minimize", noted)
    with threads_of(Runtime(threads=2)), threadpool_limits(2, user_api="blas"):
        measure(floor(ground), ground)
    assert seen == {1}


def test_windows_have_a_report_of_their_own(store: TokenStore) -> None:
    ground = make_reference_set(store, "test", samples=60, windows=8)
    assert (ground.reference.sizes == 8).all() and (ground.training.sizes == 8).all()
    found = measure(floor(ground), ground)
    assert found.values["novel"].estimate == 0 and found.values["length"].estimate == 0
    inner = [store.split("train").document(i)[1:9].tolist() for i in range(400)]
    moved = sample_set(
        [row for row in inner if len(row) == 8][:60],
        [False] * 60,
        boundary=ground.reference.boundary,
        vocab_size=ground.reference.vocab_size,
    )
    assert measure(moved, ground).values["novel"].estimate == 0, (
        "a window is copied wherever it begins"
    )


@pytest.mark.parametrize("windows", [None, 6])
def test_copies_of_what_a_model_learned_are_no_copies_of_the_text(
    windows: int | None, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)

    def stored(name: str) -> TokenStore:
        lines = ["".join(draw.choice(list("abcdefghijkl"), 12)) for _ in range(60)]
        (tmp_path / name).write_text("\n".join(lines))
        return prepare(DataConfig(source=str(tmp_path / name), tokenizer="byte", layout="lines"))

    own, text = stored("own.txt").split("train"), stored("text.txt")
    ground = make_reference_set(text, samples=6, windows=windows, learned=own)
    size = text.tokenizer.vocab_size
    copies = (
        documents_of(own, vocab_size=size, max_length=ground.setting.max_length)
        if windows is None
        else windows_of(own, windows, vocab_size=size)
    )
    found = measure(copies.select(np.arange(6)), ground)
    assert found.learned is not None and found.learned.estimate == 1
    assert found.values["novel"].estimate == 1
    assert Measures.from_mapping(found.to_mapping()) == found
    real = measure(floor(ground), ground)
    assert real.learned is not None and real.learned.estimate == 0
    assert real.values["novel"].estimate == 0
    assert measure(floor(ground), dataclasses.replace(ground, learned=None)).learned is None


def test_fewer_documents_than_asked_for_are_a_note(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = ["".join(random.choice(list("abcdefg"), size=6)) for _ in range(120)]
    ground = make_reference_set(store_of(tmp_path / "few.txt", lines + lines[:40]), samples=500)
    assert ground.setting.samples == ground.setting.reference_documents == 16
    assert any(
        "500 samples were asked for; 16 are compared" in note for note in ground.setting.notes
    )
    assert any("16 samples are few" in note for note in ground.setting.notes)
    assert any("training documents are repeats" in note for note in ground.setting.notes)
    assert calibrate(ground).ladder["bigram"].values["js1"].estimate <= 1


def test_empty_samples_are_measured_and_set_off_the_alarm(ground: ReferenceSet) -> None:
    empty = sample_set(
        [[]] * N,
        [True] * N,
        boundary=ground.reference.boundary,
        vocab_size=ground.reference.vocab_size,
    )
    found = measure(empty, ground)
    assert (
        found.alarm
        and found.values["js2"].estimate == 1
        and found.values["unique"].estimate == 1 / N
    )
    nothing = sample_set(
        [[]] * N,
        [False] * N,
        boundary=ground.reference.boundary,
        vocab_size=ground.reference.vocab_size,
    )
    with pytest.raises(SourceError, match="no tokens, not even end marks"):
        judge_likelihood(ground.judge, nothing)


def test_samples_that_do_not_fit_the_ground_are_refused(ground: ReferenceSet) -> None:
    with pytest.raises(ConfigError, match="249 samples were given, and the ground is laid for 250"):
        measure(ground.training.select(np.arange(N - 1)), ground)
    with pytest.raises(TokenizerError, match="encode the text with the tokenizer"):
        measure(dataclasses.replace(floor(ground), vocab_size=1000), ground)


def test_ground_that_cannot_be_laid_says_so(store: TokenStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give --split validation or test"):
        make_reference_set(store, "train")
    with pytest.raises(ConfigError, match="1 samples were asked for"):
        make_reference_set(store, samples=1)
    with pytest.raises(ConfigError, match="max_length is 0"):
        make_reference_set(store, max_length=0)
    single = prepare(
        DataConfig(
            source=_written(tmp_path / "single.txt", "one long line " * 200), layout="documents"
        )
    )
    with pytest.raises(SourceError, match=r"inklings evaluate RUN --windows 32"):
        make_reference_set(single)
    assert make_reference_set(single, windows=16).setting.reference_documents > 2


def _written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)
