"""The user's own architecture file in a run: kept as a copy, and trusted only where this user made the run.

A run that somebody else made may come with any code. What this user's runs keep is signed with a secret of the user;
code without that signature is loaded only when the caller says that it may be.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from inklings.config import RunConfig
from inklings.durable import file_sha256, sha256, write_bytes
from inklings.errors import DiskError, RunError
from inklings.models.registry import is_file, load_class, split_name

COPY = "architecture.py"


def keep_copy(run: Path, config: RunConfig) -> dict[str, Any] | None:
    """Copy the file behind `path/to/file.py:Class` into a run; what `with_own_code` needs to use it, else None."""
    named = _file(config)
    if named is None:
        return None
    file, _, class_name = named.rpartition(":")
    source = Path(file).read_bytes()
    write_bytes(run / COPY, source)
    digest = sha256(source)
    return {"file": file, "class": class_name, "sha256": digest, "signature": _signature(digest)}


def with_own_code(run: Path, config: RunConfig, code: dict[str, Any] | None, *, trust_code: bool) -> RunConfig:
    """The settings of a run for the registry: a file of code is the run's own copy of it.

    Raises:
        RunError: the copy is missing or changed, or another user or machine made it and `trust_code` is not set.
    """
    named = _file(config)
    if named is None:
        return config
    copy = run / COPY
    if code is None:
        raise RunError(f"{run} is damaged: it names the code {named}, of which it keeps no copy.")
    if not copy.is_file():
        raise RunError(f"{copy} is missing: the run's architecture is defined there.")
    digest = file_sha256(copy)
    if digest != code["sha256"]:
        raise RunError(
            f"{copy} is damaged or was edited: its hash does not fit. To train changed code, start a new run from your own file."
        )
    expected = _signature(digest)
    if not trust_code and not (expected and hmac.compare_digest(expected, code["signature"] or "")):
        raise RunError(
            f"{run} was made by another user or on another machine, and its architecture is Python code ({copy}). "
            "Read that file, and if you trust it, say --trust-code."
        )
    own = f"{copy}:{code['class']}"
    if is_file(config.architecture):
        return replace(config, architecture=own)
    field = load_class(config.architecture).wraps
    assert field is not None
    return replace(config, model={**config.model, field: config.model[field].replace(named, own, 1)})


def _file(config: RunConfig) -> str | None:
    """The `path/to/file.py:Class` that the settings name: the architecture, or the one that it wraps."""
    if is_file(config.architecture):
        return config.architecture
    field = load_class(config.architecture).wraps
    inner = "" if field is None else split_name(str(config.model.get(field, "")))[0]
    return inner if inner and is_file(inner) else None


def _signature(digest: str) -> str | None:
    """Proof that this user saw code with that hash; None where no secret can be kept."""
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
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "inklings" / "identity"
