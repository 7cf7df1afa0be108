"""A request in progress: what was read and drawn, and what its client gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from inklings.errors import DivergedError
from inklings.generation.engine.entry_texts import EntryTexts
from inklings.generation.engine.request import Delta, Ending, GenerationRequest, Token
from inklings.generation.engine.row_sampling import Drawer
from inklings.generation.sampling import NOT_FINITE
from inklings.generation.text_stream import TextStream
from inklings.models.remembering import Recollection
from inklings.text.tokenizers import Tokenizer


@dataclass(eq=False)
class RequestRow:
    """One row of the engine: a request with its history, its text and its draws."""

    job: GenerationRequest
    history: list[int]
    """The prompt's tokens and those drawn."""
    text: TextStream
    drawer: Drawer
    deadline: float
    read: int
    """How many tokens of its history the model has read."""
    drawn: int = 0
    """How many tokens were drawn."""
    scored: list[Token] = field(default_factory=list)
    """Scored tokens of the prompt, where that is asked for."""
    summed: Float[Tensor, " C"] | None = None
    """Sum of the hidden vectors that count for the embedding; their number is below."""
    added: int = 0

    @classmethod
    def begin(
        cls, job: GenerationRequest, tokenizer: Tokenizer, deadline: float, read: int
    ) -> RequestRow:
        """Make the row of a request, with nothing drawn yet.

        Args:
            job: the request.
            tokenizer: the model's own.
            deadline: when its time is up, by the engine's clock.
            read: how many tokens of the prompt were read for an earlier text.
        """
        drawer = Drawer.begin(
            job.sampling,
            job.row,
            job.prompt,
            tokenizer.vocab_size,
            tokenizer.boundary,
            draws=job.draws,
        )
        return cls(job, list(job.prompt), TextStream(job.stop), drawer, deadline, read)

    @property
    def to_read(self) -> int:
        """How many tokens are still to be read ahead.

        All but the last, which those who write read together, and for an embedding all.
        """
        job = self.job
        if job.embed:
            return len(job.prompt) - self.read
        if job.max_new_tokens or job.keep or job.prompt_alternatives is not None:
            return len(job.prompt) - 1 - self.read
        return 0

    def take_piece(
        self,
        logits: Float[Tensor, "T V"],
        hidden: Float[Tensor, "T C"],
        found: Recollection | None,
        texts: EntryTexts,
    ) -> None:
        """Keep what is asked for of a piece of the prompt that was just read.

        Args:
            logits: of the piece.
            hidden: its hidden vectors.
            found: what it found in a memory; None without one.
            texts: adds names and texts to entries.

        Raises:
            DivergedError: the model's output is not finite.
            RunError: a document of the long-term memory is damaged.
        """
        job, length = self.job, len(logits)
        tokens = job.prompt[self.read : self.read + length]
        following = job.prompt[self.read + 1 : self.read + length + 1]
        if job.prompt_alternatives is not None and following:
            told = _tokens(logits[: len(following)], following, job.prompt_alternatives)
            if found is not None and job.entries:
                told = [
                    Token(
                        token.token,
                        token.logprob,
                        token.alternatives,
                        texts.entries(found, place, job.prompt, job.entries),
                    )
                    for place, token in enumerate(told)
                ]
            self.scored += told
        if job.embed:
            boundary = job.prompt[0]
            alone = all(token == boundary for token in job.prompt)
            counts = torch.tensor(
                [alone or token != boundary for token in tokens], device=hidden.device
            )
            added = hidden[counts].double().sum(0)
            if not bool(torch.isfinite(added).all()):
                raise DivergedError(
                    "the model's hidden vectors are not finite: its weights have diverged or are"
                    " damaged."
                )
            self.summed = added if self.summed is None else self.summed + added
            self.added += int(counts.sum())
        self.read += length

    def told_of_prompt(self) -> Delta:
        """Return what reading brought, now that it is done; the end, where nothing is drawn."""
        return Delta(
            self.job.number,
            prompt=None if self.job.prompt_alternatives is None else tuple(self.scored),
            embedding=None if self.summed is None else tuple((self.summed / self.added).tolist()),
            ending="length" if self.job.max_new_tokens == 0 else None,
        )

    def told_of_token(
        self,
        token: int,
        place: int,
        logits: Float[Tensor, "N V"],
        found: Recollection | None,
        texts: EntryTexts,
        tokenizer: Tokenizer,
    ) -> Delta:
        """Add a token that was drawn, and return what the client gets. Errors as `take_piece`.

        Args:
            token: the token.
            place: the row of `logits` that it was drawn from.
            logits: of all rows that draw.
            found: what the row found in a memory; None without one.
            texts: adds names and texts to entries.
            tokenizer: the model's own.
        """
        job = self.job
        self.read += 1
        told: tuple[Token, ...] = ()
        if job.alternatives is not None or job.entries:
            (made,) = _tokens(logits[place, None], (token,), job.alternatives or 0)
            entries = (
                texts.entries(found, 0, self.history, job.entries)
                if found is not None and job.entries
                else ()
            )
            told = (Token(made.token, made.logprob, made.alternatives, entries),)
        before = self.history[-1]
        self.history.append(token)
        self.drawn += 1
        ending, text = self._ending(token, tokenizer), ""
        if ending != "boundary":
            text = self.text.push(
                b"\n" if token == tokenizer.boundary else tokenizer.bytes_after(before, token)
            )
            ending = "stop" if self.text.stopped else ending
        if ending is not None:
            text += self.text.finish()
        return Delta(job.number, text=text, drawn=(token,), tokens=told, ending=ending)

    def _ending(self, token: int, tokenizer: Tokenizer) -> Ending | None:
        """Return why the text ends with a token, unless a stop string comes."""
        if token == tokenizer.boundary and self.job.stop_at_boundary:
            return "boundary"
        return "length" if self.drawn == self.job.max_new_tokens else None

    def ended(self, ending: Ending) -> Delta:
        """End the text as it is, with what was held back of it."""
        return Delta(self.job.number, text=self.text.finish(), ending=ending)

    def failed(self, error: str) -> Delta:
        """Report that the request failed with `error`."""
        return Delta(self.job.number, error=error)


def _tokens(logits: Float[Tensor, "T V"], tokens: Sequence[int], alternatives: int) -> list[Token]:
    """Return tokens with their log-probabilities, and the likeliest ones in their place."""
    log_probabilities = torch.log_softmax(logits.float(), dim=-1)
    chosen = log_probabilities.gather(1, torch.tensor(tokens, device=logits.device)[:, None])[
        :, 0
    ].tolist()
    if any(map(math.isnan, chosen)):
        raise DivergedError(NOT_FINITE)
    if not alternatives:
        return [Token(token, logprob) for token, logprob in zip(tokens, chosen, strict=True)]
    best = log_probabilities.topk(min(alternatives, logits.shape[1]), dim=-1)
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [
        Token(token, logprob, tuple(zip(numbers, values, strict=True)))
        for token, logprob, (numbers, values) in zip(tokens, chosen, pairs, strict=True)
    ]
