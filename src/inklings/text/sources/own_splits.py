"""A text whose validation and test parts are named by the user, each a source of its own."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from inklings.config import DataConfig
from inklings.errors import ConfigError
from inklings.text.documents import Source, SplitName, TextPiece


def with_own_splits(data: DataConfig, open_one: Callable[[DataConfig], Source]) -> Source:
    """Return one source of the training text and the held-out ones, which says what is what.

    All are read alike: where a document is a line is settled by the training text. The
    fingerprint holds the content of all.

    Args:
        data: the settings; `validation` is given.
        open_one: opens one of the sources.

    Raises:
        ConfigError: the training text has splits of its own, or test text stands without
            validation text.
        SourceError: one of the sources cannot be used.
    """
    if data.validation is None:
        raise ConfigError(
            "data.test is given without data.validation, which training looks at. Give both, or"
            " the validation text alone."
        )
    plain = replace(data, validation=None, test=None)
    train = open_one(plain)
    if train.fixed_splits:
        raise ConfigError(
            f"{data.source} has a validation split of its own, and data.validation names another."
            " Leave that out, or give the files of the training part as paths."
        )
    given = {"validation": data.validation, "test": data.test}
    parts: dict[SplitName, Source] = {"train": train}
    for name in ("validation", "test"):
        if (source := given[name]) is not None:
            parts[name] = open_one(replace(plain, source=source, layout=train.layout))
    counted: Counter[str] = Counter()

    def read() -> Iterator[TextPiece]:
        counted.clear()
        for name, part in parts.items():
            for piece in part.pieces():
                yield piece._replace(split=name)
            counted.update(part.left_out)

    prints = {name: part.fingerprint for name, part in parts.items()}
    return Source(
        name=" + ".join(part.name for part in parts.values()),
        address=train.address,
        fingerprint=hashlib.sha256(json.dumps({"own splits": prints}).encode()).hexdigest(),
        layout=train.layout,
        read=read,
        fixed_splits=True,
        notes=tuple(dict.fromkeys(note for part in parts.values() for note in part.notes)),
        files_left_out=_together(part.files_left_out for part in parts.values()),
        left_out=counted,
    )


def _together(counts: Iterator[Mapping[str, int]]) -> Mapping[str, int]:
    """Return the sums of counts."""
    found: Counter[str] = Counter()
    for count in counts:
        found.update(count)
    return dict(found)
