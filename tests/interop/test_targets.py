"""The targets of exports, as the verb offers them."""

from __future__ import annotations

from typing import get_args, get_type_hints

from inklings.cli.export import ExportFlags
from inklings.interop.exports.target import TARGETS


def test_the_verb_offers_every_target() -> None:
    offered = get_args(get_type_hints(ExportFlags)["to"])
    assert list(offered) == [target.name for target in TARGETS]
