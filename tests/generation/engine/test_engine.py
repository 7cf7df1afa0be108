"""Jobs that share passes come out as if each were alone.

The tokens of `generate`, the numbers of one pass over the text.
"""

from __future__ import annotations

import string
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inklings.auditing.checks.branches import knocked_out
from inklings.generation.engine.engine import Engine
from inklings.generation.engine.request import Delta, GenerationRequest, Token
from inklings.generation.generate import generate
from inklings.generation.inference import inference
from inklings.generation.sampling import SamplingConfig
from inklings.models.contract import Output, SequenceModel
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import make_tokenizer
from tests.built import build_opinionated

SMALL: dict[str, dict[str, Any]] = {
    "gpt": {"n_layer": 2, "n_head": 2, "n_embd": 16, "context_length": 6, "dropout": 0.5},
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 16, "context_length": 6},
    "wavenet": {"n_layer": 3, "n_embd": 8, "n_skip": 8},
    "recurrent": {"n_embd": 8, "n_hidden": 16},
    "ngram": {"order": 3},
    "mlp": {"context_length": 3, "n_embd": 8, "n_hidden": 16},
    "tree_wavenet": {"context_length": 4, "n_embd": 8, "n_hidden": 16},
    "wavegpt": {"n_layer": 1, "n_head": 2, "n_embd": 8, "context_length": 6, "wave_layers": 2},
    "varda": {
        "backbone": "gpt:n_layer=1,n_head=2,n_embd=8,context_length=6",
        "segment": 4,
        "num_search_results": 2,
    },
}
TEXT = string.ascii_lowercase + " \n\u00e9\U0001f600"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return make_tokenizer("char", lambda: iter([(TEXT, True)]), unknown="error")


def made(architecture: str, tokenizer: Tokenizer) -> SequenceModel:
    """Small, with weights large enough that its next tokens are anything but equally likely."""
    return build_opinionated(
        architecture,
        SMALL[architecture],
        vocab_size=tokenizer.vocab_size,
        boundary_token=tokenizer.boundary,
    )


@pytest.fixture(scope="module")
def gpt(tokenizer: Tokenizer) -> SequenceModel:
    return made("gpt", tokenizer)


def job(tokenizer: Tokenizer, number: int, prompt: str = "", **settings: Any) -> GenerationRequest:
    tokens = (tokenizer.boundary, *tokenizer.encode(prompt).tolist())
    return GenerationRequest(
        **{"number": number, "client": "someone", "prompt": tokens, "max_new_tokens": 5, **settings}
    )


def joined(progress: list[Delta]) -> Delta:
    """What several bring together."""
    assert len({part.number for part in progress}) == 1
    assert all(part.ending is None and part.error is None for part in progress[:-1]), (
        "something came after the end"
    )

    def only(name: str) -> Any:
        found = [value for part in progress if (value := getattr(part, name)) is not None]
        assert len(found) <= 1, f"{name} came several times"
        return found[0] if found else None

    return Delta(
        progress[0].number,
        text="".join(part.text for part in progress),
        drawn=tuple(token for part in progress for token in part.drawn),
        tokens=tuple(token for part in progress for token in part.tokens),
        **{name: only(name) for name in ("prompt", "embedding", "ending", "error")},
    )


def run(engine: Engine, *jobs: GenerationRequest) -> dict[int, Delta]:
    """Submit, and go on until nothing is left to do."""
    for one in jobs:
        engine.submit(one)
    found: dict[int, list[Delta]] = {}
    while told := engine.step():
        for progress in told:
            found.setdefault(progress.number, []).append(progress)
    assert (engine.running, engine.waiting) == (0, 0)
    return {number: joined(progress) for number, progress in found.items()}


SAMPLING = st.builds(
    SamplingConfig,
    temperature=st.sampled_from([0.0, 0.7, 1.0, 3.0]),
    top_k=st.none() | st.integers(1, 20),
    top_p=st.none() | st.floats(0.1, 1.0),
    min_p=st.none() | st.floats(0.0, 0.3),
    repetition_penalty=st.sampled_from([1.0, 1.2]),
    frequency_penalty=st.sampled_from([0.0, 0.5]),
    presence_penalty=st.sampled_from([0.0, -0.5]),
    ban_boundary=st.booleans(),
    seed=st.integers(0, 99),
)
PROMPTS = st.text(TEXT, max_size=30)


@pytest.mark.parametrize("architecture", sorted(SMALL))
@given(
    data=st.data(),
    asked=st.lists(
        st.tuples(PROMPTS, SAMPLING, st.integers(0, 12), st.booleans()), min_size=1, max_size=6
    ),
)
@settings(max_examples=4)
def test_texts_are_those_of_generate(
    architecture: str,
    tokenizer: Tokenizer,
    data: st.DataObject,
    asked: list[tuple[str, SamplingConfig, int, bool]],
) -> None:
    """Whatever is asked beside them, whenever it comes, and however few rows there are."""
    model = made(architecture, tokenizer)
    engine = Engine(model, tokenizer, rows=data.draw(st.integers(1, 4)))
    stop = ("ab", "\u00e9")
    found: dict[int, list[Delta]] = {}
    for number, (prompt, sampling, length, stops) in enumerate(asked):
        settings: dict[str, Any] = {
            "stop": stop,
            "stop_at_boundary": stops,
            "row": number % 2,
            "client": str(number % 3),
        }
        engine.submit(
            job(tokenizer, number, prompt, max_new_tokens=length, sampling=sampling, **settings)
        )
        for _ in range(data.draw(st.integers(0, 3))):
            for progress in engine.step():
                found.setdefault(progress.number, []).append(progress)
    while told := engine.step():
        for progress in told:
            found.setdefault(progress.number, []).append(progress)
    for number, (prompt, sampling, length, stops) in enumerate(asked):
        expected = generate(
            model,
            tokenizer,
            prompt,
            max_new_tokens=length,
            sampling=sampling,
            samples=2,
            stop=stop,
            stop_at_boundary=stops,
        )[number % 2]
        made_here = joined(found[number])
        assert (made_here.text, made_here.ending) == (expected.text, expected.finished)
        assert made_here.count == len(expected.tokens) + (expected.finished == "boundary")


def log_probabilities(model: SequenceModel, history: list[int]) -> torch.Tensor:
    """Of one fresh pass over a text (T, V)."""
    tokens = torch.tensor([history])
    starts = tokens == model.config.boundary_token
    starts[:, 0] = False
    with inference(model.modules()):
        output: Output = model(tokens, starts=starts if bool(starts.any()) else None)
    return output.logits[0].log_softmax(-1)


def assert_predicted(told: tuple[Token, ...], tokens: list[int], expected: torch.Tensor) -> None:
    """The tokens, the log-probability of each, and the likeliest in its place."""
    assert [token.token for token in told] == tokens
    for token, line in zip(told, expected, strict=True):
        assert token.logprob == pytest.approx(float(line[token.token]), abs=1e-4)
        values = [value for _, value in token.alternatives]
        assert values == sorted(values, reverse=True)
        np.testing.assert_allclose(values, line.topk(len(values)).values, atol=1e-4)
        np.testing.assert_allclose(
            [float(line[number]) for number, _ in token.alternatives], values, atol=1e-4
        )


@pytest.mark.parametrize("architecture", sorted(SMALL))
def test_log_probabilities_are_those_of_one_pass_over_the_text(
    architecture: str, tokenizer: Tokenizer
) -> None:
    """Of prompts read in pieces side by side, and of what is drawn.

    Across the ends of documents too.

    No prompt repeats itself: of entries of a memory that are equally near, rounding decides which
    is found.
    """
    model = made(architecture, tokenizer)
    engine = Engine(model, tokenizer, rows=3)
    prompts = [
        "",
        "a",
        "the quick brown fox jumps over the lazy dog",
        "pack my box with five\n",
        "sphinx of black quartz judge",
    ]
    answers = run(
        engine,
        *(
            job(
                tokenizer,
                number,
                prompt,
                max_new_tokens=12,
                alternatives=3,
                prompt_alternatives=2,
                stop_at_boundary=False,
            )
            for number, prompt in enumerate(prompts)
        ),
    )
    for number, prompt in enumerate(prompts):
        answer, history = answers[number], [tokenizer.boundary, *tokenizer.encode(prompt).tolist()]
        drawn = [token.token for token in answer.tokens]
        expected = log_probabilities(model, [*history, *drawn])
        assert answer.prompt is not None
        assert_predicted(answer.prompt, history[1:], expected[: len(history) - 1])
        assert_predicted(answer.tokens, drawn, expected[len(history) - 1 : -1])
        assert len(drawn) == answer.count == 12
        assert all(len(token.alternatives) == 3 for token in answer.tokens)


def test_the_prompts_of_a_scored_text_and_of_an_embedding_may_hold_boundaries(
    gpt: SequenceModel, tokenizer: Tokenizer
) -> None:
    boundary = tokenizer.boundary
    tokens = [
        boundary,
        *tokenizer.encode("cats").tolist(),
        boundary,
        *tokenizer.encode("and dogs").tolist(),
    ]
    scored = GenerationRequest(number=1, client="a", prompt=tuple(tokens), prompt_alternatives=0)
    with inference(gpt.modules()):
        starts = torch.tensor([tokens]) == boundary
        starts[:, 0] = False
        hidden = gpt(torch.tensor([tokens]), starts=starts).hidden[0]
    embedded = GenerationRequest(number=2, client="a", prompt=tuple(tokens), embed=True)
    alone = GenerationRequest(number=3, client="a", prompt=(boundary,), embed=True)
    answers = run(Engine(gpt, tokenizer), scored, embedded, alone)
    assert answers[1].prompt is not None
    assert_predicted(answers[1].prompt, tokens[1:], log_probabilities(gpt, tokens)[:-1])
    assert all(token.alternatives == () for token in answers[1].prompt)
    text = torch.tensor([token != boundary for token in tokens])
    assert answers[2].embedding is not None and answers[3].embedding is not None
    np.testing.assert_allclose(answers[2].embedding, hidden[text].double().mean(0), atol=1e-5)
    np.testing.assert_allclose(answers[3].embedding, hidden[0], atol=1e-5)
    assert {answer.ending for answer in answers.values()} == {"length"}
    assert {answer.count for answer in answers.values()} == {0}


@pytest.mark.parametrize("cache", [True, False])
def test_boundaries_in_a_conversation_do_not_hide_what_stands_before_them(
    gpt: SequenceModel, tokenizer: Tokenizer, cache: bool
) -> None:
    first, second = (tokenizer.encode(text).tolist() for text in ("ab", "c"))
    prompt = (tokenizer.boundary, *first, tokenizer.boundary, *second)
    one = GenerationRequest(number=1, client="a", prompt=prompt, alternatives=0, max_new_tokens=3)
    two = replace(one, number=2, one_document=True)
    answers = run(Engine(gpt, tokenizer, use_cache=cache), one, two)
    with inference(gpt.modules()):
        whole = gpt(torch.tensor([prompt])).logits[0].log_softmax(-1)
        starts = torch.tensor([prompt]) == tokenizer.boundary
        cut = gpt(torch.tensor([prompt]), starts=starts).logits[0].log_softmax(-1)
    assert float((whole[-1] - cut[-1]).abs().max()) > 0.01
    for number, expected in ((1, cut), (2, whole)):
        drawn = answers[number].tokens[0]
        assert drawn.logprob == pytest.approx(float(expected[-1, drawn.token]), abs=1e-4)


def test_branches_are_scaled_for_those_who_ask_and_for_nobody_else(tokenizer: Tokenizer) -> None:
    model = made("wavegpt", tokenizer)
    plain = generate(model, tokenizer, "cat", max_new_tokens=20)[0].text
    with knocked_out(model, "view"):
        without = generate(model, tokenizer, "cat", max_new_tokens=20)[0].text
    assert plain != without
    answers = run(
        Engine(model, tokenizer, rows=4),
        job(tokenizer, 0, "cat", max_new_tokens=20),
        job(tokenizer, 1, "cat", max_new_tokens=20, branches=(("view", 0.0),)),
        job(tokenizer, 2, "cat", max_new_tokens=20, branches=(("transformer", 1.0), ("view", 0.0))),
        job(tokenizer, 3, "cat", max_new_tokens=20, branches=(("transformer", 1.0),)),
    )
    assert [answers[number].text for number in range(4)] == [plain, without, without, plain]
    half = run(
        Engine(model, tokenizer),
        job(tokenizer, 0, "cat", alternatives=3, branches=(("view", 0.5),), max_new_tokens=1),
    )[0]
    full = run(
        Engine(model, tokenizer), job(tokenizer, 0, "cat", alternatives=3, max_new_tokens=1)
    )[0]
    assert half.tokens[0].alternatives != full.tokens[0].alternatives


def test_those_who_write_go_on_while_a_long_prompt_is_read(
    gpt: SequenceModel, tokenizer: Tokenizer
) -> None:
    engine = Engine(gpt, tokenizer)
    engine.submit(job(tokenizer, 1, max_new_tokens=100, sampling=SamplingConfig(ban_boundary=True)))
    engine.step()
    engine.submit(
        job(
            tokenizer,
            2,
            "long " * 300,
            max_new_tokens=1,
            sampling=SamplingConfig(ban_boundary=True),
        )
    )
    passes = 0
    counts: Counter[int] = Counter()
    while not counts[2]:
        told = engine.step()
        counts.update({progress.number: progress.count for progress in told})
        passes += 1
        assert counts[1] == passes
        assert {progress.number for progress in told} == {1, 2}
    assert passes >= 4  # 1500 tokens were not read at one go


def test_a_text_begins_in_the_pass_that_ends_its_prompt(
    gpt: SequenceModel, tokenizer: Tokenizer
) -> None:
    engine = Engine(gpt, tokenizer)
    engine.submit(job(tokenizer, 1, "the cat", sampling=SamplingConfig(ban_boundary=True)))
    assert sum(progress.count for progress in engine.step()) == 1


def test_clients_take_turns(gpt: SequenceModel, tokenizer: Tokenizer) -> None:
    engine = Engine(gpt, tokenizer, rows=1)
    jobs = [
        job(tokenizer, number, "x", max_new_tokens=1, client="a" if number < 5 else "b")
        for number in range(7)
    ]
    for one in jobs:
        engine.submit(one)
    assert (engine.running, engine.waiting) == (0, 7)
    order = []
    while told := engine.step():
        assert engine.running <= 1
        order += [progress.number for progress in told if progress.ending]
    assert order == [0, 5, 1, 6, 2, 3, 4]


def test_a_job_that_is_cancelled_is_heard_of_no_more_and_changes_no_other(
    gpt: SequenceModel, tokenizer: Tokenizer
) -> None:
    sampling = SamplingConfig(ban_boundary=True)
    expected = generate(gpt, tokenizer, "abc", max_new_tokens=12, sampling=sampling)[0].text
    engine = Engine(gpt, tokenizer, rows=3)
    engine.submit(job(tokenizer, 1, "abc", max_new_tokens=12, sampling=sampling))
    engine.submit(job(tokenizer, 2, "d", max_new_tokens=50, sampling=sampling))
    engine.submit(job(tokenizer, 3, "long " * 500, max_new_tokens=50, sampling=sampling))
    engine.submit(job(tokenizer, 4, "e", max_new_tokens=50, sampling=sampling))
    text = "".join(
        progress.text for _ in range(3) for progress in engine.step() if progress.number == 1
    )
    assert (engine.running, engine.waiting) == (3, 1)
    for number in (
        2,
        3,
        4,
        3,
        77,
    ):  # one that writes, one that reads, one that waits, one that is gone, one that never was
        engine.cancel(number)
    assert (engine.running, engine.waiting) == (1, 0)
    while told := engine.step():
        assert {progress.number for progress in told} == {1}
        text += "".join(progress.text for progress in told)
    assert text == expected


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_job_ends_as_it_is_when_its_time_is_up(gpt: SequenceModel, tokenizer: Tokenizer) -> None:
    """Writing, reading or waiting.

    What was held back, as the possible beginning of a stop string, is shown.
    """
    clock, forever = Clock(), SamplingConfig(ban_boundary=True, temperature=0.0)
    greedy = generate(gpt, tokenizer, "a", max_new_tokens=3, sampling=forever)[0].text
    engine = Engine(gpt, tokenizer, rows=2, clock=clock)
    engine.submit(
        job(
            tokenizer,
            1,
            "a",
            max_new_tokens=50,
            sampling=forever,
            seconds=5.0,
            stop=(greedy + "#",),
        )
    )
    engine.submit(job(tokenizer, 2, "long " * 999, seconds=6.0))
    engine.submit(job(tokenizer, 3, "b", seconds=7.0))
    engine.submit(job(tokenizer, 4, "b", max_new_tokens=2, sampling=forever))
    told = [engine.step() for _ in range(3)]
    assert all(
        progress.ending is None and progress.text == "" for some in told for progress in some
    )
    clock.now = 104.9
    assert all(progress.ending is None for progress in engine.step())
    clock.now = 105.0
    ended = [progress for progress in engine.step() if progress.ending]
    assert [(progress.number, progress.ending) for progress in ended] == [(1, "deadline")]
    clock.now = 110.0
    ended = [progress for progress in engine.step() if progress.ending]
    assert sorted((progress.number, progress.ending) for progress in ended) == [
        (2, "deadline"),
        (3, "deadline"),
    ]
    assert run(engine)[4].ending == "length"


def test_what_was_held_back_is_shown_at_the_deadline(
    gpt: SequenceModel, tokenizer: Tokenizer
) -> None:
    clock, forever = Clock(), SamplingConfig(ban_boundary=True, temperature=0.0)
    greedy = generate(gpt, tokenizer, "a", max_new_tokens=3, sampling=forever)[0].text
    engine = Engine(gpt, tokenizer, clock=clock)
    engine.submit(
        job(
            tokenizer,
            1,
            "a",
            max_new_tokens=50,
            sampling=forever,
            seconds=5.0,
            stop=(greedy + "#",),
        )
    )
    for _ in range(3):
        engine.step()
    clock.now = 200.0
    (last,) = engine.step()
    assert (last.text, last.ending) == (greedy, "deadline")


def test_nothing_to_draw_and_nothing_to_say_is_done_at_once(
    gpt: SequenceModel, tokenizer: Tokenizer
) -> None:
    passes: list[object] = []
    hook = gpt.register_forward_pre_hook(lambda module, inputs: passes.append(inputs))
    engine = Engine(gpt, tokenizer)
    answers = run(
        engine,
        job(tokenizer, 1, "abc", max_new_tokens=0),
        job(tokenizer, 2, max_new_tokens=0, prompt_alternatives=1),
    )
    hook.remove()
    assert answers[1] == Delta(1, ending="length")
    assert answers[2] == Delta(2, prompt=(), ending="length")
    assert not passes
