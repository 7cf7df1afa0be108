"""Validation and test text that the user names."""

from __future__ import annotations

from pathlib import Path

import pytest

from inklings.config import DataConfig
from inklings.errors import ConfigError, SourceError
from inklings.text.store import TokenStore, prepare


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Three lists, and their paths."""
    lists = {"train": "abc", "validation": "abd", "test": "ace"}
    for name, letters in lists.items():
        lines = [f"{letter}{number} {name[0]}" for letter in letters for number in range(9)]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    return {name: str(tmp_path / f"{name}.txt") for name in lists}


def opened(files: dict[str, str], cache: Path, **settings: str) -> TokenStore:
    data = DataConfig(
        source=files["train"],
        validation=files["validation"],
        test=files["test"],
        **settings,  # type: ignore[arg-type]  # settings of texts
    )
    return prepare(data, cache=cache)


def texts(store: TokenStore, name: str) -> set[str]:
    split = store.split(name)  # type: ignore[arg-type]  # a name of a split
    return {store.tokenizer.decode(split.document(i).tolist()) for i in range(split.n_documents)}


def test_each_text_is_its_own_split_whole(files: dict[str, str], tmp_path: Path) -> None:
    store = opened(files, tmp_path, tokenizer="byte")
    for name, path in files.items():
        assert texts(store, name) == set(Path(path).read_text().splitlines())
    assert store.manifest["split"]["method"] == "fixed"
    assert store.manifest["source"]["name"] == " + ".join(files.values())


def test_the_vocabulary_is_of_the_training_text_alone(
    files: dict[str, str], tmp_path: Path
) -> None:
    store = opened(files, tmp_path, tokenizer="char", unknown="replace")
    assert store.manifest["splits"]["test"]["unknown"] > 0
    assert store.manifest["splits"]["train"]["unknown"] == 0


@pytest.mark.parametrize("changed", ["train", "validation", "test"])
def test_a_change_of_any_of_them_is_another_store(
    files: dict[str, str], tmp_path: Path, changed: str
) -> None:
    before = opened(files, tmp_path, tokenizer="byte")
    assert opened(files, tmp_path, tokenizer="byte").path == before.path
    Path(files[changed]).write_text(Path(files[changed]).read_text() + "\na new line")
    after = opened(files, tmp_path, tokenizer="byte")
    assert after.path != before.path
    assert "a new line" in " ".join(texts(after, changed))


def test_validation_alone_leaves_no_test(files: dict[str, str], tmp_path: Path) -> None:
    data = DataConfig(source=files["train"], validation=files["validation"], tokenizer="byte")
    store = prepare(data, cache=tmp_path)
    assert store.manifest["splits"]["test"]["documents"] == 0
    with pytest.raises(SourceError, match="no test split"):
        store.split("test")


def test_what_contradicts_itself_is_refused(files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.split gives shares"):
        DataConfig(source=files["train"], validation=files["validation"], split=(0.8, 0.1, 0.1))
    with pytest.raises(ConfigError, match=r"without data\.validation"):
        prepare(DataConfig(source=files["train"], test=files["test"]), cache=tmp_path)
    missing = DataConfig(source=files["train"], validation=str(tmp_path / "none.txt"))
    with pytest.raises(SourceError, match=r"none\.txt"):
        prepare(missing, cache=tmp_path)
