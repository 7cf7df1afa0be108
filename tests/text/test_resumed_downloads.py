"""A download that stopped goes on where the server lets it, and is never a mixture of two files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from inklings.durable import sha256
from inklings.errors import DownloadError
from inklings.text.sources import downloads, part_file
from inklings.text.sources.downloads import download
from tests.text.conftest import Host

DATA = bytes(range(256)) * 40
OTHER = DATA[::-1]
TAG = '"one"'
DATE = "Mon, 02 Feb 2026 10:00:00 GMT"


def broken_off(host: Host, folder: Path, tag: str = TAG) -> Path:
    """Where the first half of a file lies, as a server left it that broke off."""
    host.files, host.tags = {"/a.bin": DATA}, {"/a.bin": tag}
    host.breaks_off = True
    with pytest.raises(DownloadError, match="it goes on from there"):
        download(f"{host.url}/a.bin", folder / "a.bin")
    host.breaks_off = False
    assert host.sent == [(200, len(DATA) // 2)]
    assert names(folder) == ["a.bin.part", "a.bin.part.json"]
    host.sent.clear()
    return folder / "a.bin"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("tag", [TAG, DATE])
@pytest.mark.parametrize("known", [True, False])
def test_each_byte_is_sent_once(host: Host, tmp_path: Path, tag: str, known: bool) -> None:
    path = broken_off(host, tmp_path, tag)
    download(f"{host.url}/a.bin", path, sha256=sha256(DATA) if known else None)
    assert path.read_bytes() == DATA
    assert host.sent == [(206, len(DATA) // 2)]
    assert names(tmp_path) == ["a.bin"] if known else ["a.bin", "a.bin.sha256"]


def test_one_that_breaks_off_often_goes_on_each_time(host: Host, tmp_path: Path) -> None:
    path = broken_off(host, tmp_path)
    host.breaks_off = True
    half = len(DATA) // 2
    for received in (half + half // 2, half + half // 2 + half // 4):
        with pytest.raises(DownloadError, match=rf"after {received:,} of {len(DATA):,} bytes"):
            download(f"{host.url}/a.bin", path)
    host.breaks_off = False
    assert download(f"{host.url}/a.bin", path).read_bytes() == DATA
    assert sum(size for _, size in host.sent) == half


def without_parts(host: Host) -> bytes:
    host.gives_parts = False
    return DATA


def changed(host: Host) -> bytes:
    host.files["/a.bin"], host.tags["/a.bin"] = OTHER, '"two"'
    return OTHER


def changed_unheeded(host: Host) -> bytes:
    """By a server that gives parts of whatever it has now."""
    host.heeds_tags = False
    return changed(host)


def shorter(host: Host) -> bytes:
    """Than what is there already."""
    host.heeds_tags = False
    host.files["/a.bin"] = OTHER[:10]
    return OTHER[:10]


def empty(host: Host) -> bytes:
    changed(host)
    host.files["/a.bin"] = b""
    return b""


@pytest.mark.parametrize("meanwhile", [without_parts, changed, changed_unheeded, shorter, empty])
@pytest.mark.parametrize("known", [True, False])
def test_where_the_server_does_not_go_on_it_begins_anew(
    host: Host, tmp_path: Path, meanwhile: Callable[[Host], bytes], known: bool
) -> None:
    path = broken_off(host, tmp_path)
    expected = meanwhile(host)
    download(f"{host.url}/a.bin", path, sha256=sha256(expected) if known else None)
    assert path.read_bytes() == expected
    assert host.sent[-1] == (200, len(expected))
    assert names(tmp_path) == ["a.bin"] if known else ["a.bin", "a.bin.sha256"]


def with_a_flipped_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [with_a_flipped_bit, cut_short, removed])
@pytest.mark.parametrize("name", ["a.bin.part", "a.bin.part.json"])
def test_a_beginning_that_is_damaged_is_not_gone_on_with(
    host: Host, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    path = broken_off(host, tmp_path)
    damage(tmp_path / name)
    assert download(f"{host.url}/a.bin", path).read_bytes() == DATA
    assert host.sent == [(200, len(DATA))]


def test_one_of_another_address_is_not_gone_on_with(host: Host, tmp_path: Path) -> None:
    path = broken_off(host, tmp_path)
    host.files["/b.bin"], host.tags["/b.bin"] = OTHER, TAG
    assert download(f"{host.url}/b.bin", path).read_bytes() == OTHER


def test_the_hash_holds_for_the_whole_and_nothing_wrong_stays(host: Host, tmp_path: Path) -> None:
    path = broken_off(host, tmp_path)
    host.files["/a.bin"] = OTHER  # which the server says is the same
    with pytest.raises(DownloadError, match="is not the file that Inklings knows"):
        download(f"{host.url}/a.bin", path, sha256=sha256(OTHER))
    assert host.sent == [(206, len(DATA) // 2)]
    assert names(tmp_path) == []
    assert download(f"{host.url}/a.bin", path, sha256=sha256(OTHER)).read_bytes() == OTHER


def test_what_is_there_stays_while_there_is_no_answer(host: Host, tmp_path: Path) -> None:
    path = broken_off(host, tmp_path)
    kept = host.files.copy()
    host.files.clear()
    with pytest.raises(DownloadError, match="404"):
        download(f"{host.url}/a.bin", path)
    host.files = kept
    assert download(f"{host.url}/a.bin", path).read_bytes() == DATA
    assert host.sent == [(206, len(DATA) // 2)]


def test_two_at_a_time_do_not_disturb_each_other(host: Host, tmp_path: Path) -> None:
    path = broken_off(host, tmp_path)
    with part_file.part_file(path, f"{host.url}/a.bin") as other:
        assert other.length == len(DATA) // 2
        assert download(f"{host.url}/a.bin", path).read_bytes() == DATA
        assert host.sent == [(200, len(DATA))]
        other.write(DATA[len(DATA) // 2 :])
        other.finish()
    assert path.read_bytes() == DATA
    assert names(tmp_path) == ["a.bin", "a.bin.sha256"]


@pytest.mark.skipif(os.name == "nt", reason="processes are copied as POSIX does")
def test_one_that_was_killed_goes_on_behind_its_last_note(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "BLOCK", 512)
    monkeypatch.setattr(part_file, "EVERY", 2048)
    host.files, host.tags = {"/a.bin": DATA}, {"/a.bin": TAG}
    path = tmp_path / "a.bin"
    child = os.fork()
    if child == 0:
        real = part_file.PartFile.write

        def write(part: part_file.PartFile, data: bytes) -> None:
            if part.length >= 5000:
                os._exit(7)
            real(part, data)

        setattr(part_file.PartFile, "write", write)  # noqa: B010
        try:
            download(f"{host.url}/a.bin", path)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    host.sent.clear()
    assert download(f"{host.url}/a.bin", path).read_bytes() == DATA
    assert host.sent == [(206, len(DATA) - 4096)]
