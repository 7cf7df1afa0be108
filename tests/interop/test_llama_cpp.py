"""Exported files in real llama.cpp: its prebuilt binary, which `make test-node` installs."""

from __future__ import annotations

import json
import math
import random
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
import torch.nn.functional as F
from tokenizers import decoders, models, pre_tokenizers
from torch import Tensor

import inklings
from inklings.config import RunConfig
from inklings.interop.exports.export import export_run
from inklings.interop.exports.target import Leaving
from inklings.interop.to_gguf.gguf_file import GGUF
from inklings.interop.to_gguf.gguf_forms import FORMS
from inklings.models.contract import SequenceModel
from inklings.runs.directory import RunDirectory
from inklings.text.token_bytes import byte_names
from inklings.text.tokenizers import BOUNDARY, Tokenizer
from inklings.text.vocabularies import read_tokenizer
from tests.built import SMALL, as_sequence_model, build_sequence_model
from tests.interop.scrambled import hard_lines, scrambled

HERE = Path(__file__).parent / "node"
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (HERE / "node_modules" / "@node-llama-cpp" / "linux-x64").is_dir(),
        reason="`make test-node` installs llama.cpp",
    ),
]

WINDOW = 128
PORTABLE = f"gpt:feed_forward=swiglu,rotary_base=10000,context_length={WINDOW},n_layer=2"
RUNS = {
    "gpt2, byte pairs": (f"gpt2:n_layer=2,n_head=2,n_embd=32,context_length={WINDOW}", "bpe:400"),
    "qwen3, characters": (f"{PORTABLE},n_head=3,n_embd=96", "char"),
    "qwen3, characters and bytes": (f"{PORTABLE},n_head=2,n_embd=16,tied_head=true", "char+bytes"),
    "llama, byte pairs": (f"{PORTABLE},n_head=2,n_embd=32,qk_norm=none", "bpe:400"),
    "llama, bytes, as others have it": (
        f"{PORTABLE.replace('10000', '500')},n_head=1,n_embd=32,qk_norm=none,"
        "norm_embedding=false,tied_head=true",
        "byte",
    ),
    "qwen3, bytes, of another base": (
        f"{PORTABLE.replace('10000', '500')},n_head=1,n_embd=32,qk_norm=gains",
        "byte",
    ),
}
LINES, NEW = 1_000, 100
SLOW = 120
"""Seconds after which it is taken to hang."""


@dataclass(frozen=True)
class Read:
    """A run, what it was asked, and what llama.cpp made of its file."""

    run: RunDirectory
    model: SequenceModel
    rows: list[list[int]]
    prompts: list[list[int]]
    lines: list[str]
    answers: dict[str, Any]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "lines.txt"
    path.write_text(hard_lines(12 * LINES), encoding="utf-8")
    return path


def held_out(run: RunDirectory) -> list[str]:
    """Lines that it was not trained on."""
    split, tokenizer = inklings.load(run.path).text.split("validation"), run.tokenizer()
    return [tokenizer.decode(split.document(index)) for index in range(LINES)]


def anything(tokenizer: Tokenizer, count: int) -> list[str]:
    """Texts of any characters that a vocabulary has, from all over Unicode."""
    drawn = random.Random(0)
    ranges = ((0, 0x80), (0, 0x250), (0x250, 0x3000), (0x3000, 0xD800), (0xE000, 0x1FB00))
    texts = []
    for _ in range(count):
        start, end = drawn.choice(ranges)
        mixed = [
            chr(drawn.randrange(start, end)) if drawn.random() < 0.7 else drawn.choice(" \n1a'")
            for _ in range(20)
        ]
        lacking = {*tokenizer.unknown_characters("".join(mixed)), "\0", "\u2581"}
        texts.append("".join(c for c in mixed if c not in lacking))
    return texts


def ask(file: Path, questions: dict[str, Any], place: Path) -> dict[str, Any]:
    """What llama.cpp finds."""
    asked, found = place / "questions.json", place / "answers.json"
    asked.write_text(json.dumps(questions))
    command = [str(NODE), str(HERE / "read.mjs"), str(file), str(asked), str(found)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SLOW, check=False)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(found.read_text())
    return answers


@pytest.fixture(scope="module", params=list(RUNS))
def read(
    request: pytest.FixtureRequest, text: Path, tmp_path_factory: pytest.TempPathFactory
) -> Read:
    pytest.importorskip("gguf")
    arm, tokenizer = RUNS[request.param]
    place = tmp_path_factory.mktemp("llama")
    run = scrambled(arm, text, place / "run", tokenizer)
    export_run(run, place / "made.gguf", to="gguf")
    model, split = (
        as_sequence_model(run.load_model()),
        inklings.load(run.path).text.split("validation"),
    )
    rows = [split.read(at * WINDOW, (at + 1) * WINDOW).astype(int).tolist() for at in range(2)]
    lines = [*held_out(run), *anything(run.tokenizer(), 300)]
    prompts = [[model.config.boundary_token, *row[1:8]] for row in rows]
    questions = {
        "rows": rows,
        "greedy": [{"prompt": prompt, "count": NEW} for prompt in prompts],
        "lines": lines,
    }
    return Read(run, model, rows, prompts, lines, ask(place / "made.gguf", questions, place))


def apart(read: Read) -> float:
    """Most that a log-probability of the one differs from that of the other."""
    largest = 0.0
    for row, found in zip(read.rows, read.answers["logProbabilities"], strict=True):
        with torch.no_grad():
            ours = read.model(torch.tensor([row])).logits[0].log_softmax(-1)
        assert ours.std() > 0.3, "weights that say nothing prove nothing"
        theirs = torch.tensor(found)
        assert theirs.shape == ours.shape
        largest = max(largest, float((theirs - ours).abs().max()))
    assert math.isfinite(largest)
    return largest


def of_a_table(plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """GELU as llama.cpp has it: from a table of 2^16 numbers in half precision."""

    def gelu(x: Tensor, approximate: str) -> Tensor:
        looked_up = plain(x.half().float(), approximate=approximate).half().float()
        return torch.where(x <= -10, torch.zeros_like(x), torch.where(x >= 10, x, looked_up))

    return gelu


def test_log_probabilities_are_those_of_the_run(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    if read.run.config.architecture != "gpt2":
        assert apart(read) < 1e-4
        return
    plain = apart(read)
    monkeypatch.setattr(F, "gelu", of_a_table(F.gelu))
    assert apart(read) < plain < 1e-2, "its table is what sets GPT-2 apart"


def test_the_most_likely_texts_are_those_of_the_run(read: Read) -> None:
    for prompt, found in zip(read.prompts, read.answers["greedy"], strict=True):
        assert len(found) == NEW
        with torch.no_grad():
            logits = read.model(torch.tensor([prompt + found[:-1]])).logits[0, len(prompt) - 1 :]
        assert logits.argmax(-1).tolist() == found


def test_a_thousand_held_out_lines_and_any_others_are_read_and_written_alike(read: Read) -> None:
    tokenizer = read.run.tokenizer()
    assert len(read.lines) == LINES + 300
    for line, tokens in zip(read.lines, read.answers["tokens"], strict=True):
        assert tokens == tokenizer.encode(line).tolist(), line
    # a character of several tokens is whole in whole texts alone, and there llama.cpp takes blanks
    # before marks away where a vocabulary is of byte pairs
    found = read.answers["pieces" if tokenizer.kind == "char" else "texts"]
    cleaned = tokenizer.kind in ("byte", "bpe")
    for line, written in zip(read.lines, found, strict=True):
        assert written == line or (cleaned and re.search(r" [?!.,']", line)), line


def test_the_boundary_opens_and_ends_a_text(read: Read) -> None:
    boundary = read.model.config.boundary_token
    assert (read.answers["bos"], read.answers["eos"]) == (boundary, boundary)
    assert read.answers["addsBos"] is True and read.answers["context"] == WINDOW


def test_smaller_weights_are_read_too(text: Path, tmp_path: Path) -> None:
    run = scrambled(RUNS["qwen3, characters"][0], text, tmp_path / "run", "char")
    split = inklings.load(run.path).text.split("validation")
    row = split.read(0, WINDOW).astype(int).tolist()
    with torch.no_grad():
        ours = as_sequence_model(run.load_model())(torch.tensor([row])).logits[0].log_softmax(-1)
    for precision, least, most in (("float16", 1e-5, 0.05), ("q8_0", 1e-3, 2.0)):
        file = tmp_path / f"{precision}.gguf"
        export_run(run, file, to="gguf", precision=precision)
        found = torch.tensor(ask(file, {"rows": [row]}, tmp_path)["logProbabilities"][0])
        assert least < float((found - ours).abs().max()) < most


def of_kinds(place: Path) -> Tokenizer:
    """A tokenizer.json that shows the kind of a character.

    A letter joins an `a` before it, a number a `1`, any other mark a `!`: by merges, which reach as
    far as a word.
    """
    names = byte_names()
    merges = [(first, name) for first in "a1!" for name in names]
    parts = [BOUNDARY, *names, *(first + name for first, name in merges)]
    backend = tokenizers.Tokenizer(
        models.BPE(vocab={part: token for token, part in enumerate(parts)}, merges=merges)
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    path = place / "tokenizer.json"
    backend.save(str(path))
    return read_tokenizer(path)


def test_every_character_is_of_the_kind_there_that_it_has_here(tmp_path: Path) -> None:
    tokenizer = of_kinds(tmp_path)
    model = build_sequence_model("gpt2", SMALL["gpt2"], vocab_size=tokenizer.vocab_size)
    file = tmp_path / "kinds.gguf"
    leaving = Leaving(
        model=model,
        config=RunConfig(architecture="gpt2"),
        tokenizer=tokenizer,
        form=FORMS["gpt2"],
        precision="float32",
        path=file,
    )
    GGUF.write(leaving, True)
    # not what is in no version of Unicode, halves of characters, and those of private use
    known = [
        chr(code)
        for code in range(1, 0x110000)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")
    ]
    lines = [
        "\n".join(mark + character for character in known[start : start + 300] for mark in "a1!")
        for start in range(0, len(known), 300)
    ]
    found = ask(file, {"lines": lines}, tmp_path)["tokens"]
    assert len(known) > 140_000
    for line, tokens in zip(lines, found, strict=True):
        assert tokens == tokenizer.encode(line).tolist(), line
