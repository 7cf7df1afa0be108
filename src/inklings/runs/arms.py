"""The grammar of arms: how a contestant of a comparison is named.

`NAME[:field=value,...]`, `FILE.py:CLASS[:field=value,...]`, `FILE.toml`, or a RUN.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inklings.config import (
    DataConfig,
    RunConfig,
    TrainingConfig,
    rates_in,
    read_toml,
    to_mapping,
    with_training,
)
from inklings.errors import ArchitectureError, ConfigError, RunError, unknown_name
from inklings.fields import field_hints, parse_fields
from inklings.models.contract import model_hints
from inklings.models.registry import available, load_class, split_name
from inklings.runs.directory import CONFIG
from inklings.values import from_mapping

GRAMMAR = (
    "NAME[:field=value,...], FILE.py:CLASS[:field=value,...], FILE.toml, or the directory of a run"
)

_SECTIONS = {"training": TrainingConfig, "data": DataConfig}


@dataclass(frozen=True)
class Arm:
    """A contestant: settings to train by, or a run that exists."""

    label: str
    """The arm as it was written, without the folders of a path."""
    config: RunConfig | None = None
    run: Path | None = None
    rates: frozenset[str] = frozenset()
    """The peak rates that it gave, or if none, those of the layer below."""


def parse_arm(
    text: str, *, base: RunConfig | None = None, rates: frozenset[str] = frozenset()
) -> Arm:
    """Parse an ARM; what it does not say is taken from `base`.

    A field is one of the architecture's (`n_layer=6`) or of a section (`training.optimizer=adamw`);
    tuples are written with slashes (`training.betas=0.9/0.95`). A file's settings win over those of
    `base`; a name or a user's own class drops the model fields of `base` if these belong to another
    architecture.

    Args:
        text: the ARM.
        base: settings below it; None are the defaults.
        rates: the peak rates that `base` was given (`optimizers.moved_rates`).

    Raises:
        ConfigError: a field or a value cannot be used, or the file cannot.
        ArchitectureError: the name is unknown (the nearest is named) or the class cannot be loaded.
        RunError: the directory is not a run.
    """
    base = base or RunConfig()
    if text.endswith(".toml"):
        config, given = with_file(base, Path(text), rates)
        return Arm(Path(text).stem, config=config, rates=given)
    name, fields = split_name(text)
    if name in available() or name.partition(":")[0].endswith(".py"):
        config, given = _with_fields(base, name, fields, text, rates)
        return Arm(_label(text), config=config, rates=given)
    path = Path(text)
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise RunError(
                f"{path} is a directory but not a run: it has no {CONFIG}. An ARM is {GRAMMAR}."
            )
        return Arm(path.name or str(path), run=path)
    if "/" in text or path.is_file():
        raise ArchitectureError(f"there is no run {text}. An ARM is {GRAMMAR}.")
    raise ArchitectureError(
        f"{unknown_name('architecture', name, available())} An ARM is {GRAMMAR}."
    )


def parse_named_arm(text: str, parse: Callable[[str], Arm]) -> Arm:
    """Parse an ARM that may have a name before it, as in `ours=gpt:n_layer=6`.

    Args:
        text: the ARM, or NAME=ARM.
        parse: parses the ARM.

    Raises:
        ConfigError: the name is empty.
    """
    name, mark, rest = text.partition("=")
    # the first mark of an ARM without a name stands behind a colon, or in the path of what exists
    if not mark or ":" in name or "/" in name or Path(text).exists():
        return parse(text)
    if not name.strip():
        raise ConfigError(
            f"{text}: the name before = is empty. NAME=ARM, where an ARM is {GRAMMAR}."
        )
    return replace(parse(rest), label=name.strip())


def _label(text: str) -> str:
    head, colon, rest = text.partition(".py:")
    return Path(head).name + colon + rest if colon else text


def with_file(
    base: RunConfig, path: Path, rates: frozenset[str] = frozenset()
) -> tuple[RunConfig, frozenset[str]]:
    """Lay the settings of a run file over `base`, section by section.

    Also return the peak rates that it gives, or if none, those given below it. The file's model
    replaces that of another architecture.

    Args:
        base: settings below it.
        path: the TOML file.
        rates: the peak rates that `base` was given.

    Raises:
        ConfigError: the file is missing, is not TOML, or has settings that cannot be used.
    """
    values, where = read_toml(path), str(path)
    alone = from_mapping(RunConfig, values, where=where)  # names and types, said of the file alone
    names = [name.replace("-", "_") for name in values.get("training", {})]
    given = {name: getattr(alone.training, name) for name in names}
    merged = {
        **to_mapping(base),
        "training": to_mapping(with_training(base.training, given, below=rates)),
    }
    if values.get("architecture", base.architecture) != base.architecture:
        merged["model"] = {}
    for key, value in values.items():
        if key != "training":
            named = isinstance(value, dict)
            merged[key] = (
                {**merged[key], **{name.replace("-", "_"): v for name, v in value.items()}}
                if named
                else value
            )
    return from_mapping(RunConfig, merged, where=where), rates_in(names, below=rates)


def _with_fields(
    base: RunConfig, architecture: str, fields: str | None, text: str, rates: frozenset[str]
) -> tuple[RunConfig, frozenset[str]]:
    config_type = load_class(architecture).Config
    own = model_hints(config_type)
    of_sections = {section: field_hints(kind, f"{section}.") for section, kind in _SECTIONS.items()}

    def unknown(name: str) -> str:
        section, _, inner = name.partition(".")
        if inner and section in _SECTIONS:
            names = [f.name for f in dataclasses.fields(_SECTIONS[section])]
            return f"{text}: {unknown_name(f'{section} setting', inner, names)}"
        others = [other for hints in of_sections.values() for other in hints]
        close = next((other for other in others if other.partition(".")[2] == section), None)
        hint = unknown_name(f"field of {architecture}", name, own)
        return f"{text}: {hint}" + (f" (Did you mean {close!r}?)" if close else "")

    hints = {**own, **of_sections["training"], **of_sections["data"]}
    model: dict[str, Any] = dict(base.model) if base.architecture == architecture else {}
    sections: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
    for name, value in parse_fields(hints, fields or "", where=text, unknown=unknown).items():
        section, dot, inner = name.partition(".")
        (sections[section] if dot else model)[inner if dot else name] = value
    config = replace(
        base,
        architecture=architecture,
        model=model,
        training=with_training(base.training, sections["training"], below=rates),
        data=replace(base.data, **sections["data"]),
    )
    # an early word on fields out of range; the two that the tokenizer decides are stand-ins
    from_mapping(config_type, {**model, "vocab_size": 1 << 20, "boundary_token": 0}, where=text)
    return config, rates_in(sections["training"], below=rates)
