from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from inklings.errors import ConfigError
from inklings.models.ngram import FALLBACK_DISCOUNTS, NGram, NGramConfig, discounts

BOUNDARY = 0


def model(order: int, stream: list[int] | np.ndarray, vocab_size: int) -> NGram:
    made = NGram(NGramConfig(vocab_size=vocab_size, order=order))
    made.count(np.asarray(stream))
    return made


def as_stream(documents: list[list[int]]) -> list[int]:
    return [token for document in documents for token in (BOUNDARY, *document)] + [BOUNDARY]


documents_of_three_letters = st.lists(
    st.lists(st.integers(1, 3), max_size=8), min_size=1, max_size=12
)


class SlowKneserNey:
    """Interpolated modified Kneser-Ney with dictionaries, straight from Chen and Goodman.

    A history is a tuple of tokens that begins, at the earliest, with the boundary that opens the
    document.
    """

    def __init__(self, order: int, stream: list[int], vocab_size: int) -> None:
        self.order, self.vocab_size = order, vocab_size
        seen: Counter[tuple[int, ...]] = Counter()
        for place in range(1, len(stream)):
            history = self.history(stream[:place])
            for length in range(len(history) + 1):
                seen[(*history[len(history) - length :], stream[place])] += 1
        before: dict[tuple[int, ...], set[int]] = defaultdict(set)
        for ngram in seen:
            if len(ngram) > 1:
                before[ngram[1:]].add(ngram[0])
        self.counts: dict[tuple[int, ...], int] = {}
        for ngram, count in seen.items():
            plain = len(ngram) == order or (len(ngram) > 1 and ngram[0] == BOUNDARY)
            self.counts[ngram] = count if plain else len(before[ngram])
        self.discounts = {}
        for length in range(1, order + 1):
            self.discounts[length] = self.estimate(
                [count for ngram, count in self.counts.items() if len(ngram) == length]
            )

    def history(self, text: list[int]) -> tuple[int, ...]:
        since = len(text) - 1 - text[::-1].index(BOUNDARY)
        return tuple(text[since:][-(self.order - 1) :]) if self.order > 1 else ()

    @staticmethod
    def estimate(counts: list[int]) -> list[float]:
        n = [0, *(counts.count(value) for value in (1, 2, 3, 4))]
        if 0 in n[1:4]:
            return list(FALLBACK_DISCOUNTS)
        y = n[1] / (n[1] + 2 * n[2])
        found = [1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
        return (
            found
            if all(0 < d <= k for k, d in enumerate(found, start=1))
            else list(FALLBACK_DISCOUNTS)
        )

    def probability(self, token: int, history: tuple[int, ...]) -> float:
        followers = {
            ngram[-1]: count for ngram, count in self.counts.items() if ngram[:-1] == history
        }
        shorter = self.probability(token, history[1:]) if history else 1 / self.vocab_size
        if not followers:
            return shorter
        taken = {
            w: self.discounts[len(history) + 1][min(count, 3) - 1] for w, count in followers.items()
        }
        own = followers[token] - taken[token] if token in followers else 0.0
        return (own + sum(taken.values()) * shorter) / sum(followers.values())


@given(
    documents_of_three_letters,
    st.lists(st.integers(0, 4), min_size=1, max_size=8),
    st.integers(1, 5),
)
def test_equals_the_slow_reference(documents: list[list[int]], text: list[int], order: int) -> None:
    stream = as_stream(documents)
    reference, fast = SlowKneserNey(order, stream, 5), model(order, stream, 5)
    logits = fast(torch.tensor([[BOUNDARY, *text]])).logits[0]
    for place in range(len(text) + 1):
        history = reference.history([BOUNDARY, *text][: place + 1])
        expected = [reference.probability(token, history) for token in range(5)]
        torch.testing.assert_close(logits[place].exp().tolist(), expected, rtol=1e-4, atol=1e-7)


def test_equals_the_slow_reference_where_the_discounts_are_estimated() -> None:
    generator = np.random.default_rng(0)
    documents = [
        (generator.zipf(1.5, size=generator.integers(0, 9)) % 11 + 1).tolist() for _ in range(200)
    ]
    stream = as_stream(documents)
    reference, fast = SlowKneserNey(3, stream, 13), model(3, stream, 13)
    estimated = [
        length for length, found in reference.discounts.items() if found != list(FALLBACK_DISCOUNTS)
    ]
    assert estimated, "the text was meant to have n-grams seen once, twice and thrice"
    text = [BOUNDARY, *documents[0], *documents[1], 12, 1, 2]
    logits = fast(torch.tensor([text])).logits[0]
    for place in range(len(text)):
        expected = [
            reference.probability(token, reference.history(text[: place + 1]))
            for token in range(13)
        ]
        torch.testing.assert_close(logits[place].exp().tolist(), expected, rtol=1e-4, atol=1e-7)


@given(documents_of_three_letters, st.integers(1, 6))
def test_distributions_add_up_to_one_and_leave_nothing_impossible(
    documents: list[list[int]], order: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = model(order, as_stream(documents), 6)(
        torch.randint(0, 6, (4, 12), generator=generator)
    ).logits
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(4, 12), rtol=0, atol=1e-5)
    assert logits.isfinite().all()


def test_nothing_is_known_before_counting() -> None:
    logits = NGram(NGramConfig(vocab_size=7, order=4))(torch.tensor([[0, 3, 2]])).logits
    torch.testing.assert_close(logits, torch.full((1, 3, 7), -math.log(7)))


def test_the_likelihood_of_a_unigram_is_that_of_the_frequencies() -> None:
    stream = as_stream([[1, 1, 2]] * 500)
    expected = torch.tensor([0.25, 0.5, 0.25])
    torch.testing.assert_close(
        model(1, stream, 3)(torch.tensor([[1, 2]])).logits.exp()[0, 0], expected, rtol=0, atol=2e-3
    )


def test_counts_never_cross_the_start_of_a_document() -> None:
    """Shuffling documents changes no count, so no n-gram spans two of them."""
    documents = [[1, 2, 3], [3, 1], [2, 2, 1, 3], [], [1]]
    text = torch.tensor([[0, 1, 2, 3, 2, 1], [0, 3, 1, 1, 2, 3]])
    one, other = (
        model(4, as_stream(order), 4)(text).logits for order in (documents, documents[::-1])
    )
    torch.testing.assert_close(one, other)


def test_a_boundary_in_the_text_ends_the_context_as_a_start_does() -> None:
    made = model(4, as_stream([[1, 2, 3], [3, 1], [2, 2, 1, 3]]), 4)
    text = torch.tensor([[0, 1, 2, 0, 2, 2]])
    starts = text == BOUNDARY
    torch.testing.assert_close(made(text).logits, made(text, starts=starts).logits)
    torch.testing.assert_close(made(text).logits[:, 3:], made(text[:, 3:]).logits)


def test_counting_again_replaces_what_was_learned() -> None:
    first, second = as_stream([[1, 2], [2, 1, 1]]), as_stream([[3, 3, 1]])
    again = model(3, first, 4)
    again.count(np.asarray(second, dtype=np.uint16))
    text = torch.tensor([[0, 3, 3, 1, 2]])
    assert torch.equal(again(text).logits, model(3, second, 4)(text).logits)


def test_tables_survive_a_file(tmp_path: Path) -> None:
    made = model(4, as_stream([[1, 2, 3], [3, 1], [2, 2, 1, 3]]), 4)
    save_file(made.state_dict(), tmp_path / "model.safetensors")
    loaded = NGram(made.config)
    loaded.load_state_dict(load_file(tmp_path / "model.safetensors"))
    text = torch.randint(0, 4, (3, 9), generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(text).logits, made(text).logits)
    assert {name: table.dtype for name, table in loaded.state_dict().items()} == {
        n: t.dtype for n, t in made.state_dict().items()
    }


def test_tables_of_an_untaught_model_survive_a_file(tmp_path: Path) -> None:
    made = NGram(NGramConfig(vocab_size=4))
    save_file(made.state_dict(), tmp_path / "model.safetensors")
    made.load_state_dict(load_file(tmp_path / "model.safetensors"))


def test_the_tables_of_another_order_are_refused() -> None:
    tables = model(3, as_stream([[1, 2, 3]]), 4).state_dict()
    with pytest.raises(RuntimeError, match="keys_2"):
        NGram(NGramConfig(vocab_size=4, order=2)).load_state_dict(tables)


def test_hidden_is_the_length_of_the_longest_known_context() -> None:
    made = model(4, as_stream([[1, 2, 3, 1]]), 6)
    hidden = made(torch.tensor([[0, 1, 2, 3, 4, 1, 5]])).hidden[0, :, 0]
    assert hidden.tolist() == [1, 2, 3, 3, 0, 1, 0]


def test_context_length_caps_the_order() -> None:
    stream = as_stream([[1, 2, 3], [3, 1], [2, 2, 1, 3]])
    capped = NGram(NGramConfig(vocab_size=4, order=5, context_length=2))
    capped.count(np.asarray(stream))
    text = torch.tensor([[0, 1, 2, 3, 1]])
    assert capped.receptive_field == 2
    assert torch.equal(capped(text).logits, model(3, stream, 4)(text).logits)


@pytest.mark.parametrize(
    "counts",
    [
        [5, 6, 7],
        [1, 1, 2, 3],
        [2, 2, 3, 3],
        [1, *[2] * 9, *[3] * 9],
        [*[1] * 9, 2, *[3] * 9],
        [1, 1, 2, 3, *[4] * 9],
        [],
    ],
)
def test_discounts_take_something_and_never_more_than_there_is(counts: list[int]) -> None:
    found = discounts(torch.tensor(counts, dtype=torch.long))
    assert all(0 < taken <= most for taken, most in zip(found, (1, 2, 3), strict=True))


@pytest.mark.parametrize("order", [0, 7])
def test_an_order_out_of_range_is_named(order: int) -> None:
    with pytest.raises(ConfigError, match=rf"order is {order}; it must be from 1 to 6"):
        NGramConfig(vocab_size=5, order=order)


def test_it_learns_by_counting_and_has_nothing_to_train() -> None:
    made = NGram(NGramConfig(vocab_size=5))
    assert made.traits.objective == "counting"
    assert not list(made.parameters())
    assert made.flops(1000) == 0


def test_the_bigram_of_the_lectures(corpora: Path) -> None:
    """The split of makemore.

    Names shuffled with seed 42, the first 80% for training, the next 10% for validation.
    """
    names = (corpora / "names" / "names.txt").read_text().split()
    random.Random(42).shuffle(names)
    streams = [
        as_stream([[ord(letter) - 96 for letter in name] for name in part])
        for part in np.split(names, [25626, 28829])[:2]
    ]
    text = torch.tensor([streams[1]])
    logits = model(2, streams[0], 27)(text[:, :-1], starts=text[:, :-1] == BOUNDARY).logits
    loss = torch.nn.functional.cross_entropy(logits[0], text[0, 1:])
    assert 2.45 < loss < 2.48
