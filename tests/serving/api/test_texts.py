"""Completions, chats, scores and embeddings.

What is answered is what the model does, streamed or whole.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inklings.generation.from_noise import write
from inklings.generation.generate import Generation, generate
from inklings.generation.sampling import SamplingConfig
from inklings.models.contract import SequenceModel
from inklings.models.from_noise import SampleModel
from inklings.serving.api.chat_template import ChatTemplate

from ..conftest import Refused, Site

PREDICTING = ["gpt", "wavegpt", "varda", "ngram", "reference"]
PROMPT = {"ngram": "word 1", "reference": "LATIN SMALL"}


def prompt_for(model: str) -> str:
    return PROMPT.get(model, "word été 1")


def expected(site: Site, model: str, prompt: str, **settings: Any) -> list[Generation]:
    """What `generate` writes."""
    sampling = SamplingConfig(
        **{
            name: settings.pop(name)
            for name in list(settings)
            if name in SamplingConfig.__dataclass_fields__
        }
    )
    loaded, tokenizer = site.models[model], site.runs[model].tokenizer()
    assert isinstance(loaded, SequenceModel)
    return generate(loaded, tokenizer, prompt, sampling=sampling, **settings)


def drawn(texts: list[Generation]) -> int:
    """How many tokens, those that ended a text among them."""
    return sum(len(text.tokens) + (text.finished == "boundary") for text in texts)


def post(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def events(client: httpx.Client, path: str, **body: Any) -> list[dict[str, Any]]:
    """The events of a stream, which ends as it must."""
    with client.stream("POST", path, json={**body, "stream": True}) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    assert text.endswith("\n\n")
    lines = text.removesuffix("\n\n").split("\n\n")
    assert all(line.startswith("data: ") and "\n" not in line for line in lines)
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def joined(parts: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The choices of a stream of completions, put together."""
    found: dict[int, dict[str, Any]] = {}
    for part in parts:
        for choice in part["choices"]:
            seen = found.setdefault(
                choice["index"],
                {"index": choice["index"], "text": "", "logprobs": None, "finish_reason": None},
            )
            assert seen["finish_reason"] is None
            seen["text"] += choice["text"]
            seen["finish_reason"] = choice["finish_reason"]
            for name in ("logprobs", "entries"):
                seen[name] = (
                    added(seen.get(name), choice.get(name)) if name in choice else seen.get(name)
                )
    return {
        index: {
            name: value for name, value in choice.items() if name != "entries" or value is not None
        }
        for index, choice in found.items()
    }


def added(old: Any, new: Any) -> Any:
    if old is None or new is None:
        return new if old is None else old
    if isinstance(old, dict):
        return {name: added(old[name], new[name]) for name in old}
    return old + new


@pytest.mark.parametrize("model", PREDICTING)
def test_a_completion_is_what_generate_writes(client: httpx.Client, site: Site, model: str) -> None:
    prompt = prompt_for(model)
    found = post(
        client,
        "/v1/completions",
        model=model,
        prompt=prompt,
        seed=5,
        n=3,
        max_tokens=20,
        temperature=0.9,
        top_p=0.95,
    )
    wanted = expected(
        site, model, prompt, seed=5, samples=3, max_new_tokens=20, temperature=0.9, top_p=0.95
    )
    assert [choice["text"] for choice in found["choices"]] == [text.text for text in wanted]
    assert [choice["finish_reason"] for choice in found["choices"]] == [
        "length" if t.finished == "length" else "stop" for t in wanted
    ]
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2]
    assert found["model"] == model
    tokens = len(site.runs[model].tokenizer().encode(prompt))
    assert found["usage"]["prompt_tokens"] == tokens
    assert found["usage"]["total_tokens"] == tokens + found["usage"]["completion_tokens"]
    assert found["usage"]["completion_tokens"] == drawn(wanted)


def test_all_settings_reach_the_model(client: httpx.Client, site: Site) -> None:
    body = {
        "top_k": 40,
        "min_p": 0.001,
        "repetition_penalty": 1.3,
        "presence_penalty": 0.4,
        "frequency_penalty": -0.3,
        "temperature": 1.4,
    }
    plain = post(client, "/v1/completions", model="gpt", prompt="word", seed=1, max_tokens=16)[
        "choices"
    ][0]["text"]
    found = post(
        client,
        "/v1/completions",
        model="gpt",
        prompt="word",
        seed=1,
        max_tokens=16,
        stop=["zz", "e"],
        ignore_eos=True,
        **body,
    )
    wanted = expected(
        site,
        "gpt",
        "word",
        seed=1,
        max_new_tokens=16,
        stop=("zz", "e"),
        stop_at_boundary=False,
        **body,
    )[0]
    assert found["choices"][0]["text"] == wanted.text != plain
    for name, value in {**body, "stop": "e", "ignore_eos": True, "seed": 2}.items():
        one = {"seed": 1, "temperature": 1.4, name: value}
        given_to_us = dict(one)
        if name == "stop":
            one["stop"] = ("e",)
        if name == "ignore_eos":
            one["stop_at_boundary"] = not one.pop("ignore_eos")
        text = post(
            client, "/v1/completions", model="gpt", prompt="word", max_tokens=16, **given_to_us
        )["choices"][0]["text"]
        assert text == expected(site, "gpt", "word", max_new_tokens=16, **one)[0].text, name


@settings(max_examples=8)
@given(
    model=st.sampled_from(PREDICTING),
    n=st.integers(1, 3),
    echo=st.booleans(),
    logprobs=st.none() | st.integers(0, 3),
    stop=st.lists(st.sampled_from(["e", "a", " ", "AL", "1"]), max_size=2),
    seed=st.integers(0, 9),
    entries=st.sampled_from([0, 2]),
)
def test_a_stream_is_the_whole_answer_in_pieces(
    client: httpx.Client, model: str, n: int, entries: int, **body: Any
) -> None:
    asked = {"model": model, "prompt": [prompt_for(model), ""], "n": n, "max_tokens": 12, **body}
    if model == "varda":
        asked["entries"] = entries
    whole = post(client, "/v1/completions", **asked)
    parts = events(client, "/v1/completions", **asked, stream_options={"include_usage": True})
    usage = parts.pop()
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])
    assert all(part["usage"] is None for part in parts)
    assert {(part["id"], part["object"], part["model"]) for part in parts} == {
        (parts[0]["id"], "text_completion", model)
    }
    found = joined(parts)
    assert alike([found[index] for index in sorted(found)], whole["choices"])


def alike(one: Any, other: Any) -> bool:
    """Whether two answers are the same, numbers to 1e-4.

    Rows that share a pass change the last bits of each other's.
    """
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            alike(value, other[name]) for name, value in one.items()
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return (
        bool(one == pytest.approx(other, abs=1e-4))
        if isinstance(one, float)
        else bool(one == other)
    )


def test_tokens_and_texts_are_the_same_prompt_and_order_is_kept(
    client: httpx.Client, site: Site
) -> None:
    tokenizer = site.runs["gpt"].tokenizer()
    texts = ["word 1", "and", ""]
    tokens = [tokenizer.encode(text).tolist() for text in texts]
    asked = {"model": "gpt", "seed": 3, "max_tokens": 8, "n": 2, "echo": True}
    of_texts = post(client, "/v1/completions", prompt=texts, **asked)["choices"]
    assert post(client, "/v1/completions", prompt=tokens, **asked)["choices"] == of_texts
    alone = [
        post(client, "/v1/completions", prompt=prompt, **asked)["choices"]
        for prompt in (*texts[:2], tokens[0])
    ]
    assert [choice["text"] for choice in of_texts[:4]] == [
        choice["text"] for one in alone[:2] for choice in one
    ]
    assert alone[2] == alone[0]
    assert all(
        choice["text"].startswith(texts[index // 2]) for index, choice in enumerate(of_texts)
    )
    assert (
        post(client, "/v1/completions", **asked)["choices"]
        == post(client, "/v1/completions", prompt="", **asked)["choices"]
    )


@pytest.mark.parametrize("model", ["gpt", "reference", "ngram"])
def test_log_probabilities_are_those_of_the_parallel_pass(
    client: httpx.Client, site: Site, model: str
) -> None:
    prompt = prompt_for(model)
    tokenizer, loaded = site.runs[model].tokenizer(), site.models[model]
    found = post(
        client,
        "/v1/completions",
        model=model,
        prompt=prompt,
        seed=2,
        max_tokens=9,
        logprobs=3,
        echo=True,
        ignore_eos=True,
    )
    table, text = found["choices"][0]["logprobs"], found["choices"][0]["text"]
    read = tokenizer.encode(prompt).tolist()
    written = expected(site, model, prompt, seed=2, max_new_tokens=9, stop_at_boundary=False)[
        0
    ].tokens
    tokens = torch.tensor([[tokenizer.boundary, *read, *written]])
    starts = tokens == tokenizer.boundary
    with torch.no_grad():
        logprobs = loaded(tokens, starts=starts).logits[0].float().log_softmax(-1)
    wanted = logprobs[:-1].gather(1, tokens[0, 1:, None])[:, 0].tolist()
    assert len(table["tokens"]) == len(read) + 9
    assert table["token_logprobs"][0] is table["top_logprobs"][0] is None
    assert table["token_logprobs"][1:] == pytest.approx(wanted[1:], abs=1e-4)
    for place, (token, top) in enumerate(zip(table["tokens"], table["top_logprobs"], strict=True)):
        if top is not None:
            assert top[token] == table["token_logprobs"][place]
            assert 3 <= len(top) <= 4
            best = logprobs[place].topk(3).values.tolist()
            assert sorted(top.values(), reverse=True)[:3] == pytest.approx(best, abs=1e-4)
    for offset, token in zip(table["text_offset"], table["tokens"], strict=True):
        if token == "<|endoftext|>":
            assert text[offset] == "\n"
        elif not token.startswith("bytes:"):
            assert text[offset:].startswith(token) or text[offset:].startswith(token.lstrip())


@pytest.mark.parametrize("model", ["gpt", "wavegpt"])  # bytes alone; characters and bytes
def test_an_echo_without_new_tokens_scores_the_prompt(client: httpx.Client, model: str) -> None:
    found = post(
        client, "/v1/completions", model=model, prompt="été", max_tokens=0, logprobs=0, echo=True
    )["choices"][0]
    assert (found["text"], found["finish_reason"]) == ("été", "length")
    assert found["logprobs"]["tokens"] == [
        "bytes:\\xc3",
        "bytes:\\xa9",
        "t",
        "bytes:\\xc3",
        "bytes:\\xa9",
    ]
    assert found["logprobs"]["text_offset"] == [0, 0, 1, 2, 2]
    assert found["logprobs"]["top_logprobs"] is None
    score = post(client, "/v1/score", model=model, input="été")["data"][0]
    assert [token["logprob"] for token in score["tokens"]][1:] == found["logprobs"][
        "token_logprobs"
    ][1:]


@pytest.mark.parametrize("model", ["gpt", "wavegpt"])
def test_a_score_adds_up_and_is_that_of_the_parallel_pass(
    client: httpx.Client, site: Site, model: str
) -> None:
    text = "word 17 été"
    body = post(client, "/v1/score", model=model, input=[text, ""], alternatives=2)
    first, empty = body["data"]
    tokenizer, loaded = site.runs[model].tokenizer(), site.models[model]
    tokens = torch.tensor([[tokenizer.boundary, *tokenizer.encode(text).tolist()]])
    with torch.no_grad():
        wanted = (
            loaded(tokens)
            .logits[0, :-1]
            .float()
            .log_softmax(-1)
            .gather(1, tokens[0, 1:, None])[:, 0]
        )
    assert [token["logprob"] for token in first["tokens"]] == pytest.approx(
        wanted.tolist(), abs=1e-4
    )
    assert first["nats"] == pytest.approx(-sum(token["logprob"] for token in first["tokens"]))
    assert first["bytes"] == len(text.encode())
    assert first["bits_per_byte"] == pytest.approx(first["nats"] / math.log(2) / first["bytes"])
    assert all(len(token["alternatives"]) == 2 for token in first["tokens"])
    assert [token["token"] for token in first["tokens"]] == tokens[0, 1:].tolist()
    assert (empty["tokens"], empty["nats"], empty["bytes"], empty["bits_per_byte"]) == (
        [],
        0,
        0,
        None,
    )
    assert body["usage"] == {
        "prompt_tokens": len(text.encode()),
        "completion_tokens": 0,
        "total_tokens": len(text.encode()),
    }


def test_bits_per_byte_are_not_given_for_a_tokenizer_that_loses_bytes(client: httpx.Client) -> None:
    scored = post(client, "/v1/score", model="ngram", input="word 1")["data"][0]
    assert scored["bits_per_byte"] is None
    assert scored["nats"] > 0


def test_an_embedding_is_the_mean_of_the_hidden_vectors(client: httpx.Client, site: Site) -> None:
    texts = ["word 17", "x", ""]
    tokenizer, loaded = site.runs["gpt"].tokenizer(), site.models["gpt"]
    found = post(client, "/v1/embeddings", model="gpt", input=texts)
    for text, data in zip(texts, found["data"], strict=True):
        tokens = torch.tensor([[tokenizer.boundary, *tokenizer.encode(text).tolist()]])
        with torch.no_grad():
            hidden = loaded(tokens).hidden[0]
        wanted = (hidden[1:] if text else hidden).mean(0)
        assert data["embedding"] == pytest.approx(wanted.tolist(), abs=1e-4)
    coded = post(
        client, "/v1/embeddings", model="gpt", input=texts, encoding_format="base64", dimensions=16
    )
    for data, plain in zip(coded["data"], found["data"], strict=True):
        assert np.frombuffer(base64.b64decode(data["embedding"]), "<f4").tolist() == pytest.approx(
            plain["embedding"]
        )
    assert [data["index"] for data in found["data"]] == [0, 1, 2]
    of_tokens = post(client, "/v1/embeddings", model="gpt", input=tokenizer.encode("x").tolist())
    assert of_tokens["data"][0]["embedding"] == pytest.approx(
        found["data"][1]["embedding"], abs=1e-5
    )


CHAT = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "you"}]},
]


def test_a_chat_goes_on_from_the_template(client: httpx.Client, site: Site) -> None:
    template = ChatTemplate()
    prompt = "System: Be brief.\nUser: Hi you\nAssistant:"
    found = post(
        client,
        "/v1/chat/completions",
        model="gpt",
        messages=CHAT,
        seed=4,
        n=2,
        max_completion_tokens=30,
        logprobs=True,
        top_logprobs=2,
    )
    wanted = expected(site, "gpt", prompt, seed=4, samples=2, max_new_tokens=30, stop=template.stop)
    assert [choice["message"]["content"] for choice in found["choices"]] == [
        text.text for text in wanted
    ]
    assert {choice["message"]["role"] for choice in found["choices"]} == {"assistant"}
    assert found["object"] == "chat.completion"
    tokenizer = site.runs["gpt"].tokenizer()
    for choice, text in zip(found["choices"], wanted, strict=True):
        content = choice["logprobs"]["content"]
        assert [byte for token in content for byte in token["bytes"]] == [
            byte for token in text.tokens for byte in tokenizer.token_bytes(token)
        ]
        assert all(len(token["top_logprobs"]) == 2 for token in content)
    same = post(
        client, "/v1/chat/completions", model="gpt", messages=CHAT, seed=4, n=2, max_tokens=30
    )
    assert [choice["message"] for choice in same["choices"]] == [
        choice["message"] for choice in found["choices"]
    ]


@pytest.mark.parametrize("logprobs", [False, True])
def test_a_chat_that_is_streamed_is_the_whole_one(client: httpx.Client, logprobs: bool) -> None:
    asked: dict[str, Any] = {
        "model": "gpt",
        "messages": CHAT,
        "seed": 4,
        "n": 2,
        "max_tokens": 30,
        "logprobs": logprobs,
    }
    whole = post(client, "/v1/chat/completions", **asked)
    parts = events(client, "/v1/chat/completions", **asked, stream_options={"include_usage": True})
    assert parts.pop()["usage"] == whole["usage"]
    for index, choice in enumerate(whole["choices"]):
        mine = [found for part in parts for found in part["choices"] if found["index"] == index]
        assert [("role" in found["delta"]) for found in mine] == [True] + [False] * (len(mine) - 1)
        assert "".join(found["delta"]["content"] for found in mine) == choice["message"]["content"]
        assert [found["finish_reason"] for found in mine] == [None] * (len(mine) - 1) + [
            choice["finish_reason"]
        ]
        if logprobs:
            assert [token for found in mine for token in found["logprobs"]["content"]] == choice[
                "logprobs"
            ]["content"]
        else:
            assert all(found["logprobs"] is None for found in mine)


def test_a_branch_that_is_knocked_out_changes_the_score_and_a_factor_of_one_does_not(
    client: httpx.Client, site: Site
) -> None:
    branches = site.served["wavegpt"].card.branches
    assert branches
    plain = post(client, "/v1/score", model="wavegpt", input="word 17")["data"][0]["nats"]
    for branch in branches:
        whole, out = (
            post(client, "/v1/score", model="wavegpt", input="word 17", branches={branch: factor})[
                "data"
            ][0]["nats"]
            for factor in (1, 0)
        )
        assert whole == pytest.approx(plain, abs=1e-4)
        assert out != pytest.approx(plain, abs=1e-6)


def test_a_generator_out_of_noise_writes_what_write_does(client: httpx.Client, site: Site) -> None:
    model, tokenizer = site.models["gan"], site.runs["gan"].tokenizer()
    assert isinstance(model, SampleModel)
    wanted = write(model, tokenizer, 3, seed=6, style_seed=2, length=9)
    found = post(
        client, "/v1/completions", model="gan", prompt="", n=3, seed=6, style_seed=2, max_tokens=9
    )
    assert [choice["text"] for choice in found["choices"]] == [text.text for text in wanted]
    assert found["usage"]["completion_tokens"] == drawn(wanted)
    one, usage = events(
        client,
        "/v1/completions",
        model="gan",
        n=3,
        seed=6,
        style_seed=2,
        max_tokens=9,
        stream_options={"include_usage": True},
    )
    assert (one["choices"], usage["usage"]) == (found["choices"], found["usage"])
    assert (
        post(client, "/v1/completions", model="gan", seed=6, max_tokens=200)["choices"]
        == (post(client, "/v1/completions", model="gan", seed=6)["choices"])
    )


def test_without_a_seed_texts_differ(client: httpx.Client) -> None:
    texts = {
        post(client, "/v1/completions", model="gpt", max_tokens=30)["choices"][0]["text"]
        for _ in range(3)
    }
    assert len(texts) == 3


def test_a_seed_may_be_any_64_bits(client: httpx.Client) -> None:
    texts = {
        post(client, "/v1/completions", model="gpt", max_tokens=20, seed=seed)["choices"][0]["text"]
        for seed in (-1, 2**63 - 1, -(2**63))
    }
    assert len(texts) == 3


def test_what_is_remembered_is_shown_with_each_token(
    client: httpx.Client, refused: Refused
) -> None:
    found = post(client, "/v1/score", model="varda", input="word word word word", entries=2)[
        "data"
    ][0]["tokens"]
    entries = [entry for token in found for entry in token["entries"]]
    assert entries
    assert {entry["document"] for entry in entries} == {None}  # it has no long-term memory
    assert all(0 < entry["weight"] <= 1 for entry in entries)
    drawn = post(
        client,
        "/v1/completions",
        model="varda",
        prompt="word word word",
        entries=2,
        max_tokens=6,
        seed=1,
    )["choices"][0]
    assert len(drawn["entries"]) <= 6
    assert any(drawn["entries"])
    assert drawn["logprobs"] is None
    asked = {
        "model": "varda",
        "prompt": "word word word",
        "entries": 2,
        "max_tokens": 20,
        "seed": 1,
        "ignore_eos": True,
    }
    whole = post(client, "/v1/completions", **asked)["choices"][0]
    assert len(whole["entries"]) == 20
    assert alike(joined(events(client, "/v1/completions", **asked))[0]["entries"], whole["entries"])
    assert "memory" in refused("/v1/score", {"model": "gpt", "input": "x", "entries": 1})["message"]
