"""`compare` on tiny runs.

It goes on where it stopped, grows, keeps faults apart, and refuses what is not its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inklings.config import DataConfig, RunConfig, TrainingConfig, to_mapping
from inklings.errors import ConfigError, InklingsError, RunError
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.events import TRACKERS_FOLDER, Event
from inklings.lab.comparison.arms import folder_name, unique_labels
from inklings.lab.comparison.compare import compare
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.plan import ArmPlan, Plan
from inklings.lab.comparison.records import read_record
from inklings.lab.comparison.result import Comparison
from inklings.lab.comparison.resume import conflicts, refuse_foreign
from inklings.lab.comparison.text_facts import describe_text
from inklings.lab.execution.run_arm import ArmRun, score
from inklings.lab.report.page import write_report
from inklings.lab.report.table import rank
from inklings.runs.arms import Arm, parse_arm
from inklings.runs.directory import RunDirectory
from inklings.text.store import prepare
from inklings.training.train import train
from tests.brief import whole_comparisons
from tests.built import as_sequence_model

BROKEN = """
from inklings.models.mlp import MLP, MLPConfig


class Broken(MLP):
    Config = MLPConfig

    def forward(self, tokens, state=None, *, starts=None):
        if self.training and tokens.shape[1] > 5:  # not where it is tried beforehand
            raise RuntimeError("this one <breaks>")
        return super().forward(tokens, state, starts=starts)
"""

NOT_A_NUMBER = """
from dataclasses import replace

from inklings.models.mlp import MLP, MLPConfig


class Broken(MLP):
    Config = MLPConfig

    def forward(self, tokens, state=None, *, starts=None):
        output = super().forward(tokens, state, starts=starts)
        # not where it is tried beforehand
        return replace(output, logits=output.logits * float("nan" if tokens.shape[1] != 5 else 1))
"""

MLP_ARM = "mlp:n_embd=4,n_hidden=8,context_length=3"
WIDE_ARM = "mlp:n_embd=6,n_hidden=12,context_length=3"


@pytest.fixture(scope="module")
def base(word_list: Path) -> RunConfig:
    training = TrainingConfig(
        budget="6-steps", batch_size=4, sequence_length=8, evaluations=2, samples=0, threads=1
    )
    return RunConfig(data=DataConfig(source=str(word_list)), training=training)


def arms(base: RunConfig, *texts: str) -> list[Arm]:
    return [parse_arm(text, base=base) for text in texts]


class Log:
    """Keeps events, and may interrupt at one."""

    def __init__(self, interrupt: Callable[[Event], bool] | None = None) -> None:
        self.events: list[Event] = []
        self.interrupt = interrupt

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if self.interrupt is not None and self.interrupt(event):
            raise KeyboardInterrupt

    @property
    def trained(self) -> list[str]:
        return [event["run"] for event in self.events if event["event"] == "start"]

    @property
    def notes(self) -> list[str]:
        return [event["text"] for event in self.events if event["event"] == "note"]


def losses(comparison: Comparison) -> dict[tuple[str, int | None], float | None]:
    return {(arm.label, run.seed): run.loss for arm in comparison.arms for run in arm.runs}


@pytest.fixture(scope="module")
def finished(base: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path]:
    out = tmp_path_factory.mktemp("compare") / "out"
    return (
        compare(
            arms(base, "ngram:order=2", MLP_ARM, WIDE_ARM),
            out=out,
            seeds=[0, 1],
            workers=1,
            command="inklings compare ...",
        ),
        out,
    )


def test_every_arm_is_trained_with_every_seed_and_scored_on_the_test_split(
    finished: tuple[Comparison, Path], base: RunConfig
) -> None:
    comparison, out = finished
    assert (comparison.status, comparison.split, comparison.unit) == (
        "complete",
        "test",
        "nats per token",
    )
    assert sorted(losses(comparison)) == sorted(
        [("ngram:order=2", 0), (MLP_ARM, 0), (MLP_ARM, 1), (WIDE_ARM, 0), (WIDE_ARM, 1)]
    )
    store = prepare(base.data)
    for arm in comparison.arms:
        for run in arm.runs:
            assert run.status == "done", run.message
            model = as_sequence_model(RunDirectory.open(out / run.run).load_model())
            assert run.loss == pytest.approx(evaluate(model, store.split("test")).loss, abs=1e-6)
    assert read_comparison(out) == comparison


def test_a_counted_arm_runs_once_and_says_so(finished: tuple[Comparison, Path]) -> None:
    ngram = finished[0].arms[0]
    assert (ngram.kind, len(ngram.runs)) == ("counted", 1)
    assert "one run stands for all" in ngram.notes[0]
    assert finished[0].differences[0].evidence == "seeds"


def test_all_runs_get_the_same_budget_text_and_way_of_computing(
    finished: tuple[Comparison, Path],
) -> None:
    comparison, out = finished
    settings = [
        RunDirectory.open(out / run.run).config for arm in comparison.arms for run in arm.runs
    ]
    assert {
        (c.training.budget, c.training.precision, c.training.compile, c.training.threads)
        for c in settings
    } == {("6-steps", "float32", "off", 1)}
    assert len({repr(c.data) for c in settings}) == 1
    assert {run.tokens for arm in comparison.arms[1:] for run in arm.runs} == {6 * 4 * 8}


def test_samples_are_written_once_for_each_arm(finished: tuple[Comparison, Path]) -> None:
    comparison, out = finished
    for arm in comparison.arms:
        counts = [len(read_record(out / run.results).samples) for run in arm.runs if run.results]
        assert counts[0] == 10
        assert not any(counts[1:])


def test_the_same_call_again_does_nothing_again(
    finished: tuple[Comparison, Path], base: RunConfig
) -> None:
    comparison, out = finished
    times = {
        path: path.stat().st_mtime_ns
        for path in out.rglob("*")
        if path.is_file() and path.name != "comparison.json"
    }
    log = Log()
    again = compare(
        arms(base, "ngram:order=2", MLP_ARM, WIDE_ARM),
        out=out,
        seeds=[0, 1],
        workers=1,
        command="inklings compare ...",
        on_event=log,
    )
    assert again == comparison
    assert log.trained == []
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_an_interrupted_comparison_goes_on_and_ends_the_same(
    finished: tuple[Comparison, Path], base: RunConfig, tmp_path: Path
) -> None:
    undisturbed, _ = finished
    out, contest = tmp_path / "out", arms(base, "ngram:order=2", MLP_ARM, WIDE_ARM)
    log = Log(lambda event: event["event"] == "evaluation" and event["run"] == f"{WIDE_ARM} seed 0")
    stopped = compare(contest, out=out, seeds=[0, 1], workers=1, on_event=log)
    assert stopped.status == read_comparison(out).status == "interrupted"
    assert sorted(losses(stopped)) == sorted([("ngram:order=2", 0), (MLP_ARM, 0)])
    assert "The same command goes on" in log.notes[-1]
    log = Log()
    complete = compare(contest, out=out, seeds=[0, 1], workers=1, on_event=log)
    assert complete.status == "complete"
    assert f"{MLP_ARM} seed 0" not in log.trained
    assert losses(complete) == losses(undisturbed)
    assert complete.differences == undisturbed.differences
    assert complete.verdict == undisturbed.verdict


def test_seeds_and_arms_can_be_added(base: RunConfig, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = compare(arms(base, MLP_ARM, WIDE_ARM), out=out, seeds=[0], workers=1)
    log = Log()
    grown = compare(
        arms(base, WIDE_ARM, MLP_ARM, "ngram:order=1"), out=out, seeds=[1], workers=1, on_event=log
    )
    assert grown.plan.seeds == [0, 1]
    assert sorted(log.trained) == sorted(
        [f"{MLP_ARM} seed 1", f"{WIDE_ARM} seed 1", "ngram:order=1 seed 0"]
    )
    assert all(losses(grown)[key] == loss for key, loss in losses(first).items())


@pytest.mark.parametrize("change", ["budget", "data", "arm", "missing"])
def test_another_comparison_in_the_folder_is_not_touched(
    change: str, finished: tuple[Comparison, Path], base: RunConfig
) -> None:
    comparison, out = finished
    texts = ["ngram:order=2", MLP_ARM, WIDE_ARM]
    options: dict[str, Any] = {}
    words = {
        "budget": "budget \\(6-steps, now 7-steps\\)",
        "data": "data.split_seed \\(42, now 1\\)",
        "arm": "settings of",
        "missing": "missing now",
    }
    contest = arms(base, *texts[: 2 if change == "missing" else 3])
    if change == "budget":
        options["budget"] = "7-steps"
    if change == "data":
        options["data"] = replace(base.data, split_seed=1)
    if change == "arm":
        assert contest[1].config is not None
        contest[1] = replace(
            contest[1],
            config=replace(contest[1].config, model={**contest[1].config.model, "n_hidden": 9}),
        )
    with pytest.raises(RunError, match=words[change]):
        compare(contest, out=out, seeds=[0, 1], workers=1, **options)
    assert read_comparison(out) == comparison


def test_a_plan_from_before_a_setting_existed_goes_on(base: RunConfig) -> None:
    data = json.loads(json.dumps(to_mapping(base.data)))
    earlier = {
        name: value
        for name, value in data.items()
        if name not in ("min_known", "min_length", "max_length")
    }
    training = json.loads(json.dumps(to_mapping(base.training)))
    del training["seed"]
    before, now = (
        Plan(
            arms=[ArmPlan(label="a", config={"data": d, "training": t})],
            seeds=[0],
            data=d,
            budget="6-steps",
        )
        for d, t in (
            (earlier, {name: value for name, value in training.items() if name != "init_seed"}),
            (data, training),
        )
    )
    assert conflicts(before, now) == []
    changed = replace(now, data={**data, "min_known": 0.8})
    assert conflicts(before, changed) == ["data.min_known (0.0, now 0.8)"]


def test_a_report_says_which_documents_were_left_out(base: RunConfig) -> None:
    store = prepare(replace(base.data, min_length=7))
    facts = describe_text(store)["facts"]
    dropped = store.manifest["splits"]["train"]["dropped"]["min_length"]
    assert dropped > 0
    assert f"training documents dropped: {dropped:,} shorter than 7 tokens" in facts["Left out"]
    assert "Left out" not in describe_text(prepare(base.data))["facts"]


def test_a_lost_comparison_file_is_made_again_from_the_runs(
    base: RunConfig, tmp_path: Path
) -> None:
    out, contest = tmp_path / "out", arms(base, MLP_ARM, WIDE_ARM)
    first = compare(contest, out=out, seeds=[0], workers=1)
    (out / "comparison.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        compare(contest, out=out, seeds=[0], workers=1)
    (out / "comparison.json").unlink()
    log = Log()
    again = compare(contest, out=out, seeds=[0], workers=1, on_event=log)
    assert (again.arms, again.verdict, log.trained) == (first.arms, first.verdict, [])


def test_a_folder_with_something_else_is_refused(base: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(RunError, match="is not a comparison"):
        compare(arms(base, MLP_ARM, WIDE_ARM), out=tmp_path, seeds=[0], workers=1)


def test_a_comparison_that_was_killed_before_its_first_word_goes_on(tmp_path: Path) -> None:
    (tmp_path / TRACKERS_FOLDER).mkdir()  # what a tracker is told goes there from the first run on
    refuse_foreign(tmp_path)


def test_an_arm_that_fails_is_shown_and_the_others_go_on(base: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BROKEN)
    contest = arms(base, f"{tmp_path / 'mine.py'}:Broken:n_embd=4,n_hidden=8", MLP_ARM, WIDE_ARM)
    comparison = compare(contest, out=tmp_path / "out", seeds=[0], workers=1)
    assert comparison.status == "complete"
    assert [(label, run.status) for label, run in comparison.failed] == [
        ("mine.py:Broken:n_embd=4,n_hidden=8", "failed")
    ]
    assert "this one <breaks>" in (comparison.failed[0][1].message or "")
    assert [run.status for arm in comparison.arms[1:] for run in arm.runs] == ["done", "done"]
    assert comparison.verdict is not None
    assert "Not ranked: mine.py:Broken" in comparison.verdict.sentences[-1]
    log = Log()
    compare(contest, out=tmp_path / "out", seeds=[0], workers=1, on_event=log)
    assert not any(MLP_ARM in run for run in log.trained), "the second call tries only what failed"


def test_an_existing_run_is_scored_as_it_is(
    finished: tuple[Comparison, Path], base: RunConfig, tmp_path: Path
) -> None:
    comparison, out = finished
    run = out / comparison.arms[1].runs[0].run
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    found = compare(
        [Arm("old", run=run), *arms(base, WIDE_ARM)],
        out=tmp_path / "new",
        seeds=[0],
        workers=1,
        data=base.data,
    )
    old = found.arms[0]
    assert (old.kind, old.runs[0].seed, old.runs[0].loss) == (
        "as it is",
        None,
        comparison.arms[1].runs[0].loss,
    )
    assert "a budget of its own" in old.notes[0]
    assert not any("may have seen" in note for note in old.notes)
    assert found.differences[0].evidence == "documents"
    assert before == {path: path.read_bytes() for path in before}


def test_other_tokens_are_compared_in_bits_per_byte_and_other_text_is_said(
    finished: tuple[Comparison, Path], base: RunConfig, tmp_path: Path
) -> None:
    comparison, out = finished
    run = out / comparison.arms[1].runs[0].run
    data = replace(base.data, tokenizer="byte", split_seed=3)
    found = compare(
        [Arm("old", run=run), *arms(base, WIDE_ARM)],
        out=tmp_path / "new",
        seeds=[0],
        workers=1,
        data=data,
    )
    assert found.unit == "bits per byte"
    assert any("another tokenizer" in note for note in found.arms[0].notes)
    (known,) = [note for note in found.arms[0].notes if "split its own way" in note]
    counted = re.search(r"([\d,]+) of the [\d,]+ held-out documents are among those", known)
    assert counted is not None and int(counted[1].replace(",", "")) > 0
    assert found.differences[0].mean == pytest.approx(
        abs((found.arms[0].runs[0].bits_per_byte or 0) - (found.arms[1].runs[0].bits_per_byte or 0))
    )


def test_an_arm_without_a_likelihood_is_not_ranked(base: RunConfig, tmp_path: Path) -> None:
    store = prepare(base.data)
    (arm,) = arms(base, "one_shot:context_length=8,n_hidden=8")
    assert arm.config is not None
    run = tmp_path / "run"
    train(arm.config, run, store=store)
    job = ArmRun(
        arm="gan",
        seed=0,
        config=None,
        out=tmp_path,
        run=run,
        results="results/gan",
        store=store.path,
        split="test",
        first=True,
    )
    result = score(job, store)
    assert (result.status, result.loss) == ("not ranked", None)
    assert "no likelihood" in (result.message or "")
    assert len(read_record(tmp_path / "results/gan").samples) == 10


def test_text_without_a_test_part_is_ranked_on_validation(base: RunConfig, tmp_path: Path) -> None:
    data = replace(base.data, split=(0.8, 0.2, 0.0))
    assert (
        compare(
            arms(base, MLP_ARM, WIDE_ARM), out=tmp_path / "o", seeds=[0], workers=1, data=data
        ).split
        == "validation"
    )


@pytest.mark.slow
def test_two_workers_find_the_same_losses(
    finished: tuple[Comparison, Path], base: RunConfig, tmp_path: Path
) -> None:
    contest = arms(base, "ngram:order=2", MLP_ARM, WIDE_ARM)
    found = compare(contest, out=tmp_path / "out", seeds=[0, 1], workers=2)
    assert losses(found) == losses(finished[0])


@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        (["mlp"], {}, "at least two"),
        (["ngram", "ngram"], {}, "named twice, and counting"),
        (["mlp", "ngram"], {"seeds": [10**6]}, "too large"),
        (["mlp", "ngram"], {"seeds": [1, 1]}, "different whole numbers"),
        (["mlp", "ngram"], {"seeds": []}, "at least one"),
        (["mlp", "ngram"], {"workers": 0}, "workers is 0"),
        (["mlp", "ngram"], {"budget": "much"}, "much"),
    ],
)
def test_wrong_requests_are_refused_before_any_work(
    texts: Sequence[str], options: dict[str, Any], words: str, base: RunConfig, tmp_path: Path
) -> None:
    with pytest.raises(InklingsError, match=words) as error:
        compare(arms(base, *texts), out=tmp_path / "out", **{"seeds": [0], **options})
    assert isinstance(error.value, ConfigError)
    assert not (tmp_path / "out").exists()


def test_labels_and_their_folders_are_unique() -> None:
    labels = unique_labels([Arm("gpt"), Arm("gpt"), Arm("GPT"), Arm("a:b=1"), Arm("a b=1")])
    assert labels[:3] == ["gpt", "gpt (2)", "GPT (3)"]
    folders = [folder_name(label) for label in labels]
    assert len({folder.lower() for folder in folders}) == 5
    assert all(
        set(folder) <= set("abcdefghijklmnopqrstuvwxyzGPT0123456789._=,+-") for folder in folders
    )
    assert folder_name("../..") == "arm"


LEAKY_ARM = (
    "wavegpt:fusion=leaky_broadcast,n_layer=1,n_head=2,n_embd=8,wave_layers=2,context_length=4"
)


@pytest.mark.slow
def test_who_fails_its_audit_is_shown_but_not_ranked(base: RunConfig, tmp_path: Path) -> None:
    log = Log()
    with whole_comparisons():
        comparison = compare(
            arms(base, LEAKY_ARM, MLP_ARM, WIDE_ARM), out=tmp_path / "c", seeds=[0, 1], on_event=log
        )
    leaky, honest, _ = comparison.arms
    assert leaky.done and {finding.check for finding in leaky.dishonest} >= {
        "causality",
        "prefixes",
    }
    assert honest.audit and honest.runs[0].audit and not honest.dishonest
    assert all(leaky.label not in (d.better, d.worse) for d in comparison.differences)
    row = rank(comparison)[-1]
    assert row.arm.label == leaky.label and row.rank is None and row.value is not None
    assert comparison.verdict is not None and "fails its audit" in " ".join(
        comparison.verdict.sentences
    )
    assert any("will not be ranked" in note for note in log.notes)
    page = write_report(tmp_path / "c").read_text()
    assert "the future enters in view" in page
    again = compare(
        arms(base, LEAKY_ARM, MLP_ARM, WIDE_ARM),
        out=tmp_path / "c",
        seeds=[0, 1],
        on_event=(second := Log()),
    )
    assert again.arms == comparison.arms
    assert not any("auditing" in note for note in second.notes)


@pytest.mark.slow
def test_figures_of_an_audit_that_are_not_finite_can_be_written(
    base: RunConfig, tmp_path: Path
) -> None:
    (tmp_path / "nan.py").write_text(NOT_A_NUMBER)
    with whole_comparisons():
        comparison = compare(
            arms(base, f"{tmp_path / 'nan.py'}:Broken", MLP_ARM), out=tmp_path / "c", seeds=[0]
        )
    assert {finding.check for finding in comparison.arms[0].dishonest} >= {"contract", "prefixes"}
    assert read_comparison(tmp_path / "c").arms[0].audit


@pytest.mark.slow
def test_an_existing_run_is_audited_as_it_is(base: RunConfig, tmp_path: Path) -> None:
    first = compare(arms(base, LEAKY_ARM, MLP_ARM), out=tmp_path / "c", seeds=[0])
    runs = [str(tmp_path / "c" / run.run) for arm in first.arms for run in arm.runs]
    compared = compare(arms(base, *runs), out=tmp_path / "d", seeds=[0], data=base.data)
    assert [bool(arm.dishonest) for arm in compared.arms] == [True, False]
