"""`/tokenize`, `/detokenize` and `/tokenizer_info`, named and shaped as in vLLM.

lm-evaluation-harness asks for them.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from inklings.errors import TokenizerError
from inklings.serving.api.descriptions import ASKING, GUARDED, errors
from inklings.serving.api.errors import json_response, refused
from inklings.serving.api.prompts import QUICKLY, Serving, tokens_of_pieces
from inklings.serving.api.request_fields import MOST_MESSAGES, Body, Token
from inklings.serving.api.requests import Message
from inklings.serving.api.routes.chat import pieces_of
from inklings.serving.api.sse import in_time
from inklings.serving.api.strict_json import StrictRoute
from inklings.serving.api.token_texts import TokenTexts
from inklings.text.token_bytes import Kind
from inklings.text.tokenizers import BOUNDARY, Tokenizer


class TokenBody(Body):
    """A request to a tokenizer."""

    model: Annotated[
        str | None,
        Field(max_length=512, description="May be left out where one model alone is served."),
    ] = None


class TokenizeBody(TokenBody):
    """A text, or a conversation, whose tokens are wanted."""

    prompt: Annotated[
        str | None,
        Field(description="The text; `<|endoftext|>` alone is the boundary.", examples=["A"]),
    ] = None
    messages: Annotated[
        list[Message] | None,
        Field(
            max_length=MOST_MESSAGES,
            description="Or a conversation, which the chat template makes a text of.",
            examples=[None],
        ),
    ] = None
    add_special_tokens: Annotated[
        bool | None,
        Field(description="Taken and ignored: none are added, the server puts the boundary first."),
    ] = None
    return_token_strs: Annotated[
        bool | None, Field(description="Whether the texts of the tokens are wanted too.")
    ] = None


class DetokenizeBody(TokenBody):
    """Tokens whose text is wanted."""

    tokens: Annotated[list[Token], Field(description="Boundaries vanish.", examples=[[1]])]


class TokensOfText(BaseModel):
    """A text as tokens, without a boundary."""

    count: int
    max_model_len: Annotated[int, Field(description="So many tokens of a prompt are read at most.")]
    tokens: list[int]
    token_strs: Annotated[list[str] | None, Field(description="Their texts, where asked for.")]


class TextOfTokens(BaseModel):
    """Tokens turned into a text."""

    prompt: str


class TokenizerFacts(BaseModel):
    """A description of a tokenizer."""

    tokenizer_class: str
    model: Annotated[str, Field(description="The model that it belongs to.")]
    kind: Kind
    vocab_size: Annotated[int, Field(description="The boundary included.")]
    bos_token: Annotated[str, Field(description="The boundary, which opens every text.")]
    eos_token: Annotated[str, Field(description="The boundary, which ends it.")]
    pad_token: None
    unk_token: Annotated[str | None, Field(description="What stands for unknown text.")]
    model_max_length: Annotated[int, Field(description="As max_model_len of `/tokenize`.")]
    chat_template: str


def token_routes(serving: Serving) -> APIRouter:
    """Make the routes of tokenizers."""
    router = APIRouter(route_class=StrictRoute, tags=["tokens"])
    config = serving.config

    @router.post(
        "/tokenize",
        response_model=TokensOfText,
        responses=ASKING,
        summary="The tokens of a text",
    )
    async def tokenize(request: Request, body: TokenizeBody) -> Response:
        served = serving.model_or_only(body.model)
        if (body.prompt is None) == (not body.messages):
            raise refused("either `prompt` or `messages` is tokenized; give one of them.", "prompt")
        param = "messages" if body.prompt is None else "prompt"
        if body.prompt is None:
            pieces = pieces_of(serving, served, body.messages or [])
            work = tokens_of_pieces(served.tokenizer, pieces, param)
        else:
            work = _tokens_of(served.tokenizer, body.prompt, param)
        tokens = await in_time(request, work, seconds=config.timeout)
        texts = TokenTexts(served.tokenizer)
        return json_response(
            {
                "count": len(tokens),
                "max_model_len": config.max_prompt_tokens,
                "tokens": tokens,
                "token_strs": list(map(texts, tokens)) if body.return_token_strs else None,
            }
        )

    @router.post(
        "/detokenize",
        response_model=TextOfTokens,
        responses=ASKING,
        summary="The text of tokens",
    )
    async def detokenize(request: Request, body: DetokenizeBody) -> Response:
        served = serving.model_or_only(body.model)
        try:
            work = asyncio.to_thread(served.tokenizer.decode, body.tokens)
            text = await in_time(request, work, seconds=config.timeout)
        except TokenizerError as error:
            raise refused(str(error), "tokens") from None
        return json_response({"prompt": text})

    @router.get(
        "/tokenizer_info",
        response_model=TokenizerFacts,
        responses={**GUARDED, **errors(400, 404)},
        summary="What the tokenizer is",
    )
    async def info(
        model: Annotated[
            str | None, Query(description="Its name, where several are served.")
        ] = None,
    ) -> Response:
        served = serving.model_or_only(model)
        tokenizer = served.tokenizer
        return json_response(
            {
                "tokenizer_class": type(tokenizer).__name__,
                "model": served.card.name,
                "kind": tokenizer.kind,
                "vocab_size": tokenizer.vocab_size,
                "bos_token": BOUNDARY,
                "eos_token": BOUNDARY,
                "pad_token": None,
                "unk_token": (
                    None
                    if tokenizer.unknown_token is None
                    else tokenizer.token_name(tokenizer.unknown_token)
                ),
                "model_max_length": config.max_prompt_tokens,
                "chat_template": serving.template.source,
            }
        )

    return router


async def _tokens_of(tokenizer: Tokenizer, text: str, param: str) -> list[int]:
    """Return the tokens of a text of any length.

    The name of the boundary, alone, is the boundary: so clients ask for its number. In a longer
    text it is text like any other, as in every prompt.
    """
    if text == BOUNDARY:
        return [tokenizer.boundary]
    try:
        if len(text) > QUICKLY:
            tokens = await asyncio.to_thread(tokenizer.encode, text)
        else:
            tokens = tokenizer.encode(text)
    except TokenizerError as error:
        raise refused(str(error), param) from None
    found: list[int] = tokens.tolist()
    return found
