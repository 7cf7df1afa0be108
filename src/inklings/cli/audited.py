"""From what a user names to a subject of the audit, its text included."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from inklings.auditing.check import Auditable
from inklings.auditing.claims.claim_file import read_claim
from inklings.auditing.hugging_face.hugging_face_subject import of_hugging_face, own_tokenizer
from inklings.auditing.scorers.protocol import Scorer
from inklings.auditing.subjects import NoiseSubject, Subject, of_architecture, of_run
from inklings.auditing.user_objects import factory, made_by, of_object
from inklings.cli.progress import Display
from inklings.cli.reference import open_run
from inklings.cli.run_arguments import RunArguments
from inklings.cli.terminal import Terminal, open_terminal
from inklings.config import DataConfig, RunConfig
from inklings.errors import ConfigError
from inklings.interop.any_causal_model import load_any_causal
from inklings.models.adapters.hugging_face import PREFIX, format_unread
from inklings.runs.arms import Arm, parse_arm
from inklings.runs.own_text import own_store
from inklings.text.documents import SplitName
from inklings.text.store import TokenStore, prepare
from inklings.text.tokenizers import Tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be audited, and with which text."""

    name: str
    """The ARM, or what else claims a likelihood."""
    parsed: RunArguments
    terminal: Terminal
    split: SplitName = "validation"
    trust_code: bool = False
    untrained: bool = False


def asked_for(name: str, data: str | DataConfig | None) -> Asked:
    """Ask for what is named, with all settings at their defaults.

    Args:
        name: the ARM, or what else claims a likelihood.
        data: the source of the text, or its settings; None for none, or a run's own.
    """
    text = DataConfig(source=data) if isinstance(data, str) else data or DataConfig()
    config = RunConfig(data=text)
    parsed = RunArguments(
        config=config,
        verb=None,
        says_text=data is not None,
        says_budget=False,
        rates=frozenset(),
    )
    return Asked(name=name, parsed=parsed, terminal=open_terminal(True))


def subject_of(asked: Asked) -> Auditable:
    """Return what is named, with its text.

    Raises:
        InputError: the arm, its run or its text cannot be used.
    """
    if asked.name.endswith(".json"):
        if asked.parsed.says_text:
            raise ConfigError(
                f"{asked.name} is a claim, which names its own text. Leave --data out."
            )
        return read_claim(Path(asked.name))
    if asked.name.startswith(PREFIX):
        return _of_hugging_face(asked)
    make = factory(asked.name)
    if make is not None:
        made = made_by(asked.name, make)
        data = asked.parsed.config.data
        if isinstance(made, Scorer):  # it makes its own tokens of the text
            data = dataclasses.replace(data, tokenizer="byte")
        store = text_of(data, asked.terminal) if asked.parsed.says_text else None
        training = asked.parsed.config.training
        return of_object(asked.name, make, made, store, training=training, split=asked.split)
    named = asked.name != "builtin:reference"
    base, rates = asked.parsed.config, asked.parsed.rates
    arm = parse_arm(asked.name, base=base, rates=rates) if named else Arm(asked.name)
    if arm.config is None:
        return run_of(asked)
    config = arm.config
    names_text = asked.parsed.says_text or config.data != DataConfig()
    data = base.data if asked.parsed.says_text else config.data
    store = text_of(data, asked.terminal) if names_text else None
    return of_architecture(asked.name, config, store, split=asked.split)


def _of_hugging_face(asked: Asked) -> Auditable:
    loaded = load_any_causal(
        asked.name.removeprefix(PREFIX),
        untrained=asked.untrained,
        or_drawn=True,
        trust_code=asked.trust_code,
    )
    if (unread := format_unread(loaded.unread)) is not None:
        asked.terminal.say(f"{asked.name}: {unread}", style="yellow")
    store = None
    if asked.parsed.says_text:
        tokenizer = own_tokenizer(loaded)
        if tokenizer is None:
            raise ConfigError(
                f"{asked.name} has no tokenizer that can read a text. Put a tokenizer.json into its"
                " folder, or leave --data out."
            )
        store = text_of(asked.parsed.config.data, asked.terminal, tokenizer)
    return of_hugging_face(asked.name, loaded, store, split=asked.split)


def run_of(asked: Asked) -> Subject | NoiseSubject:
    """Return a run as a subject, with its own text or with the one that is given.

    Raises:
        InputError: the run or its text cannot be used.
    """
    run = open_run(asked.name)
    if asked.parsed.says_text:
        store = text_of(asked.parsed.config.data, asked.terminal, run.tokenizer())
    else:
        with Display(asked.terminal) as display:
            store = own_store(run, on_event=display)
    return of_run(asked.name, run, store, split=asked.split, trust_code=asked.trust_code)


def text_of(data: DataConfig, terminal: Terminal, tokenizer: Tokenizer | None = None) -> TokenStore:
    """Return the text of some settings.

    Args:
        data: names the text.
        terminal: shows how far it is.
        tokenizer: makes the tokens; None takes that of the settings.

    Raises:
        InputError: it cannot be used.
    """
    with Display(terminal) as display:
        return prepare(data, tokenizer=tokenizer, on_event=display)
