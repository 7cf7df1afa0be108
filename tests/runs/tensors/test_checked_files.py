from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from inklings.durable import read_checked_json, write_checked_json
from inklings.errors import RunError
from inklings.runs.tensors import checked_files
from inklings.runs.tensors.checked_files import (
    check_tensors,
    open_tensor_file,
    refuse_pickle,
    write_tensors,
)
from inklings.runs.tensors.ties import shared_names
from tests.saved_tensors import read_tensors

TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.tensor(3),
    "c": torch.ones(5, dtype=torch.bfloat16),
    "empty": torch.zeros(0, 2),
    "none": torch.zeros((), dtype=torch.int64).expand(0),
    "single": torch.tensor(4.0).expand(1),
    "transposed": torch.arange(6).view(2, 3).T,
}


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, TENSORS, {"step": "7"})
    tensors, metadata = read_tensors(path)
    assert metadata["step"] == "7"
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    others = safetensors.torch.load_file(path)
    assert torch.equal(others["a"], TENSORS["a"]), "the file is not plain safetensors"


@pytest.mark.parametrize("name", ["complex64", "uint16", "uint32", "uint64", "float8_e4m3fn"])
def test_other_kinds_of_numbers_come_back_too(tmp_path: Path, name: str) -> None:
    """A rotation of positions, for one, may be a buffer of complex numbers."""
    path, dtype = tmp_path / "t.safetensors", getattr(torch, name)
    written = torch.arange(6.0).reshape(2, 3).to(dtype)
    write_tensors(path, {"a": written, "b": torch.ones(3)}, {})
    for found in (read_tensors(path)[0]["a"], safetensors.torch.load_file(path)["a"]):
        assert found.dtype == dtype and found.shape == (2, 3)
        assert torch.equal(found.view(torch.uint8), written.view(torch.uint8))


def test_no_tensors_are_a_file_too(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t.safetensors", {}, {})
    assert read_tensors(tmp_path / "t.safetensors")[0] == {}


@given(st.data())
def test_any_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("flip") / "t.safetensors"
    write_tensors(path, TENSORS, {"step": "7"})
    content = bytearray(path.read_bytes())
    padding = len(content) - sum(t.numel() * t.element_size() for t in TENSORS.values())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content))
    if place < padding and json.dumps(_header(bytes(content))) == json.dumps(_header_of(TENSORS)):
        return
    with pytest.raises(RunError, match=r"t\.safetensors"):
        check_tensors(path)


def _header(content: bytes) -> object:
    length = int.from_bytes(content[:8], "little")
    try:
        return json.loads(content[8 : 8 + length])
    except ValueError:
        return None


def _header_of(tensors: dict[str, torch.Tensor]) -> object:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t"
        write_tensors(path, tensors, {"step": "7"})
        return _header(path.read_bytes())


@pytest.mark.parametrize("kept", [0, 4, 8, 40, -1])
def test_a_file_cut_short_is_damaged(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RunError, match="damaged"):
        read_tensors(path)


@pytest.mark.parametrize("block", [1, 7, 64, 2**22])
def test_all_tensors_are_read_in_one_go(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the blocks lie over the tensors."""
    monkeypatch.setattr(checked_files, "BLOCK", block)
    path = tmp_path / "t.safetensors"
    write_tensors(path, TENSORS, {})
    with open_tensor_file(path) as file:
        found = file.read_all()
        assert list(found) == list(file.facts) and found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype


def test_damage_is_named_by_its_block(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"a": torch.zeros(3 * 2**20)}, {})
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(RunError, match="blocks 2 of 4 MiB"):
        read_tensors(path)


def test_pickles_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "zip.pt")
    (tmp_path / "raw.safetensors").write_bytes(pickle.dumps({"weight": [1.0]}))
    for path in tmp_path.iterdir():
        with pytest.raises(RunError, match="pickle"):
            read_tensors(path)
        with pytest.raises(RunError, match="pickle"):
            refuse_pickle(path, path.read_bytes()[:8])


def test_safetensors_of_others_lack_hashes(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "t.safetensors")
    with pytest.raises(RunError, match="not written by Inklings"):
        read_tensors(tmp_path / "t.safetensors")


def test_a_newer_format_asks_for_an_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("inklings.runs.tensors.checked_files.FORMAT_VERSION", 2)
        write_tensors(tmp_path / "t.safetensors", TENSORS, {})
        write_checked_json(tmp_path / "c.json", {"a": 1}, format_version=2)
    with pytest.raises(RunError, match="Upgrade"):
        read_tensors(tmp_path / "t.safetensors")
    with pytest.raises(RunError, match="Upgrade"):
        read_checked_json(tmp_path / "c.json")


def test_json_that_was_edited_is_found(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    write_checked_json(path, {"rate": 0.1, "name": "\u00e9", "many": (1, 2)})
    assert read_checked_json(path) == {
        "rate": 0.1,
        "name": "\u00e9",
        "many": [1, 2],
        "format_version": 1,
    }
    path.write_text(path.read_text().replace("0.1", "0.2"))
    with pytest.raises(RunError, match="edited"):
        read_checked_json(path)


def test_shared_memory_is_named_once() -> None:
    weight = torch.ones(2, 3)
    state = {
        "a": weight,
        "b": weight,
        "c": weight.clone(),
        "view": weight.T,
        "d": weight.view(2, 3),
    }
    assert shared_names(state) == {"b": "a", "d": "a"}
