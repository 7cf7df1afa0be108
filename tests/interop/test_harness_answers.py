"""What lm-evaluation-harness is answered: likelihoods as `evaluate` finds them, and texts."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inklings.errors import ConfigError, TokenizerError
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.generation.generate import generate
from inklings.generation.sampling import SamplingConfig
from inklings.interop.harness_answers import Continuing, HarnessAnswers
from inklings.interop.lm_eval import filled_in
from inklings.models.contract import SequenceModel
from inklings.text.store import TokenSplit
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import make_tokenizer
from tests.built import SMALL, build_opinionated

LETTERS = "abcdefg \n"
TEXTS = st.lists(st.text(LETTERS, max_size=40), min_size=1, max_size=6)
KINDS = ["gpt", "ngram", "recurrent"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return make_tokenizer("char", lambda: iter([(LETTERS, True)]), unknown="error")


@pytest.fixture(scope="module")
def models(tokenizer: Tokenizer) -> dict[str, SequenceModel]:
    return {
        kind: build_opinionated(
            kind,
            SMALL[kind],
            vocab_size=tokenizer.vocab_size,
            boundary_token=tokenizer.boundary,
        ).eval()
        for kind in KINDS
    }


def plain_likelihoods(
    model: SequenceModel, tokenizer: Tokenizer, text: str
) -> tuple[list[float], list[bool]]:
    """The log-likelihood of each token of a text and of its end, and whether it was the likeliest.

    One text at a time, in one pass.
    """
    tokens = torch.tensor([tokenizer.boundary, *tokenizer.encode(text), tokenizer.boundary])
    with torch.no_grad():
        logits = model(tokens[None, :-1]).logits[0].double()
    chosen = logits.log_softmax(-1).gather(1, tokens[1:, None])[:, 0]
    return chosen.tolist(), (logits.argmax(-1) == tokens[1:]).tolist()


@pytest.mark.parametrize("kind", KINDS)
@given(texts=TEXTS, size=st.integers(1, 4))
def test_a_continuation_is_as_likely_as_in_a_pass_over_the_text_alone(
    models: dict[str, SequenceModel], tokenizer: Tokenizer, kind: str, texts: list[str], size: int
) -> None:
    """Whatever the texts beside it and the batch; blanks at the context's end count with it."""
    pairs = [(text[: len(text) // 2], text[len(text) // 2 :]) for text in texts]
    answers = HarnessAnswers(models[kind], tokenizer, batch_size=size)
    for (context, more), (found, greedy) in zip(pairs, answers.loglikelihoods(pairs), strict=True):
        likelihoods, hits = plain_likelihoods(models[kind], tokenizer, context + more)
        counted = slice(len(context.rstrip()), len(context + more))
        assert found == pytest.approx(sum(likelihoods[counted]), abs=1e-4)
        assert greedy == all(hits[counted])


@pytest.mark.parametrize("kind", KINDS)
def test_whole_texts_are_as_likely_as_evaluate_finds_their_documents(
    models: dict[str, SequenceModel], tokenizer: Tokenizer, kind: str
) -> None:
    """But for their ends, which no task asks for; a text longer than a lane is among them."""
    texts = ["", "a", "bad cab\n" * 3, "fade " * 1700]
    model = models[kind]
    split = TokenSplit.of(tokenizer.encode_batch(texts), tokenizer.boundary)
    scored = evaluate(model, split)
    assert max(split.document_bytes) > scored.protocol["lane"]
    answers = HarnessAnswers(model, tokenizer, batch_size=3)
    found = [nats for nats, _ in answers.loglikelihoods([("", text) for text in texts])]
    for text, nats, likelihood in zip(texts, scored.documents.nats, found, strict=True):
        end = plain_likelihoods(model, tokenizer, text)[0][-1]
        assert nats == pytest.approx(-likelihood - end, rel=1e-6, abs=1e-4)


def test_nothing_asked_is_nothing_answered(
    models: dict[str, SequenceModel], tokenizer: Tokenizer
) -> None:
    answers = HarnessAnswers(models["gpt"], tokenizer)
    assert answers.loglikelihoods([]) == []
    assert answers.loglikelihoods([("ab", "")]) == [(0.0, True)]
    assert answers.continuations([]) == []


def test_what_the_vocabulary_lacks_is_said_before_anything_is_scored(
    models: dict[str, SequenceModel], tokenizer: Tokenizer
) -> None:
    answers = HarnessAnswers(models["gpt"], tokenizer)
    with pytest.raises(TokenizerError, match="lacks 'Q', 'Z'"):
        answers.loglikelihoods([("ab", "c"), ("Q", "Z")])
    with pytest.raises(TokenizerError, match="lacks 'Q'"):
        answers.continuations([("Q", Continuing.of({}))])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 3])
def test_texts_go_on_as_generate_writes_them(
    models: dict[str, SequenceModel], tokenizer: Tokenizer, kind: str, size: int
) -> None:
    asked: list[dict[str, object]] = [
        {"until": ["a"], "max_gen_toks": 12},
        {"until": "e", "max_new_tokens": 9, "temperature": 0.7, "top_k": 4, "seed": 3},
        {"do_sample": False, "temperature": 0.9, "max_tokens": 7},
    ]
    contexts = ["bad", "", "cab fa"]
    wanted = [Continuing.of(settings) for settings in asked]
    answers = HarnessAnswers(models[kind], tokenizer, batch_size=size)
    found = answers.continuations(list(zip(contexts, wanted, strict=True)), first=2)
    for number, (context, how, text) in enumerate(zip(contexts, wanted, found, strict=True)):
        written = generate(
            models[kind],
            tokenizer,
            context,
            max_new_tokens=how.max_new_tokens,
            sampling=how.sampling,
            samples=3 + number,
            stop=how.stop,
        )
        assert text == written[2 + number].text


def test_settings_of_a_task_are_read_as_the_harness_means_them() -> None:
    assert Continuing.of({}) == Continuing(SamplingConfig(temperature=0.0), 256, ())
    assert Continuing.of({"temperature": 0.5}).sampling.temperature == 0.5
    assert Continuing.of({"temperature": 0.5, "do_sample": False}).sampling.temperature == 0
    assert Continuing.of({"do_sample": True}).sampling.temperature == 1
    assert Continuing.of({"until": ["x", ""], "max_tokens": 3}).stop == ("x",)
    with pytest.raises(ConfigError, match=r"generation setting 'top_kk'.*top_k"):
        Continuing.of({"top_kk": 3})
    with pytest.raises(ConfigError, match="top_p"):
        Continuing.of({"top_p": math.inf, "do_sample": True})


def test_the_command_fills_in_the_model_alone() -> None:
    own = ["--model", "inklings", "--batch_size", "64", "--device", "auto"]
    assert filled_in(["--tasks", "x"]) == [*own, "--tasks", "x"]
    assert filled_in(["run", "--tasks", "x"]) == [*own, "--tasks", "x"]
    sized = filled_in(["-b", "3", "--device=cpu"])
    assert sized == ["--model", "inklings", "-b", "3", "--device=cpu"]
    assert filled_in(["ls", "tasks"]) == ["ls", "tasks"]
    with pytest.raises(ConfigError, match="--model"):
        filled_in(["--model=hf"])
