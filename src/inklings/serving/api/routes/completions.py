"""`/v1/completions`: texts that go on from prompts, or that are made whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from inklings.generation.engine.request import Delta, GenerationRequest, Token
from inklings.serving.api.answers import Completion
from inklings.serving.api.descriptions import ASKING, STREAMED
from inklings.serving.api.errors import json_response, refused
from inklings.serving.api.prompts import (
    Prompt,
    Serving,
    check_inside,
    progress_of,
    read_prompts,
    whole_of,
)
from inklings.serving.api.requests import CompletionBody
from inklings.serving.api.routes.noise_completions import write_whole
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
from inklings.serving.api.token_texts import Offsets, TokenTexts, entries_of, logprob
from inklings.serving.process.process_pool import Served

TOKENS = 16
"""Most tokens that are drawn where the request does not say, as at OpenAI."""


def completion_routes(serving: Serving) -> APIRouter:
    """Make the route of completions."""
    router = APIRouter(route_class=StrictRoute, tags=["texts"])

    @router.post(
        "/v1/completions",
        response_model=Completion,
        responses={**ASKING, **STREAMED},
        summary="Go on from a text",
    )
    async def complete(request: Request, body: CompletionBody) -> Response:
        served = serving.model(body.model)
        _check(serving, body)
        if not served.card.predicts:
            return await write_whole(request, serving, served, body)
        check_inside(served, body)
        if body.style_seed is not None:
            raise refused(
                f"{served.card.name} predicts token by token; style_seed is for generators that"
                " make texts out of noise.",
                "style_seed",
            )
        prompts = await read_prompts(
            served, body.prompt or "", serving.config, "prompt", most=serving.config.max_samples
        )
        tokens = TOKENS if body.max_tokens is None else body.max_tokens
        check_drawing(
            serving,
            served,
            body,
            prompts=len(prompts),
            tokens=tokens,
            tokens_field="max_tokens",
        )
        jobs = jobs_of(
            request,
            serving,
            body,
            prompts,
            tokens=tokens,
            stop=stops_of(body),
            alternatives=body.logprobs,
            prompt_alternatives=body.logprobs if body.echo else None,
        )
        writers = _writers(served, body, prompts)
        frame = {**frame_of(served, "cmpl"), "object": "text_completion"}
        if body.stream:
            events = _events(serving, served, body, prompts, jobs, writers, frame)
            return await stream(request, events, seconds=serving.config.timeout)
        found = await in_time(
            request, whole_of(serving, served, jobs), seconds=serving.config.timeout
        )
        choices = [writer.choice(progress) for writer, progress in zip(writers, found, strict=True)]
        drawn = sum(progress.count for progress in found)
        return json_response({**frame, "choices": choices, "usage": usage(prompts, drawn)})

    return router


def _check(serving: Serving, body: CompletionBody) -> None:
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise refused(
            f"best_of is {body.best_of} and n is {body.n or 1}: texts are not thrown away here."
            " Leave best_of out, or make it n.",
            "best_of",
        )
    if body.suffix:
        raise refused(
            "suffix is not supported: these models read from left to right and cannot aim at a"
            " given end. Leave it out.",
            "suffix",
        )


async def _events(
    serving: Serving,
    served: Served,
    body: CompletionBody,
    prompts: Sequence[Prompt],
    jobs: Sequence[GenerationRequest],
    writers: Sequence[_Writer],
    frame: Mapping[str, Any],
) -> AsyncGenerator[bytes]:
    counting = bool(body.stream_options and body.stream_options.include_usage)
    rest: dict[str, Any] = {"usage": None} if counting else {}
    drawn = 0
    async for number, progress in progress_of(serving, served, jobs):
        drawn += progress.count
        choice = writers[number].choice(progress)
        if choice["text"] or choice["logprobs"] or choice.get("entries") or choice["finish_reason"]:
            yield event({**frame, "choices": [choice], **rest})
    if counting:
        yield event({**frame, "choices": [], "usage": usage(prompts, drawn)})


def _writers(served: Served, body: CompletionBody, prompts: Sequence[Prompt]) -> list[_Writer]:
    texts = TokenTexts(served.tokenizer)
    each = [prompt for prompt in prompts for _ in range(body.n or 1)]
    return [_Writer(index, body, prompt, texts) for index, prompt in enumerate(each)]


class _Writer:
    """Turns the deltas of one text into its choice, piece by piece or at once."""

    def __init__(self, index: int, body: CompletionBody, prompt: Prompt, texts: TokenTexts) -> None:
        self._index = index
        self._logprobs, self._entries = body.logprobs, bool(body.entries)
        self._echo = prompt.text if body.echo else ""
        self._echoed = prompt.tokens[1:] if body.echo else ()
        self._texts = texts
        self._offsets = Offsets(
            texts.tokenizer, prompt.tokens[0] if body.echo else prompt.tokens[-1]
        )

    def choice(self, progress: Delta) -> dict[str, Any]:
        """Return what a progress adds to the choice."""
        text, self._echo = self._echo + progress.text, ""
        choice: dict[str, Any] = {"index": self._index, "text": text, "logprobs": None}
        choice["finish_reason"] = None if progress.ending is None else FINISH[progress.ending]
        shown: list[tuple[int, Token | None]] = []
        offsets: list[int] = []
        if self._echoed:
            # nothing stands before the first that the client gave, so it is not said to be likely
            # or unlikely
            rest = (
                progress.prompt[1:]
                if progress.prompt is not None
                else (None,) * (len(self._echoed) - 1)
            )
            shown = list(zip(self._echoed, (None, *rest), strict=True))
            offsets = [self._offsets.next(number, drawn=False) for number in self._echoed]
            self._echoed = ()
        shown += [(token.token, token) for token in progress.tokens]
        offsets += [self._offsets.next(token.token, drawn=True) for token in progress.tokens]
        if self._logprobs is not None:
            choice["logprobs"] = (
                self._table(shown, offsets) if shown or progress.ending is not None else None
            )
        if self._entries:
            choice["entries"] = [[] if token is None else entries_of(token) for _, token in shown]
        return choice

    def _table(
        self, shown: Sequence[tuple[int, Token | None]], offsets: list[int]
    ) -> dict[str, Any]:
        return {
            "tokens": [self._texts(number) for number, _ in shown],
            "token_logprobs": [
                None if token is None else logprob(token.logprob) for _, token in shown
            ],
            "top_logprobs": (
                [None if token is None else self._likeliest(token) for _, token in shown]
                if self._logprobs
                else None
            ),
            "text_offset": offsets,
        }

    def _likeliest(self, token: Token) -> dict[str, float]:
        found: dict[str, float] = {}
        # the likelier of two tokens with one text, and the token itself in any case
        for number, value in (*token.alternatives, (token.token, token.logprob)):
            found.setdefault(self._texts(number), logprob(value))
        return found
