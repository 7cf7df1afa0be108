"""What `evaluate` says of a text does not depend on what holds it.

And of too little text it claims nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings import load
from inklings.cli.main import main
from inklings.config import DataConfig
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.evaluation.statistics import Interval, bootstrap_ratio
from inklings.models.ngram import NGram, NGramConfig
from inklings.text.store import TokenStore, prepare
from tests.commands import TINY, Ask

DOCUMENT = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12
)


def _stored(folder: Path, documents: list[str], container: str) -> TokenStore:
    path = folder / f"text.{container}"
    if container == "txt":
        path.write_text("".join(f"{text}\n" for text in documents), encoding="utf-8", newline="")
    elif container == "jsonl":
        path.write_text(
            "".join(json.dumps({"text": text}) + "\n" for text in documents), encoding="utf-8"
        )
    else:
        path.mkdir(exist_ok=True)
        for number, text in enumerate(documents):
            (path / f"{number:03}.txt").write_text(text, encoding="utf-8", newline="")
    layout: Literal["lines", "documents"] = "lines" if container == "txt" else "documents"
    return prepare(DataConfig(source=str(path), tokenizer="byte", layout=layout))


@given(documents=st.lists(DOCUMENT, min_size=10, max_size=20))
def test_the_same_documents_count_the_same_bytes_in_any_container(
    documents: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("containers")
    stores = [_stored(folder, documents, container) for container in ("txt", "jsonl", "files")]
    counted = [
        [store.n_bytes(part) for part in ("train", "validation", "test")] for store in stores
    ]
    assert counted[0] == counted[1] == counted[2]
    assert sum(counted[0]) == sum(len(text.encode()) + 1 for text in documents)
    model = NGram(
        NGramConfig(
            order=1,
            vocab_size=stores[0].tokenizer.vocab_size,
            boundary_token=stores[0].tokenizer.boundary,
        )
    )
    model.count(stores[0].split("train").tokens)
    bits = [evaluate(model, store.split("test")).bits_per_byte for store in stores]
    assert bits[0] == bits[1] == bits[2]
    assert [store.split("test").n_bytes for store in stores] == [counts[2] for counts in counted]


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_too_little_text_has_no_interval(
    lines: int, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(
        "train",
        "ngram:order=2",
        "--data",
        "words.txt",
        "--tokenizer",
        "byte",
        "--run",
        "run",
        "--training.samples",
        "0",
    )
    Path("few.txt").write_text("word 1 and 7\n" * lines)
    arguments = ("evaluate", "run", "--data", "few.txt", "--split", "all")
    found = ask(*arguments)
    capsys.readouterr()
    assert main([*arguments]) == 0
    said = capsys.readouterr().out
    assert "inf" not in said.replace("info", "")
    assert ("too few for an interval" in said) == (found["interval"] is None)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 50)), min_size=1, max_size=6))
def test_an_interval_with_an_unknown_end_is_known_as_such(units: list[tuple[float, int]]) -> None:
    nats, targets = zip(*units, strict=True)
    found = bootstrap_ratio(np.array(nats), np.array(targets))
    assert isinstance(found, Interval)
    plain = found.to_mapping()
    json.dumps(plain, allow_nan=False)
    assert found.known == (plain["low"] is not None and plain["high"] is not None)


LINES = [f"the {animal} {verb}" for animal in ("cat", "dog", "cow") for verb in ("sat", "ran")]


@pytest.mark.parametrize(
    ("learned", "read", "documents"),
    [
        pytest.param(["\n".join(LINES * 20)], "\n\n".join(LINES * 2), 12, id="lines"),
        pytest.param(["\n\n".join(LINES * 20)] * 2, "\n".join(LINES * 20), 1, id="documents"),
    ],
)
def test_another_text_is_cut_into_documents_as_the_runs_own_was(
    ask: Ask, learned: list[str], read: str, documents: int
) -> None:
    Path("learned").mkdir()
    for number, text in enumerate(learned):
        Path("learned", f"{number}.txt").write_text(text)
    Path("read.txt").write_text(read)
    model = ("mlp:context_length=2,n_embd=4,n_hidden=8", "--tokenizer", "byte", *TINY)
    ask("train", *model, "--data", "learned", "--budget", "2-steps", "--run", "run")
    of_all = ask("evaluate", "run", "--data", "read.txt", "--split", "all")
    assert of_all["trained_on"]["text_documents"] == documents
    of_part = ask("evaluate", "run", "--data", "read.txt", "--split", "train")
    with_python = load("run").evaluate("train", data="read.txt")
    assert (with_python.targets, with_python.nats) == (of_part["targets"], of_part["nats"])
