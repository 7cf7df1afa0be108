"""The page of single runs: its curves are those of the metrics.

It needs nothing but the runs.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inklings.cli.main import main
from inklings.durable import read_checked_json, write_checked_json
from inklings.lab.report import page
from inklings.lab.report.chart import Figure
from inklings.lab.report.export import SUFFIXES
from inklings.lab.report.of_runs.improvement import MOMENTS, spread
from inklings.lab.report.of_runs.run_chart import evaluation_rows, step_rows
from inklings.lab.report.of_runs.run_page import headline, write_run_report
from inklings.lab.report.of_runs.run_section import RunsShown, make_run_sections
from inklings.lab.report.of_runs.run_view import labels_of, read_runs
from inklings.lab.report.sections.settings import SettingTables
from inklings.runs.directory import CONFIG, RunDirectory
from tests.commands import GAN, TINY, words

GPT = "gpt:n_layer=1,n_head=2,n_embd=16,context_length=16"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that predict, and one with a critic."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "words.txt").write_text(words(200) + "\n<script>alert(1)</script>\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(page, "chart_script", lambda: "")
        for name, arm, budget in (("one", GPT, 24), ("two", GPT, 12), ("gan", GAN, 4)):
            flags = ["--training.batch-size", "4", "--training.evaluations", "3"]
            flags += ["--training.samples", "2", "--data", str(folder / "words.txt")]
            run = ["--budget", f"{budget}-steps", "--run", str(folder / name), "--no-report"]
            assert main(["train", arm, *TINY, *flags, *run]) == 0
    return folder


@pytest.fixture(autouse=True)
def no_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the script that draws: bundling it takes a second."""
    monkeypatch.setattr(page, "chart_script", lambda: "")


def shown(folder: Path, *names: str, window: int | None = None) -> RunsShown:
    return RunsShown(read_runs([folder / name for name in names]), window)


def datasets(html: str) -> dict[str, Any]:
    begin = html.index('id="report-data">') + len('id="report-data">')
    found: dict[str, Any] = json.loads(html[begin : html.index("</script>", begin)])["datasets"]
    return found


def test_curves_are_those_of_the_metrics(folder: Path) -> None:
    (run,) = read_runs([folder / "one"])
    events = RunDirectory.open(folder / "one").metrics()
    steps = [event for event in events if event["event"] == "step"]
    smoothed, raw, window = step_rows(run, "loss", "training", 6)
    assert window == 6
    assert [row["step"] for row in raw] == [step["step"] for step in steps]
    assert [row["value"] for row in raw] == pytest.approx([s["loss"] for s in steps], rel=1e-5)
    assert [row["step"] for row in smoothed] == [6, 12, 18, 24]
    assert smoothed[0]["value"] == pytest.approx(sum(s["loss"] for s in steps[:6]) / 6, rel=1e-5)
    found = evaluation_rows(run, "train_accuracy", "training, scored")
    told = [event["train_accuracy"] for event in events if event["event"] == "evaluation"]
    assert [row["value"] for row in found] == pytest.approx(told, rel=1e-5)


def test_a_short_last_window_is_not_drawn(folder: Path) -> None:
    (run,) = read_runs([folder / "one"])
    assert [row["step"] for row in step_rows(run, "loss", "training", 11)[0]] == [11, 22]
    assert [row["step"] for row in step_rows(run, "loss", "training", 15)[0]] == [15, 24]
    assert [row["step"] for row in step_rows(run, "loss", "training", 99)[0]] == [24]


def test_each_kind_of_run_has_its_sections(folder: Path) -> None:
    def figures(name: str) -> dict[str, list[str]]:
        sections = make_run_sections(shown(folder, name))
        return {section.name: [figure.name for figure in section.figures] for section in sections}

    predicting, adversarial = figures("one"), figures("gan")
    assert predicting["learning"] == ["loss", "accuracy"]
    assert predicting["steps"] == ["learning_rate", "gradient_norm"]
    assert "adversary" not in predicting
    assert adversarial["adversary"] == ["divergence", "losses", "gap", "penalty"]
    assert "learning" not in adversarial
    for found in (predicting, adversarial):
        assert {"cost", "samples", "layers", "settings"} <= set(found)
        assert "audit" not in found


def figure_of(page_of: RunsShown, name: str) -> Figure:
    return next(
        figure
        for section in make_run_sections(page_of)
        for figure in section.figures
        if figure.name == name
    )


def test_each_series_of_the_adversary_is_its_own_figure_of_the_steps(folder: Path) -> None:
    page_of = shown(folder, "one", "gan", window=1)
    rows = figure_of(page_of, "losses").data["losses_lines"]
    assert {row["arm"] for row in rows} == {"gan"}, "only runs with a critic are drawn"
    for series, name in (("critic", "loss"), ("generator", "generator_loss")):
        found = [row["value"] for row in rows if row["series"] == series]
        assert found == pytest.approx([step[name] for step in page_of.runs[1].steps], rel=1e-5)  # type: ignore[literal-required]


def test_norms_are_in_powers_of_ten_unless_one_is_zero(folder: Path) -> None:
    def scale(page_of: RunsShown) -> dict[str, Any]:
        layer = figure_of(page_of, "gradient_norm").first["layer"][0]
        found: dict[str, Any] = layer["encoding"]["y"]["scale"]
        return found

    page_of = shown(folder, "one")
    assert scale(page_of)["type"] == "log"
    page_of.runs[0].steps[3]["gradient_norm"] = 0.0
    assert "type" not in scale(page_of)


def test_the_page_of_a_run_needs_no_figures_beside_it(folder: Path, tmp_path: Path) -> None:
    html = write_run_report([folder / "one"], tmp_path, figures=False).read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html"]
    assert "figures/" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert {row["arm"] for row in datasets(html)["loss_lines"]} == {"one"}


def test_the_page_of_several_runs_tells_them_apart(folder: Path, tmp_path: Path) -> None:
    html = write_run_report([folder / "one", folder / "two"], tmp_path, window=4).read_text()
    assert {row["arm"] for row in datasets(html)["loss_lines"]} == {"one", "two"}
    assert html.count("data-arm=") == 2
    files = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {f"loss.{suffix}" for suffix in SUFFIXES} <= files
    assert (tmp_path / "figures" / "loss.pdf").read_bytes().startswith(b"%PDF")
    assert all(f'href="figures/loss.{suffix}"' in html for suffix in SUFFIXES)


def test_text_of_a_run_is_escaped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page_of = shown(folder, "one")
    for event in page_of.runs[0].samples:
        event["texts"] = ["<script>alert(1)</script>"]
    from inklings.lab.report.of_runs import run_page

    monkeypatch.setattr(run_page, "read_runs", lambda paths, **_: page_of.runs)
    html = write_run_report([folder / "one"], tmp_path, figures=False).read_text()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_an_unfinished_run_and_other_texts_are_said(folder: Path, tmp_path: Path) -> None:
    html = write_run_report([folder / "one", folder / "gan"], tmp_path, figures=False).read_text()
    assert "measured in different units" in html
    assert "not complete" not in html


def test_no_run_is_called_the_lowest_where_texts_differ(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = shown(folder, "one", "two").runs
    assert "The lowest figure" in headline(runs)
    monkeypatch.setitem(
        vars(runs[1].directory), "record", replace(runs[1].directory.record, data="?")
    )
    assert "own text" in headline(runs)


def test_windows_of_one_step_are_said_to_smooth_nothing(folder: Path) -> None:
    captions = {
        window: figure_of(shown(folder, "one", window=window), "loss").caption for window in (1, 4)
    }
    assert captions[1].startswith("A window is one step: smoothed is raw.")
    assert captions[4].startswith("Smoothed: means over windows of 4 steps.")


def test_moments_are_spread_from_the_first_to_the_last() -> None:
    events: list[Any] = [{"event": "sample", "step": step, "texts": []} for step in range(20)]
    assert [event["step"] for event in spread(events)] == [0, 4, 8, 11, 15, 19]
    assert len(spread(events)) == MOMENTS
    assert spread(events[:1]) == events[:1]
    assert spread(events[:3]) == events[:3]


def test_names_are_as_short_as_tells_them_apart(tmp_path: Path) -> None:
    assert labels_of([Path("a/x"), Path("a/y")]) == ["x", "y"]
    assert labels_of([Path("a/x"), Path("b/x")]) == ["a/x", "b/x"]
    assert len(set(labels_of([Path("a/x"), Path("a/x")]))) == 2


def test_train_ends_with_the_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    data = ["--data", str(folder / "words.txt"), "--training.batch-size", "4"]
    train = ["train", GPT, *TINY, *data, "--budget", "2-steps", "--run", str(run), "--json"]
    assert main(train) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(run / "report.html")
    assert (run / "report.html").is_file()
    assert not (run / "figures").exists()
    assert RunDirectory.open(run).check() == []


def test_the_verb_refuses_what_does_not_belong(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused: list[tuple[Callable[[], int], str]] = [
        (lambda: main(["report"]), "a directory is missing"),
        (lambda: main(["report", str(tmp_path), "--window", "3"]), "is not a run"),
        (lambda: main(["report", str(folder / "one"), str(tmp_path)]), "is not a run"),
    ]
    for call, says in refused:
        assert call() == 2
        assert says in " ".join(capsys.readouterr().err.split())


def test_the_settings_show_the_layout_that_the_text_has(folder: Path, tmp_path: Path) -> None:
    def settings(*names: str) -> SettingTables:
        sections = make_run_sections(shown(tmp_path, *names))
        (content,) = [section.content for section in sections if section.name == "settings"]
        assert isinstance(content, SettingTables)
        return content

    for name in ("one", "two"):
        shutil.copytree(folder / name, tmp_path / name)
    assert settings("one").shared["data.layout"] == "lines", "and not that it was left open"
    content = read_checked_json(tmp_path / "two" / CONFIG)
    write_checked_json(tmp_path / "two" / CONFIG, {**content, "layout": "documents"})
    apart = settings("one", "two").own
    assert [apart[name]["data.layout"] for name in ("one", "two")] == ["lines", "documents"]
    del content["layout"]
    write_checked_json(tmp_path / "two" / CONFIG, content)
    assert settings("two").shared["data.layout"] == "auto", "of a run from before"
