"""`/v1/responses`: a chat of one answer in the form of OpenAI's newer API, for plain text."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from inklings.generation.engine.request import Ending, GenerationRequest
from inklings.serving.api.descriptions import ASKING, STREAMED
from inklings.serving.api.errors import json_response, refused
from inklings.serving.api.prompts import (
    Prompt,
    Serving,
    Unlike,
    check_inside,
    check_predicts,
    check_unused,
    progress_of,
    whole_of,
)
from inklings.serving.api.requests import ChatBody, Message
from inklings.serving.api.response_bodies import InputItem, ResponseBody, ResponseOut
from inklings.serving.api.routes.chat import NO_TOOLS, ONLY_TEXT, prompts_of
from inklings.serving.api.sampling_parameters import check_drawing, frame_of, jobs_of, usage
from inklings.serving.api.sse import in_time, named_event, stream
from inklings.serving.api.strict_json import StrictRoute
from inklings.serving.process.process_pool import Served

PLAIN_TEXT = {"format": {"type": "text"}}
NOTHING_KEPT = "nothing is kept here from one request to the next"
NOT_HERE: Unlike = {
    "tools": ((), NO_TOOLS),
    "tool_choice": (("none", "auto"), NO_TOOLS),
    "image": ((), ONLY_TEXT),
    "include": ((), "there is nothing more to tell"),
    "top_logprobs": ((0,), "log-probabilities are those of /v1/chat/completions"),
    "moderation": ((), "nothing is moderated here"),
    "conversation": ((), NOTHING_KEPT),
    "previous_response_id": ((), NOTHING_KEPT),
    "prompt": ((), NOTHING_KEPT),
    "background": ((False,), "an answer is given at once"),
    "background_options": ((), "an answer is given at once"),
    "context_management": ((), "a conversation is read as it is"),
    "truncation": (("disabled",), "a conversation is read as it is"),
    "access_programs": ((), "there are none"),
}
"""Fields of a request for features that are absent here (see `check_unused`)."""
ENDINGS: dict[Ending, str] = {
    "boundary": "completed",
    "stop": "completed",
    "length": "incomplete",
}


def response_routes(serving: Serving) -> APIRouter:
    """Make the route of responses."""
    router = APIRouter(route_class=StrictRoute, tags=["texts"])

    @router.post(
        "/v1/responses",
        response_model=ResponseOut,
        responses={**ASKING, **STREAMED},
        summary="Answer in a conversation, as OpenAI's newer API does",
    )
    async def respond(request: Request, body: ResponseBody) -> Response:
        served = serving.model(body.model)
        _check(body)
        check_predicts(served, "a conversation")
        check_inside(served, body)
        chat = _as_chat(body)
        prompts = await prompts_of(serving, served, chat.messages, "input")
        most = body.max_output_tokens
        tokens = serving.config.max_new_tokens if most is None else most
        check_drawing(
            serving, served, chat, prompts=1, tokens=tokens, tokens_field="max_output_tokens"
        )
        stop = serving.template.stop
        jobs = jobs_of(request, serving, chat, prompts, tokens=tokens, stop=stop, alternatives=None)
        written = _Written(served, body, prompts)
        if body.stream:
            events = _events(serving, served, jobs, written)
            return await stream(request, events, seconds=serving.config.timeout)
        work = whole_of(serving, served, jobs)
        (found,) = await in_time(request, work, seconds=serving.config.timeout)
        written.text, written.drawn, written.ending = found.text, found.count, found.ending
        return json_response(written.response())

    return router


def _check(body: ResponseBody) -> None:
    check_unused(body, NOT_HERE)
    asked = body.text if isinstance(body.text, dict) else {"format": body.text}
    if asked.get("format") not in (None, {}, PLAIN_TEXT["format"]):
        raise refused(
            "text is not supported: no form of it is enforced here. Leave it out.", "text"
        )
    for number, item in enumerate(body.input if isinstance(body.input, list) else []):
        for place, part in enumerate(item.content if isinstance(item.content, list) else []):
            before = f"input.{number}.content.{place}."
            check_unused(part, {"annotations": ((), ONLY_TEXT)}, before)


def _as_chat(body: ResponseBody) -> ChatBody:
    """Return the chat that asks for the same."""
    said = body.input
    messages = (
        [Message(role="user", content=said)] if isinstance(said, str) else list(map(_message, said))
    )
    if body.instructions:
        messages.insert(0, Message(role="system", content=body.instructions))
    return ChatBody(
        model=body.model,
        messages=messages,
        temperature=body.temperature,
        top_p=body.top_p,
        seed=body.seed,
        branches=body.branches,
    )


def _message(item: InputItem) -> Message:
    content = item.content
    text = content if isinstance(content, str) else "".join(part.text for part in content)
    return Message(role=item.role, content=text)


class _Written:
    """An answer in progress, in the forms that events and the whole response show."""

    def __init__(self, served: Served, body: ResponseBody, prompts: Sequence[Prompt]) -> None:
        frame = frame_of(served, "resp")
        self._frame = {
            "id": frame["id"].replace("-", "_"),
            "object": "response",
            "created_at": frame["created"],
            "model": frame["model"],
        }
        self._body = body
        self._prompts = prompts
        self.item_id = f"msg_{secrets.token_hex(12)}"
        self.text = ""
        self.drawn = 0
        self.ending: Ending | None = None

    @property
    def status(self) -> str:
        """Whether it is at its end, and how."""
        return "in_progress" if self.ending is None else ENDINGS[self.ending]

    def part(self) -> dict[str, Any]:
        """Return the text as a part."""
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": []}

    def item(self, *, begun: bool = True) -> dict[str, Any]:
        """Return the message, with its text if that has begun."""
        content = [self.part()] if begun else []
        head = {"id": self.item_id, "type": "message", "role": "assistant"}
        return {**head, "status": self.status, "content": content}

    def response(self) -> dict[str, Any]:
        """Return the response as it is now."""
        body, done = self._body, self.ending is not None
        counts = usage(self._prompts, self.drawn)
        used = {
            "input_tokens": counts["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": counts["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": counts["total_tokens"],
        }
        cut = {"reason": "max_output_tokens"} if self.ending == "length" else None
        return {
            **self._frame,
            "status": self.status,
            "incomplete_details": cut,
            "error": None,
            "output": [self.item()] if done else [],
            "usage": used if done else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "store": False,
            "text": PLAIN_TEXT,
            "tool_choice": "none",
            "tools": [],
            "truncation": "disabled",
        }


async def _events(
    serving: Serving, served: Served, jobs: Sequence[GenerationRequest], written: _Written
) -> AsyncGenerator[bytes]:
    number = -1

    def told(kind: str, **values: Any) -> bytes:
        nonlocal number
        number += 1
        return named_event(kind, {"type": kind, "sequence_number": number, **values})

    at = {"item_id": written.item_id, "output_index": 0, "content_index": 0}
    begun = False
    async for _, progress in progress_of(serving, served, jobs):
        if not begun:
            # not before something came: until then, what goes wrong has a status of its own
            begun = True
            yield told("response.created", response=written.response())
            yield told("response.in_progress", response=written.response())
            yield told("response.output_item.added", output_index=0, item=written.item(begun=False))
            yield told("response.content_part.added", **at, part=written.part())
        written.text += progress.text
        written.drawn += progress.count
        written.ending = progress.ending
        if progress.text:
            yield told("response.output_text.delta", **at, delta=progress.text, logprobs=[])
    yield told("response.output_text.done", **at, text=written.text, logprobs=[])
    yield told("response.content_part.done", **at, part=written.part())
    yield told("response.output_item.done", output_index=0, item=written.item())
    yield told(f"response.{written.status}", response=written.response())
