"""A text written in turns.

The user writes some, the model goes on, and nothing is read twice.
"""

from __future__ import annotations

from collections.abc import Iterator

from inklings.errors import ConfigError
from inklings.generation.decoding import TextRow, check_pair, decode
from inklings.generation.reader import Reader
from inklings.generation.sampling import SamplingConfig, row_generators
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
        check_pair(model, tokenizer)
        check_length(max_new_tokens)
        TextStream(stop)
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._max_new_tokens = max_new_tokens
        self._stop = stop
        self._stop_at_boundary = stop_at_boundary
        self._generator = row_generators(sampling.seed, [0])[0]
        self._reader = Reader(model, use_cache=use_cache)
        self._history = [tokenizer.boundary]

    def restart(self) -> None:
        """Forget the text so far. The draws go on: the same prompt may lead elsewhere."""
        self._reader = Reader(self._reader.model, use_cache=self._reader.use_cache)
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
        row = TextRow(self._history, TextStream(self._stop), self._generator, self._max_new_tokens)
        turn = decode(
            self._reader,
            [row],
            self._tokenizer,
            self._sampling,
            stop_at_boundary=self._stop_at_boundary,
        )
        return (piece for _, piece in turn if piece)


def check_length(max_new_tokens: int) -> None:
    """Refuse a negative number of tokens with a `ConfigError`."""
    if max_new_tokens < 0:
        raise ConfigError(f"max_new_tokens is {max_new_tokens}; it must be 0 or more.")
