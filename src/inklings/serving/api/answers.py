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


class ModelCard(BaseModel):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    """All models that are served."""

    object: Literal["list"]
    data: list[ModelCard]


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
    kind: Literal["byte", "char", "word", "bpe", "file"]
    vocab_size: Annotated[int, Field(description="The boundary included.")]
    bos_token: Annotated[str, Field(description="The boundary, which opens every text.")]
    eos_token: Annotated[str, Field(description="The boundary, which ends it.")]
    pad_token: None
    unk_token: Annotated[str | None, Field(description="What stands for unknown text.")]
    model_max_length: Annotated[int, Field(description="As max_model_len of `/tokenize`.")]
    chat_template: str


class Embedding(BaseModel):
    """The mean of a text's hidden vectors."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingList(BaseModel):
    """A list with an embedding for each text."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class Alternative(BaseModel):
    """A token that could have stood in a place."""

    text: str
    logprob: Annotated[float, Field(description=LOWEST)]


class ScoredToken(BaseModel):
    """A token of a scored text."""

    token: Annotated[int, Field(description="Its number in the vocabulary.")]
    text: str
    offset: Annotated[int, Field(description="Where in the text it begins, in characters.")]
    logprob: Annotated[
        float,
        Field(description=f"Natural logarithm of its probability, given all before it. {LOWEST}"),
    ]
    alternatives: list[Alternative]
    entries: Annotated[
        list[EntryOut] | None, Field(description="Where asked for: what it took of the memory.")
    ] = None


class Score(BaseModel):
    """What a model makes of a text."""

    index: int
    tokens: list[ScoredToken]
    nats: Annotated[
        float | None,
        Field(
            description=(
                "Sum over the tokens; the end of the document is not among them. Null: impossible."
            )
        ),
    ]
    bytes: int
    bits_per_byte: Annotated[
        float | None,
        Field(
            description=(
                "Null for an empty text, an impossible one, and a tokenizer that loses bytes."
            )
        ),
    ]


class ScoreList(BaseModel):
    """A list with a score for each text."""

    object: Literal["list"]
    model: str
    data: list[Score]
    usage: Usage


class MemoryDocument(BaseModel):
    """What the memory holds of a document."""

    name: str
    tokens: int
    entries: int
    first_id: int
    last_id: int


class MemoryFacts(BaseModel):
    """What a long-term memory is."""

    model: str
    entries: int
    capacity: int
    dimension: int
    backend: str
    ready: Annotated[
        bool,
        Field(
            description=(
                "Whether the backend answers by its own means yet; until then it searches"
                " everything."
            )
        ),
    ]
    eviction: str
    clock: int
    recall: Annotated[
        float | None,
        Field(description="Share of the truly nearest that a search finds; null when empty."),
    ]
    recall_at: int
    bytes: Annotated[int, Field(description="On disk.")]
    documents: list[MemoryDocument]


class MemoryHit(BaseModel):
    """An entry that a search found."""

    id: int
    distance: float | None
    age: int
    document: str
    position: int
    value: str
    before: str
    after: str


class MemoryHits(BaseModel):
    """The entries that were found, the nearest first."""

    model: str
    hits: list[MemoryHit]


class MemoryAddition(BaseModel):
    """The entries that were added."""

    model: str
    added: Annotated[int, Field(description="Entries.")]
    first_id: int | None
    last_id: int | None
    evicted: Annotated[int, Field(description="Entries that gave way.")]


class MemoryRemoval(BaseModel):
    """The entries that were removed."""

    model: str
    removed: list[int]


class ModelHealth(BaseModel):
    """The state of one model."""

    status: Literal["ok", "failing"]
    workers: int
    running: int
    waiting: int


class Health(BaseModel):
    """The state of all models."""

    status: Literal["ok"]
    models: dict[str, ModelHealth]
