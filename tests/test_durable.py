"""Files are whole or absent, and what goes wrong on the disk is said in one sentence."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from inklings import durable
from inklings.errors import DiskError, RunError


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "value.json"
    durable.write_json(file, {"a": 1})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskError, match="disk is full"):
        durable.write_json(file, {"a": 2})
    assert json.loads(file.read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["value.json"]


@pytest.mark.parametrize(
    "code",
    [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EFBIG, errno.ESTALE],
)
def test_whatever_the_disk_says_is_one_sentence_and_leaves_nothing(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(DiskError, match=r"could not write|no permission to write"):
        durable.write_json(tmp_path / "value.json", {})
    with (
        pytest.raises(DiskError) as caught,
        durable.new_directory(tmp_path / "made" / "of" / "parts") as inside,
    ):
        (inside / "part").write_text("half")
    assert str(caught.value).endswith(" and run the same command again.")
    assert str(caught.value.going_on("wait")).endswith(" and wait.")
    assert list(tmp_path.iterdir()) == [], "the folders above it neither"


def test_a_directory_appears_only_when_it_is_finished(tmp_path: Path) -> None:
    target = tmp_path / "store"
    with pytest.raises(KeyboardInterrupt), durable.new_directory(target) as inside:
        (inside / "part").write_text("half")
        assert not target.exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with durable.new_directory(target) as inside:
        (inside / "part").write_text("whole")
    assert (target / "part").read_text() == "whole"


def test_files_appear_beside_what_is_there_and_the_named_one_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "made" / "model.gguf"
    with pytest.raises(KeyboardInterrupt), durable.new_files(target) as inside:
        (inside / "model.gguf").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    appeared: list[str] = []

    def replace(file: Path, to: Path) -> None:
        appeared.append(to.name)
        file.rename(to)

    monkeypatch.setattr(Path, "replace", replace)
    with durable.new_files(target) as inside:
        for name in ("model.gguf", "model.gguf.json", "a.txt"):
            (inside / name).write_text(name)
    assert appeared[-1] == "model.gguf" and len(appeared) == 3
    assert {file.name for file in target.parent.iterdir()} == set(appeared)


def test_a_directory_that_another_process_built_first_stays(tmp_path: Path) -> None:
    target = tmp_path / "store"
    with durable.new_directory(target) as inside:
        (inside / "part").write_text("ours")
        target.mkdir()
        (target / "part").write_text("theirs")
    assert (target / "part").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{", "damaged"),
        ("{}", "format_version"),
        ('{"format_version": 9}', "Upgrade"),
        ('{"format_version": 1, "a": {"n": 1, "n": 2}}', "damaged: 'n' is given twice"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(tmp_path: Path, content: str, what: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(content)
    with pytest.raises(RunError, match=what):
        durable.read_json(file, format_version=1)
    with pytest.raises(RunError, match="missing"):
        durable.read_json(tmp_path / "absent.json")


def test_numbers_that_json_lacks_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        durable.write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_block_hashes_find_the_block_that_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "BLOCK", 10)
    file = tmp_path / "data"
    file.write_bytes(bytes(range(35)))
    before = durable.block_hashes(file)
    content = bytearray(file.read_bytes())
    content[23] ^= 1
    file.write_bytes(bytes(content))
    after = durable.block_hashes(file)
    assert [number for number in range(4) if before[number] != after[number]] == [2]


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "file"
    with (
        pytest.raises(DiskError, match=r"there is no folder .*nowhere\. Make it or choose"),
        durable.disk_errors(path),
    ):
        path.write_bytes(b"")
