"""What a model with a memory took of it.

The entries that `origins` names, with the text around each.
"""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch

from inklings.generation.engine.engine import Engine
from inklings.generation.engine.request import Delta, GenerationRequest
from inklings.generation.generate import generate
from inklings.generation.provenance import origins
from inklings.memory.settings import MemoryConfig
from inklings.memory.store import Memory
from inklings.memory.streams import Stream
from inklings.models.registry import build
from inklings.models.varda.model import Varda
from inklings.runs.memory import RunMemory
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import make_tokenizer

STORY = "the quick brown fox jumps over the lazy dog"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return make_tokenizer("char", lambda: iter([(STORY + "\n", True)]), unknown="error")


@pytest.fixture
def varda(tokenizer: Tokenizer) -> Varda:
    fields = {
        "backbone": "gpt:n_layer=1,n_head=2,n_embd=8,context_length=6",
        "segment": 4,
        "num_search_results": 3,
    }
    model = build(
        "varda", fields, vocab_size=tokenizer.vocab_size, boundary_token=tokenizer.boundary
    )
    assert isinstance(model, Varda)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return model


def memory_of(model: Varda, tokenizer: Tokenizer, folder: Path) -> RunMemory:
    return RunMemory(
        folder, Memory(MemoryConfig(dimension=model.dimension)), model, tokenizer, "weights", None
    )


def answer(engine: Engine, job: GenerationRequest) -> list[Delta]:
    engine.submit(job)
    found = []
    while told := engine.step():
        found += [progress for progress in told if progress.number == job.number]
    assert all(progress.error is None for progress in found), found
    return found


def test_entries_are_those_of_the_text_read_again(
    varda: Varda, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """Of the text itself and of the long-term memory.

    For the prompt's tokens and for those that are drawn.
    """
    memory = memory_of(varda, tokenizer, tmp_path)
    memory.add([("a fox", STORY), ("a dog", "lazy dogs jump quickly")])
    varda.long_term = memory.memory
    engine = Engine(varda, tokenizer, memory=memory)
    engine.submit(
        GenerationRequest(
            number=9,
            client="b",
            prompt=(tokenizer.boundary,),
            max_new_tokens=40,
            stop_at_boundary=False,
        )
    )  # wants none
    prompt = [tokenizer.boundary, *tokenizer.encode(STORY[4:30]).tolist()]
    job = GenerationRequest(
        number=1,
        client="a",
        prompt=tuple(prompt),
        max_new_tokens=15,
        prompt_alternatives=0,
        entries=4,
        stop_at_boundary=False,
    )
    found = answer(engine, job)
    scored = next(progress.prompt for progress in found if progress.prompt is not None)
    drawn = [token for progress in found for token in progress.tokens]
    history = [*prompt, *(token.token for token in drawn)]
    expected = origins(varda, history, most=4)
    assert len(drawn) == 15
    seen = set()
    for place, (token, wanted) in enumerate(zip([*scored, *drawn], expected, strict=True)):
        assert len(token.entries) == len(wanted)
        # rounding decides the order of what is equally near
        assert sorted(
            (entry.document is not None, entry.position, entry.age) for entry in token.entries
        ) == sorted((origin.long_term, origin.position, origin.age) for origin in wanted)
        for entry, origin in zip(token.entries, wanted, strict=True):
            assert entry.weight == pytest.approx(origin.weight, abs=1e-4)
            assert entry.distance == pytest.approx(origin.distance, abs=1e-4)
            seen.add(entry.document)
            if entry.document is None:
                begin = [at for at, number in enumerate(history) if number == tokenizer.boundary][
                    origin.document
                ]
                at = begin + entry.position
                text = "".join(
                    tokenizer.decode([number]) if number != tokenizer.boundary else ""
                    for number in history[:at]
                )
                assert at <= place + 1
                assert entry.value == (tokenizer.decode([history[at]]) or "<|endoftext|>")
                assert text.endswith(entry.before)
            else:
                text = {"a fox": STORY, "a dog": "lazy dogs jump quickly"}[entry.document]
                at = entry.position - 1  # the boundary is none of the text
                assert (text[at : at + 1] or "<|endoftext|>") == entry.value
                assert entry.before == text[max(0, at - 32) : at][-32:]
                assert entry.after == text[at + 1 :][:32]
    assert seen == {None, "a fox", "a dog"}


def test_a_memory_that_grows_or_is_exchanged_is_followed(
    varda: Varda, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    def names(number: int) -> set[str | None]:
        prompt = (tokenizer.boundary, *tokenizer.encode("jumps over ").tolist())
        job = GenerationRequest(
            number=number, client="a", prompt=prompt, prompt_alternatives=0, entries=6
        )
        (scored,) = [
            progress.prompt for progress in answer(engine, job) if progress.prompt is not None
        ]
        return {entry.document for token in scored for entry in token.entries} - {None}

    engine = Engine(varda, tokenizer)
    assert names(1) == set()
    first = memory_of(varda, tokenizer, tmp_path / "first")
    first.add([("one", STORY)])
    varda.long_term, engine.memory = first.memory, first
    assert names(2) == {"one"}
    first.add([("two", STORY[::-1])])
    assert names(3) == {"one", "two"}
    second = memory_of(varda, tokenizer, tmp_path / "second")
    second.add([("three", STORY)])
    varda.long_term, engine.memory = second.memory, second
    assert names(4) == {"three"}


def test_memories_of_texts_that_are_done_are_let_go(
    varda: Varda, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come and go, there is one for each row, a twin of a lone one.

    And those that a pass just left.
    """
    made: weakref.WeakSet[Stream] = weakref.WeakSet()
    real = Stream.__init__

    def noted(self: Stream, *arguments: object, **options: object) -> None:
        real(self, *arguments, **options)  # type: ignore[arg-type]  # whatever it takes
        made.add(self)

    monkeypatch.setattr(Stream, "__init__", noted)
    engine = Engine(varda, tokenizer, rows=3)
    prompt = (tokenizer.boundary, *tokenizer.encode(STORY).tolist())
    most = 0
    for number in range(7):
        engine.submit(
            GenerationRequest(
                number=number,
                client="a",
                prompt=prompt[: 2 + 2 * number],
                max_new_tokens=6,
                stop_at_boundary=False,
            )
        )
    while engine.step():
        most = max(most, len(made))
    gc.collect()
    assert most <= 2 * 3 + 2
    assert len(made) == 0


def test_a_memory_does_not_change_who_shares_a_pass(varda: Varda, tokenizer: Tokenizer) -> None:
    """Asking for entries changes no text, and that of a neighbour neither."""
    expected = generate(varda, tokenizer, "the", max_new_tokens=20, stop_at_boundary=False)[0].text
    engine = Engine(varda, tokenizer)
    prompt = (tokenizer.boundary, *tokenizer.encode("the").tolist())
    texts = {1: "", 2: ""}
    for number in texts:
        engine.submit(
            GenerationRequest(
                number=number,
                client="a",
                prompt=prompt,
                max_new_tokens=20,
                stop_at_boundary=False,
                entries=2 * (number % 2),
            )
        )
    while told := engine.step():
        for progress in told:
            texts[progress.number] += progress.text
    assert texts == {1: expected, 2: expected}
