"""A run that begins with the weights of another: what is inherited, changed, or refused.

The vocabulary and the sizes of the model are bound to the weights. Any other setting takes effect
or is refused; nothing is recorded that did not happen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inklings.config import DataConfig, RunConfig
from inklings.errors import ConfigError, RunError, TokenizerError
from inklings.models.backbone import written_out
from inklings.models.contract import Architecture, model_fields
from inklings.models.objectives import objective_of
from inklings.models.registry import is_file, load_class, split_name
from inklings.runs.directory import RunDirectory
from inklings.text.extension import is_extension, refuse_extension, with_policy
from inklings.text.token_bytes import OF_LETTERS
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import AUTO_LARGE, names_a_file, read_tokenizer, vocabulary_file


def beginning_of(run: Path, arm: str | None, *, trust_code: bool = False) -> RunConfig:
    """Return the settings that a run with the weights of another begins from.

    Args:
        run: the other.
        arm: what is trained, as it was named; None for the architecture of the other.
        trust_code: run the other's Python code even if another user or machine made it.

    Raises:
        RunError: there is no such run, or its code is not to be trusted.
    """
    parent = RunDirectory.open(run)
    theirs = parent.usable_config(trust_code=trust_code)
    named = None if arm is None else split_name(arm)[0]
    # a file of one's own is looked for where the ARM says, and not in the run
    own = named is not None and same_architecture(parent.config.architecture, named)
    return RunConfig(
        architecture=named if own and named is not None else theirs.architecture, model=theirs.model
    )


def inherited(parent: RunDirectory, config: RunConfig, *, trust_code: bool = False) -> RunConfig:
    """Complete the settings by those of the parent's model, and take over its vocabulary.

    Args:
        parent: the run that gives the weights.
        config: settings of the new run.
        trust_code: run the parent's Python code even if another user or machine made it.

    Raises:
        RunError: the parent is of another architecture, or its code is not to be trusted.
        ConfigError: a setting is not possible with these weights.
    """
    theirs = parent.usable_config(trust_code=trust_code)
    model_type = load_class(config.architecture)
    if objective_of(model_type).one_pass:
        raise ConfigError(
            f"{config.architecture} counts its text anew, so nothing of {parent.path} would be"
            " left. Leave out --from."
        )
    if same_architecture(parent.config.architecture, config.architecture):
        _refuse_beginnings(parent, config)
        config = replace(config, model={**theirs.model, **config.model})
    else:
        config = _around(theirs, config)
    data = config.data
    _refuse_tokenizer(parent, data)
    unknown = parent.config.data.unknown if data.unknown == "auto" else data.unknown
    return replace(
        config, data=replace(data, tokenizer=parent.config.data.tokenizer, unknown=unknown)
    )


def inherited_tokenizer(parent: RunDirectory, data: DataConfig, *, extend: bool) -> Tokenizer:
    """Return the parent's tokenizer, with the rule for unknown characters that is asked for.

    One that is to be extended is returned as it is.

    Args:
        parent: the run that gives the weights.
        data: settings of the new run's text.
        extend: whether the vocabulary will be extended.

    Raises:
        TokenizerError: it cannot follow the rule, or cannot be extended.
    """
    tokenizer = parent.tokenizer()
    if extend:
        refuse_extension(tokenizer)
        return tokenizer
    return with_policy(
        tokenizer, "auto" if data.unknown == parent.config.data.unknown else data.unknown
    )


def check_vocabulary(
    tokenizer: Tokenizer, parent: RunDirectory, expected: Tokenizer, *, extend: bool
) -> None:
    """Raise a `TokenizerError` if a text's tokenizer does not fit the weights of the run.

    Args:
        tokenizer: the tokenizer of the text.
        parent: the run that gives the weights.
        expected: the tokenizer of that run.
        extend: whether more tokens at the end are allowed.
    """
    if not (is_extension(tokenizer, expected) if extend else tokenizer.hash == expected.hash):
        raise TokenizerError(
            f"the text was prepared with another tokenizer than that of {parent.path}. Prepare it"
            " with the run's own."
        )


def take_weights(
    model: Architecture, parent: RunDirectory, config: RunConfig, *, trust_code: bool
) -> None:
    """Load the best weights of another run into a model of the same architecture, or its backbone.

    Sizes must be the same. Where the vocabulary has grown, the rows of new tokens are the mean of
    the others, so the logits of old tokens stay.

    Args:
        model: the new model; changed in place.
        parent: the run that gives the weights.
        config: settings of the new run.
        trust_code: run the parent's Python code even if another user or machine made it.

    Raises:
        RunError: the weights do not fit, or their vocabulary cannot grow.
    """
    theirs, whole = parent.config.architecture, model
    if theirs != config.architecture and model.wraps is not None:
        model = getattr(model, model.wraps)
    elif theirs != config.architecture and not (is_file(theirs) and is_file(config.architecture)):
        raise RunError(
            f"{parent.path} is a run of {theirs!r}, not of {config.architecture!r}: its weights fit"
            " its own architecture only."
        )
    loaded = parent.load_model(trust_code=trust_code)
    if type(loaded).__qualname__ != type(model).__qualname__:
        named = getattr(whole.config, whole.wraps or "", config.architecture)
        raise RunError(
            f"{parent.path} is a run of {theirs!r}, not of {named!r}: its weights fit its own"
            " architecture only."
        )
    more = model.config.vocab_size - loaded.config.vocab_size
    weights = _grown(loaded, more) if more else loaded.state_dict()
    try:
        model.load_state_dict(weights)
    except RuntimeError:
        raise RunError(
            f"the weights of {parent.path} do not fit: {_differences(model, loaded)}. Use the sizes"
            " of that run."
        ) from None


def same_architecture(theirs: str, ours: str) -> bool:
    """Return whether two names are of one architecture.

    A user's own file may have moved, so it is known by its class.
    """
    files = is_file(theirs) and is_file(ours)
    return theirs.rpartition(":")[2] == ours.rpartition(":")[2] if files else theirs == ours


def _refuse_beginnings(parent: RunDirectory, config: RunConfig) -> None:
    """Refuse settings that only say how weights begin: these weights are there already."""
    theirs = parent.config.model
    for name in load_class(config.architecture).Config.beginnings:
        if config.model.get(name, theirs.get(name)) != theirs.get(name):
            raise ConfigError(
                f"model.{name} is {config.model[name]!r}, but says only how the weights begin, and"
                f" these are those of {parent.path} (begun with {theirs.get(name)!r}). Leave it"
                " out, or train without --from."
            )
    if config.training.init_seed is not None:
        raise ConfigError(
            f"training.init_seed is {config.training.init_seed}, but no weights are drawn: they are"
            f" those of {parent.path}. Leave it out; training.seed decides about the batches."
        )


def _refuse_tokenizer(parent: RunDirectory, data: DataConfig) -> None:
    """Refuse a tokenizer that is not the run's."""
    spec, own = data.tokenizer, parent.tokenizer()
    recorded = parent.config.data.tokenizer
    if names_a_file(spec):
        same = read_tokenizer(vocabulary_file(spec)).hash == own.hash
    elif spec in OF_LETTERS:
        same = spec == own.kind
    else:
        same = spec in (
            "auto",
            AUTO_LARGE if recorded == "auto" and own.kind == "bpe" else recorded,
        )
    if not same:
        raise ConfigError(
            f"data.tokenizer is {spec!r}, but the weights of {parent.path} are bound to its own"
            f" ({own.kind}, {own.vocab_size:,} tokens). Leave the tokenizer out, or train without"
            " --from. --extend-vocabulary takes new characters in."
        )


def _around(parent: RunConfig, config: RunConfig) -> RunConfig:
    """Let a wrapping architecture wrap the parent's, unless another is named."""
    wrapping = load_class(config.architecture)
    field = wrapping.wraps
    if field is None:
        return config
    defaults = {name: about.default for name, about in model_fields(wrapping.Config).items()}
    length = parent.model.get("context_length", defaults["context_length"])
    own = {field: written_out(parent.architecture, parent.model), "context_length": length}
    model = {
        **config.model,
        **{
            name: value
            for name, value in own.items()
            if config.model.get(name, defaults[name]) == defaults[name]
        },
    }
    return replace(config, model=model)


def _grown(loaded: Architecture, more: int) -> Mapping[str, Tensor]:
    """Return the weights with a row for each new token, the mean of the tokens' rows."""
    if not loaded.token_rows:
        raise RunError(
            f"the vocabulary of {type(loaded).__name__} cannot be extended:"
            f" {loaded.without_token_rows}. Leave out --extend-vocabulary."
        )
    state: dict[str, Any] = dict(loaded.state_dict())
    for name in loaded.token_rows:
        rows = state[name]
        state[name] = torch.cat(
            [rows, rows.mean(dim=0, keepdim=True).expand(more, *rows.shape[1:])]
        )
    return state


def _differences(model: Architecture, loaded: Architecture) -> str:
    mine, given = dataclasses.asdict(model.config), dataclasses.asdict(loaded.config)
    differing = [name for name in mine if name != "vocab_size" and mine[name] != given.get(name)]
    return (
        ", ".join(
            f"{name} is {mine[name]!r} here and {given.get(name)!r} there" for name in differing
        )
        or "the code differs"
    )
