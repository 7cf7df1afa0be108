"""Bodies of `/v1/responses`, in OpenAI's shapes: plain text, in and out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from inklings.serving.api.request_fields import MOST_MESSAGES, Body, Ignored, Unused
from inklings.serving.api.requests import HintedBody, StreamOptions


class ItemPart(Body):
    """Text in an item."""

    type: Literal["input_text", "output_text"]
    text: str
    annotations: Unused = None
    logprobs: Ignored = None
    prompt_cache_breakpoint: Ignored = None


class InputItem(Body):
    """One message of a conversation; the items of an earlier answer's `output` are such."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[ItemPart], Field(max_length=MOST_MESSAGES)]
    type: Literal["message"] | None = None
    id: Annotated[str | None, Field(description="Taken and ignored.")] = None
    status: Annotated[str | None, Field(description="Taken and ignored.")] = None
    phase: Annotated[str | None, Field(description="Taken and ignored.")] = None


class ResponseBody(HintedBody):
    """A conversation to answer."""

    input: Annotated[
        str | Annotated[list[InputItem], Field(min_length=1, max_length=MOST_MESSAGES)],
        Field(description="What the user says, or a conversation.", examples=["A"]),
    ]
    instructions: Annotated[
        str | None, Field(description="A system message that stands before the input.")
    ] = None
    max_output_tokens: Annotated[
        int | None,
        Field(ge=1, lt=2**31, description="As many as the server allows if left out."),
    ] = None
    temperature: Annotated[
        float | None, Field(ge=0, le=1000, description="As for chats. 1 if left out.")
    ] = None
    top_p: Annotated[float | None, Field(gt=0, le=1, description="As for chats.")] = None
    seed: Annotated[
        int | None,
        Field(ge=-(2**63), lt=2**63, description="The same seed gives the same text."),
    ] = None
    stream: Annotated[
        bool | None, Field(description="Whether the answer comes as events while it is written.")
    ] = None
    stream_options: StreamOptions | None = None
    text: Annotated[
        Any, Field(description="Refused unless its format is `text`.", examples=[None])
    ] = None
    tool_choice: Annotated[
        Any, Field(description='Refused unless "none" or "auto".', examples=[None])
    ] = None
    truncation: Annotated[Any, Field(description='Refused unless "disabled".', examples=[None])] = (
        None
    )
    background: Annotated[bool | None, Field(description="Refused if true.", examples=[None])] = (
        None
    )
    tools: Unused = None
    parallel_tool_calls: Ignored = None
    max_tool_calls: Ignored = None
    reasoning: Ignored = None
    access_programs: Unused = None
    background_options: Unused = None
    context_management: Unused = None
    conversation: Unused = None
    image: Unused = None
    include: Unused = None
    moderation: Unused = None
    previous_response_id: Unused = None
    prompt: Unused = None
    top_logprobs: Annotated[Any, Field(description="Refused unless 0.", examples=[None])] = None


class OutputText(BaseModel):
    """The text that was written."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[Any]


class OutputItem(BaseModel):
    """A message of the assistant."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText]


class ResponseUsage(BaseModel):
    """How many tokens there were, as in chats."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseOut(BaseModel):
    """An answer; nothing of it is kept."""

    id: str
    object: Literal["response"]
    created_at: int
    model: str
    status: Literal["in_progress", "completed", "incomplete"]
    incomplete_details: dict[str, str] | None
    error: None
    output: list[OutputItem]
    usage: ResponseUsage | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, Any]
    temperature: float
    top_p: float
    parallel_tool_calls: bool
    previous_response_id: None
    store: bool
    text: dict[str, Any]
    tool_choice: str
    tools: list[Any]
    truncation: str
