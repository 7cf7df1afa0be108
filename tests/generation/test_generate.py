"""Generation.

The same with and without a cache, alone or in company, whole or as it comes; and it ends where it
should.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from inklings.errors import ConfigError, TokenizerError
from inklings.generation.generate import generate, stream
from inklings.generation.sampling import SamplingConfig
from inklings.models.contract import SequenceModel
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import make_tokenizer
from tests.generation.conftest import Recital

GREEDY = SamplingConfig(temperature=0.0)
PROMPTS = ["", "t", "the cat sat on the mat"]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(
    "sampling",
    [GREEDY, SamplingConfig(seed=5, repetition_penalty=1.2, top_p=0.9)],
    ids=["greedy", "drawn"],
)
def test_a_state_changes_nothing(
    any_model: SequenceModel, characters: Tokenizer, prompt: str, sampling: SamplingConfig
) -> None:
    """Also past the context, which is at most 6, and across the ends of documents."""
    write = partial(
        generate, max_new_tokens=25, sampling=sampling, samples=3, stop_at_boundary=False
    )
    assert write(any_model, characters, prompt) == write(
        any_model, characters, prompt, use_cache=False
    )


def test_a_long_prompt_read_in_pieces_changes_nothing(
    any_model: SequenceModel, characters: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = generate(any_model, characters, PROMPTS[-1], max_new_tokens=8, sampling=GREEDY)
    monkeypatch.setattr("inklings.generation.engine.engine.PIECE", 4)
    assert generate(any_model, characters, PROMPTS[-1], max_new_tokens=8, sampling=GREEDY) == whole


def test_a_sample_does_not_depend_on_how_many_there_are(
    any_model: SequenceModel, characters: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = SamplingConfig(seed=1)
    five = generate(any_model, characters, "the", max_new_tokens=20, sampling=sampling, samples=5)
    assert len({tuple(sample.tokens) for sample in five}) > 1
    for n in (1, 3):
        assert (
            generate(any_model, characters, "the", max_new_tokens=20, sampling=sampling, samples=n)
            == five[:n]
        )
    monkeypatch.setattr("inklings.generation.generate.ROWS", 2)
    assert (
        generate(any_model, characters, "the", max_new_tokens=20, sampling=sampling, samples=5)
        == five
    )


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_stream_is_the_text_and_the_text_is_that_of_the_tokens(
    any_tokenizer: Tokenizer, model_for: Callable[..., SequenceModel], prompt: str
) -> None:
    model = model_for("recurrent", any_tokenizer)
    for seed in range(3):
        sampling = SamplingConfig(seed=seed, ban_boundary=seed % 2 == 0)
        asked = (model, any_tokenizer, prompt)
        (whole,) = generate(*asked, max_new_tokens=40, sampling=sampling)
        pieces = list(stream(*asked, max_new_tokens=40, sampling=sampling))
        assert "".join(pieces) == whole.text
        assert "" not in pieces
        if not prompt:
            assert whole.text == any_tokenizer.decode(whole.tokens)
        else:
            before = [*any_tokenizer.encode(prompt).tolist()[-1:], *whole.tokens]
            shown = map(any_tokenizer.bytes_after, before, whole.tokens)
            assert whole.text == b"".join(shown).decode(errors="replace")


def test_other_seeds_are_other_texts(any_model: SequenceModel, characters: Tokenizer) -> None:
    found = {
        generate(any_model, characters, max_new_tokens=20, sampling=SamplingConfig(seed=seed))[
            0
        ].text
        for seed in range(5)
    }
    assert len(found) > 1


def test_why_it_ended(characters: Tokenizer, recite: Callable[[str], Recital]) -> None:
    model, size = recite("the cat sat"), len(characters.encode("the cat sat"))
    (whole,) = generate(model, characters, max_new_tokens=50, sampling=GREEDY)
    assert (whole.text, len(whole.tokens), whole.finished) == ("the cat sat", size, "boundary")
    (exact,) = generate(model, characters, max_new_tokens=size, sampling=GREEDY)
    assert (exact.text, exact.finished) == ("the cat sat", "length")
    (short,) = generate(model, characters, max_new_tokens=5, sampling=GREEDY)
    assert (short.text, len(short.tokens), short.finished) == ("the c", 5, "length")
    (stopped,) = generate(model, characters, max_new_tokens=50, sampling=GREEDY, stop=("sat", "at"))
    assert (stopped.text, stopped.finished) == ("the c", "stop")
    assert characters.decode(stopped.tokens) == "the cat"
    (none,) = generate(model, characters, "t", max_new_tokens=0, sampling=GREEDY)
    assert (none.text, none.tokens, none.finished) == ("", [], "length")


def test_a_stop_string_that_only_began_is_shown(
    characters: Tokenizer, recite: Callable[[str], Recital]
) -> None:
    model = recite("the cat")
    for length, text in ((50, "the cat"), (6, "the ca")):
        assert (
            generate(model, characters, max_new_tokens=length, sampling=GREEDY, stop=("cats",))[
                0
            ].text
            == text
        )
        assert (
            "".join(
                stream(model, characters, max_new_tokens=length, sampling=GREEDY, stop=("cats",))
            )
            == text
        )


def test_documents_may_follow_one_another(
    characters: Tokenizer, recite: Callable[[str], Recital]
) -> None:
    (found,) = generate(
        recite("cat"), characters, max_new_tokens=9, sampling=GREEDY, stop_at_boundary=False
    )
    assert found.text == "cat\ncat\nc"
    assert found.finished == "length"
    assert found.tokens.count(characters.boundary) == 2


def test_the_end_of_a_document_may_be_banned(
    any_model: SequenceModel, characters: Tokenizer
) -> None:
    sampling = SamplingConfig(ban_boundary=True)
    for sample in generate(any_model, characters, max_new_tokens=60, sampling=sampling, samples=8):
        assert sample.finished == "length"
        assert characters.boundary not in sample.tokens
    ended = generate(any_model, characters, max_new_tokens=60, samples=8)
    assert any(sample.finished == "boundary" for sample in ended)


def test_each_token_is_read_once_and_rows_that_have_ended_are_dropped(
    characters: Tokenizer, recite: Callable[[str], Recital]
) -> None:
    model = recite("the cat sat on the mat")
    generate(model, characters, "the ", max_new_tokens=10, sampling=GREEDY, samples=3)
    # the boundary and three characters for all samples at once, the fourth and nine that were drawn
    # for each
    assert model.calls == [(1, 4), *[(3, 1)] * 10]
    model.calls.clear()
    rows = generate(
        model, characters, max_new_tokens=30, sampling=SamplingConfig(temperature=30.0), samples=6
    )
    lengths = [len(row.tokens) + (row.finished == "boundary") for row in rows]
    assert len(set(lengths)) > 1
    # one that is left of several is read as two, so that its kernels are those of company
    assert model.calls == [
        (max(2, sum(length > step for length in lengths)), 1) for step in range(max(lengths))
    ]


def test_nothing_that_was_seen_is_repeated_under_a_great_penalty(
    characters: Tokenizer, model_for: Callable[..., SequenceModel]
) -> None:
    """Also in the company of rows that end earlier, and after them.

    The boundary is exempt: it is no repetition.

    An n-gram's logits are log-probabilities, all negative, so that the penalty alone decides.
    """
    model = model_for("ngram", characters)
    length = characters.vocab_size - 1 - len(set("the"))
    rows = generate(
        model,
        characters,
        "the",
        max_new_tokens=length,
        sampling=SamplingConfig(repetition_penalty=1e6),
        samples=6,
    )
    assert len({len(row.tokens) for row in rows}) > 1
    for row in rows:
        everything = [*characters.encode("the").tolist(), *row.tokens]
        assert len(set(everything)) == len(everything)


def test_it_leaves_the_model_as_it_was_and_uses_no_dropout(
    characters: Tokenizer, model_for: Callable[..., SequenceModel]
) -> None:
    model = model_for("gpt", characters)
    model.eval()
    expected = generate(model, characters, "the", max_new_tokens=10, samples=2)
    model.train()
    frozen = next(iter(model.children()))
    frozen.eval()
    modes = [module.training for module in model.modules()]
    assert generate(model, characters, "the", max_new_tokens=10, samples=2) == expected
    assert [module.training for module in model.modules()] == modes
    pieces = stream(model, characters, "the", max_new_tokens=10)
    next(pieces)
    assert [module.training for module in model.modules()] == modes
    assert torch.is_grad_enabled()


def test_the_prompt_follows_the_tokenizers_policy(model_for: Callable[..., SequenceModel]) -> None:
    texts = [("the cat", True)]
    for policy in ("error", "skip", "replace"):
        tokenizer = make_tokenizer("char", lambda: iter(texts), unknown=policy)
        model = model_for("mlp", tokenizer)
        if policy == "error":
            for function in (
                generate,
                stream,
            ):  # at the call: nothing has been shown when it is said
                with pytest.raises(TokenizerError, match="'Q'"):
                    function(model, tokenizer, "the Q", max_new_tokens=5)
        else:
            assert len(generate(model, tokenizer, "the Q", max_new_tokens=5)) == 1
            assert tokenizer.unknown_characters("the Q") == ["Q"]
        if policy == "skip":
            with_the_unknown, without = (
                generate(model, tokenizer, prompt, max_new_tokens=5, sampling=GREEDY)
                for prompt in ("the Q", "the ")
            )
            assert with_the_unknown == without


def test_a_tokenizer_of_another_model_is_refused(
    characters: Tokenizer, model_for: Callable[..., SequenceModel]
) -> None:
    other = make_tokenizer("byte", lambda: iter([]))
    for function in (generate, stream):
        with pytest.raises(TokenizerError, match="the model was made for 257"):
            function(model_for("mlp", other), characters, max_new_tokens=5)


def test_numbers_out_of_range_are_refused(any_model: SequenceModel, characters: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="samples is 0"):
        generate(any_model, characters, max_new_tokens=5, samples=0)
    for function in (generate, stream):
        with pytest.raises(ConfigError, match="max_new_tokens is -1"):
            function(any_model, characters, max_new_tokens=-1)
        with pytest.raises(ConfigError, match="stop string"):
            function(any_model, characters, max_new_tokens=1, stop=("",))
