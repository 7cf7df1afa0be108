"""`/v1/responses` with OpenAI's own client: the answer of the same chat, whole and as events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Required, get_origin, get_type_hints

import httpx2 as httpx
import openai
import pytest
from openai.types.responses import response_create_params

from inklings.serving.api.request_fields import EMPTY
from inklings.serving.api.routes.responses import NOT_HERE

from .conftest import Refused, Site

PATH = "/v1/responses"
ASKED: dict[str, Any] = {"model": "gpt", "seed": 4, "max_output_tokens": 30}
TALK: list[Any] = [
    {"role": "developer", "content": "Be brief."},
    {
        "role": "user",
        "content": [{"type": "input_text", "text": "Hi "}, {"type": "input_text", "text": "you"}],
    },
    {"type": "message", "role": "assistant", "content": "No."},
    {"role": "user", "content": "Why?"},
]


@pytest.fixture
def api(site: Site) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{site.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def create(api: openai.OpenAI, **body: Any) -> Any:
    length = {"max_output_tokens": 30, **body}
    return api.responses.create(model="gpt", extra_body={"seed": 4}, **length)


@pytest.mark.parametrize("said", ["Hi you", TALK])
def test_an_answer_is_that_of_the_chat(api: openai.OpenAI, client: httpx.Client, said: Any) -> None:
    messages = [{"role": "system", "content": "S"}]
    if isinstance(said, str):
        messages.append({"role": "user", "content": said})
    else:
        texts = [item["content"] if isinstance(item["content"], str) else "Hi you" for item in said]
        messages += [
            {"role": item["role"], "content": text} for item, text in zip(said, texts, strict=True)
        ]
    asked = {"model": "gpt", "messages": messages, "seed": 4, "max_tokens": 30}
    chat = client.post("/v1/chat/completions", json=asked).json()
    found = create(api, input=said, instructions="S")
    assert found.output_text == chat["choices"][0]["message"]["content"]
    reason = chat["choices"][0]["finish_reason"]
    assert found.status == {"length": "incomplete", "stop": "completed"}[reason]
    cut = {"length": "max_output_tokens", "stop": None}[reason]
    assert getattr(found.incomplete_details, "reason", None) == cut
    used = chat["usage"]
    assert (found.usage.input_tokens, found.usage.output_tokens) == (
        used["prompt_tokens"],
        used["completion_tokens"],
    )
    assert found.usage.total_tokens == used["total_tokens"]


def test_events_are_the_whole_answer_in_pieces(api: openai.OpenAI) -> None:
    for length in (30, 1):
        whole = create(api, input="Hi", max_output_tokens=length)
        events = list(create(api, input="Hi", max_output_tokens=length, stream=True))
        assert [event.sequence_number for event in events] == list(range(len(events)))
        kinds = [event.type.removeprefix("response.") for event in events]
        deltas = kinds.count("output_text.delta")
        begin = ["created", "in_progress", "output_item.added", "content_part.added"]
        end = ["output_text.done", "content_part.done", "output_item.done", whole.status]
        assert kinds == [*begin, *["output_text.delta"] * deltas, *end]
        text = "".join(
            event.delta for event in events if event.type == "response.output_text.delta"
        )
        assert text == whole.output_text == events[-4].text == events[-3].part.text
        assert events[-1].response.output_text == text
        assert events[-1].response.usage == whole.usage
        assert {event.item_id for event in events[4:-2]} | {events[-2].item.id} == {
            events[-1].response.output[0].id
        }


def test_an_answer_that_the_model_ends_is_completed(api: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "gpt", "input": "Hi", "max_output_tokens": 200}
    answers = (api.responses.create(**asked, extra_body={"seed": seed}) for seed in range(20))
    seed, whole = next(
        (seed, answer) for seed, answer in enumerate(answers) if answer.status == "completed"
    )
    assert whole.incomplete_details is None
    # the client's own way to read events knows no other end
    with api.responses.stream(**asked, extra_body={"seed": seed}) as stream:
        assert stream.get_final_response().output_text == whole.output_text


def test_events_name_their_kind(client: httpx.Client) -> None:
    with client.stream("POST", PATH, json={**ASKED, "input": "Hi", "stream": True}) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert lines[0] == "event: response.created"
    assert lines[-1] == "data: [DONE]"


def test_an_answer_is_taken_as_history(api: openai.OpenAI) -> None:
    said = create(api, input="Hi")
    plain = create(
        api,
        input=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": said.output_text},
        ],
    )
    for output in (said.output, [item.model_dump() for item in said.output]):
        assert (
            create(api, input=[{"role": "user", "content": "Hi"}, *output]).output_text
            == plain.output_text
        )


def test_what_asks_for_nothing_is_taken_and_the_rest_refused(
    client: httpx.Client, refused: Refused
) -> None:
    def text(**body: Any) -> str:
        answer = client.post(PATH, json={**ASKED, "input": "Hi", **body})
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["output"][0]["content"][0]["text"]
        return found

    hints = get_type_hints(
        response_create_params.ResponseCreateParamsNonStreaming, include_extras=True
    )
    names = [name for name, hint in hints.items() if get_origin(hint) is not Required]
    plain = text()
    given = {name: None for name in names if name not in ("model", "input", "max_output_tokens")}
    assert len(given) > 25
    assert text(**given) == plain
    for empty in EMPTY:
        assert text(**{name: empty for name in NOT_HERE if name != "background"}) == plain
    assert (
        text(reasoning={"effort": "low"}, text={"format": {"type": "text"}, "verbosity": "low"})
        == plain
    )
    assert (
        text(truncation="disabled", background=False, tool_choice="auto", store=True, user="me")
        == plain
    )
    for name in NOT_HERE:
        full: Any = True if name == "background" else ["full"]
        assert refused(PATH, {**ASKED, "input": "Hi", name: full})["param"] == name
    assert (
        refused(PATH, {**ASKED, "input": "Hi", "text": {"format": {"type": "json_object"}}})[
            "param"
        ]
        == "text"
    )
    image = [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]
    assert refused(PATH, {**ASKED, "input": image})["param"].startswith("input")
    assert "out of noise" in refused(PATH, {"model": "gan", "input": "Hi"})["message"]
    assert "chat template" in refused(PATH, {"model": "reference", "input": "é"})["message"]
