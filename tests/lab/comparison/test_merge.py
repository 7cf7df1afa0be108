"""Parts of a comparison, brought together, are the comparison."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import ConfigError, RunError
from inklings.lab.comparison.compare import compare
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.merge import merge
from inklings.lab.comparison.result import Comparison
from inklings.lab.comparison.resume import save
from inklings.lab.comparison.settings import Method
from inklings.lab.report.page import write_report
from inklings.runs.arms import Arm, parse_arm
from inklings.runs.directory import RunDirectory

MLP = "mlp:n_embd=4,n_hidden=16,context_length=3"
RNN = "recurrent:n_embd=4,n_hidden=8"


pytestmark = pytest.mark.usefixtures("unaudited")


@pytest.fixture(scope="module")
def base(word_list: Path) -> RunConfig:
    training = TrainingConfig(
        budget="8-steps", batch_size=4, sequence_length=8, evaluations=2, samples=0, threads=1
    )
    return RunConfig(data=DataConfig(source=str(word_list)), training=training)


def make(base: RunConfig, out: Path, texts: list[str], seeds: list[int], points: int = 2) -> Path:
    arms: list[Arm] = [parse_arm(text, base=base) for text in texts]
    compare(arms, out=out, seeds=seeds, workers=1, method=Method(points=points))
    return out


def losses(
    comparison: Comparison,
) -> dict[tuple[str, int | None], tuple[float | None, list[float]]]:
    return {
        (arm.label, run.seed): (run.loss, [point.loss for point in run.points])
        for arm in comparison.arms
        for run in arm.runs
    }


@pytest.fixture(scope="module")
def parts(base: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Seeds on two machines, and an arm more on a third."""
    folder = tmp_path_factory.mktemp("parts")
    return [
        make(base, folder / "a", [MLP, "ngram:order=2"], [0, 1]),
        make(base, folder / "b", [MLP, "ngram:order=2"], [2]),
        make(base, folder / "c", [MLP, RNN], [0, 1, 2]),
    ]


@pytest.fixture(scope="module")
def undivided(base: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(
        base, tmp_path_factory.mktemp("whole") / "out", [MLP, "ngram:order=2", RNN], [0, 1, 2]
    )


@pytest.mark.slow
@pytest.mark.parametrize("order", [(2, 1, 0)])
def test_parts_together_are_the_whole(
    order: tuple[int, ...], parts: list[Path], undivided: Path, tmp_path: Path
) -> None:
    found, whole = merge([parts[i] for i in order], tmp_path / "out"), read_comparison(undivided)
    assert found.status == "complete"
    assert found.plan.seeds == [0, 1, 2]
    assert losses(found) == losses(whole)
    # what is said of equal time depends on the seconds that each run happened to take
    assert found.verdict is not None and whole.verdict is not None
    assert (found.verdict.headline, found.verdict.sentences[0]) == (
        whole.verdict.headline,
        whole.verdict.sentences[0],
    )
    assert [(d.better, d.worse, d.mean, d.p) for d in found.differences] == [
        (d.better, d.worse, d.mean, d.p) for d in whole.differences
    ]
    assert read_comparison(tmp_path / "out") == found
    for arm in found.arms:
        for run in arm.runs:
            assert not RunDirectory.open(tmp_path / "out" / run.run).check()
    assert write_report(tmp_path / "out").is_file()


@pytest.mark.slow
def test_a_part_is_added_to_a_folder_and_the_comparison_goes_on_there(
    parts: list[Path], base: RunConfig, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(parts[0], out)
    before = {path: read_comparison(path) for path in parts}
    assert merge([parts[1]], out).plan.seeds == [0, 1, 2]
    assert {path: read_comparison(path) for path in parts} == before, "the parts stay as they are"
    trained: list[str] = []
    more = compare(
        [parse_arm(text, base=base) for text in (MLP, "ngram:order=2")],
        out=out,
        seeds=[0, 1, 2, 3],
        workers=1,
        method=Method(points=2),
        on_event=lambda event: trained.append(event["run"]) if event["event"] == "start" else None,
    )
    assert trained == [f"{MLP} seed 3"]
    assert len(more.arms[0].runs) == 4


@pytest.mark.slow
def test_what_is_missing_is_said(parts: list[Path], tmp_path: Path) -> None:
    assert merge([parts[1], parts[2]], tmp_path / "out").status == "complete"
    lacking = merge([parts[0], parts[2]], tmp_path / "other")
    assert lacking.status == "complete", "an arm that counts has one run for all seeds"
    copy = tmp_path / "copy"
    shutil.copytree(parts[2], copy)
    found = read_comparison(copy)
    save(
        copy,
        replace(found, arms=[replace(found.arms[0], runs=found.arms[0].runs[:1]), found.arms[1]]),
    )
    assert merge([copy, parts[1]], tmp_path / "third").status == "interrupted"


@pytest.mark.slow
def test_other_comparisons_are_refused(parts: list[Path], base: RunConfig, tmp_path: Path) -> None:
    other = make(base, tmp_path / "other", [MLP, "ngram:order=2"], [0], points=1)
    with pytest.raises(RunError, match=r"points of the budget \(2 and 1\)"):
        merge([parts[0], other], tmp_path / "out")
    longer = replace(base, training=replace(base.training, budget="9-steps"))
    with pytest.raises(RunError, match="the budget"):
        merge(
            [parts[0], make(longer, tmp_path / "longer", [MLP, "ngram:order=2"], [0])],
            tmp_path / "out",
        )
    with pytest.raises(RunError, match="holds no comparison"):
        merge([parts[0], tmp_path / "nothing"], tmp_path / "out")
    with pytest.raises(ConfigError, match="at least two folders"):
        merge([parts[0]], tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="is not a comparison"):
        merge(parts, tmp_path / "full")
    assert not (tmp_path / "out").exists()
