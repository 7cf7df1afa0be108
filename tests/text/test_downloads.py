"""Downloads are whole, checked and made once; a failed one leaves nothing behind.

The server is one of our own.
"""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import pytest

from inklings.config import DataConfig
from inklings.errors import DownloadError
from inklings.text.documents import SplitName
from inklings.text.sources import well_known
from inklings.text.sources.downloads import download
from inklings.text.sources.grammar import open_source
from inklings.text.sources.well_known import CORPORA, Corpus, RemoteFile, fortune_lines, obtain
from inklings.text.splits import plan_splits
from tests.text.conftest import Host


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_fetched_once_and_again_when_it_was_damaged(host: Host, tmp_path: Path) -> None:
    data = b"some text\n" * 100_000
    host.files["/a.txt"] = data
    path = tmp_path / "deep" / "a.txt"
    for _ in range(2):
        assert download(f"{host.url}/a.txt", path, sha256=sha(data)).read_bytes() == data
    assert host.asked == ["/a.txt"]
    path.write_bytes(data[:-1])
    assert download(f"{host.url}/a.txt", path, sha256=sha(data)).read_bytes() == data
    assert host.asked == ["/a.txt", "/a.txt"]
    assert [found.name for found in path.parent.iterdir()] == ["a.txt"]


def test_a_hash_that_is_not_known_is_recorded_at_first_and_holds_from_then_on(
    host: Host, tmp_path: Path
) -> None:
    host.files["/a.txt"] = b"first"
    path = download(f"{host.url}/a.txt", tmp_path / "a.txt")
    assert (tmp_path / "a.txt.sha256").read_text().strip() == sha(b"first")
    assert download(f"{host.url}/a.txt", path) == path
    assert host.asked == ["/a.txt"]
    host.files["/a.txt"] = b"second"
    path.unlink()
    with pytest.raises(DownloadError, match=f"expected was {sha(b'first')}"):
        download(f"{host.url}/a.txt", path)
    assert not path.exists()


def test_a_file_put_there_by_hand_is_taken(host: Host, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"mine")
    (tmp_path / "b.txt").write_bytes(b"mine")
    download(f"{host.url}/a.txt", tmp_path / "a.txt")
    download(f"{host.url}/b.txt", tmp_path / "b.txt", sha256=sha(b"mine"))
    assert host.asked == []


@pytest.mark.parametrize(
    ("path", "breaks_off", "message"),
    [
        (
            "/missing.txt",
            False,
            r"answered 404 \(Not Found\) for .*missing.txt.*save it as .*a.txt",
        ),
        (
            "/other.txt",
            False,
            r"is not the file that Inklings knows: its SHA-256 is .*save it as .*a.txt",
        ),
        ("/a.txt", True, r"broke off after 50 of 100 bytes"),
    ],
)
def test_a_failed_download_says_why_and_leaves_nothing(
    host: Host, tmp_path: Path, path: str, breaks_off: bool, message: str
) -> None:
    host.files = {"/a.txt": b"x" * 100, "/other.txt": b"a login page"}
    host.breaks_off = breaks_off
    with pytest.raises(DownloadError, match=message) as raised:
        download(host.url + path, tmp_path / "a.txt", sha256=sha(b"x" * 100))
    assert raised.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: a connection is refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a.txt"
        with pytest.raises(
            DownloadError,
            match=r"could not be downloaded: .*refused.*connected to the network.*save it as",
        ):
            download(url, tmp_path / "a.txt", sha256="0")


def test_a_server_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.txt"
        with pytest.raises(DownloadError, match="timed out"):
            download(url, tmp_path / "a.txt", sha256="0", timeout=0.05)


QUOTATIONS = (
    "One -- thing.\n    -- A. Author,\n       on a day\n%\nTwo\n  lines.\n%\n\n%\n-- not an"
    " attribution\n-- but this\n"
)


def test_a_fortune_file_becomes_a_line_a_quotation() -> None:
    assert fortune_lines(QUOTATIONS) == "One -- thing.\nTwo lines.\n-- not an attribution\n"


def test_a_converted_file_is_kept_converted(host: Host, tmp_path: Path) -> None:
    host.files["/r/fortunes"] = QUOTATIONS.encode()
    plain = fortune_lines(QUOTATIONS).encode()
    file = RemoteFile(
        path="r/fortunes",
        sha256=sha(QUOTATIONS.encode()),
        convert=fortune_lines,
        converted_sha256=sha(plain),
    )
    for _ in range(2):
        assert obtain(file, tmp_path, host=host.url).read_bytes() == plain
    (tmp_path / "fortunes.txt").write_bytes(b"damaged")
    assert obtain(file, tmp_path, host=host.url).read_bytes() == plain
    assert host.asked == ["/r/fortunes"]


def small_corpus(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a corpus with fixed splits on the host, and into the table."""
    parts: dict[SplitName, bytes] = {
        "train": b"a\n" * 50,
        "validation": b"b\n" * 9,
        "test": b"c\n" * 8,
    }
    host.files = {f"/{name}.txt": data for name, data in parts.items()}
    files = tuple(
        RemoteFile(path=f"{name}.txt", sha256=sha(data), split=name) for name, data in parts.items()
    )
    corpus = Corpus(about="small", licence="none", files=files, layout="lines")
    monkeypatch.setitem(well_known.CORPORA, "small", corpus)


def test_a_well_known_text_is_a_source(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_corpus(host, monkeypatch)
    source = open_source(DataConfig(source="small"), cache=tmp_path, host=host.url)
    assert (source.name, source.address, source.layout, source.fixed_splits) == (
        "small",
        "small",
        "lines",
        True,
    )
    plan = plan_splits(source)
    assert plan.method == "fixed"
    pieces = list(plan.pieces())
    assert [
        sum(piece.split == name for piece in pieces) for name in ("train", "validation", "test")
    ] == [50, 9, 8]
    assert len(host.asked) == 3
    host.files.clear()  # and once it is here, it needs no network
    again = open_source(DataConfig(source="small"), cache=tmp_path, host=host.url)
    assert again.fingerprint == source.fingerprint
    assert len(host.asked) == 3
    whole = open_source(
        DataConfig(source="small", layout="documents"), cache=tmp_path, host=host.url
    )
    assert [piece.text for piece in whole.pieces()][1] == "b\n" * 9
    assert whole.fingerprint != source.fingerprint


def test_a_local_path_of_the_same_name_is_pointed_out(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_corpus(host, monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("small").mkdir()
    with pytest.warns(UserWarning, match="to read the local one, write ./small"):
        open_source(DataConfig(source="small"), cache=tmp_path, host=host.url)


LOCAL = {
    "names": ["names.txt"],
    "tinyshakespeare": ["input.txt"],
    "wikitext-2": ["train.txt", "valid.txt", "test.txt"],
    "fortunes": ["fortunes.txt"],
}


@pytest.mark.parametrize("name", CORPORA)
def test_the_pinned_hashes_are_those_of_the_real_files(corpora: Path, name: str) -> None:
    found = [sha((corpora / name / file).read_bytes()) for file in LOCAL[name]]
    assert [file.converted_sha256 or file.sha256 for file in CORPORA[name].files] == found


@pytest.mark.parametrize("name", CORPORA)
def test_the_real_files_are_read_and_split_as_the_field_does(
    corpora: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "downloads" / name
    folder.mkdir(parents=True)
    for file in LOCAL[name]:
        (folder / file).write_bytes((corpora / name / file).read_bytes())
    plan = plan_splits(
        open_source(DataConfig(source=name), cache=tmp_path, host="http://127.0.0.1:9")
    )
    documents = dict.fromkeys(("train", "validation", "test"), 0)
    characters = documents.copy()
    for piece in plan.pieces():
        assert piece.split is not None
        documents[piece.split] += piece.last
        characters[piece.split] += len(piece.text)
    expected = {
        "names": (25_626, 3_203, 3_204),
        "tinyshakespeare": (1, 1, 0),
        "wikitext-2": (629, 60, 62),
        "fortunes": (4_349, 544, 544),
    }
    assert tuple(documents.values()) == expected[name]
    if name == "tinyshakespeare":
        assert tuple(characters.values()) == (1_003_854, 111_540, 0)
    if name == "wikitext-2":
        blank = 2  # the line before the first article of each file
        assert tuple(count + blank for count in characters.values()) == (
            10_780_437,
            1_120_192,
            1_255_018,
        )
