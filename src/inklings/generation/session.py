"""A text written in turns by user and model, in which nothing is read twice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NoReturn

from inklings.errors import ConfigError
from inklings.generation.engine.engine import Engine
from inklings.generation.engine.request import Delta, GenerationRequest
from inklings.generation.sampling import SamplingConfig
from inklings.generation.text_stream import TextStream
from inklings.models.contract import SequenceModel
from inklings.text.tokenizers import Tokenizer


class Session:
    """One text that grows by turns.

    The model's state is kept from turn to turn. After the model has ended a document, the next turn
    begins a new one. A turn that is left before its end, by Ctrl-C too, loses nothing: the next one
    goes on from the last token drawn.
    """

    def __init__(
        self,
        model: SequenceModel,
        tokenizer: Tokenizer,
        *,
        sampling: SamplingConfig,
        max_new_tokens: int,
        stop: tuple[str, ...] = (),
        stop_at_boundary: bool = True,
        use_cache: bool = True,
    ) -> None:
        """Begin a conversation with the settings of `generate`, kept for each turn.

        Raises:
            TokenizerError: the tokenizer does not belong to the model.
            ConfigError: a stop string is empty, or `max_new_tokens` is negative.
        """
        check_length(max_new_tokens)
        TextStream(stop)
        self._make_engine = partial(
            Engine, model, tokenizer, rows=1, failure=reraise, use_cache=use_cache
        )
        self._engine = self._make_engine()
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._max_new_tokens = max_new_tokens
        self._stop = stop
        self._stop_at_boundary = stop_at_boundary
        self._history = [tokenizer.boundary]
        self._draws = 0

    def restart(self) -> None:
        """Forget the text so far. The draws go on: the same prompt may lead elsewhere."""
        self._history = [self._tokenizer.boundary]

    def say(self, text: str = "") -> Iterator[str]:
        """Append `text`, and let the model go on; yields what it writes as it comes.

        Without text it just goes on.

        Raises:
            TokenizerError: the tokenizer lacks a character and its policy is to refuse it. The
                session stays as it was.
        """
        tokens = self._tokenizer.encode(text).tolist()
        if self._history[-1] == self._tokenizer.boundary:
            self.restart()
        self._history += tokens
        return self._turn()

    def _turn(self) -> Iterator[str]:
        self._engine.cancel(0)  # a turn that was left early
        self._engine.submit(
            GenerationRequest(
                number=0,
                client="",
                prompt=tuple(self._history),
                max_new_tokens=self._max_new_tokens,
                sampling=self._sampling,
                draws=self._draws,
                keep=True,
                stop=self._stop,
                stop_at_boundary=self._stop_at_boundary,
            )
        )
        while told := self._step():
            for delta in told:
                self._history += delta.drawn
                self._draws += len(delta.drawn)
                if delta.text:
                    yield delta.text

    def _step(self) -> list[Delta]:
        """Make one pass; if it is interrupted, it leaves nothing behind, and all is read again."""
        try:
            return self._engine.step()
        except BaseException:
            self._engine = self._make_engine()
            raise


def reraise(error: Exception) -> NoReturn:
    """Let an error through, which a server would tell the client whom it concerns."""
    raise error


def check_length(max_new_tokens: int) -> None:
    """Refuse a negative number of tokens with a `ConfigError`."""
    if max_new_tokens < 0:
        raise ConfigError(f"max_new_tokens is {max_new_tokens}; it must be 0 or more.")
