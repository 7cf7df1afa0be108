"""lm-evaluation-harness itself, as it comes from the registry.

Against a server it finds what `/v1/score` finds; of a run it finds the same in three ways.
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
import torch

from inklings.cli.main import main
from inklings.runs.directory import RunDirectory
from inklings.serving.settings import ServeConfig
from tests.built import as_sequence_model
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


HELD_OUT = """\
task: held_out
dataset_path: json
dataset_kwargs:
  data_files:
    test: {text}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: bits_per_byte
"""
PAIRS = """\
task: pairs
dataset_path: json
dataset_kwargs:
  data_files:
    test: {text}
test_split: test
output_type: multiple_choice
doc_to_text: ""
doc_to_target: 0
doc_to_choice: "{{{{[good, bad]}}}}"
metric_list:
  - metric: acc
"""
"""Minimal pairs, in the form of BLiMP's."""
GO_ON = """\
task: go_on
dataset_path: json
dataset_kwargs:
  data_files:
    test: {text}
test_split: test
output_type: generate_until
doc_to_text: "{{{{text}}}}"
doc_to_target: ""
generation_kwargs:
  until: ["t"]
  max_gen_toks: 12
metric_list:
  - metric: exact_match
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("lm_eval") is None,
        reason="lm-eval is not installed: the extra `lm-eval` brings it",
    ),
]


def ask_harness(
    tmp_path: Path, command: list[str], tasks: str, flags: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """Let the harness do some tasks, and return what it logs of each, in order of the documents."""
    out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
    done = subprocess.run(
        [
            *(sys.executable, "-m", *command, *flags, "--tasks", tasks),
            *("--include_path", str(tmp_path), "--output_path", str(out), "--log_samples"),
        ],
        env={
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "HF_HOME": str(tmp_path / "hub"),
        },
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = out.rglob("results_*.json")
    figures = json.loads(results.read_text())["results"]
    told = {}
    for task in tasks.split(","):
        (samples,) = out.rglob(f"samples_{task}_*.jsonl")
        lines = [json.loads(line) for line in samples.read_text().splitlines()]
        told[task] = [
            {**line, **figures[task]} for line in sorted(lines, key=lambda line: line["doc_id"])
        ]
    return told


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
        told = ask_harness(
            tmp_path,
            ["lm_eval", "run"],
            "last_letter",
            ["--model", "local-completions", "--model_args", settings, "--batch_size", "3"],
        )["last_letter"]
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
    assert told[0]["acc,none"] == 1.0
    for sample in told:
        found = [float(value) for value, _ in sample["filtered_resps"]]
        assert found == pytest.approx(scores[sample["doc_id"]], abs=1e-4)
    assert len(told) == len(questions)


def test_three_ways_find_what_evaluate_finds(
    tmp_path: Path, loop: Loop, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run itself, its server, and its export: likelihoods of whole texts and of pairs, texts.

    `evaluate` scores the end of each document too, which no task asks for.
    """
    texts = [f"a {animal} {did}" for animal in ("cat", "dog", "hen") for did in ("sat", "ran")]
    (tmp_path / "lines.txt").write_text("\n".join([*texts, "no über cat"] * 30))
    (tmp_path / "held_out.txt").write_text("\n".join(texts))
    train = ["train", "gpt:feed_forward=swiglu,n_layer=2,n_embd=16", "--tokenizer", "byte"]
    train += ["--data", str(tmp_path / "lines.txt"), "--budget", "30-steps"]
    assert main([*train, "--run", str(tmp_path / "run"), *TINY]) == 0
    export = ["export", str(tmp_path / "run"), "--to", "transformers", str(tmp_path / "exported")]
    assert main(export) == 0
    capsys.readouterr()
    evaluate = ["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "held_out.txt")]
    assert main([*evaluate, "--split", "all", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)

    def write(name: str, rows: list[dict[str, str]], task: str) -> None:
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        place = tmp_path / f"{name}.jsonl"
        (tmp_path / f"{name}.yaml").write_text(task.format(text=place))

    write("held_out", [{"text": text} for text in texts], HELD_OUT)
    write("pairs", [{"good": text, "bad": text[::-1]} for text in texts], PAIRS)
    write("go_on", [{"text": text[:4]} for text in texts], GO_ON)
    tasks = "held_out,pairs,go_on"
    runs = {"run": RunDirectory.open(tmp_path / "run")}
    with serving(loop, runs, ServeConfig(rows=8)) as url:
        remote = f"model=run,base_url={url}/v1/completions,tokenizer_backend=remote"
        of_server = ["--model", "local-completions", "--model_args", remote]
        served = ask_harness(tmp_path, ["lm_eval", "run"], tasks, of_server)
    ours = ["inklings.interop.lm_eval"]
    of_run = ["--model_args", f"run={tmp_path / 'run'}"]
    direct = ask_harness(tmp_path, ours, tasks, of_run)
    single = ask_harness(tmp_path, ours, tasks, [*of_run, "--batch_size", "1"])
    # The exported tokenizer puts the boundary in front, and the harness does so itself for whole
    # texts; for continuations of a context it must come from the tokenizer.
    there = f"pretrained={tmp_path / 'exported'},dtype=float32"
    of_export = ["--model", "hf", "--device", "cpu", "--model_args", there]
    exported = ask_harness(tmp_path, ["lm_eval", "run"], "pairs,go_on", of_export)
    of_export[-1] += ",add_bos_token=False"
    exported |= ask_harness(tmp_path, ["lm_eval", "run"], "held_out", of_export)

    for found in (served, single, exported):
        for task in ("held_out", "pairs"):
            for one, other in zip(direct[task], found[task], strict=True):
                assert likelihoods(other) == pytest.approx(likelihoods(one), abs=1e-4)
        assert [line["filtered_resps"] for line in found["go_on"]] == [
            line["filtered_resps"] for line in direct["go_on"]
        ]
        figure = direct["held_out"][0]["bits_per_byte,none"]
        assert found["held_out"][0]["bits_per_byte,none"] == pytest.approx(figure, abs=1e-5)
    model = runs["run"].load_model()
    tokenizer = runs["run"].tokenizer()
    ends = 0.0
    for text in texts:
        tokens = torch.tensor([[tokenizer.boundary, *tokenizer.encode(text)]])
        with torch.no_grad():
            last = as_sequence_model(model)(tokens).logits[0, -1].log_softmax(-1)
        ends += float(last[tokenizer.boundary])
    found_nats = -sum(value for line in direct["held_out"] for value in likelihoods(line))
    assert scored["nats"] == pytest.approx(found_nats - ends, abs=1e-3)


def likelihoods(sample: dict[str, Any]) -> list[float]:
    """The log-likelihoods that were found for one document of a task."""
    found = sample["filtered_resps"]
    return [float(value[0] if isinstance(value, list) else value) for value in found]
