"""Bodies of requests, checked field by field.

They have OpenAI's shapes, with our additions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from inklings.serving.api.request_fields import (
    MOST_ALTERNATIVES,
    MOST_MESSAGES,
    MOST_STOPS,
    Body,
    Ignored,
    InsideBody,
    Stop,
    Texts,
    Unused,
    WholeNumber,
)


def _all_unless_positive(number: int | None) -> int | None:
    """Return how many of the likeliest tokens are left.

    None for all, which vLLM writes as 0 or -1.
    """
    return number if number is not None and number > 0 else None


def _without_empty(stop: str | list[str] | None) -> list[str] | None:
    """Return the stop strings that could come; None where there is none."""
    given = [stop] if isinstance(stop, str) else stop or []
    return [text for text in given if text] or None


class StreamOptions(Body):
    """How a stream is made."""

    include_usage: Annotated[
        bool | None, Field(description="Whether a last event tells how many tokens there were.")
    ] = None
    include_obfuscation: Annotated[
        bool | None, Field(description="Taken and ignored: events are never padded.")
    ] = None


class HintedBody(InsideBody):
    """What OpenAI's clients say beside what they want; none of it changes an answer here."""

    metadata: Annotated[
        dict[str, Any] | None, Field(description="Taken and ignored.", examples=[None])
    ] = None
    store: Annotated[bool | None, Field(description="Taken and ignored: nothing is stored.")] = None
    service_tier: Annotated[str | None, Field(description="Taken and ignored.")] = None
    safety_identifier: Annotated[str | None, Field(description="Taken and ignored.")] = None
    prompt_cache_key: Annotated[str | None, Field(description="Taken and ignored.")] = None
    prompt_cache_retention: Annotated[str | None, Field(description="Taken and ignored.")] = None
    prompt_cache_options: Ignored = None


class DrawingBody(HintedBody):
    """How tokens are drawn: the sampling parameters."""

    temperature: Annotated[
        float | None,
        Field(ge=0, le=1000, description="0 takes the likeliest token. 1 if left out."),
    ] = None
    top_p: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="Only the fewest likeliest tokens that together have this probability.",
        ),
    ] = None
    top_k: Annotated[
        int | None,
        Field(ge=-1, lt=2**31, description="Only so many of the likeliest tokens; 0 and -1: all."),
        AfterValidator(_all_unless_positive),
    ] = None
    min_p: Annotated[
        float | None,
        Field(
            ge=0, le=1, description="Only tokens at least this share as likely as the likeliest."
        ),
    ] = None
    repetition_penalty: Annotated[
        float | None,
        Field(ge=0.01, le=100, description="Above 1, tokens that occurred become less likely."),
    ] = None
    presence_penalty: Annotated[
        float | None,
        Field(ge=-2, le=2, description="Taken off the logits of tokens that were drawn already."),
    ] = None
    frequency_penalty: Annotated[
        float | None, Field(ge=-2, le=2, description="The same for each time that they were drawn.")
    ] = None
    seed: Annotated[
        int | None,
        Field(
            ge=-(2**63),
            lt=2**63,
            description=(
                "The same seed gives the same text, and text i of n does not depend on n. Random if"
                " left out."
            ),
        ),
    ] = None
    n: Annotated[int | None, Field(ge=1, lt=2**31, description="Texts for each prompt.")] = None
    stop: Annotated[
        Stop | Annotated[list[Stop], Field(max_length=MOST_STOPS)] | None,
        Field(
            description=(
                f"Up to {MOST_STOPS} strings; a text ends before the first that comes. Empty ones"
                " are none."
            )
        ),
        AfterValidator(_without_empty),
    ] = None
    stream: Annotated[
        bool | None,
        Field(description="Whether the answer comes as server-sent events while it is written."),
    ] = None
    stream_options: StreamOptions | None = None
    ignore_eos: Annotated[
        bool | None,
        Field(description="Whether the text goes on with a new document where one ends."),
    ] = None
    logit_bias: Annotated[
        dict[str, float] | None, Field(description="Refused unless empty.", examples=[None])
    ] = None


class CompletionBody(DrawingBody):
    """A request to go on from texts."""

    prompt: Annotated[
        Texts | None,
        Field(
            description=(
                "A text, the numbers of its tokens, or several of either; each begins a document."
            ),
            examples=["The "],
        ),
    ] = None
    max_tokens: Annotated[
        int | None,
        Field(ge=0, lt=2**31, description="Tokens that are drawn at most; 16 if left out."),
    ] = None
    logprobs: Annotated[
        int | None,
        Field(
            ge=0,
            le=MOST_ALTERNATIVES,
            description="With each token its log-probability and so many of the likeliest.",
        ),
    ] = None
    echo: Annotated[
        bool | None, Field(description="Whether the prompt stands before the text.")
    ] = None
    best_of: Annotated[
        int | None,
        Field(ge=1, lt=2**31, description="Must equal n: none of the texts is thrown away."),
    ] = None
    suffix: Annotated[
        str | None,
        Field(
            description="Refused unless empty: these models read from left to right.",
            examples=[None],
        ),
    ] = None
    style_seed: Annotated[
        WholeNumber | None,
        Field(
            description=(
                "Of a generator that makes texts out of noise: fixes what is global to a text, so"
                " that all n share it."
            )
        ),
    ] = None


class TextPart(Body):
    """A part of a message that is text."""

    type: Literal["text"]
    text: str
    prompt_cache_breakpoint: Ignored = None


class Message(Body):
    """One message of a conversation."""

    role: Annotated[
        Literal["system", "developer", "user", "assistant"],
        Field(description="`developer` is read as `system`."),
    ]
    content: Annotated[
        str | Annotated[list[TextPart], Field(max_length=MOST_MESSAGES)] | None,
        Field(
            description="Text; nothing else is read. Only what the assistant said may have none."
        ),
    ] = None
    name: Annotated[
        str | None,
        Field(max_length=64, description="Given to the chat template, which may ignore it."),
    ] = None
    refusal: Unused = None
    annotations: Unused = None
    audio: Unused = None
    tool_calls: Unused = None
    tool_call_id: Unused = None
    function_call: Unused = None


class ChatBody(DrawingBody):
    """A conversation to go on from."""

    messages: Annotated[
        list[Message],
        Field(
            min_length=1, max_length=MOST_MESSAGES, examples=[[{"role": "user", "content": "A"}]]
        ),
    ]
    max_tokens: Annotated[
        int | None, Field(ge=0, lt=2**31, description="As max_completion_tokens, its older name.")
    ] = None
    max_completion_tokens: Annotated[
        int | None,
        Field(
            ge=0,
            lt=2**31,
            description="Tokens that are drawn at most; as many as the server allows if left out.",
        ),
    ] = None
    logprobs: Annotated[bool | None, Field(description="With each token its log-probability.")] = (
        None
    )
    top_logprobs: Annotated[
        int | None,
        Field(
            ge=0,
            le=MOST_ALTERNATIVES,
            description="And so many of the likeliest tokens; needs logprobs.",
        ),
    ] = None
    response_format: Annotated[
        Any, Field(description="Refused unless its type is `text`.", examples=[None])
    ] = None
    tools: Unused = None
    tool_choice: Annotated[
        Any, Field(description='Refused unless "none" or "auto".', examples=[None])
    ] = None
    parallel_tool_calls: Annotated[
        bool | None, Field(description="Taken and ignored: there are no tools.")
    ] = None
    functions: Unused = None
    function_call: Annotated[
        Any, Field(description='Refused unless "none" or "auto".', examples=[None])
    ] = None
    modalities: Annotated[Any, Field(description='Refused unless ["text"].', examples=[None])] = (
        None
    )
    audio: Unused = None
    moderation: Unused = None
    web_search_options: Unused = None
    prediction: Annotated[
        Any,
        Field(
            description="Taken and ignored: a guess at the answer changes nothing in it.",
            examples=[None],
        ),
    ] = None
    reasoning_effort: Annotated[
        str | None, Field(description="Taken and ignored: nothing is thought beforehand.")
    ] = None
    verbosity: Annotated[str | None, Field(description="Taken and ignored.")] = None
