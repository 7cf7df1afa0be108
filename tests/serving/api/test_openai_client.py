"""OpenAI's own client, end to end over a socket.

What it understands of our answers is what we meant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx2 as httpx
import numpy as np
import openai
import pytest

from inklings.serving.settings import ServeConfig

from ..conftest import Site, serving

KEY = "a key of the tests".replace(" ", "-")


@pytest.fixture(scope="module")
def guarded(site: Site) -> Iterator[str]:
    """The same models behind a key."""
    config = ServeConfig(key=KEY, max_samples=8, max_new_tokens=200, max_body_bytes=20_000)

    with serving(site.loop, {}, config, beside=list(site.served.values())) as url:
        yield url


@pytest.fixture
def api(guarded: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{guarded}/v1", api_key=KEY, max_retries=0) as made:
        yield made


def test_models(api: openai.OpenAI) -> None:
    assert "gpt" in [model.id for model in api.models.list()]
    assert api.models.retrieve("varda").id == "varda"


def test_completions_whole_and_streamed(api: openai.OpenAI) -> None:
    whole = api.completions.create(
        model="gpt", prompt="word", max_tokens=12, seed=3, n=2, logprobs=2, echo=True
    )
    assert [choice.index for choice in whole.choices] == [0, 1]
    assert whole.choices[0].logprobs is not None and whole.choices[0].logprobs.tokens is not None
    assert whole.choices[0].logprobs.tokens[:4] == list("word")
    assert whole.usage is not None and whole.usage.prompt_tokens == 4
    texts = ["", ""]
    used = None
    stream = api.completions.create(
        model="gpt",
        prompt="word",
        max_tokens=12,
        seed=3,
        n=2,
        echo=True,
        stream=True,
        stream_options={"include_usage": True},
    )
    for part in stream:
        used = part.usage or used
        for choice in part.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]
    assert used == whole.usage


def test_chats_whole_and_streamed(api: openai.OpenAI) -> None:
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U"},
    ]
    whole = api.chat.completions.create(
        model="gpt",
        messages=messages,
        max_completion_tokens=20,
        seed=3,
        logprobs=True,
        top_logprobs=2,
    )
    choice = whole.choices[0]
    assert choice.message.role == "assistant"
    assert choice.logprobs is not None and choice.logprobs.content is not None
    assert len(choice.logprobs.content[0].top_logprobs) == 2
    text, reason = "", None
    for part in api.chat.completions.create(
        model="gpt", messages=messages, max_completion_tokens=20, seed=3, stream=True
    ):
        text += part.choices[0].delta.content or ""
        reason = part.choices[0].finish_reason
    assert (text, reason) == (choice.message.content, choice.finish_reason)


def test_embeddings(api: openai.OpenAI) -> None:
    coded = api.embeddings.create(model="gpt", input=["word", "x"])  # the client asks for base64
    plain = api.embeddings.create(model="gpt", input=["word", "x"], encoding_format="float")
    for one, other in zip(coded.data, plain.data, strict=True):
        assert np.allclose(one.embedding, other.embedding, atol=1e-5)


def test_errors_are_its_exceptions(api: openai.OpenAI, guarded: str) -> None:
    with pytest.raises(openai.BadRequestError, match="draws 200 at most") as bad:
        api.completions.create(model="gpt", prompt="", max_tokens=201)
    assert bad.value.param == "max_tokens"
    with pytest.raises(openai.NotFoundError, match="does not exist") as missing:
        api.completions.create(model="gpt-17", prompt="")
    assert missing.value.code == "model_not_found"
    with pytest.raises(
        openai.BadRequestError, match="Unrecognized request argument supplied: nonsense"
    ):
        api.completions.create(model="gpt", prompt="", extra_body={"nonsense": 1})
    with openai.OpenAI(base_url=f"{guarded}/v1", api_key="another-key", max_retries=0) as other:
        with pytest.raises(openai.AuthenticationError, match="API key is wrong") as wrong:
            other.models.list()
        assert wrong.value.code == "invalid_api_key"
        assert KEY not in str(wrong.value)


def test_the_asynchronous_client(guarded: str) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{guarded}/v1", api_key=KEY, max_retries=0) as api:
            whole = await api.completions.create(model="gpt", prompt="word", max_tokens=12, seed=3)
            stream = await api.completions.create(
                model="gpt", prompt="word", max_tokens=12, seed=3, stream=True
            )
            return [whole.choices[0].text, "".join([part.choices[0].text async for part in stream])]

    whole, streamed = asyncio.run(ask())
    assert whole == streamed


@pytest.mark.parametrize(
    "shown",
    [
        None,
        "",
        KEY,
        f"Basic {KEY}",
        "Bearer",
        "Bearer wrong",
        f"Bearer {KEY}x",
        f"Bearer x{KEY}",
        "Bearer é",
    ],
)
def test_without_the_right_key_nothing_but_health_and_the_page_is_there(
    guarded: str, shown: str | None
) -> None:
    headers = {} if shown is None else {"authorization": shown.encode("latin-1")}
    with httpx.Client(base_url=guarded) as client:
        for path in (
            "/v1/models",
            "/metrics",
            "/openapi.json",
            "/v1/runs",
            "/nothing",
            "/v1/completions",
        ):
            answer = client.get(path, headers=headers)  # type: ignore[arg-type]
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"]["code"] == "invalid_api_key"
        for path in ("/health", "/"):
            assert client.get(path, headers=headers).status_code == 200  # type: ignore[arg-type]
        assert (
            client.get("/v1/models", headers={"authorization": f"bearer  {KEY}"}).status_code == 200
        )
