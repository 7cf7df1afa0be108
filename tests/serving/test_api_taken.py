"""What clients send that asks for nothing is taken.

Empty fields, hints, our own answers as history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Required, get_args, get_origin, get_type_hints

import httpx2 as httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import chat_completion_message_param as roles
from openai.types.chat import chat_completion_stream_options_param as streams
from openai.types.chat import completion_create_params as chats
from openai.types.chat.chat_completion_content_part_text_param import (
    ChatCompletionContentPartTextParam,
)
from pydantic import TypeAdapter

from inklings.serving.api import requests as bodies
from inklings.serving.api.request_fields import EMPTY, Body
from inklings.serving.api.routes.chat import NOT_HERE, NOT_IN_MESSAGES
from inklings.serving.api.routes.memory_routes import SearchBody
from inklings.serving.api.routes.score import ScoreBody
from inklings.serving.settings import ServeConfig
from inklings.text.tokenizers import BOUNDARY

from .conftest import Refused, Site, serving

TEXT = "/v1/completions"
CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]
ASKED: dict[str, dict[str, Any]] = {
    TEXT: {"model": "gpt", "prompt": "word", "max_tokens": 6, "seed": 1},
    CHAT: {"model": "gpt", "messages": HELLO, "max_tokens": 6, "seed": 1},
    "/v1/embeddings": {"model": "gpt", "input": "word"},
}
PARAMS = {
    TEXT: completion_create_params.CompletionCreateParamsNonStreaming,
    CHAT: chats.CompletionCreateParamsNonStreaming,
    "/v1/embeddings": embedding_create_params.EmbeddingCreateParams,
}
ROLES = {"system", "developer", "user", "assistant"}
"""Those of messages that hold text alone."""


def optional(schema: Any) -> list[str]:
    """The fields of one of OpenAI's types that may be left out."""
    hints = get_type_hints(schema, include_extras=True)
    return [name for name, hint in hints.items() if get_origin(hint) is not Required]


def answer_to(client: httpx.Client, path: str, **body: Any) -> Any:
    """What is answered, but for what is new each time."""
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return {name: value for name, value in answer.json().items() if name not in ("id", "created")}


@pytest.mark.parametrize("path", ASKED)
def test_every_optional_field_of_openai_may_be_null(client: httpx.Client, path: str) -> None:
    names = [name for name in optional(PARAMS[path]) if name not in ("max_tokens", "seed")]
    assert {"user"} < {*names} if path != "/v1/embeddings" else {"user"} <= {*names}
    plain = answer_to(client, path, **ASKED[path])
    assert answer_to(client, path, **{**ASKED[path], **dict.fromkeys(names)}) == plain


def subclasses(kind: type[Body]) -> Iterable[type[Body]]:
    yield kind
    for below in kind.__subclasses__():
        yield from subclasses(below)


def test_every_field_that_may_be_left_out_may_be_null() -> None:
    seen = 0
    for kind in subclasses(Body):
        for name, field in kind.model_fields.items():
            if not field.is_required():
                hint: Any = Annotated[field.annotation, *field.metadata, "kept as it is"]
                adapter: TypeAdapter[Any] = TypeAdapter(hint)
                assert adapter.validate_python(None) in EMPTY, f"{kind.__name__}.{name}"
                seen += 1
    assert seen > 60
    assert {SearchBody, ScoreBody, bodies.TextPart} < {*subclasses(Body)}


def test_every_optional_field_of_a_message_may_be_empty(client: httpx.Client) -> None:
    said = {"system": "S", "developer": "D", "user": "U", "assistant": "A"}
    plain = answer_to(
        client,
        CHAT,
        **{**ASKED[CHAT], "messages": [{"role": r, "content": t} for r, t in said.items()]},
    )
    schemas = {}
    for schema in get_args(roles.ChatCompletionMessageParam):
        (role,) = get_args(get_args(get_type_hints(schema, include_extras=True)["role"])[0])
        schemas[role] = schema
    assert schemas.keys() > ROLES
    part = dict.fromkeys(optional(ChatCompletionContentPartTextParam))
    nothing: list[object] = [None, [], {}]
    for empty in nothing:
        messages = []
        for role, text in said.items():
            names = {*optional(schemas[role]), *NOT_IN_MESSAGES} - {"content", "name"}
            content = [{**part, "type": "text", "text": text}]
            messages.append(
                {"role": role, "content": content, "name": None, **dict.fromkeys(names, empty)}
            )
        assert answer_to(client, CHAT, **{**ASKED[CHAT], "messages": messages}) == plain


def test_what_the_assistant_said_may_be_nothing(client: httpx.Client, refused: Refused) -> None:
    def chat(**message: Any) -> dict[str, Any]:
        return {**ASKED[CHAT], "messages": [*HELLO, message]}

    plain = answer_to(client, CHAT, **chat(role="assistant", content=""))
    nothing: list[dict[str, Any]] = [
        {"content": None},
        {},
        {"content": []},
        {"content": None, "tool_calls": []},
    ]
    for message in nothing:
        assert answer_to(client, CHAT, **chat(role="assistant", **message)) == plain
    for role in ROLES - {"assistant"}:
        assert refused(CHAT, chat(role=role, content=None))["param"] == "messages.1.content"


FULL: dict[str, Any] = {
    "function_call": {"name": "f", "arguments": ""},
    "refusal": "no",
    "tool_call_id": "call_1",
}


@pytest.mark.parametrize("name", NOT_IN_MESSAGES)
def test_what_is_full_in_a_message_is_refused(refused: Refused, name: str) -> None:
    message = {"role": "assistant", "content": "A", name: FULL.get(name, [{"id": "1"}])}
    error = refused(CHAT, {**ASKED[CHAT], "messages": [*HELLO, message]})
    assert error["param"] == f"messages.1.{name}"
    assert "Leave it out" in error["message"]


@pytest.mark.parametrize("name", NOT_HERE)
def test_what_is_full_in_a_conversation_is_refused(
    client: httpx.Client, refused: Refused, name: str
) -> None:
    assert refused(CHAT, {**ASKED[CHAT], name: ["full"]})["param"] == name
    assert refused(CHAT, {**ASKED[CHAT], name: {"type": "full"}})["param"] == name
    plain = answer_to(client, CHAT, **ASKED[CHAT])
    for empty in EMPTY:
        assert answer_to(client, CHAT, **{**ASKED[CHAT], name: empty}) == plain


def test_our_own_answer_is_taken_as_history(site: Site) -> None:
    with openai.OpenAI(base_url=f"{site.url}/v1", api_key="none", max_retries=0) as api:

        def answer(messages: list[Any]) -> Any:
            return (
                api.chat.completions.create(model="gpt", messages=messages, max_tokens=8, seed=1)
                .choices[0]
                .message
            )

        said = answer(HELLO)
        plain = answer([*HELLO, {"role": "assistant", "content": said.content}, *HELLO]).content
        nulls = {"refusal", "tool_calls", "function_call", "audio", "annotations"}
        assert nulls < said.model_dump().keys()
        for mine in (said, said.model_dump(), said.to_dict(), said.model_dump(exclude_none=True)):
            assert answer([*HELLO, mine, *HELLO]).content == plain


HINTS: dict[str, Any] = {
    "user": "me",
    "metadata": {"a": "b"},
    "store": True,
    "service_tier": "flex",
    "safety_identifier": "x",
    "prompt_cache_key": "x",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"mode": "implicit"},
}
CHAT_HINTS: dict[str, Any] = {
    **HINTS,
    "reasoning_effort": "high",
    "verbosity": "low",
    "prediction": {"type": "content", "content": "word"},
    "parallel_tool_calls": True,
    "top_logprobs": 0,
}
NOTHING: list[dict[str, Any]] = [
    *({"top_k": value} for value in (0, -1, None)),
    *({"stop": value} for value in ("", [], [""], ["", ""], None)),
    *(
        {"stream_options": value}
        for value in (
            {},
            {"include_usage": None},
            {"include_usage": False},
            {"include_obfuscation": True},
        )
    ),
    {"logit_bias": {}, "branches": {}, "entries": 0, "ignore_eos": False},
]


@pytest.mark.parametrize(("path", "hints"), [(TEXT, HINTS), (CHAT, CHAT_HINTS)])
def test_hints_and_settings_that_say_nothing_change_nothing(
    client: httpx.Client, path: str, hints: dict[str, Any]
) -> None:
    plain = answer_to(client, path, **ASKED[path])
    for more in (hints, *NOTHING):
        assert answer_to(client, path, **ASKED[path], **more) == plain, more
    (options,) = [streams.ChatCompletionStreamOptionsParam]
    body = {**ASKED[path], "stream": True, "stream_options": dict.fromkeys(optional(options))}
    assert client.post(path, json=body).status_code == 200


def test_settings_that_say_nothing_are_taken_by_a_generator_out_of_noise(
    client: httpx.Client,
) -> None:
    asked = {"model": "gan", "seed": 1}
    plain = answer_to(client, TEXT, **asked)
    for more in (HINTS, *NOTHING, dict.fromkeys(optional(PARAMS[TEXT])) | asked):
        assert answer_to(client, TEXT, **{**asked, **more}) == plain, more


@given(stops=st.lists(st.text(max_size=3), max_size=32))
@settings(max_examples=10)
def test_up_to_32_stop_strings(client: httpx.Client, stops: list[str]) -> None:
    asked = {**ASKED[TEXT], "max_tokens": 30, "ignore_eos": True}
    whole = answer_to(client, TEXT, **asked)["choices"][0]["text"]
    ends = [whole.index(stop) for stop in stops if stop and stop in whole]
    found = answer_to(client, TEXT, **asked, stop=stops)["choices"][0]["text"]
    assert whole.startswith(found)
    assert len(found) >= min(ends, default=len(whole)) - 2
    assert not any(stop in found for stop in stops if stop)
    assert (found == whole) == (not ends)


@pytest.fixture(scope="module")
def narrow(site: Site, loop: Any) -> Iterator[httpx.Client]:
    """A server with room for three texts, two of which are read and written at a time."""
    config = ServeConfig(rows=2, queue=1, max_samples=8)
    with (
        serving(loop, {"gpt": site.runs["gpt"]}, config) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield client


@pytest.mark.parametrize("path", [TEXT, CHAT])
def test_more_texts_than_there_are_places_is_no_matter_of_waiting(
    narrow: httpx.Client, path: str
) -> None:
    assert narrow.post(path, json={**ASKED[path], "n": 3}).status_code == 200
    answer = narrow.post(path, json={**ASKED[path], "n": 4})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "n"
    assert "3 places" in answer.json()["error"]["message"]


def test_texts_that_are_read_may_be_more_than_places_and_samples(
    narrow: httpx.Client, client: httpx.Client
) -> None:
    texts = [f"word {number}" for number in range(21)]
    for path in ("/v1/embeddings", "/v1/score"):
        many = answer_to(narrow, path, model="gpt", input=texts)
        assert [each["index"] for each in many["data"]] == list(range(21))
        assert many["usage"]["total_tokens"] == sum(map(len, texts))
        for number in (0, 20):
            alone = answer_to(narrow, path, model="gpt", input=texts[number])["data"][0]
            assert many["data"][number] == {**alone, "index": number} or path == "/v1/score"
    scores = answer_to(narrow, "/v1/score", model="gpt", input=texts)["data"]
    assert scores[20]["nats"] == pytest.approx(
        answer_to(client, "/v1/score", model="gpt", input=texts[20])["data"][0]["nats"], abs=1e-3
    )


def test_the_limits_of_what_is_read(refused: Refused) -> None:
    for path in ("/v1/embeddings", "/v1/score"):
        assert "takes 2,048" in refused(path, {"model": "gpt", "input": [""] * 2049})["message"]
    long = ["x" * 300] * 9
    assert (
        "2,700 tokens together" in refused("/v1/score", {"model": "gpt", "input": long})["message"]
    )


@given(text=st.text(max_size=20))
@settings(max_examples=10)
def test_tokens_of_a_text_and_back(client: httpx.Client, site: Site, text: str) -> None:
    for model in ("gpt", "ngram"):
        tokenizer = site.runs[model].tokenizer()
        found = answer_to(
            client,
            "/tokenize",
            model=model,
            prompt=text,
            add_special_tokens=False,
            return_token_strs=True,
        )
        wanted = tokenizer.encode(text).tolist()
        assert (found["tokens"], found["count"], found["max_model_len"]) == (
            wanted,
            len(wanted),
            300,
        )
        assert len(found["token_strs"]) == len(wanted)
        back = answer_to(client, "/detokenize", model=model, tokens=wanted)
        assert back == {"prompt": tokenizer.decode(wanted)}
        if model == "gpt":
            assert back["prompt"] == text


def test_what_the_tokenizer_is(
    site: Site, client: httpx.Client, narrow: httpx.Client, refused: Refused
) -> None:
    tokenizer = site.runs["gpt"].tokenizer()
    for each, model in ((client, {"model": "gpt"}), (narrow, {})):
        info = each.get("/tokenizer_info", params=model).json()
        assert (info["model"], info["kind"], info["eos_token"]) == ("gpt", "byte", BOUNDARY)
        # so lm-evaluation-harness asks for the number of the token that ends a text
        found = answer_to(
            each, "/tokenize", prompt=info["eos_token"], add_special_tokens=False, **model
        )
        assert found["tokens"] == [tokenizer.boundary]
        assert found["token_strs"] is None
        inside = answer_to(each, "/tokenize", prompt=f"a{BOUNDARY}", **model)
        assert inside["tokens"] == tokenizer.encode(f"a{BOUNDARY}").tolist()
    assert client.get("/tokenizer_info").json()["error"]["param"] == "model"
    assert client.get("/tokenizer_info", params={"model": "gtp"}).status_code == 404
    assert refused("/tokenize", {"prompt": "a"})["param"] == "model"
    assert "no token 257" in refused("/detokenize", {"model": "gpt", "tokens": [257]})["message"]
    assert "lacks" in refused("/tokenize", {"model": "reference", "prompt": "é"})["message"]
    for both in ({"prompt": "a", "messages": HELLO}, {}):
        assert "one of them" in refused("/tokenize", {"model": "gpt", **both})["message"]


def test_tokens_of_a_conversation(site: Site, client: httpx.Client) -> None:
    found = answer_to(client, "/tokenize", model="gpt", messages=HELLO)
    assert (
        found["tokens"] == site.runs["gpt"].tokenizer().encode("User: hello\nAssistant:").tolist()
    )
