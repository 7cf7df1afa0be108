"""Every error that Inklings raises on purpose.

One root, `InklingsError`. What a user did wrong is an `InputError` (also a `ValueError`); what the
world did (a full disk, no memory, a loss that left the finite numbers) is a plain `InklingsError`.
A message says what was given, what is allowed, and what to try. `exit_code` is what the command
line leaves with.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Iterable
from typing import Any


class InklingsError(Exception):
    """Root of all deliberate errors.

    The command line prints it without a traceback and leaves with `exit_code`.
    """

    exit_code = 1


class InputError(InklingsError, ValueError):
    """The user gave something that cannot be used."""

    exit_code = 2


class ConfigError(InputError):
    """A setting has an unknown name, the wrong type, or a value out of range."""


class ArchitectureError(InputError):
    """An architecture is unknown, cannot be imported, or does not keep the contract."""


class SourceError(InputError):
    """A text source is missing, unreadable, empty, or not text."""


class TokenizerError(InputError):
    """A tokenizer cannot be made, cannot encode a text, or does not belong to the model."""


class RunError(InputError):
    """A run directory is missing, in the way, incomplete, damaged, or from another format."""


class ForeignFormError(RunError):
    """Weights of others are of a model whose form is none of ours."""


class MissingExtraError(InputError):
    """An optional dependency is not installed; the message names the extra."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs an optional dependency; install it with: pip install 'inklings[{extra}]'"
        )
        self.extra = extra


def import_extra(module: str, what: str, extra: str) -> Any:
    """Import a module that an optional dependency brings.

    Args:
        module: its full name.
        what: what needs it, for the message.
        extra: which of Inklings' extras installs it.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:  # one whose own parts are missing is not always "not found"
        raise MissingExtraError(what, extra) from error


def is_installed(module: str) -> bool:
    """Return whether a module is there, without the time that importing it takes."""
    return importlib.util.find_spec(module) is not None


class DiskError(InklingsError):
    """The disk is full, fails, or may not be written to.

    Args:
        problem: a sentence.
        remedy: what to do about it, without a full stop; nothing is added to the problem where
            there is none.
        then: how to go on after that.
    """

    def __init__(
        self, problem: str, remedy: str = "", then: str = "run the same command again"
    ) -> None:
        super().__init__(problem, remedy, then)
        self.problem, self.remedy = problem, remedy
        self.then = then

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy} and {self.then}." if self.remedy else self.problem

    def going_on(self, then: str) -> DiskError:
        """Return the same error with another way to go on."""
        return DiskError(self.problem, self.remedy, then)


class InterruptedWorkError(InklingsError):
    """The user interrupted the work; the message says how to go on."""


class DownloadError(InklingsError):
    """A file could not be fetched from the network, or is not the one that was asked for."""


class OutOfMemoryError(InklingsError):
    """A step did not fit into memory; the message names what would."""


class WorldError(InputError):
    """Several processes cannot train one run together, as they were started."""


class LostProcessError(InklingsError):
    """Of the processes that train one run together, one ended or does not answer."""

    told_here: bool = False
    """Whether this process tells people, though it is not process 0, which may be the one lost."""


class DivergedError(InklingsError):
    """The loss or the gradient stopped being finite."""


def nearest(given: str, allowed: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` with the allowed name nearest to `given`, or an empty string."""
    close = difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def unknown_name(kind: str, given: str, allowed: Iterable[str]) -> str:
    """Return the message for a name that is not allowed.

    Args:
        kind: what the name stands for, such as `optimizer`.
        given: the name.
        allowed: all names that are.
    """
    names = sorted(allowed)
    return f"unknown {kind} {given!r}.{nearest(given, names)} Allowed: {', '.join(names)}."
