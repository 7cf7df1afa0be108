"""Data sets of the hub, from local files in its place.

What is asked of the library, and what comes of its answers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from inklings.config import DataConfig
from inklings.errors import DownloadError, MissingExtraError, SourceError
from inklings.text.sources.grammar import open_source
from inklings.text.sources.hub import HubAddress, parse_address
from inklings.text.splits import plan_splits
from inklings.text.store import prepare

NEWEST, BRANCH = "a" * 40, "b" * 40

datasets = pytest.importorskip("datasets")
huggingface_hub = pytest.importorskip("huggingface_hub")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Answer for the hub with a data set of 200 records in a local folder.

    The calls are recorded.
    """
    records = [
        {"text": f"document {number}\r\nof the hub", "title": f"title {number}"}
        for number in range(200)
    ]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    calls: list[tuple[Any, ...]] = []
    real = datasets.load_dataset

    def load(
        name: str, config: str | None = None, *, split: str, revision: str, streaming: bool
    ) -> Any:
        calls.append((name, config, split, revision, streaming))
        return real(
            "json",
            data_files={"train": str(folder / "train.jsonl")},
            split=split,
            streaming=streaming,
            cache_dir=str(tmp_path),
        )

    class Api:
        def dataset_info(self, name: str, *, revision: str | None) -> Any:
            if name == "nobody/nothing":
                missing = huggingface_hub.errors.RepositoryNotFoundError
                raise missing.__new__(
                    missing, "404"
                )  # its constructor wants the response of an HTTP client
            if name == "some/offline":
                raise ConnectionError("no route\nto the host")
            return type("Info", (), {"sha": BRANCH if revision == "branch" else NEWEST})

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return calls


def test_a_data_set_is_streamed_and_split_by_hash(
    hub: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    source = open_source(DataConfig(source="hf:some/set?take=100"), cache=tmp_path)
    assert source.remote
    assert source.layout == "documents"
    assert source.address == f"hf:some/set?split=train&field=text&take=100&revision={NEWEST}"
    assert hub == []  # nothing is read before it is asked for
    plan = plan_splits(source)
    pieces = list(plan.pieces())
    assert plan.method == "hash"
    assert [piece.text for piece in pieces] == [
        f"document {number}\nof the hub" for number in range(100)
    ]
    assert {piece.split for piece in pieces} == {"train", "validation", "test"}
    assert hub == [("some/set", None, "train", NEWEST, True)]


@pytest.mark.usefixtures("hub")
def test_the_address_names_the_same_text_again(tmp_path: Path) -> None:
    source = open_source(DataConfig(source="hf:some/set?field=title"), cache=tmp_path)
    again = open_source(DataConfig(source=source.address), cache=tmp_path)
    assert again.fingerprint == source.fingerprint
    assert [piece.text for piece in again.pieces()][:2] == ["title 0", "title 1"]
    assert len(list(source.pieces())) == 200
    assert open_source(
        DataConfig(source="hf:some/set?revision=branch"), cache=tmp_path
    ).address.endswith(f"revision={BRANCH}")
    assert (
        open_source(DataConfig(source="hf:some/set?field=title&take=3"), cache=tmp_path).fingerprint
        != source.fingerprint
    )


def test_the_alias_is_known(hub: list[tuple[Any, ...]], tmp_path: Path) -> None:
    source = open_source(DataConfig(source="openwebtext"), cache=tmp_path)
    assert source.name == "openwebtext"
    assert (
        source.address
        == f"hf:Skylion007/openwebtext?split=train&field=text&take=250000&revision={NEWEST}"
    )
    next(source.pieces())
    assert hub[0][0] == "Skylion007/openwebtext"


@pytest.fixture
def billion_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Answer for the hub as for a data set that is a script, and files in a branch of its own.

    They lie as the hub lays them. The revisions that were asked for are recorded.
    """
    script, files = tmp_path / "lm1b", tmp_path / "converted"
    script.mkdir()
    (script / "lm1b.py").write_text("")
    for split, count in (("train", 30), ("test", 5)):
        folder = files / "plain_text" / split
        folder.mkdir(parents=True)
        sentences = [f"The {split} sentence {number} ." for number in range(count)]
        datasets.Dataset.from_dict({"text": sentences}).to_parquet(str(folder / "0000.parquet"))
    asked: list[str | None] = []
    real = datasets.load_dataset

    def load(name: str, config: str | None, *, revision: str, **more: Any) -> Any:
        assert name == "billion-word-benchmark/lm1b"
        place = files if revision == BRANCH else script
        return real(str(place), config, cache_dir=str(tmp_path / "cache"), **more)

    class Api:
        def dataset_info(self, name: str, *, revision: str | None) -> Any:
            asked.append(revision)
            branch = revision == "refs/convert/parquet"
            return type("Info", (), {"sha": BRANCH if branch else NEWEST})

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return asked


def test_the_billion_words_are_read_from_files(
    billion_words: list[str | None], tmp_path: Path
) -> None:
    source = open_source(DataConfig(source="billion-words"), cache=tmp_path)
    assert billion_words == ["refs/convert/parquet"]
    assert source.address == (
        f"hf:billion-word-benchmark/lm1b?split=train&field=text&take=250000&revision={BRANCH}"
    )
    assert [piece.text for piece in source.pieces()] == [
        f"The train sentence {number} ." for number in range(30)
    ]
    store = prepare(
        DataConfig(source="billion-words", tokenizer="word:40", max_length=9),
        cache=tmp_path / "cache",
    )
    assert sum(part["documents"] for part in store.manifest["splits"].values()) == 30


@pytest.mark.usefixtures("billion_words")
def test_a_data_set_that_is_a_script_is_told_with_the_branch_that_is_not(tmp_path: Path) -> None:
    source = open_source(DataConfig(source="hf:billion-word-benchmark/lm1b"), cache=tmp_path)
    with pytest.raises(
        DownloadError, match=r"made by a script.*name them with revision=refs/convert/parquet"
    ):
        next(source.pieces())


def test_every_option_is_read() -> None:
    found = parse_address(
        "hf:a/b?split=test&field=body&take=7&config=en&revision=main", field="text"
    )
    assert found == HubAddress(
        name="a/b", split="test", field="body", take=7, config="en", revision="main"
    )
    assert parse_address("hf:a/b", field="body") == HubAddress(name="a/b", field="body")
    assert parse_address(str(found), field="text") == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("hf:", "does not name a data set"),
        ("hf:a/", "does not name a data set"),
        ("hf:a/b/c", "does not name a data set"),
        ("hf:a/b?feild=x", r"unknown option 'feild'. Did you mean 'field'\?"),
        ("hf:a/b?take=many", "take is 'many'; it must be a number of records"),
        ("hf:a/b?take=0", "take is '0'"),
        ("hf:a/b?split=", "the option split has no value"),
    ],
)
def test_a_bad_address_is_refused(given: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(DataConfig(source=given))


@pytest.mark.usefixtures("hub")
def test_what_goes_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="no public data set 'nobody/nothing'"):
        open_source(DataConfig(source="hf:nobody/nothing"))
    with pytest.raises(
        DownloadError, match=r"hf:some/offline.* cannot be read .*: no route\. Check the name"
    ):
        open_source(DataConfig(source="hf:some/offline"))
    with pytest.raises(
        SourceError, match=r"no field 'body' in record 1 of some/set.*It has: text, title"
    ):
        list(open_source(DataConfig(source="hf:some/set", field="body")).pieces())
    with pytest.raises(DownloadError, match=r"split=dev.* cannot be read"):
        list(open_source(DataConfig(source="hf:some/set?split=dev")).pieces())
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"inklings\[hub\]"):
        open_source(DataConfig(source="hf:some/set"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"inklings\[hub\]"):
        list(open_source(DataConfig(source=f"hf:some/set?revision={NEWEST}")).pieces())
