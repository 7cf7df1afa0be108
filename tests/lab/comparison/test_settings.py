"""What makes arms comparable: points of the budget, sizes, learning rates, copies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import ConfigError, RunError
from inklings.events import Event
from inklings.lab.comparison.compare import compare
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.judging import judged
from inklings.lab.comparison.result import Comparison
from inklings.lab.comparison.settings import Method
from inklings.lab.report.page import write_report
from inklings.models.registry import build
from inklings.models.sizes import TOLERANCE, non_embedding_count, size_to
from inklings.runs.arms import Arm, parse_arm
from inklings.runs.directory import RunDirectory
from inklings.training.train import train

MLP = "mlp:n_embd=4,n_hidden=16,context_length=3"
RNN = "recurrent:n_embd=4,n_hidden=8"
POINTS = Method(points=3)


pytestmark = pytest.mark.usefixtures("unaudited")


@pytest.fixture(scope="module")
def base(word_list: Path) -> RunConfig:
    training = TrainingConfig(
        budget="16-steps", batch_size=4, sequence_length=8, evaluations=4, samples=0, threads=1
    )
    return RunConfig(data=DataConfig(source=str(word_list)), training=training)


def arms(base: RunConfig, *texts: str) -> list[Arm]:
    return [parse_arm(text, base=base) for text in texts]


def figures(comparison: Comparison) -> list[Any]:
    """All that does not depend on the clock."""
    return [
        [
            (
                run.seed,
                run.status,
                run.loss,
                run.weights,
                [(p.share, p.steps, p.tokens, p.flops, p.weights, p.loss) for p in run.points],
            )
            for run in arm.runs
        ]
        + [arm.search]
        for arm in comparison.arms
    ]


@pytest.fixture(scope="module")
def finished(base: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path]:
    out = tmp_path_factory.mktemp("compare") / "out"
    return (
        compare(
            arms(base, MLP, RNN, "ngram:order=2"), out=out, seeds=[0, 1], workers=1, method=POINTS
        ),
        out,
    )


def test_every_run_is_scored_at_every_point_and_the_last_is_its_own(
    finished: tuple[Comparison, Path],
) -> None:
    comparison, out = finished
    assert comparison.status == "complete"
    for arm in comparison.arms[:2]:
        for run in arm.runs:
            assert run.status == "done", run.message
            assert [(point.share, point.steps) for point in run.points] == [
                (0.25, 4),
                (0.5, 8),
                (1.0, 16),
            ]
            assert [point.tokens for point in run.points] == [128, 256, 512]
            assert run.points[-1].loss == run.loss
            assert run.points[-1].run == run.run
            assert run.points[-1].weights == run.weights
            assert run.flops == run.points[-1].flops == 4 * run.points[0].flops
            for point in run.points:
                directory = RunDirectory.open(out / point.run)
                assert not directory.check()
                assert directory.record.steps == point.steps
                assert directory.metrics()[-1].get("seconds") == point.seconds > 0
    assert comparison.arms[2].runs[0].points == []
    assert read_comparison(out) == comparison


def test_a_point_is_what_a_run_of_that_budget_alone_gives(
    finished: tuple[Comparison, Path], tmp_path: Path
) -> None:
    comparison, out = finished
    point = comparison.arms[1].runs[1].points[1]
    given = RunDirectory.open(out / point.run).record.given
    assert given.training.budget == "8-steps"
    train(given, tmp_path / "alone")
    assert (tmp_path / "alone" / "model.safetensors").read_bytes() == (
        out / point.run / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    "moment", [pytest.param(0, marks=pytest.mark.slow), 7, pytest.param(19, marks=pytest.mark.slow)]
)
def test_an_interruption_at_any_moment_changes_no_figure(
    moment: int, finished: tuple[Comparison, Path], base: RunConfig, tmp_path: Path
) -> None:
    seen = 0

    def interrupt(event: Event) -> None:
        nonlocal seen
        seen += event["event"] in ("checkpoint", "evaluation", "result")
        if seen == moment + 1:
            seen += 1
            raise KeyboardInterrupt

    contest = arms(base, MLP, RNN, "ngram:order=2")
    for _ in range(2):
        comparison = compare(
            contest,
            out=tmp_path / "out",
            seeds=[0, 1],
            workers=1,
            method=POINTS,
            on_event=interrupt,
        )
    assert comparison.status == "complete"
    assert figures(comparison) == figures(finished[0])


def test_points_cannot_be_changed_later(finished: tuple[Comparison, Path], base: RunConfig) -> None:
    with pytest.raises(RunError, match=r"points of the budget \(3, now 2\)"):
        compare(
            arms(base, MLP, RNN, "ngram:order=2"),
            out=finished[1],
            seeds=[0, 1],
            workers=1,
            method=Method(points=2),
        )


def test_a_schedule_of_its_own_is_scored_at_the_end_only_and_says_so(
    base: RunConfig, tmp_path: Path
) -> None:
    found = compare(
        arms(base, MLP, MLP + ",training.schedule=cosine"),
        out=tmp_path / "out",
        seeds=[0],
        workers=1,
        method=POINTS,
    )
    assert [len(arm.runs[0].points) for arm in found.arms] == [3, 0]
    assert any("end of its budget only" in note for note in found.arms[1].notes)


@pytest.mark.slow
def test_counting_stands_beside_and_is_not_ranked(base: RunConfig, tmp_path: Path) -> None:
    beside = Method(floor=True)
    found = compare(
        arms(base, MLP, RNN), out=tmp_path / "out", seeds=[0, 1], workers=1, method=beside
    )
    assert [(arm.label, arm.floor, arm.ranked) for arm in found.arms] == [
        (MLP, False, True),
        (RNN, False, True),
        ("ngram", True, False),
    ]
    assert [(d.better, d.worse) for d in found.differences] == [
        (d.better, d.worse) for d in found.differences if "ngram" not in (d.better, d.worse)
    ]
    assert found.verdict is not None
    floor = found.arms[2].runs[0].loss
    assert any(
        f"The baseline: ngram, which counts, scores {floor:.3f} nats per token" in sentence
        for sentence in found.verdict.sentences
    )
    assert write_report(tmp_path / "out").is_file()
    own = compare(
        arms(base, MLP, "ngram:order=2"), out=tmp_path / "own", seeds=[0], workers=1, method=beside
    )
    assert [(arm.label, arm.ranked) for arm in own.arms] == [(MLP, True), ("ngram:order=2", True)]


@pytest.mark.slow
def test_smaller_sizes_are_not_ranked_and_tell_how_arms_gain(
    base: RunConfig, tmp_path: Path
) -> None:
    method = Method(points=3, sizes=2)
    found = compare(
        arms(base, RNN, "ngram:order=2"),
        out=tmp_path / "out",
        seeds=[0, 1],
        workers=1,
        method=method,
    )
    assert [arm.label for arm in found.arms] == [RNN, "ngram:order=2"]
    (smaller,) = found.smaller
    assert smaller.smaller_of == RNN
    assert smaller.sizing is not None
    whole, half = found.arms[0].runs[0], smaller.runs[0]
    assert whole.non_embedding is not None
    assert half.non_embedding == smaller.sizing.reached
    assert smaller.sizing.reached == pytest.approx(whole.non_embedding / 2, rel=0.2)
    assert all(smaller.label not in (d.better, d.worse) for d in found.differences)
    assert found.scaling is not None
    (scaling,) = found.scaling.arms
    assert {run.size: len(run.points) for run in scaling.runs} == {
        whole.non_embedding: 3,
        half.non_embedding: 3,
    }
    size, loss = scaling.runs[0].points[-1]
    assert size == whole.flops and loss == whole.loss
    in_bits = judged(tmp_path / "out", replace(found, unit="bits per byte"), None).scaling
    assert in_bits is not None
    size, bits = in_bits.arms[0].runs[0].points[-1]
    assert size == whole.flops and bits == whole.bits_per_byte
    assert read_comparison(tmp_path / "out") == found


def test_copies_differ_in_their_first_weights_alone(base: RunConfig, tmp_path: Path) -> None:
    found = compare(arms(base, MLP, MLP, MLP), out=tmp_path / "out", seeds=[0, 1], workers=1)
    assert [arm.label for arm in found.arms] == [MLP, f"{MLP} (2)", f"{MLP} (3)"]
    assert [arm.copy for arm in found.plan.arms] == [0, 1, 2]
    losses = [run.loss for arm in found.arms for run in arm.runs]
    assert len(set(losses)) == 6
    given = [
        RunDirectory.open(tmp_path / "out" / arm.runs[1].run).record.given.training
        for arm in found.arms
    ]
    assert [training.seed for training in given] == [1, 1, 1]
    assert [training.init_seed for training in given] == [None, 1_000_001, 2_000_001]
    assert len({replace(training, init_seed=None) for training in given}) == 1


def test_arms_are_brought_to_one_size(base: RunConfig, tmp_path: Path) -> None:
    contest = arms(
        base, "gpt:context_length=16", "recurrent", "mlp:n_embd=4,n_hidden=16", "ngram:order=2"
    )
    found = compare(
        contest,
        out=tmp_path / "out",
        seeds=[0],
        workers=1,
        budget="2-steps",
        method=Method(parameters=20_000),
    )
    gpt, recurrent, mlp, ngram = found.arms
    for arm in (gpt, recurrent):
        assert arm.sizing is not None
        assert arm.sizing.changed
        assert (
            arm.runs[0].non_embedding == arm.sizing.reached == pytest.approx(20_000, rel=TOLERANCE)
        )
        assert not arm.notes
    assert mlp.sizing is not None
    assert mlp.runs[0].non_embedding == mlp.sizing.reached != 20_000
    assert any("its sizes (n_hidden, n_embd) are all given" in note for note in mlp.notes)
    assert ngram.sizing is None


def test_auto_takes_the_size_of_the_first(base: RunConfig, tmp_path: Path) -> None:
    contest = arms(base, "ngram:order=2", "recurrent:n_hidden=40", "mlp")
    found = compare(
        contest,
        out=tmp_path / "out",
        seeds=[0],
        workers=1,
        budget="2-steps",
        method=Method(parameters="auto"),
    )
    _, recurrent, mlp = (arm.runs[0].non_embedding for arm in found.arms)
    assert recurrent == found.plan.parameters
    assert mlp == pytest.approx(recurrent, rel=TOLERANCE)


@pytest.mark.parametrize(
    ("architecture", "target"),
    [
        ("gpt", 50_000),
        ("gpt2", 45_000),
        ("mlp", 33_333),
        ("recurrent", 77_777),
        ("tree_wavenet", 20_000),
        ("wavenet", 60_000),
    ],
)
def test_sizes_come_close_and_are_what_they_say(architecture: str, target: int) -> None:
    sized = size_to(architecture, {}, target, vocab_size=30)
    model = build(architecture, sized.fields, vocab_size=30, boundary_token=0)
    assert non_embedding_count(model) == sized.reached == pytest.approx(target, rel=TOLERANCE)


def test_fields_that_were_given_are_kept() -> None:
    assert "n_layer" not in size_to("gpt", {"n_layer": 6}, 100_000, vocab_size=30).fields
    with pytest.raises(ConfigError, match="all given"):
        size_to("recurrent", {"n_hidden": 4, "n_embd": 4}, 100_000, vocab_size=30)
    with pytest.raises(ConfigError, match="declares no `sizes`"):
        size_to("varda", {}, 100_000, vocab_size=30)


def test_embedding_and_head_do_not_count() -> None:
    small, large = (
        build("gpt", {"n_layer": 2, "n_embd": 32}, vocab_size=size, boundary_token=0)
        for size in (11, 5000)
    )
    assert non_embedding_count(small) == non_embedding_count(large) == 2 * 12 * 32 * 32


@pytest.mark.slow
def test_each_arm_is_trained_with_the_rate_that_was_found_for_it(
    base: RunConfig, tmp_path: Path
) -> None:
    contest = arms(
        base,
        RNN + ",training.learning_rate=0.00001,training.matrix_learning_rate=0.00001",
        MLP,
        MLP,
    )
    out = tmp_path / "out"
    found = compare(contest, out=out, seeds=[0], workers=1, method=Method(rates=3))
    slow, first, second = found.arms
    assert slow.search is not None
    assert slow.search.factor > 1
    assert first.search == second.search
    assert first.search is not None
    for arm, rate in ((slow, 1e-5), (first, 0.01)):
        assert arm.search is not None
        assert RunDirectory.open(
            out / arm.runs[0].run
        ).config.training.learning_rate == pytest.approx(rate * arm.search.factor)
    trained: list[str] = []
    again = compare(
        contest,
        out=out,
        seeds=[0, 1],
        workers=1,
        method=Method(rates=3),
        on_event=lambda e: trained.append(e.get("run", "")),
    )
    assert [arm.search for arm in again.arms] == [arm.search for arm in found.arms]
    assert not any("learning rate" in name for name in trained)
    assert len(again.arms[0].runs) == 2


@pytest.mark.slow
def test_two_workers_find_the_same(
    finished: tuple[Comparison, Path], base: RunConfig, tmp_path: Path
) -> None:
    found = compare(
        arms(base, MLP, RNN, "ngram:order=2"),
        out=tmp_path / "out",
        seeds=[0, 1],
        workers=2,
        method=POINTS,
    )
    assert figures(found) == figures(finished[0])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"points": 0}, "points is 0"),
        ({"points": 9}, "1 to 8"),
        ({"rates": -1}, "rates is -1"),
        ({"parameters": 0}, "parameters is 0"),
    ],
)
def test_a_method_that_makes_no_sense_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Method(**fields)
