"""lm-evaluation-harness itself, as it comes from the registry, against a server.

It finds what `/v1/score` finds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from inklings.cli.main import main
from inklings.runs.directory import RunDirectory
from inklings.serving.settings import ServeConfig
from tests.commands import TINY

from .conftest import Loop, serving

TASK = """\
task: last_letter
dataset_path: json
dataset_kwargs:
  data_files:
    test: {text}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{context}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: label
target_delimiter: ""
metric_list:
  - metric: acc
"""


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("lm_eval") is None, reason="lm-eval is not installed: the extra `heavy` brings it"
)
@pytest.mark.parametrize("tokenizer", ["byte", "bpe:300"])
def test_the_harness_finds_what_a_score_finds(tmp_path: Path, loop: Loop, tokenizer: str) -> None:
    """Two choices a question, of which the last letter decides.

    After each a text is likely to end.
    """
    words = ["a cat sat", "a dog ran", "no cat ran"]
    (tmp_path / "lines.txt").write_text("\n".join(words * 30))
    train = [
        "train",
        "ngram:order=4",
        "--data",
        str(tmp_path / "lines.txt"),
        "--tokenizer",
        tokenizer,
    ]
    assert main([*train, "--budget", "1-steps", "--run", str(tmp_path / "run"), *TINY]) == 0
    questions: list[dict[str, Any]] = [
        {"context": context, "choices": [f"{stem}{letter}" for letter in letters], "label": label}
        for context, stem, letters, label in [
            ("a cat", " sa", "xt", 1),
            ("a dog", " ra", "nx", 0),
            ("no cat ra", "", "xn", 1),
            ("a cat sa", "", "tx", 0),
            ("", "a ca", "xt", 1),
        ]
    ]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, questions)))
    (tmp_path / "last_letter.yaml").write_text(TASK.format(text=tmp_path / "test.jsonl"))
    runs = {"words": RunDirectory.open(tmp_path / "run")}
    with serving(loop, runs, ServeConfig(rows=8)) as url:
        settings = f"model=words,base_url={url}/v1/completions,tokenizer_backend=remote"
        command = [sys.executable, "-m", "lm_eval", "run", "--model", "local-completions"]
        command += [
            "--model_args",
            settings,
            "--tasks",
            "last_letter",
            "--include_path",
            str(tmp_path),
        ]
        command += ["--output_path", str(tmp_path / "out"), "--log_samples", "--batch_size", "3"]
        offline = {
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "HF_HOME": str(tmp_path / "hub"),
        }
        done = subprocess.run(
            command,
            env={**os.environ, **offline},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        scores = []
        for question in questions:
            both = [f"{question['context']}{choice}" for choice in question["choices"]]
            answer = httpx.post(f"{url}/v1/score", json={"model": "words", "input": both}).json()
            scores.append(
                [[token["logprob"] for token in each["tokens"]] for each in answer["data"]]
            )
            length = {"model": "words", "prompt": question["context"]}
            begins = httpx.post(f"{url}/tokenize", json=length).json()["count"]
            scores[-1] = [sum(values[begins:]) for values in scores[-1]]
    (results,) = (tmp_path / "out").rglob("results_*.json")
    assert json.loads(results.read_text())["results"]["last_letter"]["acc,none"] == 1.0
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    told = [json.loads(line) for line in samples.read_text().splitlines()]
    for sample in told:
        found = [float(value) for value, _ in sample["filtered_resps"]]
        assert found == pytest.approx(scores[sample["doc_id"]], abs=1e-4)
    assert len(told) == len(questions)
