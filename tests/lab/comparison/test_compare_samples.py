"""Generators with a likelihood and without one in one comparison.

Measured on one scale, ranked by what each has.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import ConfigError, RunError
from inklings.evaluation.samples.calibration import Calibration
from inklings.evaluation.samples.metric import METRICS
from inklings.evaluation.samples.metrics import Measures
from inklings.evaluation.samples.sample_report import TEMPERATURES
from inklings.evaluation.statistics import Interval, paired_t
from inklings.events import Event
from inklings.lab.comparison.compare import compare
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.plan import SamplePlan
from inklings.lab.comparison.records import read_record
from inklings.lab.comparison.result import ArmResult, Comparison, RunResult, SampleFigures
from inklings.lab.comparison.run_samples import Measured, RunSamples, read_measured
from inklings.lab.comparison.sample_settings import read_calibration
from inklings.lab.comparison.settings import Method
from inklings.lab.report import chart as charts
from inklings.lab.report.page import write_report
from inklings.lab.report.sections.samples import load_section
from inklings.lab.report.table import rank, render_table
from inklings.lab.verdict.sample_verdict import find_sample_differences, say_samples
from inklings.runs.arms import Arm, parse_arm
from tests.brief import whole_comparisons

MLP = "mlp:n_embd=4,n_hidden=8,context_length=3"
GAN = "textgan:context_length=12,n_embd=8,n_head=2,n_hidden=16,n_critic_hidden=16"
SAMPLES = 24
SEEDS = [0, 1]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    syllables = ["ka", "ri", "mo", "te", "lu", "san", "ne", "vi", "do", "pa"]
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text(
        "\n".join(a + b + c for a in syllables for b in syllables for c in syllables[:3]) + "\n"
    )
    training = TrainingConfig(
        budget="3-steps", batch_size=4, sequence_length=12, evaluations=1, samples=0, threads=1
    )
    return RunConfig(data=DataConfig(source=str(path)), training=training)


@pytest.fixture
def no_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Audits take most of the time of a small comparison; `finished` has them."""
    monkeypatch.setattr(
        "inklings.lab.comparison.compare.audited",
        lambda comparison, contestants, share, report: comparison,
    )
    monkeypatch.setattr(
        "inklings.lab.execution.run_arm.audit",
        lambda *arguments, **options: SimpleNamespace(findings=()),
    )


def arms(base: RunConfig, *texts: str) -> list[Arm]:
    return [parse_arm(text, base=base) for text in texts]


@pytest.fixture(scope="module")
def finished(base: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path]:
    out = tmp_path_factory.mktemp("compare") / "out"
    found = compare(
        arms(base, MLP, GAN, "ngram:order=2"),
        out=out,
        seeds=SEEDS,
        method=Method(samples=SAMPLES),
        workers=1,
    )
    with whole_comparisons():
        write_report(out)
    return found, out


@pytest.mark.slow
def test_every_run_is_measured_by_all_metrics_on_one_scale(
    finished: tuple[Comparison, Path],
) -> None:
    comparison, out = finished
    assert (comparison.status, comparison.plan.samples) == ("complete", SamplePlan(samples=SAMPLES))
    assert comparison == read_comparison(out)
    assert [len(arm.measured) for arm in comparison.arms] == [2, 2, 1]
    measured = read_measured(out, comparison)
    for arm in comparison.arms:
        for run in arm.measured:
            assert run.samples is not None
            assert list(run.samples.values) == list(METRICS.places)
            judged = measured[arm.label, run.seed].judged
            assert run.samples.values == {
                name: value.estimate for name, value in judged.values.items()
            }
            assert judged.values["novel"].n == SAMPLES
    assert read_calibration(out).setting.samples == SAMPLES


def test_temperatures_are_of_the_first_seed_of_arms_with_a_likelihood(
    finished: tuple[Comparison, Path],
) -> None:
    comparison, out = finished
    measured = read_measured(out, comparison)
    swept = {key for key, found in measured.items() if found.at}
    assert swept == {(MLP, 0), ("ngram:order=2", 0)}
    assert tuple(measured[MLP, 0].at) == TEMPERATURES
    assert measured[MLP, 0].at[1.0] == measured[MLP, 0].judged != measured[MLP, 0].at[0.7]


def test_without_a_likelihood_there_is_no_loss_and_no_place_by_it(
    finished: tuple[Comparison, Path],
) -> None:
    comparison, out = finished
    gan = comparison.arms[1]
    assert [(run.status, run.loss) for run in gan.runs] == [("done", None)] * 2
    assert (gan.likelihood_free, gan.ranked, gan.done) == (True, False, [])
    assert all(gan.label not in (d.better, d.worse) for d in comparison.differences)
    assert rank(comparison)[-1].arm is gan and rank(comparison)[-1].rank is None
    assert "no likelihood" in render_table(comparison)[1][-1][-1]
    assert (
        comparison.verdict is not None
        and f"No likelihood, so not ranked by one: {GAN}." in comparison.verdict.sentences
    )
    for run in gan.runs:
        curve = read_record(out / str(run.results)).curve
        assert not any(curve[part]["loss"] for part in ("raw", "smoothed", "validation")), (
            "divergences are no nats"
        )


def test_the_verdict_by_samples_is_over_all_arms_and_seeds(
    finished: tuple[Comparison, Path],
) -> None:
    comparison, _ = finished
    assert {frozenset((d.better, d.worse)) for d in comparison.sample_differences} == {
        frozenset(pair) for pair in ((MLP, GAN), (MLP, "ngram:order=2"), (GAN, "ngram:order=2"))
    }
    assert {(d.evidence, d.count) for d in comparison.sample_differences} == {("seeds", 2)}
    of = {
        arm.label: [run.samples.values["reverse"] for run in arm.measured if run.samples]
        for arm in comparison.arms
    }
    pair = next(d for d in comparison.sample_differences if {d.better, d.worse} == {MLP, GAN})
    assert pair.mean == pytest.approx(np.mean(of[pair.worse]) - np.mean(of[pair.better]))
    assert comparison.sample_verdict is not None
    text = " ".join([comparison.sample_verdict.headline, *comparison.sample_verdict.sentences])
    assert "nats of reverse likelihood (2 seeds, p" in text
    for arm in comparison.arms:
        assert f"{arm.label}: JS-3 " in text
    assert "Gameable here:" in text and "by replay" in text and "collapse alarm" in text


@pytest.mark.slow
@pytest.mark.usefixtures("no_audit")
def test_an_interrupted_comparison_keeps_its_scale_and_ends_the_same(
    finished: tuple[Comparison, Path],
    base: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(event: Event) -> None:
        if event["event"] == "evaluation" and event["run"] == f"{GAN} seed 0":
            raise KeyboardInterrupt

    contest, out = arms(base, MLP, GAN, "ngram:order=2"), tmp_path / "out"
    stopped = compare(
        contest,
        out=out,
        seeds=SEEDS,
        method=Method(samples=SAMPLES),
        workers=1,
        on_event=interrupt,
    )
    assert stopped.status == "interrupted"
    kept = (out / "calibration.json").read_bytes()
    assert kept == (finished[1] / "calibration.json").read_bytes()
    monkeypatch.setattr("inklings.lab.comparison.sample_settings.calibrate", None)
    again = compare(contest, out=out, seeds=SEEDS, workers=1)
    assert (out / "calibration.json").read_bytes() == kept
    assert again.plan == finished[0].plan, "the number that was settled holds"
    assert [[run.samples for run in arm.runs] for arm in again.arms] == [
        [run.samples for run in arm.runs] for arm in finished[0].arms
    ]
    assert (again.sample_differences, again.sample_verdict) == (
        finished[0].sample_differences,
        finished[0].sample_verdict,
    )
    with pytest.raises(RunError, match=r"the samples \(24 documents, now 20 documents\)"):
        compare(contest, out=out, seeds=SEEDS, method=Method(samples=20), workers=1)


@pytest.mark.slow
@pytest.mark.usefixtures("no_audit")
def test_samples_are_added_without_new_training_and_are_not_there_unless_asked_for(
    base: RunConfig, tmp_path: Path
) -> None:
    contest, trained = arms(base, MLP, "ngram:order=1"), []
    plain = compare(contest, out=tmp_path, seeds=[0], workers=1)
    assert (plain.plan.samples, plain.sample_verdict) == (None, None)
    assert "Quality against diversity" not in write_report(tmp_path).read_text()
    assert (
        not (tmp_path / "calibration.json").exists()
        and not (tmp_path / "figures" / "samples.svg").exists()
    )
    document = json.loads((tmp_path / "comparison.json").read_text())
    del document["sha256"]
    for holder, names in (
        (document["plan"], ["samples"]),
        (document, ["sample_differences", "sample_verdict"]),
    ):
        for name in names:
            del holder[name]
    for arm in document["arms"]:
        for run in arm["runs"]:
            del run["samples"]
    (tmp_path / "comparison.json").write_text(json.dumps(document))
    assert read_comparison(tmp_path) == plain, "a comparison from before samples were compared"
    more = compare(
        contest,
        out=tmp_path,
        seeds=[0],
        method=Method(samples=20),
        workers=1,
        on_event=lambda e: trained.append(e["event"]),
    )
    assert "step" not in trained
    assert all(arm.measured for arm in more.arms) and more.differences == plain.differences
    assert more.sample_verdict is not None
    text = " ".join([more.sample_verdict.headline, *more.sample_verdict.sentences])
    assert (
        "single runs say nothing about architectures" in text
        and "20 samples of one run each" in text
    )
    assert [d.finding for d in more.sample_differences] == ["no claim"]


@pytest.mark.slow
@pytest.mark.usefixtures("no_audit")
def test_only_arms_without_likelihood(base: RunConfig, tmp_path: Path) -> None:
    found = compare(arms(base, GAN, f"{GAN},n_mapping=1"), out=tmp_path, seeds=[0], workers=1)
    assert found.plan.samples == SamplePlan(samples=30), "as many as there are held-out documents"
    assert (
        found.verdict is not None
        and found.verdict.headline == "No arm has a likelihood to be ranked by."
    )
    assert found.sample_verdict is not None and len(found.sample_differences) == 1
    page = write_report(tmp_path).read_text()
    assert "Quality against diversity" in page and 'id="curves"' not in page


@pytest.mark.slow
@pytest.mark.usefixtures("no_audit")
def test_windows_of_one_arm_are_windows_of_all(base: RunConfig, tmp_path: Path) -> None:
    windows = GAN.replace("=12", "=4") + ",reads=windows"
    found = compare(
        arms(base, windows, "ngram:order=2"),
        out=tmp_path / "out",
        seeds=[0],
        method=Method(samples=20),
        workers=1,
    )
    assert found.plan.samples == SamplePlan(samples=20, windows=4)
    for measured in read_measured(tmp_path / "out", found).values():
        assert measured.judged.values["length"].estimate == 0, "all windows have one length"
    with pytest.raises(
        ConfigError, match=r"writes windows of 4 tokens; textgan.* writes documents"
    ):
        compare(arms(base, windows, GAN), out=tmp_path / "no", seeds=[0], workers=1)
    assert not (tmp_path / "no").exists()


def test_the_section_is_made_from_the_folder_alone(finished: tuple[Comparison, Path]) -> None:
    comparison, out = finished
    section = load_section(out, comparison)
    assert section is not None
    names = [row.name for row in section.rows]
    reverse = {
        arm.label: np.mean([run.samples.values["reverse"] for run in arm.measured if run.samples])
        for arm in comparison.arms
    }
    assert names[:3] == sorted(reverse, key=lambda label: reverse[label])
    assert names[3:] == [
        "real text",
        "5-gram",
        "trigram",
        "bigram",
        "unigram",
        "uniform",
        "replay",
        "repeat",
    ]
    assert section.rows[-1].alarms, "one text repeated is a collapse"
    assert {column.metric for column in (*section.main, *section.others)} == set(METRICS.places)
    assert "replay" in next(column for column in section.main if column.metric == "js4").gameable
    before = (out / "report.html").read_bytes()
    for path in [out / "report.html", *(out / "figures").iterdir()]:
        path.unlink()
    with whole_comparisons():
        assert write_report(out).read_bytes() == before
    page = before.decode()
    assert page.index('id="measured"') < page.index("What they write")
    for metric in section.main:
        assert f">{metric.title}<" in page


def test_the_chart_has_every_contestant(finished: tuple[Comparison, Path]) -> None:
    comparison, out = finished
    section = load_section(out, comparison)
    assert section is not None
    figure, labels = section.figure, [arm.label for arm in comparison.arms]
    assert {(row["arm"], row["seed"]) for row in figure.data["sample_seeds"]} == {
        (arm.label, run.seed) for arm in comparison.arms for run in arm.runs
    }
    assert [row["name"] for row in figure.data["sample_real"]] == ["real text"]
    assert {row["arm"] for row in figure.data["sample_sweep"]} == {MLP, "ngram:order=2"}
    shown = {row["name"] for row in figure.data["sample_rungs"]}
    assert all(
        name in shown or name in figure.caption
        for name in ("uniform", "unigram", "bigram", "trigram", "5-gram")
    )
    spec = charts.page_spec(figure.first)
    colors = [
        layer["encoding"]["color"]["scale"]["domain"]
        for layer in spec["layer"]
        if "color" in layer["encoding"]
    ]
    assert colors and all(domain == labels for domain in colors)
    for axis in ("x", "y"):
        encoding = spec["layer"][-1]["encoding"][axis]
        low, high = encoding["scale"]["domain"]
        assert "(left: " in encoding["title"] or "(down: " in encoding["title"]
        assert all(
            low < row[encoding["field"]] < high for rows in figure.data.values() for row in rows
        )
    for kind, head in (("svg", b"<svg"), ("png", b"\x89PNG"), ("csv", b"part,")):
        assert (out / "figures" / f"samples.{kind}").read_bytes().startswith(head)
    with open(out / "figures" / "samples.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == sum(len(rows) for rows in figure.data.values())
    assert [float(row["judge"]) for row in table if row["arm"] == GAN] == [
        row["judge"] for row in figure.data["sample_seeds"] if row["arm"] == GAN
    ]


def made(
    label: str,
    *figures: float,
    kind: Literal["trained", "counted"] = "trained",
    reach: float = 0.01,
) -> tuple[ArmResult, Measured]:
    """An arm whose runs have these reverse likelihoods, and the same of every other metric."""
    runs: list[RunResult] = []
    measured: dict[tuple[str, int | None], RunSamples] = {}
    for seed, figure in enumerate(figures):
        values = {
            name: Interval(figure, figure - reach, figure + reach, 0.95, "given", 100)
            for name in METRICS.places
        }
        figures_of = SampleFigures(values=dict.fromkeys(METRICS.places, figure))
        runs.append(
            RunResult(seed=seed, status="done", run=f"{label}/{seed}", loss=2.0, samples=figures_of)
        )
        measured[label, seed] = RunSamples(Measures(values, []))
    return ArmResult(label=label, architecture=label, kind=kind, runs=runs), measured


def test_seeds_carry_claims_and_the_draws_of_a_counted_arm_count(
    finished: tuple[Comparison, Path],
) -> None:
    (good, of_good), (bad, of_bad) = made("good", 2.0, 2.01, 2.02), made("bad", 2.31, 2.32, 2.30)
    (found,) = find_sample_differences([bad, good], {**of_good, **of_bad})
    expected = paired_t([0.31, 0.31, 0.28])
    assert (found.better, found.finding) == ("good", "better")
    assert found.p == pytest.approx(expected.p_value)
    calibration: Calibration = read_calibration(finished[1])
    verdict = say_samples([bad, good], [found], calibration, {**of_good, **of_bad})
    assert verdict.headline == "By samples, good beats bad."
    assert verdict.sentences[0].startswith(
        "By samples, good beats bad by 0.300 ± 0.043 nats of reverse likelihood (3 seeds, p = "
    )
    counts, of_counts = made("bad", 2.31, kind="counted", reach=0.2)
    (wider,) = find_sample_differences([counts, good], {**of_good, **of_counts})
    assert wider.finding == "no claim" and wider.p is not None and wider.p > 0.05
    exact, of_exact = made("bad", 2.31, kind="counted", reach=0.0)
    (narrow,) = find_sample_differences([exact, good], {**of_good, **of_exact})
    assert narrow.p == pytest.approx(paired_t([0.31, 0.30, 0.29]).p_value)
    assert narrow.finding == "better"


def test_an_alarm_is_said_with_its_reason(finished: tuple[Comparison, Path]) -> None:
    (calm, of_calm), (stuck, of_stuck) = made("calm", 2.0, 2.1), made("stuck", 3.0, 3.1)
    figures = stuck.runs[0].samples
    assert figures is not None
    alarmed = replace(stuck.runs[0], samples=replace(figures, alarm=["one text is all."]))
    stuck = replace(stuck, runs=[alarmed, stuck.runs[1]])
    measured = {**of_calm, **of_stuck}
    verdict = say_samples(
        [calm, stuck],
        find_sample_differences([calm, stuck], measured),
        read_calibration(finished[1]),
        measured,
    )
    text = " ".join(verdict.sentences)
    assert "collapse alarm in 1 of 2 runs: one text is all." in text and "no collapse alarm" in text
