"""From a request to a model's prompts, and from its answers to one stream.

It finds the model and the tokens, and holds the limits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request

from inklings.errors import TokenizerError, nearest, unknown_name
from inklings.generation.engine.request import Delta, GenerationRequest
from inklings.serving.api.chat_template import ChatTemplate
from inklings.serving.api.errors import ApiError, refused, too_late
from inklings.serving.api.prometheus import ServerMetrics
from inklings.serving.api.request_fields import EMPTY, Body, InsideBody, Texts
from inklings.serving.process.process_pool import Served
from inklings.serving.process.response_stream import Ticket, joined
from inklings.serving.settings import ServeConfig
from inklings.text.tokenizers import Tokenizer

Unlike = Mapping[str, tuple[tuple[Any, ...], str]]
"""Names of fields for features that are absent here, the values of each (beside empty ones) that
ask for nothing, and why.
"""
MOST_TEXTS = 2_048
"""Most texts that one request may have read, as at OpenAI; how many it may have written is a
setting.
"""
QUICKLY = 10_000
"""Most characters that are encoded at once; more are encoded in a thread, so that other requests
are served meanwhile.
"""


@dataclass(frozen=True)
class Serving:
    """Everything that all routes share: models, limits, measures."""

    models: Mapping[str, Served]
    config: ServeConfig
    template: ChatTemplate
    measures: ServerMetrics

    def model(self, name: str) -> Served:
        """Return the model that a request names.

        Raises:
            ApiError: there is none of that name.
        """
        if name not in self.models:
            others = ", ".join(self.models)
            message = (
                f"the model {name[:100]!r} does not exist.{nearest(name[:100], self.models)} Served"
                f" here: {others}."
            )
            raise ApiError(404, message, param="model", code="model_not_found")
        return self.models[name]

    def model_or_only(self, name: str | None) -> Served:
        """Return the model that a request names; the only one, where it names none.

        Raises:
            ApiError: there is none of that name, or there are several and it names none.
        """
        if name is not None:
            return self.model(name)
        if len(self.models) > 1:
            others = ", ".join(self.models)
            message = f"'model' is missing, and several are served here: {others}. Name one."
            raise refused(message, "model", code="missing_parameter")
        return next(iter(self.models.values()))


@dataclass(frozen=True)
class Prompt:
    """A text that is to be read."""

    text: str
    tokens: tuple[int, ...]
    """The tokens, the boundary first."""
    one_document: bool = False
    """As in `GenerationRequest`."""

    @property
    def count(self) -> int:
        """Tokens of the text itself."""
        return len(self.tokens) - 1


async def read_prompts(
    served: Served, given: Texts, config: ServeConfig, param: str, *, most: int
) -> list[Prompt]:
    """Return the prompts that a field of a request gives, as texts or as tokens.

    Args:
        served: the model that reads them.
        given: what stands in the field.
        config: of the limits.
        param: the name of the field.
        most: how many it may be.

    Raises:
        ApiError: there are too many, one is too long, holds what the vocabulary lacks, or a token
            does not exist.
    """
    alone = isinstance(given, str) or isinstance(given[0], int)
    several: Sequence[Any] = [given] if alone else given
    if len(several) > most:
        raise refused(
            f"{len(several):,} texts are given; this server takes {most:,} in one request. Send"
            " them in parts.",
            param,
        )
    if sum(map(len, several)) > QUICKLY:
        return await asyncio.to_thread(_encode, served, several, config, param)
    return _encode(served, several, config, param)


async def read_conversation(
    served: Served, pieces: Sequence[tuple[str, int | None]], config: ServeConfig, param: str
) -> Prompt:
    """Return the prompt that a chat template wrote. Errors as `read_prompts`.

    Args:
        served: the model that reads it.
        pieces: of the prompt, as `ChatTemplate.pieces` cuts it.
        config: of the limits.
        param: the name of the field that the conversation came in.
    """
    tokens = await tokens_of_pieces(served.tokenizer, pieces, param)
    made = _prompt("".join(text for text, _ in pieces), tokens, served, config, param)
    return replace(made, one_document=True)


async def tokens_of_pieces(
    tokenizer: Tokenizer, pieces: Sequence[tuple[str, int | None]], param: str
) -> list[int]:
    """Return the tokens of a prompt in pieces: a special token for its name, others for text.

    Args:
        tokenizer: of the model.
        pieces: of the prompt, as `ChatTemplate.pieces` cuts it.
        param: the name of the field that it came in.

    Raises:
        ApiError: it holds what the vocabulary lacks.
    """

    def encoded() -> list[int]:
        return [
            token
            for text, special in pieces
            for token in (tokenizer.encode(text).tolist() if special is None else [special])
        ]

    try:
        if sum(len(text) for text, _ in pieces) > QUICKLY:
            return await asyncio.to_thread(encoded)
        return encoded()
    except TokenizerError as error:
        raise refused(str(error), param) from None


def _encode(
    served: Served, several: Sequence[str | Sequence[int]], config: ServeConfig, param: str
) -> list[Prompt]:
    tokenizer = served.tokenizer
    found = []
    for given in several:
        try:
            tokens = tokenizer.encode(given).tolist() if isinstance(given, str) else list(given)
            text = given if isinstance(given, str) else tokenizer.decode(tokens)
        except TokenizerError as error:
            raise refused(str(error), param) from None
        found.append(_prompt(text, tokens, served, config, param))
    return found


def _prompt(
    text: str, tokens: Sequence[int], served: Served, config: ServeConfig, param: str
) -> Prompt:
    if len(tokens) > config.max_prompt_tokens:
        raise refused(
            f"{param} has {len(tokens):,} tokens; this server reads"
            f" {config.max_prompt_tokens:,} at most. Shorten it.",
            param,
            code="context_length_exceeded",
        )
    return Prompt(text, (served.tokenizer.boundary, *tokens))


def check_inside(served: Served, body: InsideBody) -> None:
    """Refuse branches and entries that the model does not have.

    A model that makes texts out of noise has neither.

    Raises:
        ApiError: they are not there.
    """
    card = served.card
    for name, _ in body.factors:
        if name not in card.branches:
            raise refused(
                (
                    unknown_name("branch", name[:100], card.branches)
                    if card.branches
                    else f"{card.name} has no branches that could be scaled."
                ),
                "branches",
            )
    if body.entries and not card.remembers:
        raise refused(
            f"{card.name} reads no memory, so there are no entries to show; leave `entries` out.",
            "entries",
        )


def check_unused(given: Body, unlike: Unlike, before: str = "") -> None:
    """Refuse fields that ask for a feature that is absent here.

    Clients send such fields empty, too: that is allowed.

    Args:
        given: the object with the fields.
        unlike: the fields that are looked at.
        before: the path of the object in the request, before the fields' names.

    Raises:
        ApiError: one asks for something.
    """
    for name, (plain, why) in unlike.items():
        if getattr(given, name) not in (*EMPTY, *plain):
            raise refused(f"{before}{name} is not supported: {why}. Leave it out.", before + name)


def check_predicts(served: Served, what: str) -> None:
    """Refuse what asks for the probability of a next token where there is none.

    Raises:
        ApiError: the model makes whole texts out of noise.
    """
    if not served.card.predicts:
        raise refused(
            f"{served.card.name} makes whole texts out of noise: it gives no next token a"
            f" probability, and cannot do {what}. Ask /v1/completions without a prompt.",
            "model",
        )


def client_of(request: Request) -> str:
    """Return the client for the fair queue: all connections of one address are one client."""
    return request.client.host if request.client is not None else ""


async def progress_of(
    serving: Serving, served: Served, jobs: Sequence[GenerationRequest], *, admitted: bool = False
) -> AsyncGenerator[tuple[int, Delta]]:
    """Have requests done, and yield each `Delta` with its request's number in `jobs`.

    The order within a request is kept. Deltas of a request that is not looked at are gathered. All
    requests are cancelled if this is left early.

    Args:
        serving: has the time that they may take.
        served: the model that they are for.
        jobs: all of them.
        admitted: whether there is room for them in any case: others of the same request had it.

    Raises:
        ApiError: one failed, or its time was up.
        OverloadedError: there is no room for all of them.
        WorkerLostError: the process that was at one has died.
    """
    with contextlib.ExitStack() as stack:
        tickets = []
        for job in jobs:
            tickets.append(served.ask(job, admitted=admitted))
            stack.callback(tickets[-1].cancel)
        clocks = [serving.measures.clock(served.card.name) for _ in jobs]
        async with contextlib.aclosing(_merged(tickets)) as merged:
            async for number, progress in merged:
                if progress.error is not None:
                    raise ApiError(500, progress.error, type="server_error", code="model_failed")
                if progress.ending == "deadline":
                    raise too_late(serving.config.timeout)
                clocks[number].saw(progress)
                yield number, progress


async def whole_of(
    serving: Serving, served: Served, jobs: Sequence[GenerationRequest], *, admitted: bool = False
) -> list[Delta]:
    """Have requests done, and wait for all of each. Errors as `progress_of`.

    Args:
        serving: models, limits and measures.
        served: the model.
        jobs: the requests.
        admitted: as for `progress_of`.
    """
    parts: list[list[Delta]] = [[] for _ in jobs]
    async with contextlib.aclosing(progress_of(serving, served, jobs, admitted=admitted)) as found:
        async for number, progress in found:
            parts[number].append(progress)
    return [joined(part) for part in parts]


async def read_of(
    serving: Serving, served: Served, jobs: Sequence[GenerationRequest]
) -> list[Delta]:
    """Have any number of requests done that draw nothing, a few at a time. Errors as `progress_of`.

    Args:
        serving: models, limits and measures.
        served: the model.
        jobs: the requests.
    """
    found: list[Delta] = []
    for begin in range(0, len(jobs), served.rows):
        part = jobs[begin : begin + served.rows]
        found += await whole_of(serving, served, part, admitted=begin > 0)
    return found


async def _merged(tickets: Sequence[Ticket]) -> AsyncGenerator[tuple[int, Delta]]:
    """Yield what any of the tickets brings, as it comes."""
    if len(tickets) == 1:
        async for progress in tickets[0]:
            yield 0, progress
        return
    looks = {asyncio.create_task(_next(ticket)): number for number, ticket in enumerate(tickets)}
    try:
        while looks:
            done, _ = await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)
            for look in sorted(done, key=looks.__getitem__):
                found = look.result()
                number = looks.pop(look)
                if found is not None:
                    yield number, found
                    looks[asyncio.create_task(_next(tickets[number]))] = number
    finally:
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)


async def _next(ticket: Ticket) -> Delta | None:
    return await anext(ticket, None)
