"""The user's own architecture file in a run: a copy, trusted only where this user made the run.

A run that somebody else made may come with any code. What this user's runs keep is signed with a
secret of the user; code without that signature is loaded only when the caller says that it may be.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from inklings.config import RunConfig
from inklings.durable import file_sha256, sha256, write_bytes
from inklings.errors import ConfigError, DiskError, RunError
from inklings.fields import split_fields
from inklings.models.registry import is_file, split_name

COPY = "architecture.py"
"""Name of the copy of the first file; those of others, such as a backbone's, are numbered from 2.
"""
DEEPEST = 20
"""Names that are nested deeper than this are refused."""
_LIKE_CODE = re.compile(r"\.pyw?(?!\w)", re.IGNORECASE)


def keep_copies(run: Path, config: RunConfig) -> list[dict[str, Any]]:
    """Copy every file behind a `path/to/file.py:Class` into a run.

    Return what `with_own_code` needs.

    Raises:
        ConfigError: a setting names code that is not there.
    """
    kept: list[dict[str, Any]] = []
    for file in dict.fromkeys(name.rpartition(":")[0] for name in named_code(config)):
        if not Path(file).is_file():
            raise ConfigError(
                f"a field of the model names the code {file!r}, and there is no such file. Code is"
                " given as path/to/file.py:Class."
            )
        source = Path(file).read_bytes()
        write_bytes(_copy(run, len(kept)), source)
        digest = sha256(source)
        kept.append({"file": file, "sha256": digest, "signature": _signature(digest)})
    return kept


def with_own_code(
    run: Path, config: RunConfig, code: list[dict[str, Any]], *, trust_code: bool
) -> RunConfig:
    """Return the settings of a run with its own copy in place of every file of code.

    Nothing is imported here, and with what is returned no other file of code can be.

    Args:
        run: the run.
        config: its settings.
        code: what `keep_copies` returned.
        trust_code: whether code may be run that another user or machine kept.

    Raises:
        RunError: a copy is missing or changed, or another user or machine made it and `trust_code`
            is not set.
    """
    own: dict[str, str] = {}
    for name in named_code(config):
        file, _, class_name = name.rpartition(":")
        number = next((n for n, kept in enumerate(code) if kept.get("file") == file), None)
        if number is None:
            raise RunError(
                f"{run} is damaged: it names the code {name}, of which it keeps no copy."
            )
        copy = _copy(run, number)
        _check_copy(run, copy, code[number], trust_code=trust_code)
        own[name] = f"{copy}:{class_name}"
    if not own:
        return config
    longest_first = sorted(own, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)))

    def renamed(value: Any) -> Any:
        if isinstance(value, str):
            return pattern.sub(lambda match: own[match[0]], value)
        if isinstance(value, Mapping):
            return {key: renamed(inner) for key, inner in value.items()}
        return type(value)(map(renamed, value)) if isinstance(value, list | tuple) else value

    architecture = own.get(config.architecture, config.architecture)
    return replace(config, architecture=architecture, model=renamed(config.model))


def named_code(config: RunConfig) -> list[str]:
    """Return every `path/to/file.py:Class` in the settings, at any depth, each once.

    Import nothing.

    What only looks as if it named a file of code, in a form that the registry does not read, is
    returned as it stands: a plugin may read it.

    Raises:
        RunError: names are nested too deep.
    """
    found: list[str] = []
    for text in (config.architecture, *_texts(config.model, 0)):
        names = _names(text, 0)
        rest = text
        for name in names:
            rest = rest.replace(name, "")
        found += [*names, text] if _LIKE_CODE.search(rest) else names
    return list(dict.fromkeys(found))


def _texts(value: Any, depth: int) -> Iterator[str]:
    """Yield every string within a value of a configuration."""
    _check_depth(depth)
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(str(key), depth + 1)
            yield from _texts(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, depth + 1)


def _names(text: str, depth: int) -> list[str]:
    """Return the files of code in `NAME[:field=value,...]`, whose values may nest that form."""
    _check_depth(depth)
    head, fields = split_name(text)
    found = [head] if is_file(head) else []
    try:
        pairs = split_fields(fields or "", where=head)
    except ConfigError:
        return found  # the registry reads no further either
    for _, value in pairs:
        found += _names(value, depth + 1)
    return found


def _check_depth(depth: int) -> None:
    if depth > DEEPEST:
        raise RunError(f"the settings are damaged: names are nested more than {DEEPEST} deep.")


def _copy(run: Path, number: int) -> Path:
    """Return the place of a copy: we choose it, not the run."""
    return run / (f"{Path(COPY).stem}_{number + 1}.py" if number else COPY)


def _check_copy(run: Path, copy: Path, kept: Mapping[str, Any], *, trust_code: bool) -> None:
    """Raise a `RunError` unless a copy is as it was kept, and may be run."""
    if not copy.is_file():
        raise RunError(f"{copy} is missing: the run's architecture is defined there.")
    digest = file_sha256(copy)
    if digest != kept.get("sha256"):
        raise RunError(
            f"{copy} is damaged or was edited: its hash does not fit. To train changed code, start"
            " a new run from your own file."
        )
    expected = _signature(digest)
    if not trust_code and not (
        expected and hmac.compare_digest(expected.encode(), str(kept.get("signature")).encode())
    ):
        raise RunError(
            f"{run} was made by another user or on another machine, and its architecture is Python"
            f" code ({copy}). Read that file; if you trust it, give --trust-code."
        )


def _signature(digest: str) -> str | None:
    """Return a proof that this user saw code with that hash; None where no secret can be kept."""
    path = _identity_path()
    try:
        if not path.is_file():
            write_bytes(path, secrets.token_bytes(32))
            path.chmod(0o600)
        secret = path.read_bytes()
    except (OSError, DiskError):
        return None
    return hmac.new(secret, digest.encode(), hashlib.sha256).hexdigest()


def _identity_path() -> Path:
    return (
        Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
        / "inklings"
        / "identity"
    )
