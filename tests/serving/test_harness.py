"""lm-evaluation-harness reads log-probabilities by their position.

What it sends and reads, word for word, against `/v1/score`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inklings.cli.main import main
from inklings.runs.directory import RunDirectory
from inklings.serving.settings import ServeConfig
from tests.commands import TINY

from .conftest import Loop, Site, serving

LETTERS = "abcdefgh"
TOKENIZERS = ["byte", "char", "char+bytes", "word:8", "bpe:270"]
# counts of single tokens: after whatever text, the end of these short documents is the likeliest
ENDS = [f"ngram-{tokenizer.split(':')[0]}" for tokenizer in TOKENIZERS]
BOUNDARY = "<|endoftext|>"


@pytest.fixture(scope="module")
def ends_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDirectory]:
    """Models that end every text with their next token, one for each tokenizer."""
    folder = tmp_path_factory.mktemp("ends")
    (folder / "letters.txt").write_text("\n".join([*LETTERS, "a b"] * 20))
    runs = {}
    for name, tokenizer in zip(ENDS, TOKENIZERS, strict=True):
        text = ["--data", str(folder / "letters.txt"), "--tokenizer", tokenizer]
        train = ["train", "ngram:order=1", *text, "--budget", "1-steps"]
        assert main([*train, "--run", str(folder / name), *TINY]) == 0
        runs[name] = RunDirectory.open(folder / name)
    return runs


@pytest.fixture(scope="module")
def ends(site: Site, ends_runs: dict[str, RunDirectory], loop: Loop) -> Iterator[httpx.Client]:
    config, beside = ServeConfig(rows=8), [site.served["gpt"], site.served["varda"]]
    with (
        serving(loop, ends_runs, config, beside=beside) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield client


def harness_payload(model: str, prompts: list[list[int]]) -> dict[str, Any]:
    """What `local-completions` of lm-eval 0.4 asks with."""
    return {
        "model": model,
        "prompt": prompts,
        "temperature": 0,
        "max_tokens": 1,
        "logprobs": 1,
        "seed": 1234,
        "echo": True,
    }


def harness_reading(answer: dict[str, Any], lengths: list[int]) -> list[tuple[list[float], bool]]:
    """What it takes of the answer: from the end of the context to the last token but one."""
    found = []
    for choice, length in zip(
        sorted(answer["choices"], key=itemgetter("index")), lengths, strict=True
    ):
        values = choice["logprobs"]["token_logprobs"][length:-1]
        tops = choice["logprobs"]["top_logprobs"][length:-1]
        pairs = zip(values, tops, strict=True)
        found.append((values, all(value == max(top.values()) for value, top in pairs)))
    return found


def ask(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("model", [*ENDS, "gpt", "varda"])
@settings(max_examples=5)
@given(
    pairs=st.lists(
        st.tuples(st.text(f"{LETTERS} ", max_size=6), st.text(LETTERS, min_size=1, max_size=6)),
        min_size=1,
        max_size=3,
    )
)
def test_the_harness_reads_every_token_of_a_continuation(
    ends: httpx.Client,
    site: Site,
    ends_runs: dict[str, RunDirectory],
    model: str,
    pairs: list[tuple[str, str]],
) -> None:
    tokenizer = {**site.runs, **ends_runs}[model].tokenizer()
    contexts = [tokenizer.encode(context).tolist() for context, _ in pairs]
    prompts = [tokenizer.encode(context + more).tolist() for context, more in pairs]
    # nothing before a text is the boundary, which the harness then gives itself
    for number, context in enumerate(contexts):
        if not context:
            prompts[number].insert(0, tokenizer.boundary)
    lengths = [len(context) or 1 for context in contexts]
    answer = ask(ends, "/v1/completions", **harness_payload(model, prompts))
    scores = ask(ends, "/v1/score", model=model, input=[a + b for a, b in pairs], alternatives=1)
    read = harness_reading(answer, lengths)
    for (values, greedy), context, score in zip(read, contexts, scores["data"], strict=True):
        wanted = score["tokens"][len(context) :]
        assert values == pytest.approx([token["logprob"] for token in wanted], abs=1e-4)
        lost = [token["alternatives"][0]["logprob"] - token["logprob"] for token in wanted]
        assert greedy == (max(lost, default=0.0) == 0)
    listed = [choice["logprobs"]["tokens"] for choice in answer["choices"]]
    assert [len(tokens) for tokens in listed] == [len(prompt) + 1 for prompt in prompts]
    if model in ENDS:
        assert {tokens[-1] for tokens in listed} == {BOUNDARY}
    assert answer["usage"]["completion_tokens"] == len(pairs)


def streamed(client: httpx.Client, path: str, **body: Any) -> list[dict[str, Any]]:
    options = {"include_usage": True}
    with client.stream(
        "POST", path, json={**body, "stream": True, "stream_options": options}
    ) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        *(("/v1/completions", model) for model in ENDS),
        # the letters of the plain chat template are none of that vocabulary
        *(("/v1/chat/completions", model) for model in ENDS if model != "ngram-char"),
    ],
)
def test_the_boundary_that_ends_a_text_is_listed_and_counted(
    ends: httpx.Client, path: str, model: str
) -> None:
    chat = "chat" in path
    asked: dict[str, Any] = {"model": model, "temperature": 0, "max_tokens": 5, "n": 2}
    if chat:
        asked |= {
            "messages": [{"role": "user", "content": "ab"}],
            "logprobs": True,
            "top_logprobs": 2,
        }
    else:
        asked |= {"prompt": "ab", "logprobs": 2}
    whole = ask(ends, path, **asked)
    *parts, last = streamed(ends, path, **asked)
    assert whole["usage"] == last["usage"]
    assert whole["usage"]["completion_tokens"] == 2
    for choice in [*whole["choices"], *(choice for part in parts for choice in part["choices"])]:
        assert choice["finish_reason"] == "stop"
        if chat:
            (shown,) = choice["logprobs"]["content"]
            assert (shown["token"], shown["bytes"]) == (BOUNDARY, [])
            assert choice.get("message", choice.get("delta"))["content"] == ""
            top = {token["token"]: token["logprob"] for token in shown["top_logprobs"]}
            assert shown["logprob"] == top[BOUNDARY] == max(top.values())
        else:
            table = choice["logprobs"]
            assert (choice["text"], table["tokens"], table["text_offset"]) == ("", [BOUNDARY], [0])
            assert table["token_logprobs"] == [max(table["top_logprobs"][0].values())]
