"""Whatever happened to a comparison, a sweep or a prepared text, one clear message says so."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.cli.main import main
from inklings.config import DataConfig
from inklings.durable import read_json, sha256, write_checked_json
from inklings.errors import RunError
from inklings.evaluation.likelihood.evaluate import load_likelihood
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.records import read_record
from inklings.lab.comparison.run_samples import read_run_samples
from inklings.lab.comparison.sample_settings import read_calibration
from inklings.lab.sweep.sweep_results import read_sweep
from inklings.text.store import TokenStore, prepare

FORMATS = Path(__file__).parents[1] / "fixtures" / "formats"
READ: dict[str, Callable[[Path], Any]] = {"comparison": read_comparison, "sweep": read_sweep}
"""What opens a folder, by its kind."""
READERS: dict[str, Callable[[Path], Any]] = {
    "comparison.json": read_comparison,
    "calibration.json": read_calibration,
    "record.json": read_record,
    "samples.json": read_run_samples,
    "likelihood.json": load_likelihood,
    "units.safetensors": load_likelihood,
    "sweep.json": read_sweep,
}
"""What reads a file of a folder, by its name."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison and a sweep as they are written now, with hashes."""
    out = tmp_path_factory.mktemp("results")
    for kind in READ:
        shutil.copytree(FORMATS / kind, out / kind)
        shown = [out / kind / f"{kind}.json", *(out / kind).glob("calibration.json")]
        shown += list((out / kind).rglob("results/*/*/*.json"))
        for path in shown:
            value = read_json(path)
            value.pop("sha256", None)
            write_checked_json(path, value, format_version=value["format_version"])
    return out


def files_of(folder: Path) -> list[Path]:
    """The files that a report is made of."""
    kinds = (folder / f"{folder.name}.json", folder / "calibration.json")
    return sorted([path for path in kinds if path.is_file()] + [*folder.rglob("results/*/*/*.*")])


def harmed(data: st.DataObject, content: bytes) -> bytes:
    """Content with a bit flipped, cut, grown or replaced."""
    at = data.draw(st.integers(0, len(content) - 1))
    how = data.draw(st.sampled_from(["flip", "cut", "grow", "replace"]))
    if how == "flip":
        flipped = content[at] ^ 1 << data.draw(st.integers(0, 7))
        return content[:at] + bytes([flipped]) + content[at + 1 :]
    other = data.draw(st.binary(min_size=1, max_size=40))
    return {"cut": content[:at], "grow": content + other, "replace": other}[how]


@pytest.mark.parametrize("kind", READ)
@given(data=st.data())
def test_a_damaged_file_of_results_is_refused(
    kind: str, data: st.DataObject, folders: Path
) -> None:
    """Flip, cut, grow, replace or remove any file."""
    files = files_of(folders / kind)
    path = files[data.draw(st.integers(0, len(files) - 1))]
    content = path.read_bytes()
    changed = None if data.draw(st.booleans()) else harmed(data, content)
    if changed is None:
        path.unlink()
    else:
        path.write_bytes(changed)
    try:
        if changed is None or path.suffix != ".json" or _value(changed) != _value(content):
            with pytest.raises(RunError):
                READERS[path.name](path.parent)
    finally:
        path.write_bytes(content)


def test_a_report_says_it(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in READ:
        path = folders / kind / f"{kind}.json"
        content = path.read_bytes()
        path.write_bytes(content[:-40])
        assert main(["report", str(folders / kind)]) == 2
        path.write_bytes(content)
        assert "is damaged" in capsys.readouterr().err


def _value(content: bytes) -> object:
    with contextlib.suppress(ValueError):
        return json.loads(content)
    return sha256(content)


ODD = st.sampled_from([None, -1, 1e300, "x", [], {}, True, [1], {"a": 1}, "", ["x", None], 10**30])


@pytest.mark.parametrize("kind", READ)
@given(data=st.data())
def test_what_was_edited_is_read_or_refused(kind: str, data: st.DataObject, folders: Path) -> None:
    """Put something else in any place, as a file from before there were hashes may have it."""
    path = folders / kind / f"{kind}.json"
    content = path.read_bytes()
    tree = json.loads(content)
    del tree["sha256"]
    node: Any = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = keys[data.draw(st.integers(0, len(keys) - 1))]
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(ODD)
    path.write_text(json.dumps(tree))
    try:
        with contextlib.suppress(RunError):
            READ[kind](folders / kind)
    finally:
        path.write_bytes(content)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    (folder / "words.txt").write_text("".join(f"word {n} and {n * 7 % 13}\n" for n in range(60)))
    return prepare(DataConfig(source=str(folder / "words.txt")), cache=folder / "cache").path


@given(data=st.data())
def test_a_damaged_store_does_not_open(data: st.DataObject, store: Path) -> None:
    files = sorted(path for path in store.iterdir() if path.is_file())
    path = files[data.draw(st.integers(0, len(files) - 1))]
    content = path.read_bytes()
    changed = harmed(data, content)
    path.write_bytes(changed)
    try:
        if changed != content and not (
            path.suffix == ".json" and _value(changed) == _value(content)
        ):
            with pytest.raises(RunError):
                TokenStore(store)
    finally:
        path.write_bytes(content)
