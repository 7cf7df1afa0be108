"""Records found by name, each in a file of its own that is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from inklings.errors import ConfigError, unknown_name

Record = TypeVar("Record")


@dataclass(frozen=True, eq=False)
class Registry(Generic[Record]):
    """The records of one kind: adding one is one file and one line in `places`."""

    kind: str
    """What a record is, in messages: `optimizer`."""
    places: dict[str, str]
    """Name -> `module:NAME` of the record. A string, so that listing the names imports nothing."""

    def __getitem__(self, name: str) -> Record:
        """Return the record of that name.

        Raises:
            ConfigError: there is none; the message names the nearest.
        """
        self.check(name)
        module, _, attribute = self.places[name].partition(":")
        return cast("Record", getattr(importlib.import_module(module), attribute))

    def __iter__(self) -> Iterator[Record]:
        """Iterate over all records, in the order of the registry."""
        return map(self.__getitem__, self.places)

    def check(self, name: object, *, where: str | None = None) -> None:
        """Refuse a name that is not registered, and import nothing.

        Raises:
            ConfigError: there is no such name; the message names the nearest.
        """
        if not isinstance(name, str) or name not in self.places:
            message = unknown_name(self.kind, str(name), self.places)
            raise ConfigError(f"{where}: {message}" if where else message)
