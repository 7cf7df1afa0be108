"""A run's settings as flags.

The fields of an architecture are flags too, so its class is looked up before they are parsed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from inklings.cli.arguments import parse
from inklings.config import DataConfig, RunConfig, TrainingConfig, rates_in, with_training
from inklings.errors import ConfigError
from inklings.models.registry import load_class
from inklings.optimizers import OPTIMIZERS, PEAK_RATES
from inklings.runs.arms import parse_arm, with_file
from inklings.training.budgets.budget import budget_examples
from inklings.values import from_mapping


@dataclass(frozen=True)
class RunArguments:
    """A run's settings as the command line gave them, with the verb's own flags."""

    config: RunConfig
    verb: Any
    """The parsed dataclass of flags that belong to the verb alone."""
    says_text: bool
    """Whether `--data` was given."""
    says_budget: bool
    """Whether `--budget` was given."""
    rates: frozenset[str]
    """The peak rates that were given last, by a file, the ARM or flags."""


def parse_run(
    arguments: Sequence[str],
    verb_type: type[Any],
    *,
    verb: str,
    description: str,
    beginning: RunConfig | None = None,
) -> RunArguments:
    """Parse `ARM [flags]`: settings are defaults < `--config` < ARM < flags.

    Args:
        arguments: the words after the verb.
        verb_type: a dataclass of the verb's own flags.
        verb: its name, for messages.
        description: what it does, for its help.
        beginning: settings in place of the defaults; they name the architecture where nothing else
            does.

    Raises:
        ConfigError: no ARM and no `--config` was given.
        InputError: the ARM or the file is wrong.
    """
    asks_help = any(argument in ("-h", "--help") for argument in arguments)
    given = list(arguments)
    arm = given.pop(0) if given and not given[0].startswith("-") else None
    base, rates = _base(given, beginning or RunConfig())
    if (
        arm is None
        and not asks_help
        and beginning is None
        and flag_value("--config", given) is None
    ):
        raise ConfigError(
            f"say what to train first: inklings {verb} ARM ..., for example `inklings {verb} gpt`."
            " `inklings models` lists them."
        )
    if arm is not None:
        chosen = parse_arm(arm, base=base, rates=rates)
        if chosen.config is None:
            raise ConfigError(
                f"{arm} is a run that is already trained: go on with `inklings resume {arm}`, "
                f"or fine-tune with `inklings train --from {arm}`."
            )
        base, rates = chosen.config, chosen.rates
    whose = (
        ""
        if arm
        else f" (Model options are those of {base.architecture}; `{verb} ARM --help` shows ARM's.)"
    )
    parsed = parse(
        _run_type(base, verb_type),
        given,
        verb=f"{verb} {arm or 'ARM'}",
        description=description + whose,
    )
    return _merge(base, parsed, given, rates)


def parse_settings(
    arguments: Sequence[str], verb_type: type[Any], *, verb: str, description: str
) -> RunArguments:
    """Parse a verb's flags and the settings that its contestants begin from.

    Defaults < `--config` < flags.

    Args:
        arguments: of the command line.
        verb_type: the dataclass of the verb's own flags.
        verb: its name.
        description: of the verb, for `--help`.

    Raises:
        ConfigError: the file is wrong.
    """
    base, rates = _base(arguments, RunConfig())
    parsed = parse(
        _settings_type(base, verb_type, []), arguments, verb=verb, description=description
    )
    return _merge(base, parsed, arguments, rates)


def _base(arguments: Sequence[str], beginning: RunConfig) -> tuple[RunConfig, frozenset[str]]:
    """Read the file given with `--config` over the settings to begin with.

    The peak rates that it gives are returned beside them. tyro needs both before it parses.
    """
    file = flag_value("--config", arguments)
    if file is None:
        return beginning, frozenset()
    return with_file(beginning, Path(file))


def flag_value(flag: str, arguments: Sequence[str]) -> str | None:
    """Return what a flag of one value is given, before all of them are parsed; None without it."""
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == flag and (equals or place + 1 < len(arguments)):
            return value if equals else arguments[place + 1]
    return None


def given_flags(arguments: Sequence[str]) -> frozenset[str]:
    """Return the names of the settings that flags name, as fields are written.

    `training.learning_rate`.

    tyro tells what a setting is in the end, and not whether somebody asked for it.
    """
    names = (argument.partition("=")[0] for argument in arguments if argument.startswith("--"))
    return frozenset(name.removeprefix("--").replace("-", "_") for name in names)


def _run_type(base: RunConfig, verb_type: type[Any]) -> type[Any]:
    """Make a dataclass whose fields are the run's settings, with those of its architecture."""
    model_type = load_class(base.architecture).Config
    # the tokenizer decides these two: they get placeholders and no flag
    placeholders = {"vocab_size": 2, "boundary_token": 0}
    hidden = [
        (name, Annotated[int, tyro.conf.Suppress], dataclasses.field(default=value))
        for name, value in placeholders.items()
    ]
    model_flags = dataclasses.make_dataclass(
        "Model", hidden, bases=(model_type,), frozen=True, kw_only=True
    )
    default: Any = from_mapping(model_flags, base.model, where=f"model {base.architecture}")
    return _settings_type(
        base, verb_type, [("model", model_flags, dataclasses.field(default=default))]
    )


def _settings_type(
    base: RunConfig, verb_type: type[Any], more: list[tuple[str, Any, Any]]
) -> type[Any]:
    """Make a dataclass of the verb's own flags and of the settings.

    Its defaults are what was given so far.
    """

    def shortcut(name: str, value: str, help_text: str) -> Any:
        return Annotated[str | None, tyro.conf.arg(name=name, metavar=value, help=help_text)]

    return dataclasses.make_dataclass(
        "Arguments",
        [
            ("verb", Annotated[verb_type, tyro.conf.arg(name="")]),
            (
                "config",
                Annotated[
                    Path | None,
                    tyro.conf.arg(
                        metavar="FILE", help="A run file (TOML) with settings; flags win over it."
                    ),
                ],
                None,
            ),
            (
                "source",
                shortcut(
                    "data",
                    "SOURCE",
                    "The text: a path, `-`, builtin:NAME, a well-known name, or hf:OWNER/NAME.",
                ),
                None,
            ),
            (
                "tokenizer",
                shortcut(
                    "tokenizer",
                    "KIND|FILE|RUN",
                    "byte, char, char+bytes, word:N, bpe:N, a tokenizer.json, or a run whose"
                    " vocabulary is taken.",
                ),
                None,
            ),
            (
                "budget",
                shortcut("budget", "NUMBER-UNIT", f"One of {', '.join(budget_examples())}."),
                None,
            ),
            *more,
            ("data", DataConfig, dataclasses.field(default=base.data)),
            ("training", *_training_flags(base.training)),
        ],
        frozen=True,
    )


def _training_flags(base: TrainingConfig) -> tuple[type[Any], Any]:
    """Return the type and the default of the training settings, with all optimisers."""
    names: Any = Literal[tuple(OPTIMIZERS.places)]
    abouts = "; ".join(f"`{kind.name}`: {kind.about}" for kind in OPTIMIZERS)
    optimizer = Annotated[names, tyro.conf.arg(help=f"What moves the weights. {abouts}.")]
    flags = dataclasses.make_dataclass(
        "Training", [("optimizer", optimizer, "muon")], bases=(TrainingConfig,), frozen=True
    )
    return flags, dataclasses.field(default=flags(**vars(base)))


def _merge(
    base: RunConfig, parsed: Any, arguments: Sequence[str], rates: frozenset[str]
) -> RunArguments:
    """Return the settings with the flags merged in.

    `rates` are the peak rates that a file or the ARM gave.
    """
    data, training, model = parsed.data, parsed.training, base.model
    flags = given_flags(arguments)
    given = {name: getattr(training, name) for name in PEAK_RATES if f"training.{name}" in flags}
    flagged = {**vars(training), **{name: getattr(base.training, name) for name in PEAK_RATES}}
    below = TrainingConfig(**{**flagged, "optimizer": base.training.optimizer})
    training = with_training(below, {"optimizer": training.optimizer, **given}, below=rates)
    if parsed.source is not None:
        data = dataclasses.replace(data, source=parsed.source)
    if parsed.tokenizer is not None:
        data = dataclasses.replace(data, tokenizer=parsed.tokenizer)
    if parsed.budget is not None:
        training = dataclasses.replace(training, budget=parsed.budget)
    if hasattr(parsed, "model"):
        model = {
            name: value
            for name, value in dataclasses.asdict(parsed.model).items()
            if name not in ("vocab_size", "boundary_token")
        }
    config = dataclasses.replace(base, model=model, data=data, training=training)
    return RunArguments(
        config=config,
        verb=parsed.verb,
        says_text=parsed.source is not None,
        says_budget=parsed.budget is not None,
        rates=rates_in(given, below=rates),
    )
