from __future__ import annotations

import functools
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inklings import resume, train
from inklings.auditing.subjects import of_architecture, of_run
from inklings.cli.main import main
from inklings.config import RunConfig, TrainingConfig
from inklings.errors import ArchitectureError
from inklings.lab.comparison.compare import compare
from inklings.runs.arms import Arm
from inklings.runs.directory import RunDirectory
from inklings.serving.process.process_pool import start
from inklings.training.find_lr import find_lr
from inklings.training.plan import plan_run
from inklings.values import from_mapping
from tests.recipes.pages import RECIPES, add
from tests.serving.engine_thread import in_thread

SMALL = RunConfig(
    model={"n_embd": 4, "context_length": 8},
    training=TrainingConfig(batch_size=4, evaluations=2, threads=1, budget="40-steps"),
)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """Settings of the page's model, with the page's objective there for the rest of the test."""
    assert add("objective.md", monkeypatch) == ["masked"]
    page = (RECIPES / "objective.md").read_text(encoding="utf-8")
    found = re.search(r"^```python\n(# fill_in\.py\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    (tmp_path / "fill_in.py").write_text(found[1], encoding="utf-8")
    text = tmp_path / "text.txt"
    text.write_text("abcdefgh\nhgfedcba\n" * 60, encoding="utf-8")
    data = from_mapping(type(SMALL.data), {"source": str(text), "tokenizer": "char"}, where="x")
    return replace(SMALL, architecture=f"{tmp_path / 'fill_in.py'}:FillIn", data=data)


def test_a_new_objective_is_trained_and_resumed(config: RunConfig, tmp_path: Path) -> None:
    whole = train(config, tmp_path / "whole")
    assert whole.unit == "nats per hidden token"
    first, *_, last = [
        event
        for event in RunDirectory.open(tmp_path / "whole").metrics()
        if event["event"] == "evaluation"
    ]
    assert last["loss"] < first["loss"]

    constant = replace(config, training=replace(config.training, schedule="constant", warmup=0.0))
    train(constant, tmp_path / "all")
    half = replace(constant, training=replace(constant.training, budget="20-steps"))
    train(half, tmp_path / "half")
    assert resume(tmp_path / "half", budget="40-steps").steps == 40
    ends = [
        RunDirectory.open(tmp_path / name).load_model("last").state_dict()
        for name in ("all", "half")
    ]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])

    assert plan_run(config).memory is None
    assert find_lr(config, steps=60).suggestion > 0


def test_the_command_trains_it_and_says_its_figure_in_its_own_unit(
    config: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        *["train", config.architecture, "--run", str(tmp_path / "run"), "--budget", "2-steps"],
        *["--data.source", config.data.source, "--data.tokenizer", "char"],
        *["--training.evaluations", "1", "--training.threads", "1", "--model.context-length", "8"],
    ]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert re.search(r"validation loss \d\.\d+ nats per hidden token", said)
    assert "accuracy" not in said
    assert "next:" not in said, "no verb uses what it learned"
    *_, last = RunDirectory.open(tmp_path / "run").metrics()
    assert last["event"] == "end"


@pytest.mark.parametrize(
    "command",
    [
        "evaluate RUN",
        "evaluate RUN --samples 60",
        "generate RUN --samples 2",
        "audit RUN",
        "memory RUN info",
        "serve RUN --port 0",
        "compare RUN ngram --data TEXT --budget 2-steps --seeds 1 --out OUT --workers 1",
        "compare FILE ngram --data TEXT --budget 2-steps --seeds 1 --out OUT --workers 1",
        "sweep FILE --data TEXT --budget 2-steps --trials 1 --out OUT --workers 1",
        "train FILE --data TEXT --budget 2-steps --run OUT --find-batch-size",
    ],
)
def test_verbs_that_need_more_say_why_in_one_message(
    config: RunConfig,
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a process of its own would not have what the page adds
    in_threads = functools.partial(start, launch=in_thread)
    monkeypatch.setattr("inklings.serving.process.server.start", in_threads)
    train(config, tmp_path / "run")
    names = {
        "RUN": str(tmp_path / "run"),
        "FILE": config.architecture,
        "TEXT": config.data.source,
        "OUT": str(tmp_path / "out"),
    }
    capsys.readouterr()
    assert main([names.get(word, word) for word in command.split()]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("inklings: ") == 1
    assert "inklings: FillIn fills in hidden tokens" in said
    assert not (tmp_path / "out").exists()


def test_functions_that_need_more_say_why_they_do_not_apply(
    config: RunConfig, tmp_path: Path
) -> None:
    train(config, tmp_path / "run")
    with pytest.raises(ArchitectureError, match="FillIn fills in hidden tokens"):
        of_run("run", RunDirectory.open(tmp_path / "run"), None)
    with pytest.raises(ArchitectureError, match="an audit needs one of the two"):
        of_architecture("arm", config, None)
    counts = replace(config, architecture="ngram", model={"order": 2})
    arms = [Arm(label="masked", config=config), Arm(label="ngram", config=counts)]
    with pytest.raises(ArchitectureError, match="a comparison needs one of the two"):
        compare(
            arms,
            data=config.data,
            budget="2-steps",
            seeds=[0],
            out=tmp_path / "out",
        )
