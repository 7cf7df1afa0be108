"""Windows are shown as they are fed: what is read, and what is to be predicted."""

from __future__ import annotations

from pathlib import Path

import pytest

from inklings.config import DataConfig
from inklings.text.batches import positions, windows
from inklings.text.store import TokenStore, prepare
from inklings.training.fed_windows import END, fed_windows


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(f"{a}{b}{c}" for a in "abcd" for b in "xyz" for c in "uvw"))
    return prepare(DataConfig(source=str(path), tokenizer="char"))


def test_each_token_is_followed_by_what_it_is_to_predict(store: TokenStore) -> None:
    batch = windows(store.split("train"), batch_size=32, length=12).batch(0)
    fed = fed_windows(batch, store.tokenizer, 31)
    assert len(fed) == 31
    assert any(None in window.predicts for window in fed), "what fills up a batch is unscored"
    for window, weights in zip(fed, batch.weights.tolist(), strict=False):
        assert [text is not None for text in window.predicts] == [bool(w) for w in weights]
        assert all(
            predicted in (None, after)
            for predicted, after in zip(window.predicts, window.reads[1:], strict=False)
        )
        reads, predicts = window.lines()
        assert len(reads) == len(predicts) == 12 and END in reads


def test_a_single_position_is_shown_with_its_past(store: TokenStore) -> None:
    """As the lecture prints its examples; a missing past is the boundary."""
    batch = positions(store.split("train"), batch_size=64, context_length=3).batch(0)
    fed = fed_windows(batch, store.tokenizer, 64)
    assert all(window.predicts[:2] == [None, None] and window.predicts[2] for window in fed)
    assert (END * 3) in {window.lines()[0] for window in fed}


def test_longer_tokens_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("ab cd\nef gh\n" * 20)
    store = prepare(DataConfig(source=str(path), tokenizer="word:20"))
    batch = windows(store.split("train"), batch_size=1, length=6).batch(0)
    reads, _ = fed_windows(batch, store.tokenizer, 1)[0].lines()
    assert len(reads.split("|")) == 6 and {"ab", "gh"} <= {
        word.strip() for word in reads.split("|")
    }
