"""Bodies of answers, for the description of the API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

FinishReason = Literal["stop", "length"]
FINISH = (
    "`stop`: the model ended the document or a stop string came; `length`: all tokens asked for"
    " were drawn."
)
LOWEST = "A probability of zero is -9999."


class Usage(BaseModel):
    """How many tokens there were.

    The boundary that ends a text is one, that before a prompt is not.
    """

    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int


class EntryOut(BaseModel):
    """Something remembered that a prediction took a part of."""

    value: Annotated[str, Field(description="The token that followed there.")]
    weight: Annotated[float, Field(description="Its share of the prediction, 0 to 1.")]
    distance: Annotated[float | None, Field(description="Squared L2 from what was searched with.")]
    age: Annotated[int, Field(description="Steps of the memory's clock since it was written.")]
    document: Annotated[
        str | None,
        Field(
            description=(
                "Its document in the long-term memory; null for the text that is being read."
            )
        ),
    ]
    position: Annotated[
        int, Field(description="Of the value in that document; the boundary that opens it is 0.")
    ]
    before: str
    after: str


class CompletionLogprobs(BaseModel):
    """What the model made of each token."""

    tokens: Annotated[
        list[str],
        Field(
            description=(
                "All that were drawn, those of a stop string and the `<|endoftext|>` that ends "
                "a text too; bytes that are no whole character read `bytes:\\xe4`."
            )
        ),
    ]
    token_logprobs: Annotated[
        list[float | None],
        Field(description=f"Natural logarithms; null for the first of an echoed prompt. {LOWEST}"),
    ]
    top_logprobs: Annotated[
        list[dict[str, float] | None] | None,
        Field(description="The likeliest in their places, and the token itself."),
    ]
    text_offset: Annotated[
        list[int], Field(description="Where in the choice's text each begins, in characters.")
    ]


class CompletionChoice(BaseModel):
    """One text that was written."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Annotated[FinishReason | None, Field(description=FINISH)]
    entries: Annotated[
        list[list[EntryOut]] | None,
        Field(
            description="Where asked for: of each token in logprobs, what it took of the memory."
        ),
    ] = None


class Completion(BaseModel):
    """Texts; in a stream, what is new of them."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None


class TopLogprob(BaseModel):
    """A token that could have come."""

    token: str
    logprob: Annotated[float, Field(description=LOWEST)]
    bytes: list[int]


class ChatLogprob(TopLogprob):
    """A token that was drawn."""

    top_logprobs: list[TopLogprob]
    entries: Annotated[
        list[EntryOut] | None, Field(description="Where asked for: what it took of the memory.")
    ] = None


class ChatLogprobs(BaseModel):
    """What the model made of each token."""

    content: list[ChatLogprob]
    refusal: None = None


class ChatMessage(BaseModel):
    """A message of the assistant."""

    role: Literal["assistant"]
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """One answer of a chat."""

    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: Annotated[FinishReason, Field(description=FINISH)]
    entries: Annotated[
        list[list[EntryOut]] | None,
        Field(description="Where asked for: of each token, what it took of the memory."),
    ] = None


class Chat(BaseModel):
    """Answers in a conversation."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
