"""A scorer: whatever claims a likelihood, behind three functions.

    class Scorer:
        def begin(self): ...  # before the first token of a document
        def predict(self): ...  # natural logarithms of probabilities of the whole vocabulary, (V,)
        def observe(self, token): ...  # the token that came

Whoever evaluates asks for the prediction first and tells the token afterwards, so nothing can
depend on what comes. What it does with an observed token is its own affair: training at test time
is legal. Four more names may be declared:

- `vocab_size`: V; 256 where it is left out, for bytes;
- `encode(text)` and `decode(tokens)`: a text as tokens, and back (text or bytes); UTF-8 where both
  are left out;
- `carries_state = True`: what was observed in a document may change predictions of the next;
- `claim(documents)`: what it says itself that these documents cost, given as lists of tokens, by
  the code that it really evaluates with: nats of every token of each document, or of each document,
  or of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from inklings.errors import InputError

BYTES = 256
"""Size of the vocabulary where none is declared."""

LogProbabilities = Float64[np.ndarray, " V"]
Tokens = list[int]


@runtime_checkable
class Scorer(Protocol):
    """Predicts a token, then is told it."""

    def begin(self) -> None:
        """Begin a document: nothing of it is observed yet."""

    def predict(self) -> Any:
        """Return the log-probabilities of all tokens that may come next, (V,), in nats."""

    def observe(self, token: int) -> None:
        """Take note of the token that came."""


MakeScorer = Callable[[], Scorer]


class ScorerError(InputError):
    """A scorer gives what no scorer may give."""


def vocab_size_of(scorer: Scorer) -> int:
    """Return V, as it is declared."""
    return int(getattr(scorer, "vocab_size", BYTES))


def carries_state(scorer: Scorer) -> bool:
    """Return whether it says that a document may change predictions of the next."""
    return bool(getattr(scorer, "carries_state", False))


def encode(scorer: Scorer, text: str) -> Tokens:
    """Return the tokens of a text, as the scorer makes them."""
    own = getattr(scorer, "encode", None)
    return [int(token) for token in (text.encode() if own is None else own(text))]


def decode(scorer: Scorer, tokens: Sequence[int]) -> bytes | None:
    """Return the bytes of tokens, or None where the scorer encodes and does not say how to decode.

    Raises:
        ScorerError: what `decode` gives is neither text nor bytes.
    """
    own = getattr(scorer, "decode", None)
    if own is None:
        return None if hasattr(scorer, "encode") else bytes(tokens)
    text = own(list(tokens))
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes):
        return text
    raise ScorerError(f"decode gives {type(text).__name__}; it must give a str or bytes")


def prediction_of(scorer: Scorer) -> LogProbabilities:
    """Return a copy of the next prediction, (V,), as nobody can change it later.

    Raises:
        ScorerError: it is no vector of V numbers.
    """
    given = scorer.predict()
    if hasattr(given, "detach"):  # a tensor, which may be of a graph
        given = given.detach().cpu().double().numpy()
    values = np.array(given, dtype=np.float64)
    if values.shape != (vocab_size_of(scorer),):
        raise ScorerError(
            f"predict gives shape {values.shape}, not (V,) = ({vocab_size_of(scorer)},)"
        )
    return values


def claims_of(scorer: Scorer, documents: Sequence[Tokens]) -> list[Float64[np.ndarray, " _"]]:
    """Return the nats that the scorer claims: one array a document, or one for all of them.

    An array holds the nats of every token, or a single number.

    Raises:
        ScorerError: it claims something for another number of documents or tokens.
    """
    given = scorer.claim([list(document) for document in documents])  # type: ignore[attr-defined]  # asked of those that have it
    if not isinstance(given, list | tuple) and np.ndim(given) == 0:
        return [np.array([float(given)])]
    claims = [np.array(one, dtype=np.float64).reshape(-1) for one in given]
    if len(claims) != len(documents):
        raise ScorerError(
            f"claim gives {len(claims)} values for {len(documents)} documents; it must give one for"
            " each, or a single number for all"
        )
    for claim, document in zip(claims, documents, strict=True):
        if len(claim) not in (1, len(document)):
            raise ScorerError(
                f"claim gives {len(claim)} numbers for a document of {len(document)} tokens; it"
                " must give one for each token, or their sum"
            )
    return claims
