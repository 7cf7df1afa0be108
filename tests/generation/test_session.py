"""Turns.

What comes is what one long prompt would give, nothing is read twice, and an interruption loses
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from inklings.errors import TokenizerError
from inklings.generation.engine.row_sampling import RowSampling
from inklings.generation.generate import generate, stream
from inklings.generation.sampling import SamplingConfig
from inklings.generation.session import Session
from inklings.models.contract import SequenceModel
from inklings.text.tokenizers import Tokenizer
from tests.generation.conftest import Recital

GREEDY = SamplingConfig(temperature=0.0)
ENDLESS = SamplingConfig(temperature=0.0, ban_boundary=True, repetition_penalty=1.1)


def test_a_first_turn_is_a_stream(any_model: SequenceModel, characters: Tokenizer) -> None:
    sampling = SamplingConfig(seed=3)
    session = Session(any_model, characters, sampling=sampling, max_new_tokens=15)
    assert list(session.say("the")) == list(
        stream(any_model, characters, "the", max_new_tokens=15, sampling=sampling)
    )


def test_turns_go_on_from_all_that_was_written(
    any_model: SequenceModel, characters: Tokenizer
) -> None:
    session = Session(any_model, characters, sampling=ENDLESS, max_new_tokens=7)
    text = ""
    for said in ("the cat", "", " sat on the mat", "t"):
        text += said
        answer = "".join(session.say(said))
        assert (
            answer
            == generate(any_model, characters, text, max_new_tokens=7, sampling=ENDLESS)[0].text
        )
        text += answer


def test_nothing_is_read_twice(characters: Tokenizer, recite: Callable[[str], Recital]) -> None:
    model = recite("the cat sat on the mat the cat sat on the mat")
    session = Session(model, characters, sampling=ENDLESS, max_new_tokens=5)
    for said in ("the", "", "cat"):
        list(session.say(said))
    # the boundary, what was said, and what was drawn, but for the very last token
    assert model.positions_read == 1 + 3 + 3 + 5 + 5 + 4


def test_a_turn_left_early_is_gone_on_from(any_model: SequenceModel, characters: Tokenizer) -> None:
    session = Session(any_model, characters, sampling=ENDLESS, max_new_tokens=9)
    turn = session.say("the")
    text = "the" + next(turn) + next(turn) + next(turn)
    assert isinstance(turn, Generator)
    turn.close()
    text += "cat"
    assert (
        "".join(session.say("cat"))
        == generate(any_model, characters, text, max_new_tokens=9, sampling=ENDLESS)[0].text
    )


@pytest.mark.parametrize("interrupt_at", [2, 4, 6, 9])
def test_ctrl_c_within_the_model_loses_nothing(
    characters: Tokenizer, recite: Callable[[str], Recital], interrupt_at: int
) -> None:
    model = recite("catthe sat on the mat")
    session = Session(model, characters, sampling=GREEDY, max_new_tokens=8)
    model.interrupt_at = interrupt_at
    shown = ""
    with pytest.raises(KeyboardInterrupt):
        for piece in session.say("cat"):
            shown += piece
    # it recites by position: where it goes on shows how many tokens it knows of
    assert shown + "".join(session.say()) == "the sat on the mat"[: len(shown) + 8]


def test_ctrl_c_between_reading_and_drawing_loses_nothing(
    characters: Tokenizer, recite: Callable[[str], Recital], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(recite("the cat sat"), characters, sampling=GREEDY, max_new_tokens=4)
    with monkeypatch.context() as patch:
        patch.setattr(RowSampling, "draw", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(session.say("the"))
    assert "".join(session.say()) == " cat"


def interrupted(*arguments: object, **settings: object) -> None:
    raise KeyboardInterrupt


def test_after_the_end_of_a_document_a_new_one_begins(
    characters: Tokenizer, recite: Callable[[str], Recital]
) -> None:
    session = Session(recite("the cat"), characters, sampling=GREEDY, max_new_tokens=50)
    assert ["".join(session.say()) for _ in range(3)] == ["the cat"] * 3
    assert "".join(session.say("the")) == " cat"
    # Nothing of the old document counts as seen: a penalty that forbids every repetition leaves the
    # new one as it is.
    once_each = SamplingConfig(temperature=0.0, repetition_penalty=1e6)
    session = Session(recite("cat"), characters, sampling=once_each, max_new_tokens=50)
    assert ["".join(session.say()) for _ in range(2)] == ["cat"] * 2


def test_restart_forgets(characters: Tokenizer, recite: Callable[[str], Recital]) -> None:
    session = Session(recite("the cat"), characters, sampling=GREEDY, max_new_tokens=3)
    assert "".join(session.say()) == "the"
    session.restart()
    assert "".join(session.say("th")) == "e c"


def test_stop_strings_end_a_turn_and_stay_in_the_text(
    characters: Tokenizer, recite: Callable[[str], Recital]
) -> None:
    session = Session(
        recite("the\ncat\nsat"), characters, sampling=GREEDY, max_new_tokens=50, stop=("\n",)
    )
    assert ["".join(session.say()) for _ in range(3)] == ["the", "cat", "sat"]


def test_what_cannot_be_encoded_leaves_the_session_as_it_was(
    any_model: SequenceModel, characters: Tokenizer
) -> None:
    session = Session(any_model, characters, sampling=ENDLESS, max_new_tokens=5)
    answer = "".join(session.say("the"))
    with pytest.raises(TokenizerError, match="Q"):
        session.say("Q")
    expected = generate(
        any_model, characters, "the" + answer + "cat", max_new_tokens=5, sampling=ENDLESS
    )[0].text
    assert "".join(session.say("cat")) == expected
