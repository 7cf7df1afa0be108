"""What a served run is and what can be asked of it besides jobs.

Its card, texts out of noise, its memory as it is on disk.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from inklings.cli.main import main
from inklings.errors import ArchitectureError, ConfigError, InputError, RunError
from inklings.generation.from_noise import write
from inklings.memory.store import Memory
from inklings.models.from_noise import SampleModel
from inklings.models.remembering import Remembering
from inklings.runs.directory import RunDirectory
from inklings.runs.open_memory import changing, open_memory
from inklings.serving.process import worker
from inklings.serving.process.messages import Call
from inklings.serving.process.model_loader import ServedModel, Spec
from tests.commands import GAN, TINY, words

FILE = Path(__file__).resolve().parents[2] / "training" / "fixtures" / "remembering.py"
STORY = "The lamp in the harbour was lit at nine."


def train(folder: Path, arm: str) -> str:
    """A run of a few steps."""
    (folder / "words.txt").write_text(words(100))
    run = str(folder / "run")
    arguments = [
        "train",
        arm,
        "--data",
        str(folder / "words.txt"),
        "--tokenizer",
        "byte",
        "--budget",
        "2-steps",
        "--run",
        run,
    ]
    assert main([*arguments, *TINY, "--training.batch-size", "4"]) == 0
    return run


def spec(run: str, workers: int = 1) -> Spec:
    return Spec(name="it", run=run, rows=4, precision="float32", workers=workers, trust_code=False)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run whose model reads a memory, and has none yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return train(tmp_path, f"{FILE}:Rememberer")


def test_a_card_says_what_a_model_is() -> None:
    import inklings

    reference = str(Path(inklings.__file__).parent / "reference")
    card = ServedModel(spec(reference)).card()
    assert (card.name, card.run, card.architecture, card.predicts) == ("it", reference, "gpt", True)
    assert (card.context_length, card.hidden_size, card.memory, card.remembers, card.precision) == (
        64,
        64,
        None,
        False,
        "float32",
    )
    assert card.branches == ("attention", "feed_forward")


def test_counts_have_no_hidden_vectors(tmp_path: Path) -> None:
    card = ServedModel(spec(train(tmp_path, "ngram"))).card()
    assert (card.hidden_size, card.predicts, card.remembers) == (0, True, False)


def test_a_gan_makes_what_it_makes_elsewhere_and_has_no_engine(tmp_path: Path) -> None:
    served = ServedModel(spec(train(tmp_path, GAN)))
    card = served.card()
    assert (card.predicts, card.hidden_size, served.engine()) == (False, 0, None)
    assert card.unit == "bits of divergence"
    assert isinstance(served.model, SampleModel)
    assert served.make(3, 5, 7, 20) == write(
        served.model, served.tokenizer, 3, seed=5, style_seed=7, length=20
    )
    with pytest.raises(ArchitectureError, match="no probabilities"):
        served.memory_add("story", STORY)


def test_what_does_not_apply_is_refused(run: str) -> None:
    served = ServedModel(spec(run))
    with pytest.raises(ConfigError, match="it predicts token by token"):
        served.make(1, 0, None, None)
    with pytest.raises(RunError, match="no long-term memory"):
        served.memory_info()
    with pytest.raises(RunError, match="no long-term memory"):
        served.memory_remove([0])
    with pytest.raises(InputError, match="no text"):
        served.memory_add("story", "")
    assert served.card().memory is None


def remembered_by(model: object) -> Memory | None:
    """The memory that a model reads."""
    assert isinstance(model, Remembering)
    return model.long_term


def test_the_first_addition_makes_the_memory_and_all_readers_get_it(run: str) -> None:
    served = ServedModel(spec(run))
    engine = served.engine()
    assert engine is not None
    size = len(STORY.encode()) + 1
    assert served.memory_add("story", STORY).documents == ["story"]
    assert (served.card().memory, served.card().remembers, served.memory_info().memory.count) == (
        size,
        True,
        size,
    )
    assert served.memory is not None
    assert all(
        remembered_by(model) is served.memory.memory for model in (served.reading, served.model)
    )
    hit = served.memory_search("The lamp in the harbour", 1)[0]
    assert (hit.document, hit.value) == ("story", " ")
    served.memory_remove([hit.id])
    assert served.card().memory == size - 1
    # it is saved
    again = ServedModel(spec(run))
    assert again.card().memory == size - 1
    assert again.memory is not None and remembered_by(again.model) is again.memory.memory
    with pytest.raises(InputError, match="word for word"):
        again.memory_add("story", STORY)
    assert again.card().memory == size - 1


def test_an_engine_at_work_is_given_the_memory_that_a_call_made(run: str) -> None:
    served = ServedModel(spec(run))
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        loop = worker._Loop(theirs, served)
        loop._obey(Call(1, "memory_add", {"name": "story", "text": STORY}))
        answer = ours.recv()
        assert (answer.number, answer.failure, answer.card.memory) == (
            1,
            None,
            len(STORY.encode()) + 1,
        )
        assert loop.engine is not None
        assert loop.engine.memory is served.memory is not None


def test_what_another_command_changed_is_kept_and_seen(run: str) -> None:
    served = ServedModel(spec(run))
    served.memory_add("story", STORY)
    opened = RunDirectory.open(Path(run))
    with changing(opened):
        open_memory(opened, opened.load_model()).add_text("other", "Nobody had seen the door open.")  # type: ignore[arg-type]
    served.memory_add("third", "And the clerk slept.")
    assert [document.name for document in served.memory_info().documents] == [
        "story",
        "other",
        "third",
    ]
    assert served.reading.long_term is served.memory.memory  # type: ignore[union-attr]


def test_one_of_several_processes_changes_nothing(run: str) -> None:
    served = ServedModel(spec(run, workers=2))
    for change in (lambda: served.memory_add("story", STORY), lambda: served.memory_remove([0])):
        with pytest.raises(ConfigError, match="--workers 1"):
            change()
    assert not (Path(run) / "memory").exists()


def test_a_change_that_cannot_be_saved_leaves_what_was_there(
    run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = ServedModel(spec(run))
    served.memory_add("story", STORY)
    before = served.card().memory
    with monkeypatch.context() as broken:
        broken.setattr(
            "inklings.runs.memory.save",
            lambda *_, **__: (_ for _ in ()).throw(RunError("the disk is full")),
        )
        with pytest.raises(RunError, match="disk is full"):
            served.memory_add("other", "Nobody had seen the door open.")
    assert served.memory_info().memory.count == served.card().memory == before
