"""`/v1/chat/completions`: a conversation, and the model's answer.

A template turns the conversation into one text, and the model's continuation is the answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from inklings.errors import InputError
from inklings.generation.engine.request import Delta, GenerationRequest, Token
from inklings.generation.special_names import special_tokens
from inklings.serving.api.answers import Chat
from inklings.serving.api.descriptions import ASKING, STREAMED
from inklings.serving.api.errors import ApiError, json_response, refused
from inklings.serving.api.prompts import (
    Prompt,
    Serving,
    Unlike,
    check_inside,
    check_predicts,
    check_unused,
    progress_of,
    read_conversation,
    whole_of,
)
from inklings.serving.api.requests import ChatBody, Message
from inklings.serving.api.sampling_parameters import (
    FINISH,
    check_drawing,
    frame_of,
    jobs_of,
    stops_of,
    usage,
)
from inklings.serving.api.sse import event, in_time, stream
from inklings.serving.api.strict_json import StrictRoute
from inklings.serving.api.token_texts import TokenTexts, entries_of, logprob
from inklings.serving.process.process_pool import Served

NO_TOOLS = "the models served here call no tools"
NO_FUNCTIONS = "the models served here call no functions"
ONLY_TEXT = "text is all that is read and written here"
NOT_HERE: Unlike = {
    "tools": ((), NO_TOOLS),
    "functions": ((), NO_FUNCTIONS),
    "tool_choice": (("none", "auto"), NO_TOOLS),
    "function_call": (("none", "auto"), NO_FUNCTIONS),
    "response_format": (({"type": "text"},), "no form of the text is enforced here"),
    "modalities": ((["text"],), ONLY_TEXT),
    "audio": ((), ONLY_TEXT),
    "moderation": ((), "nothing is moderated here"),
    "web_search_options": ((), "nothing is looked up in the web here"),
}
"""Fields of a conversation for features that are absent here (see `check_unused`)."""
NOT_IN_MESSAGES: Unlike = {
    "refusal": (
        (),
        "the models served here refuse nothing, and the chat template knows no refusals",
    ),
    "annotations": ((), ONLY_TEXT),
    "audio": ((), ONLY_TEXT),
    "tool_calls": ((), NO_TOOLS),
    "tool_call_id": ((), NO_TOOLS),
    "function_call": ((), NO_FUNCTIONS),
}
"""Fields of each message for features that are absent here."""


def chat_routes(serving: Serving) -> APIRouter:
    """Make the route of chat."""
    router = APIRouter(route_class=StrictRoute, tags=["texts"])
    about = (
        "The conversation is put into one text by this template, and the model goes on from"
        f" it:\n\n```jinja\n{serving.template.source}\n```\n\nStrings that end the answer beside"
        f" those in `stop`: {list(serving.template.stop)!r}."
    )

    @router.post(
        "/v1/chat/completions",
        response_model=Chat,
        responses={**ASKING, **STREAMED},
        summary="Answer in a conversation",
        description=about,
    )
    async def chat(request: Request, body: ChatBody) -> Response:
        served = serving.model(body.model)
        tokens = _check(serving, body)
        check_predicts(served, "a conversation")
        check_inside(served, body)
        prompts = await prompts_of(serving, served, body.messages, "messages")
        check_drawing(
            serving,
            served,
            body,
            prompts=1,
            tokens=tokens,
            tokens_field="max_completion_tokens",
        )
        jobs = jobs_of(
            request,
            serving,
            body,
            prompts,
            tokens=tokens,
            stop=(*serving.template.stop, *stops_of(body)),
            alternatives=(body.top_logprobs or 0) if body.logprobs else None,
        )
        texts = TokenTexts(served.tokenizer)
        frame = frame_of(served, "chatcmpl")
        if body.stream:
            events = _events(serving, served, body, prompts, jobs, texts, frame)
            return await stream(request, events, seconds=serving.config.timeout)
        found = await in_time(
            request, whole_of(serving, served, jobs), seconds=serving.config.timeout
        )
        choices = []
        for index, progress in enumerate(found):
            message = {"role": "assistant", "content": progress.text, "refusal": None}
            choices.append({"index": index, "message": message, **_rest(body, progress, texts)})
        drawn = sum(progress.count for progress in found)
        return json_response(
            {
                **frame,
                "object": "chat.completion",
                "choices": choices,
                "usage": usage(prompts, drawn),
            }
        )

    return router


def _check(serving: Serving, body: ChatBody) -> int:
    """Refuse what cannot be done; returns how many tokens are drawn at most."""
    check_unused(body, NOT_HERE)
    if body.top_logprobs and not body.logprobs:
        raise refused(
            "top_logprobs goes with logprobs, which is not true; set it, or leave top_logprobs"
            " out.",
            "top_logprobs",
        )
    if (
        None not in (body.max_tokens, body.max_completion_tokens)
        and body.max_tokens != body.max_completion_tokens
    ):
        raise refused(
            "max_tokens and max_completion_tokens are two names of one limit, and they differ. Give"
            " one.",
            "max_tokens",
        )
    given = body.max_completion_tokens if body.max_tokens is None else body.max_tokens
    return serving.config.max_new_tokens if given is None else given


async def prompts_of(
    serving: Serving, served: Served, messages: Sequence[Message], param: str
) -> list[Prompt]:
    """Return the one prompt of a conversation. Errors as `pieces_of`, `read_conversation`.

    Args:
        serving: models, limits and measures.
        served: the model.
        messages: the conversation.
        param: the field that it came in.
    """
    pieces = pieces_of(serving, served, messages)
    try:
        return [await read_conversation(served, pieces, serving.config, param)]
    except ApiError as error:
        if error.code is not None:
            raise
        about = (
            "The conversation was written with the chat template that the description of this route"
            " states; another can be served."
        )
        raise refused(f"{error.detail} {about}", param) from None


def pieces_of(
    serving: Serving, served: Served, messages: Sequence[Message]
) -> list[tuple[str, int | None]]:
    """Return what the chat template makes of a conversation, as `ChatTemplate.pieces`.

    Args:
        serving: has the template.
        served: the model whose special tokens are meant.
        messages: the conversation.

    Raises:
        ApiError: a message holds what is no text, or the template refuses it.
    """
    for number, message in enumerate(messages):
        check_unused(message, NOT_IN_MESSAGES, f"messages.{number}.")
        if message.content is None and message.role != "assistant":
            place = f"messages.{number}.content"
            said = f"{place!r} is missing; only a message of the assistant may have none."
            raise refused(said, place, code="missing_parameter")
    try:
        return serving.template.pieces(
            [_plain(message) for message in messages], special_tokens(served.tokenizer)
        )
    except InputError as error:
        raise refused(str(error), "messages") from None


def _plain(message: Message) -> dict[str, str]:
    given = message.content or ""
    content = given if isinstance(given, str) else "".join(part.text for part in given)
    role = "system" if message.role == "developer" else message.role
    return {
        "role": role,
        "content": content,
        **({} if message.name is None else {"name": message.name}),
    }


async def _events(
    serving: Serving,
    served: Served,
    body: ChatBody,
    prompts: Sequence[Prompt],
    jobs: Sequence[GenerationRequest],
    texts: TokenTexts,
    frame: Mapping[str, Any],
) -> AsyncGenerator[bytes]:
    counting = bool(body.stream_options and body.stream_options.include_usage)
    head = {**frame, "object": "chat.completion.chunk"}
    last: dict[str, Any] = {"usage": None} if counting else {}
    begun: set[int] = set()
    drawn = 0
    async for number, progress in progress_of(serving, served, jobs):
        drawn += progress.count
        if not (progress.text or progress.tokens or progress.ending):
            continue
        delta = (
            {"content": progress.text}
            if number in begun
            else {"role": "assistant", "content": progress.text}
        )
        begun.add(number)
        yield event(
            {
                **head,
                "choices": [{"index": number, "delta": delta, **_rest(body, progress, texts)}],
                **last,
            }
        )
    if counting:
        yield event({**head, "choices": [], "usage": usage(prompts, drawn)})


def _rest(body: ChatBody, progress: Delta, texts: TokenTexts) -> dict[str, Any]:
    """Return what whole answers and the parts of a stream have in common."""
    shown: dict[str, Any] = {"logprobs": None}
    if body.logprobs:
        shown["logprobs"] = {
            "content": [
                _shown(token, texts, entries=bool(body.entries)) for token in progress.tokens
            ],
            "refusal": None,
        }
    elif body.entries:
        shown["entries"] = [entries_of(token) for token in progress.tokens]
    return {**shown, "finish_reason": None if progress.ending is None else FINISH[progress.ending]}


def _shown(token: Token, texts: TokenTexts, *, entries: bool) -> dict[str, Any]:
    top = [_top(number, value, texts) for number, value in token.alternatives]
    more = {"entries": entries_of(token)} if entries else {}
    return {**_top(token.token, token.logprob, texts), "top_logprobs": top, **more}


def _top(token: int, value: float, texts: TokenTexts) -> dict[str, Any]:
    return {"token": texts(token), "logprob": logprob(value), "bytes": texts.bytes_of(token)}
