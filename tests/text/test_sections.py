"""A build that was stopped anywhere goes on, to the same bytes.

However large its sections are, and whatever became of the disk meanwhile.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import lock_descriptor
from hypothesis import given
from hypothesis import strategies as st

from inklings.config import DataConfig
from inklings.errors import DiskError, InterruptedWorkError, SourceError
from inklings.events import Event
from inklings.text import documents
from inklings.text.building import build as building
from inklings.text.building import encoding, folder, sections
from inklings.text.building.build import build
from inklings.text.building.sections import JOURNAL, Journal
from inklings.text.building.split_writer import SplitWriter
from inklings.text.chunks import chunks
from inklings.text.documents import Source, Text, TextPiece
from inklings.text.store import TokenStore, prepare
from inklings.text.tokenizers import Tokenizer, Tokens

WORDS = [
    "the",
    "a",
    "word's",
    "7",
    "tale",
    "—",
    "of",
    "日本",
    "two\n\ncities",
    "and",
    "'more'",
    "!",
]
TEXTS = [
    " ".join(WORDS[(7 * number + 3 * place) % len(WORDS)] for place in range(4 + number % 30))
    for number in range(60)
] + [f"one long document, {'with many a word ' * 60}"]
"""Documents of some 80 characters, and one of a thousand."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def shrink(patch: pytest.MonkeyPatch, section: int = 500, batch: int = 100) -> None:
    """Let sections, batches and pieces be small."""
    patch.setattr(sections, "SECTION", section)
    patch.setattr(encoding, "BATCH", batch)
    patch.setattr(documents, "PIECE", 60)
    patch.setattr(documents, "LONGEST_PIECE", 240)
    patch.setattr(chunks, "__defaults__", (40,))


def corpus(path: Path, texts: list[str] | None = None) -> DataConfig:
    lines = (json.dumps({"text": text}) + "\n" for text in texts or TEXTS)
    path.write_text("".join(lines), encoding="utf-8")
    return DataConfig(source=str(path), tokenizer="bpe:280")


def content(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.iterdir()}


def left_behind(cache: Path) -> list[Path]:
    return list((cache / "stores").glob(".*.tmp"))


class Stopped(BaseException):
    """Stands for whatever ends a process."""


def stop_at(patch: pytest.MonkeyPatch, owner: Any, name: str, number: int, error: Any) -> None:
    """Let call number `number` of a function raise, after it has done its work."""
    real, calls = getattr(owner, name), iter(range(1, 10**9))

    def call(*arguments: Any, **keywords: Any) -> Any:
        result = real(*arguments, **keywords)
        if next(calls) == number:
            raise error
        return result

    patch.setattr(owner, name, call)


def stopped_build(data: DataConfig, cache: Path) -> Path:
    """What a build leaves that was stopped after four sections."""
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, Journal, "add", 4, Stopped())
        with pytest.raises(Stopped):
            prepare(data, cache=cache)
    (around,) = left_behind(cache)
    return around


@given(
    section=st.integers(1, 3000),
    batch=st.integers(1, 400),
    stops=st.lists(st.integers(1, 60), min_size=1, max_size=3),
    tokenizer=st.sampled_from(["bpe:280", "char", "byte", "word:9"]),
    rule=st.sampled_from([{}, {"min_length": 6}, {"skip_bad": True}]),
    remote=st.booleans(),
)
def test_whatever_the_sections_and_wherever_it_stopped_the_store_is_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    section: int,
    batch: int,
    stops: list[int],
    tokenizer: str,
    rule: dict[str, Any],
    remote: bool,
) -> None:
    home = tmp_path_factory.mktemp("sections")
    readings: list[int] = []

    def read() -> Iterator[TextPiece]:
        readings.append(1)
        return documents.documents((Text([text], "test") for text in TEXTS), "documents", None)

    source = Source("test", "test", "0", "documents", read, remote=remote)
    data = DataConfig(tokenizer=tokenizer, **rule)

    def made(path: Path) -> dict[str, bytes]:
        with folder.building_folder(path) as place:
            build(place, source, data, None, lambda event: None)
        return content(path)

    with pytest.MonkeyPatch.context() as patch:
        shrink(patch, 10**9, 500)  # chunks are as short: what a word is may depend on cuts
        whole = made(home / "whole")
        readings.clear()
        shrink(patch, section, batch)
        for stop in stops:
            with pytest.MonkeyPatch.context() as once:
                stop_at(once, SplitWriter, "flush", stop, Stopped())
                try:
                    made(home / "stopped")
                except Stopped:
                    continue
                break
        if not (home / "stopped").exists():
            made(home / "stopped")
    assert content(home / "stopped") == whole
    assert not list(home.glob(".*"))
    assert len(readings) == 1 if remote else readings


def test_sections_that_are_finished_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    data = corpus(tmp_path / "text.jsonl")
    whole = content(prepare(data, cache=tmp_path / "whole").path)
    with monkeypatch.context() as patch:
        stop_at(patch, Journal, "add", 4, KeyboardInterrupt())
        with pytest.raises(InterruptedWorkError, match="The same command goes on there"):
            prepare(data, cache=tmp_path / "cache")
    seen: list[str] = []
    real = Tokenizer.encode_batch

    def listening(self: Tokenizer, texts: Sequence[str]) -> list[Tokens]:
        seen.extend(texts)
        return real(self, texts)

    monkeypatch.setattr(Tokenizer, "encode_batch", listening)
    monkeypatch.setattr(building, "make_tokenizer", None)  # learning once more would fail
    (around,) = left_behind(tmp_path / "cache")
    done = Journal(around).characters
    assert done >= 2000
    told: list[Event] = []
    again = prepare(data, cache=tmp_path / "cache", on_event=told.append)
    assert sum(map(len, seen)) == sum(map(len, TEXTS)) - done
    assert content(again.path) == whole
    notes = [event["text"] for event in told if event["event"] == "note"]
    assert notes == [
        f"{done:,} of {sum(map(len, TEXTS)):,} characters were prepared before; this goes on there."
    ]
    assert [path.name for path in (tmp_path / "cache" / "stores").iterdir()] == [again.path.name]


def test_a_download_that_is_whole_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    readings: list[int] = []

    def read() -> Iterator[TextPiece]:
        readings.append(1)
        source.left_out["empty"] = 3
        return documents.documents((Text([text], "test") for text in TEXTS), "documents", None)

    source = Source("test", "test", "0", "documents", read, remote=True)
    with monkeypatch.context() as patch:
        stop_at(patch, building, "make_tokenizer", 1, Stopped())
        with pytest.raises(Stopped), folder.building_folder(tmp_path / "store") as place:
            build(place, source, DataConfig(tokenizer="char"), None, lambda event: None)
    source.left_out.clear()
    with folder.building_folder(tmp_path / "store") as place:
        build(place, source, DataConfig(tokenizer="char"), None, lambda event: None)
    counted = TokenStore(tmp_path / "store").manifest["source"]["left_out"]["records"]
    assert (len(readings), counted) == (1, {"empty": 3})


@pytest.mark.parametrize("name", ["train.tokens.bin", "validation.bytes.part"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_section_is_named_and_made_anew(
    tmp_path: Path,
    small: None,
    name: str,
    damage: str,
) -> None:
    data = corpus(tmp_path / "text.jsonl")
    whole = content(prepare(data, cache=tmp_path / "whole").path)
    around = stopped_build(data, tmp_path / "cache")
    file = next(around.rglob(name))
    kept = bytearray(file.read_bytes())
    ends = [0, *(section["files"][name]["bytes"] for section in Journal(around).sections)]
    grown = [number for number in range(1, 5) if ends[number] > ends[number - 1]]
    damaged = grown[0 if damage == "remove" else -1]
    if damage == "flip":
        kept[ends[damaged - 1]] ^= 1
        file.write_bytes(kept)
    elif damage == "cut":
        file.write_bytes(kept[: ends[damaged] - 1])
    else:
        file.unlink()
    told: list[Event] = []
    again = prepare(data, cache=tmp_path / "cache", on_event=told.append)
    assert content(again.path) == whole
    notes = [event["text"] for event in told if event["event"] == "note"]
    assert f"{name}, section {damaged} of 4, is damaged" in notes[0]


@pytest.mark.parametrize("name", [JOURNAL, "tokenizer.json"])
def test_with_a_damaged_journal_or_vocabulary_it_begins_anew(
    tmp_path: Path, small: None, name: str
) -> None:
    data = corpus(tmp_path / "text.jsonl")
    whole = content(prepare(data, cache=tmp_path / "whole").path)
    around = stopped_build(data, tmp_path / "cache")
    file = next(around.rglob(name))
    text = file.read_text()
    file.write_text(text.replace("1", "2"))
    assert content(prepare(data, cache=tmp_path / "cache").path) == whole


def test_who_builds_the_same_at_the_same_time_keeps_off(tmp_path: Path, small: None) -> None:
    data = corpus(tmp_path / "text.jsonl")
    with pytest.raises(Stopped), pytest.MonkeyPatch.context() as patch:
        stop_at(patch, Journal, "add", 2, Stopped())
        prepare(data, cache=tmp_path / "cache")
    (around,) = left_behind(tmp_path / "cache")
    before = content_of_all(around)
    lock = os.open(around / "lock", os.O_RDWR)
    try:
        assert lock_descriptor(lock, blocking=False)
        made = prepare(data, cache=tmp_path / "cache")
        assert content_of_all(around) == before
    finally:
        os.close(lock)
    shutil.rmtree(made.path)
    assert prepare(data, cache=tmp_path / "cache").path == made.path
    assert not around.exists()


def content_of_all(around: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in around.rglob("*") if path.is_file()}


def test_a_disk_that_is_full_in_the_middle_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    data = corpus(tmp_path / "text.jsonl")
    whole = content(prepare(data, cache=tmp_path / "whole").path)
    with monkeypatch.context() as patch:
        stop_at(patch, SplitWriter, "flush", 80, OSError(28, "No space left on device"))
        with pytest.raises(DiskError, match=r"disk is full.*run the same command again"):
            prepare(data, cache=tmp_path / "cache")
    (around,) = left_behind(tmp_path / "cache")
    assert Journal(around).characters > 0
    assert content(prepare(data, cache=tmp_path / "cache").path) == whole


def test_a_disk_without_room_is_told_of_before_the_text_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    data = corpus(tmp_path / "text.jsonl")
    needed = 2 * prepare(data, cache=tmp_path / "whole").manifest["splits"]["train"]["tokens"]
    usage = shutil.disk_usage(tmp_path)
    for free, full in ((needed // 2, True), (3 * needed, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage._replace(free=free))
        told: list[Event] = []
        if full:
            with pytest.raises(DiskError, match=r"about .* are free.*INKLINGS_CACHE"):
                prepare(data, cache=tmp_path / "cache", on_event=told.append)
            assert told[-1]["event"] == "prepare" and told[-1]["done"] == 0
        else:
            prepare(data, cache=tmp_path / "cache", on_event=told.append)
            assert told[-1]["event"] == "prepare" and told[-1]["stage"] == "done"


def test_what_nobody_goes_on_with_is_removed_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    for number in range(2):
        data = corpus(tmp_path / f"{number}.jsonl", [f"{number} {text}" for text in TEXTS])
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            stop_at(patch, Journal, "add", 2, Stopped())
            prepare(data, cache=tmp_path / "cache")
    old, young = left_behind(tmp_path / "cache")
    for place, days in ((old, 31), (young, 29)):
        past = time.time() - days * 24 * 3600
        for file in (*place.rglob("*"), place):
            os.utime(file, (past, past))
    prepare(corpus(tmp_path / "other.jsonl", TEXTS[:20]), cache=tmp_path / "cache")
    assert left_behind(tmp_path / "cache") == [young]


@pytest.mark.parametrize("when", ["reading", "learning a vocabulary", "encoding"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None, when: str
) -> None:
    data = corpus(tmp_path / "text.jsonl")
    text = (tmp_path / "text.jsonl").read_text(encoding="utf-8")

    def write(event: Event) -> None:
        if event["event"] == "prepare" and event["stage"] == when:
            (tmp_path / "text.jsonl").write_text(text.replace("tale", "TALE"), encoding="utf-8")
            os.utime(tmp_path / "text.jsonl", ns=(1, time.time_ns() + 10**9))

    with pytest.raises(SourceError, match=r"text\.jsonl changed while it was being read"):
        prepare(data, cache=tmp_path / "cache", on_event=write)
    assert not left_behind(tmp_path / "cache")


SWEEP = """
import os, sys
from pathlib import Path
import pytest
from tests.mortal import make_mortal
from tests.text.test_sections import corpus, shrink
from inklings.text.store import prepare

def child(data, fatal, after, cache):
    make_mortal(fatal, after=after, more=("open", "truncate"))
    prepare(data, cache=cache)
    os._exit(0)

home, stride, fatal = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
shrink(pytest.MonkeyPatch())
data = corpus(home / "text.jsonl")
while True:
    cache = home / f"killed-{fatal}"
    pid = os.fork()
    if pid == 0:
        child(data, fatal, fatal % 2 == 0, cache)
    _, status = os.waitpid(pid, 0)
    told = []
    made = prepare(data, cache=cache, on_event=told.append)
    went_on = any("this goes on there" in event.get("text", "") for event in told)
    print(made.path, os.WIFSIGNALED(status), went_on, flush=True)
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0
        break
    fatal += stride
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
@pytest.mark.parametrize(
    ("stride", "first"),
    [(13, 1), *(pytest.param(13, first, marks=pytest.mark.slow) for first in range(2, 14))],
)
def test_killed_at_any_write_it_goes_on_to_the_same_bytes(
    tmp_path: Path, stride: int, first: int, small: None
) -> None:
    whole = content(prepare(corpus(tmp_path / "text.jsonl"), cache=tmp_path / "whole").path)
    made = subprocess.run(
        [sys.executable, "-c", SWEEP, str(tmp_path), str(stride), str(first)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert made.returncode == 0, made.stderr
    lines = [line.split() for line in made.stdout.splitlines()]
    assert [killed for _, killed, _ in lines] == ["True"] * (len(lines) - 1) + ["False"]
    assert sum(went_on == "True" for _, _, went_on in lines) > 3
    for path, _, _ in lines:
        assert content(Path(path)) == whole, path
