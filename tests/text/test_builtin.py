"""The texts that every Python carries."""

from __future__ import annotations

import hashlib
import sys

import pytest

from inklings.config import DataConfig
from inklings.errors import SourceError
from inklings.text.sources.builtin import ABOUT, builtin, python_docs, unicode_names
from inklings.text.sources.grammar import open_source
from inklings.text.splits import plan_splits


def test_unicode_names_are_the_same_in_every_python() -> None:
    names = unicode_names()
    assert len(names) == len(set(names)) == 12_886
    assert (names[0], names[-1]) == ("SPACE", "CANCEL TAG")
    assert (
        hashlib.sha256("\n".join(names).encode()).hexdigest()
        == "03ce3aea0397e841afdbafb4f732c6cb6fdca0bdb370d0a9cdbdbdcae33a3ee3"
    )


def test_python_docs_hold_no_topic_twice() -> None:
    texts = python_docs()
    assert len(texts) >= 40
    assert sum(map(len, texts)) > 300_000
    paragraphs = [{part.strip() for part in text.split("\n\n")} for text in texts]
    for place, own in enumerate(paragraphs):
        for other in paragraphs[:place] + paragraphs[place + 1 :]:
            assert sum(map(len, own & other)) < 0.5 * sum(map(len, own))


@pytest.mark.parametrize(
    ("name", "layout"), [("unicode-names", "lines"), ("python-docs", "documents")]
)
def test_they_are_sources_with_three_splits(name: str, layout: str) -> None:
    source = open_source(DataConfig(source=f"builtin:{name}"))
    assert source.layout == layout
    plan = plan_splits(source)
    assert plan.method == "documents"
    assert plan.overlap == {"validation": 0.0, "test": 0.0}
    assert {piece.split for piece in plan.pieces()} == {"train", "validation", "test"}
    assert open_source(DataConfig(source=f"builtin:{name}")).fingerprint == source.fingerprint


def test_an_unknown_one_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        SourceError,
        match=(
            r"unknown builtin text 'python-doc'. Did you mean 'python-docs'\? Allowed: python-docs,"
            r" unicode-names"
        ),
    ):
        open_source(DataConfig(source="builtin:python-doc"))
    assert all(builtin(name)[0] for name in ABOUT)


def test_a_python_without_its_docs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    python_docs.cache_clear()
    with pytest.raises(SourceError, match="installed without pydoc_data"):
        python_docs()
