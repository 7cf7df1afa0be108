"""What cannot be done is refused.

The right status, OpenAI's form, the field, and a message that says what to do.
"""

from __future__ import annotations

import gzip
import re
from typing import Any

import httpx2 as httpx
import pytest

from ..conftest import Refused, error_of

TEXT = "/v1/completions"
CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"prompt": 3}, "prompt", "should be a valid string"),
        ({"prompt": []}, "prompt", "at least 1"),
        ({"prompt": [1.5]}, "prompt", "valid"),
        ({"prompt": [257]}, "prompt", "no token 257"),
        ({"prompt": [-1]}, "prompt", "greater than or equal to 0"),
        ({"prompt": "x" * 301}, "prompt", "has 301 tokens; this server reads 300"),
        ({"prompt": ["a"] * 9}, "prompt", "takes 8"),
        ({"prompt": ["a"] * 3, "n": 3}, "n", "n is 3 for each of 3 prompts; this server writes 8"),
        ({"n": 9}, "n", "n is 9"),
        ({"n": 0}, "n", "n is 0: input should be greater than or equal to 1"),
        ({"n": True}, "n", "n is True"),
        ({"max_tokens": 201}, "max_tokens", "draws 200 at most"),
        ({"max_tokens": -1}, "max_tokens", "max_tokens is -1"),
        ({"temperature": "1"}, "temperature", "temperature is '1': input should be a valid number"),
        ({"temperature": -0.1}, "temperature", "greater than or equal to 0"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"presence_penalty": 2.1}, "presence_penalty", "less than or equal to 2"),
        ({"logprobs": 21}, "logprobs", "less than or equal to 20"),
        ({"stop": ["a"] * 33}, "stop", "at most 32"),
        ({"stop": "x" * 257}, "stop", "at most 256 characters"),
        ({"seed": 2**63}, "seed", "less than"),
        ({"best_of": 2}, "best_of", "not thrown away"),
        ({"suffix": "end"}, "suffix", "left to right"),
        ({"logit_bias": {"5": 1.0}}, "logit_bias", "Leave it out"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "stream is not true"),
        ({"style_seed": 1}, "style_seed", "out of noise"),
        ({"entries": 1}, "entries", "reads no memory"),
        ({"branches": {"left": 0}}, "branches", "unknown branch 'left'"),
        ({"temprature": 1}, "temprature", "Unrecognized request argument supplied: temprature"),
    ],
    ids=str,
)
def test_a_completion_that_cannot_be(
    refused: Refused, body: dict[str, Any], param: str, said: str
) -> None:
    error = refused(TEXT, {"model": "gpt", **body})
    assert error["type"] == "invalid_request_error"
    assert error["param"].split(".")[0] == param
    assert said in error["message"]


def test_what_openai_would_do_nothing_about_is_taken(client: httpx.Client) -> None:
    nothing = {
        "best_of": 2,
        "suffix": "",
        "logit_bias": {},
        "user": "me",
        "stop": [],
        "echo": False,
        "stream": False,
        "seed": None,
    }
    assert (
        client.post(TEXT, json={"model": "gpt", "n": 2, "max_tokens": 1, **nothing}).status_code
        == 200
    )
    nothing = {
        "tools": [],
        "tool_choice": "none",
        "response_format": {"type": "text"},
        "store": False,
        "metadata": {"a": "b"},
        "n": None,
    }
    assert (
        client.post(
            CHAT, json={"model": "gpt", "messages": HELLO, "max_tokens": 1, **nothing}
        ).status_code
        == 200
    )


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"messages": []}, "messages", "at least 1"),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages.0.role",
            "'system', 'developer', 'user' or 'assistant'",
        ),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "missing"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages",
            "should be 'text'",
        ),
        ({"messages": HELLO, "tools": [{"type": "function"}]}, "tools", "call no tools"),
        ({"messages": HELLO, "tool_choice": {"type": "function"}}, "tool_choice", "call no tools"),
        (
            {"messages": HELLO, "response_format": {"type": "json_object"}},
            "response_format",
            "no form",
        ),
        ({"messages": HELLO, "modalities": ["audio"]}, "modalities", "text is all"),
        ({"messages": HELLO, "top_logprobs": 2}, "top_logprobs", "logprobs, which is not true"),
        (
            {"messages": HELLO, "max_tokens": 1, "max_completion_tokens": 2},
            "max_tokens",
            "they differ",
        ),
        ({"messages": [{"role": "user", "content": "x" * 300}]}, "messages", "reads 300"),
    ],
    ids=str,
)
def test_a_chat_that_cannot_be(
    refused: Refused, body: dict[str, Any], param: str, said: str
) -> None:
    error = refused(CHAT, {"model": "gpt", **body})
    assert error["param"].startswith(param)
    assert said in error["message"]


def test_a_long_prompt_has_the_code_that_clients_know(refused: Refused) -> None:
    assert refused(TEXT, {"model": "gpt", "prompt": "x" * 301})["code"] == "context_length_exceeded"
    assert (
        refused("/v1/embeddings", {"model": "gpt", "input": [[1] * 301]})["code"]
        == "context_length_exceeded"
    )
    assert (
        refused(CHAT, {"model": "gpt", "messages": [{"role": "user", "content": "x" * 300}]})[
            "code"
        ]
        == "context_length_exceeded"
    )


def test_characters_that_the_vocabulary_lacks_are_named(refused: Refused) -> None:
    for path, body in (
        (TEXT, {"prompt": "LATIN é"}),
        ("/v1/score", {"input": "LATIN é"}),
        ("/v1/embeddings", {"input": ["A", "LATIN é"]}),
    ):
        assert "lacks 'é'" in refused(path, {"model": "reference", **body})["message"]
    assert "chat template" in refused(CHAT, {"model": "reference", "messages": HELLO})["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (TEXT, {"prompt": "once"}),
        (TEXT, {"prompt": [1, 2]}),
        (TEXT, {"prompt": ["", ""]}),
        (TEXT, {"temperature": 0.5}),
        (TEXT, {"logprobs": 0}),
        (TEXT, {"stop": "x", "top_p": 0.5}),
        (TEXT, {"ignore_eos": True}),
        (TEXT, {"entries": 1}),
        (TEXT, {"max_tokens": 0}),
        (CHAT, {"messages": HELLO}),
        ("/v1/score", {"input": "x"}),
        ("/v1/embeddings", {"input": "x"}),
    ],
    ids=str,
)
def test_a_generator_out_of_noise_is_not_asked_for_what_it_cannot(
    refused: Refused, path: str, body: dict[str, Any]
) -> None:
    message = refused(path, {"model": "gan", **body})["message"]
    assert "whole" in message
    assert all(
        name in message for name in body if name in ("temperature", "top_p", "stop", "ignore_eos")
    )


def test_models_that_lack_what_is_asked_for(refused: Refused) -> None:
    assert (
        "no hidden vectors"
        in refused("/v1/embeddings", {"model": "ngram", "input": "x"})["message"]
    )
    assert (
        "are not cut"
        in refused("/v1/embeddings", {"model": "gpt", "input": "x", "dimensions": 4})["message"]
    )
    wrong = refused("/v1/score", {"model": "wavegpt", "input": "x", "branches": {"wav": 0}})
    assert "unknown branch 'wav'" in wrong["message"]


@pytest.mark.parametrize(
    "path", [TEXT, CHAT, "/v1/score", "/v1/embeddings", "/v1/memory/{model}/search"]
)
def test_an_unknown_model_is_404_and_the_nearest_is_named(refused: Refused, path: str) -> None:
    extra: dict[str, dict[str, Any]] = {
        CHAT: {"messages": HELLO},
        "/v1/score": {"input": ""},
        "/v1/embeddings": {"input": ""},
    }
    body = {"model": "vardda", **extra.get(path, {})} if "memory" not in path else {"text": "x"}
    error = refused(path.format(model="vardda"), body, status=404)
    assert error["code"] == "model_not_found"
    assert "Did you mean 'varda'?" in error["message"]


def raw(client: httpx.Client, body: bytes, path: str = TEXT, **headers: str) -> httpx.Response:
    return client.post(path, content=body, headers={"content-type": "application/json", **headers})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "body is missing"),
        (b"{", "Expecting property name"),
        (b"[]", "body"),
        (b"null", "body"),
        (b'"gpt"', "body"),
        (b'{"model": "gpt", "prompt": "\xff"}', "not UTF-8 (byte 28)"),
        (b'\xef\xbb\xbf{"model": "gpt"}', "BOM"),
        (b'{"model": "gpt", "prompt": "a\x00b"}', "Invalid control character"),
        (b'{"model": "gpt", "prompt": "\\ud800"}', "half of a character"),
        (b'{"model": "gpt", "pr\\udfffompt": "x"}', "half of a character"),
        (b'{"model": "gpt", "prompt": "a", "prompt": "b"}', "'prompt' is given twice"),
        (b'{"model": "gpt", "temperature": NaN}', "NaN is no JSON number"),
        (b'{"model": "gpt", "temperature": -Infinity}', "Infinity is no JSON number"),
        (b'{"model": "gpt", "temperature": 1e999}', "out of range"),
        (b'{"model": "gpt", "seed": 1' + b"0" * 5000 + b"}", "out of range"),
        (b'{"model": "gpt", "n": 18446744073709551616}', "out of range"),
        (b'{"model": "gpt", "prompt": ' + b"[" * 9000 + b"]" * 9000 + b"}", "nests too deeply"),
        (b'{"model": "gpt", "prompt": ' + b"[" * 400 + b"]" * 400 + b"}", "prompt"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_json_that_cannot_be_read(client: httpx.Client, body: bytes, said: str) -> None:
    answer = raw(client, body)
    assert answer.status_code == 400
    assert said in error_of(answer)["message"]


def test_a_zero_character_is_text_like_any_other(client: httpx.Client) -> None:
    assert (
        client.post(
            TEXT, json={"model": "gpt", "prompt": "a\0b", "echo": True, "max_tokens": 0}
        ).json()["choices"][0]["text"]
        == "a\0b"
    )


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "text/json",
    ],
)
def test_bodies_of_another_type_are_415(client: httpx.Client, media: str) -> None:
    answer = raw(client, b'{"model": "gpt"}', **{"content-type": media})
    assert answer.status_code == 415
    assert "application/json" in error_of(answer)["message"]


def test_bodies_that_are_compressed_are_415(client: httpx.Client) -> None:
    small = b'{"model": "gpt", "max_tokens": 1}'
    answer = raw(client, gzip.compress(small), **{"content-encoding": "gzip"})
    assert answer.status_code == 415
    assert "'gzip'" in error_of(answer)["message"] and "uncompressed" in error_of(answer)["message"]
    assert answer.headers["accept-encoding"] == "identity"
    assert raw(client, small, **{"content-encoding": "identity"}).status_code == 200


def test_json_may_say_that_it_is_utf_8(client: httpx.Client) -> None:
    assert (
        raw(
            client,
            b'{"model": "gpt", "max_tokens": 1}',
            **{"content-type": "Application/JSON; charset=UTF-8"},
        ).status_code
        == 200
    )


@pytest.mark.parametrize(
    "path",
    ["/nope", "/v1", "/v1/models/a/b", "/health/", "/redoc", "/page/..%2f..%2fapp.py"],
)
def test_unknown_addresses_are_404(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    error_of(answer)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", TEXT, "POST"),
        ("PUT", "/health", "GET, HEAD"),
        ("DELETE", "/v1/memory/varda", "GET, HEAD"),
        ("POST", "/metrics", "GET, HEAD"),
    ],
)
def test_wrong_methods_are_405_and_told_the_right_one(
    client: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert allowed in error_of(answer)["message"]


def test_models_are_listed_and_described(client: httpx.Client, site: Any) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == list(site.served)
    assert client.get("/v1/models/gpt").json() in listed["data"]
    missing = client.get("/v1/models/gtp")
    assert missing.status_code == 404
    assert "'gpt'" in error_of(missing)["message"]


def test_health_and_measures(client: httpx.Client) -> None:
    health = client.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert health.json()["models"]["gpt"] == {
        "status": "ok",
        "workers": 1,
        "running": 0,
        "waiting": 0,
    }

    def measure(name: str) -> float:
        text = client.get("/metrics").text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    requests = 'inklings_requests_total{method="POST",route="/v1/completions",status="200"}'
    drawn, first = (
        'inklings_tokens_drawn_total{model="gpt"}',
        'inklings_first_token_seconds_count{model="gpt"}',
    )
    before = [measure(name) for name in (requests, drawn, first)]
    client.post(TEXT, json={"model": "gpt", "max_tokens": 7, "ignore_eos": True})
    client.get("/nothing/of/the/kind")
    assert [measure(name) for name in (requests, drawn, first)] == [
        before[0] + 1,
        before[1] + 7,
        before[2] + 1,
    ]
    assert "kind" not in client.get("/metrics").text
