"""Requests to a model and their results: plain values that travel between processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from inklings.generation.sampling import SamplingConfig

Ending = Literal["boundary", "length", "stop", "deadline"]
"""Why a request is done: the model ended the document, all tokens asked for were drawn, a stop
string came, or its time was up.
"""


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One text to read and, where tokens are asked for, to continue: one row of the engine.

    A client that asks for several texts makes several requests. Scoring and embedding draw no
    token.
    """

    number: int
    """Its number, of its own among all requests that one engine is given."""
    client: str
    """The client that asks: clients take turns."""
    prompt: tuple[int, ...]
    """The tokens, the boundary first."""
    one_document: bool = False
    """Whether a boundary after the first is a token like others, as a chat template writes one
    between messages; else it opens a new document.
    """
    max_new_tokens: int = 0
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    row: int = 0
    """Draws come from the generator of (sampling.seed, row), as in `generate`."""
    draws: int = 0
    """How many numbers of that generator an earlier request for the text has used."""
    keep: bool = False
    """Whether what is read of the text is kept when it ends: the next text that begins with it goes
    on from there.
    """
    stop: tuple[str, ...] = ()
    stop_at_boundary: bool = True
    alternatives: int | None = None
    """How many of the likeliest tokens come with each drawn token and its log-probability; None
    gives neither.
    """
    prompt_alternatives: int | None = None
    """The same of the prompt's tokens but its first."""
    embed: bool = False
    """Whether the mean of the hidden vectors over the prompt's tokens is asked for."""
    entries: int = 0
    """For a model with a memory: most entries that are reported as having contributed to a drawn
    token (or a scored token of the prompt).
    """
    branches: tuple[tuple[str, float], ...] = ()
    """Factors that the outputs of named branches are multiplied by: 0 knocks a branch out, 1 leaves
    it. Sorted by name.
    """
    seconds: float | None = None
    """How long it may take from when the engine is given it; then it ends as it is."""


@dataclass(frozen=True)
class Entry:
    """A remembered entry that contributed to a prediction."""

    value: str
    """The token that followed there."""
    weight: float
    """Its share of the prediction, from 0 to 1."""
    distance: float
    """Squared L2 from what was searched with."""
    age: int
    """Steps of the memory's clock since it was written."""
    document: str | None
    """Name of its document in the long-term memory; None for the text that is being read."""
    position: int
    """Place of the value in that document; the boundary that opens it is at 0."""
    before: str
    """The text before the value there."""
    after: str
    """The text after it."""


@dataclass(frozen=True)
class Token:
    """One token of a text, with its log-probability and alternatives."""

    token: int
    logprob: float
    """Natural logarithm of the probability that the model gave it, at temperature 1 and before any
    penalty.
    """
    alternatives: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens in its place with their log-probabilities, the likeliest first."""
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Delta:
    """The result of one pass of the engine for one request.

    The `Delta`s of a request, put together, are its answer.
    """

    number: int
    """Number of the request."""
    text: str = ""
    """What can be shown next: whole characters only, and nothing that may begin a stop string."""
    drawn: tuple[int, ...] = ()
    """The tokens that were drawn, the boundary that ends a text among them."""
    tokens: tuple[Token, ...] = ()
    """The same with what the model made of them, where `alternatives` were asked for."""
    prompt: tuple[Token, ...] | None = None
    """The prompt's tokens but its first, once, where `prompt_alternatives` were asked for."""
    embedding: tuple[float, ...] | None = None
    """Once, where it was asked for."""
    ending: Ending | None = None
    """Why the request ended, in its last `Delta`; None if `error` says it."""
    error: str | None = None
    """Why the job came to nothing."""

    @property
    def count(self) -> int:
        """How many tokens were drawn."""
        return len(self.drawn)


@dataclass(frozen=True, kw_only=True)
class Card:
    """A description of a served model."""

    name: str
    """The name that clients use."""
    run: str
    """The folder of its run, as it was given."""
    architecture: str
    parameters: int
    vocab_size: int
    context_length: int
    receptive_field: int | None
    """How many tokens back can matter; None without a limit."""
    predicts: bool
    """Whether it gives next tokens probabilities and goes on from a prompt; otherwise it makes
    whole texts out of noise.
    """
    hidden_size: int
    """Size of its hidden vectors; 0 where it has none."""
    branches: tuple[str, ...]
    """Those that can be knocked out."""
    memory: int | None
    """How many entries its long-term memory has; None where it has no such memory."""
    unit: str
    """What the losses of its run are counted in, as its objective says."""
    remembers: bool
    """Whether predictions read a memory, the text's own or a long-term one, so that entries can be
    asked for.
    """
    precision: str
    threads: int | None
    created: int
    """Time of its making, in seconds since 1970."""
    weights: Literal["best", "newest"] = "best"
    """Those of the lowest validation loss, or the newest of a run that is not done."""
    step: int = 0
    """The step of training that the weights are of."""
    steps: int = 0
    """How many steps the budget of its run pays for."""
