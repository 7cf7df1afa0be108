"""A run's answers to what lm-evaluation-harness asks: likelihoods of texts, and continuations.

It knows nothing of the harness itself; `lm_eval.py` gives it the form of a model there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inklings.errors import ConfigError, unknown_name
from inklings.evaluation.likelihood.scoring import lanes_of, score
from inklings.generation.engine.engine import Engine
from inklings.generation.engine.request import GenerationRequest
from inklings.generation.pair import check_pair
from inklings.generation.sampling import SamplingConfig
from inklings.generation.session import reraise
from inklings.models.contract import SequenceModel
from inklings.text.store import TokenSplit
from inklings.text.tokenizers import Tokenizer

MAX_NEW_TOKENS = 256
"""Most tokens of a continuation where a task names no number, as in the harness."""
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""The names that tasks have for the most tokens of a continuation, the first found counts."""


@dataclass(frozen=True)
class Continuing:
    """How a task wants a text to be continued."""

    sampling: SamplingConfig
    max_new_tokens: int
    stop: tuple[str, ...]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Continuing:
        """Read the `generation_kwargs` of a task.

        As in the harness, nothing is drawn by chance where neither `do_sample` nor a temperature
        above 0 is given.

        Raises:
            ConfigError: there is no such setting here, or its value is out of range.
        """
        left = dict(settings)
        lengths = [left.pop(name) for name in LENGTHS if name in left]
        until = left.pop("until", None) or []
        temperature = left.pop("temperature", None)
        if not left.pop("do_sample", bool(temperature)):
            temperature = 0.0
        known = {field.name for field in dataclasses.fields(SamplingConfig)}
        for name in left:
            if name not in known:
                raise ConfigError(unknown_name("generation setting", name, known))
        drawn = {"temperature": 1.0 if temperature is None else float(temperature), **left}
        return cls(
            sampling=SamplingConfig(**drawn),
            max_new_tokens=int(lengths[0]) if lengths else MAX_NEW_TOKENS,
            stop=tuple(filter(None, [until] if isinstance(until, str) else until)),
        )


class HarnessAnswers:
    """Answers with one model; how many texts are read at a time changes nothing but rounding."""

    def __init__(self, model: SequenceModel, tokenizer: Tokenizer, *, batch_size: int = 64) -> None:
        """Take a model and its own tokenizer.

        Raises:
            TokenizerError: the tokenizer does not belong to the model.
            ConfigError: the batch size is below 1.
        """
        check_pair(model, tokenizer)
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be at least 1, or auto.")
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size

    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Return how likely each continuation is after its context.

        Every text is read as `evaluate` reads a document: the boundary in front, then the whole of
        it (a long one in its lanes). Only the continuation is counted, blanks at the end of the
        context with it, as the harness has it; the end of the text is not.

        Args:
            pairs: each a context, which may be empty, and its continuation.

        Returns:
            For each the log-likelihood in nats, and whether each token of it was the likeliest.

        Raises:
            TokenizerError: the vocabulary lacks something in a text.
        """
        wholes = self.tokenizer.encode_batch([context + more for context, more in pairs])
        contexts = self.tokenizer.encode_batch([context.rstrip() for context, _ in pairs])
        begins = np.array([len(tokens) for tokens in contexts], dtype=np.int64)
        ends = np.array([len(tokens) for tokens in wholes], dtype=np.int64)
        nats, misses = np.zeros(len(pairs)), np.zeros(len(pairs), dtype=np.int64)
        if pairs:
            split = TokenSplit.of(wholes, self.tokenizer.boundary)
            lanes, _ = lanes_of(self.model, split)
            for scored in score(self.model, split, lanes, self.batch_size):
                text = scored.document
                place = scored.index - split.offsets[text]
                counted = (place >= begins[text]) & (place < ends[text])
                np.add.at(nats, text[counted], scored.nats[counted])
                np.add.at(misses, text[counted], scored.rank[counted] != 0)
        return [(-float(sum_), not missed) for sum_, missed in zip(nats, misses, strict=True)]

    def continuations(
        self, asked: Sequence[tuple[str, Continuing]], *, first: int = 0
    ) -> list[str]:
        """Return how the model continues each text, up to a stop string or the text's end.

        Text number r draws from the generator of (seed, r), so none depends on the others.

        Args:
            asked: each a text, which may be empty, and how to continue it.
            first: number of the first.

        Raises:
            TokenizerError: the vocabulary lacks something in a text.
        """
        engine = Engine(self.model, self.tokenizer, rows=self.batch_size, failure=reraise)
        prompts = self.tokenizer.encode_batch([context for context, _ in asked])
        for number, (tokens, (_, how)) in enumerate(zip(prompts, asked, strict=True)):
            engine.submit(
                GenerationRequest(
                    number=number,
                    client="harness",
                    prompt=(self.tokenizer.boundary, *tokens.tolist()),
                    max_new_tokens=how.max_new_tokens,
                    sampling=how.sampling,
                    row=first + number,
                    stop=how.stop,
                )
            )
        texts = [""] * len(asked)
        for delta in engine.deltas():
            texts[delta.number] += delta.text
        return texts
