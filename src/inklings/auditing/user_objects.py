"""What FILE.py:NAME gives: a scorer, a model with its weights, or a module with logits.

It is told apart by what it declares: the three functions of a scorer, a base class of ours, or a
module's `vocab_size`. The file is code of whoever names it, and is executed.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import nn

from inklings.auditing.check import Auditable
from inklings.auditing.scorers.protocol import Scorer
from inklings.auditing.scorers.subject import scorer_subject
from inklings.auditing.subjects import NoiseSubject, Subject, seeded
from inklings.config import TrainingConfig
from inklings.errors import ArchitectureError, unknown_name
from inklings.models.adapters.plain_module import PlainModule
from inklings.models.contract import Architecture, SequenceModel, is_architecture
from inklings.models.from_noise import SampleModel
from inklings.models.objectives import makes_texts, predictor
from inklings.models.registry import import_file, is_file, split_name
from inklings.text.documents import SplitName
from inklings.text.store import TokenStore

ALLOWED = (
    "a scorer (begin, predict, observe), a SequenceModel, a SampleModel, or a torch module that"
    " maps tokens to logits and has a `vocab_size`"
)


def factory(text: str) -> Callable[[], Any] | None:
    """Return what FILE.py:NAME names where that makes something to audit.

    None where `text` is an architecture with settings, or no such name at all.

    Raises:
        ArchitectureError: the file cannot be imported, or has no such name.
    """
    head, fields = split_name(text)
    path, _, name = head.partition(":")
    if not is_file(text) or fields is not None or not name:
        return None
    with _neighbours(Path(path)):
        module = import_file(Path(path))
    found = getattr(module, name, None)
    if found is None:
        own = [key for key, value in vars(module).items() if callable(value)]
        raise ArchitectureError(f"{text}: {unknown_name('class or function', name, own)}")
    if is_architecture(found):
        return None
    if not callable(found):
        raise ArchitectureError(
            f"{text} is a {type(found).__name__}; give a class or a function that makes {ALLOWED}."
        )
    return found  # type: ignore[no-any-return]  # anything that can be called


@contextlib.contextmanager
def _neighbours(path: Path) -> Iterator[None]:
    """Let a file import the files beside it, as it does when it is run."""
    folder = str(path.parent.absolute())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def made_by(label: str, make: Callable[[], Any]) -> object:
    """Return what a factory makes.

    Raises:
        ArchitectureError: it raises something.
    """
    try:
        made: object = make()
    except Exception as error:  # a user's code may raise anything
        raise ArchitectureError(
            f"{label} makes nothing: {type(error).__name__}: {error}. It is called without"
            " arguments."
        ) from error
    return made


def of_object(
    label: str,
    make: Callable[[], Any],
    made: object,
    store: TokenStore | None,
    *,
    training: TrainingConfig,
    split: SplitName = "validation",
) -> Auditable:
    """Return what a user's factory makes, as a subject.

    Args:
        label: its name in the audit.
        make: the factory; it is called again where something new is needed.
        made: what it gave.
        store: the text.
        training: how batches are made.
        split: the held-out text.

    Raises:
        ArchitectureError: it is nothing that can be audited, or does not fit the text.
    """
    if isinstance(made, Scorer):
        return scorer_subject(label, make, store, split=split)
    boundary = 0 if store is None else store.tokenizer.boundary
    if isinstance(made, Architecture):
        model: Architecture = made

        def fresh() -> Architecture:
            return type(model)(model.config)

    elif isinstance(made, nn.Module):
        model = PlainModule(made, boundary_token=boundary)

        def fresh() -> Architecture:
            return PlainModule(make(), boundary_token=boundary)

    else:
        raise ArchitectureError(f"{label} makes a {type(made).__name__}; it must make {ALLOWED}.")
    size = model.config.vocab_size
    if store is not None and size != store.tokenizer.vocab_size:
        raise ArchitectureError(
            f"{label} has {size} tokens, and the text's tokenizer {store.tokenizer.vocab_size}."
            " Name its own with --data.tokenizer."
        )
    model.eval()
    if makes_texts(model):
        assert isinstance(model, SampleModel)
        return NoiseSubject(
            label=label, fresh=seeded(fresh), trained=model, store=store, split=split
        )
    assert isinstance(model, SequenceModel)
    return Subject(
        label=label,
        fresh=seeded(fresh),
        training=training,
        trained=predictor(model, "an audit"),
        store=store,
        split=split,
    )
