"""Tensors in parts: what several processes wrote, each its own, is what one would have written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from inklings.cut_tensors import own_part, own_rows
from inklings.durable import BLOCK, read_checked_json, write_checked_json
from inklings.errors import RunError
from inklings.runs.tensors.checked_files import TensorFile, write_tensors
from inklings.runs.tensors.parts import (
    check_saved,
    open_tensors,
    read_ahead,
    saved_files,
    saved_sizes,
    write_index,
    write_part,
    write_whole,
)
from inklings.world import World
from tests.worlds import in_world

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes are copied as POSIX does")

METADATA = {"step": "7"}
WHOLE = {"step": torch.tensor(3.0), "mask": torch.tensor([True, False])}
"""What no process cuts up."""


def cut(rows: list[int]) -> dict[str, Tensor]:
    """Tensors of so many rows each, of three types of numbers, one with a single dimension."""
    generator = torch.Generator().manual_seed(0)
    made = {f"a{index}": torch.randn(n, 3, generator=generator) for index, n in enumerate(rows)}
    return {**made, "b": torch.arange(rows[0]), "c": made["a0"].bfloat16()}


def written(folder: Path, size: int, tensors: dict[str, Tensor]) -> Path:
    """Where so many processes wrote tensors, each its own part of those that are cut."""
    path = folder / "model.safetensors"

    def write(world: World) -> None:
        mesh = init_device_mesh("cpu", (size,))
        mine: dict[str, Tensor] = {
            name: distribute_tensor(tensor, mesh, [Shard(0)], src_data_rank=None)
            for name, tensor in tensors.items()
        }
        part = write_part(path, {**mine, **WHOLE}, METADATA, part=world.rank, count=size)
        parts = world.gathered(part)
        held = {name: own_rows(tensor) for name, tensor in mine.items()}
        for name, rows in held.items():
            assert rows is not None
            assert torch.equal(tensors[name][rows], own_part(mine[name]))
        if world.leads:
            write_index(path, parts, METADATA)

    def done(world: World) -> bool:
        write(world)
        return True

    in_world(size, done)
    return path


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three processes, the last of which has no row of some tensors."""
    return written(tmp_path_factory.mktemp("parts"), 3, cut([7, 2, 1, 0, 12]))


def copied(parts: Path, folder: Path) -> Path:
    shutil.copytree(parts.parent, folder / "copy")
    return folder / "copy" / parts.name


def test_parts_are_read_as_one_file_would_be(parts: Path, tmp_path: Path) -> None:
    tensors = {**cut([7, 2, 1, 0, 12]), **WHOLE}
    one = tmp_path / "one.safetensors"
    write_tensors(one, tensors, METADATA)
    with open_tensors(parts) as saved, open_tensors(one) as other:
        assert saved.metadata == other.metadata == METADATA
        assert list(saved.facts) == list(other.facts) and saved.facts == other.facts
        for name, tensor in tensors.items():
            assert torch.equal(saved.read(name, None), tensor)
            assert saved.read(name, None).dtype == tensor.dtype
    for source in (parts, one):
        ahead = read_ahead(source)
        assert (ahead.metadata, ahead.facts) == (METADATA, saved.facts)
        assert list(ahead.facts) == list(saved.facts)
        for name, tensor in tensors.items():
            found = ahead.read(name, None)
            assert torch.equal(found, tensor) and found.dtype == tensor.dtype
            with pytest.raises(KeyError):  # nobody holds it any longer
                ahead.read(name, None)
    assert sorted(saved_sizes(parts)) == sorted(saved_sizes(one))
    assert check_saved(parts) == [] and len(saved_files(parts)) == 4
    for source in (parts, one):
        write_whole(source, tmp_path / "whole.safetensors")
        assert (tmp_path / "whole.safetensors").read_bytes() == one.read_bytes()


@given(st.data())
@settings(deadline=None)
def test_any_rows_are_those_of_the_tensor(parts: Path, data: st.DataObject) -> None:
    tensors = cut([7, 2, 1, 0, 12])
    name = data.draw(st.sampled_from(sorted(tensors)))
    rows = slice(*sorted(data.draw(st.tuples(*2 * [st.integers(0, len(tensors[name]))]))))
    with open_tensors(parts) as saved:
        assert torch.equal(saved.read(name, rows), tensors[name][rows])


def test_only_blocks_that_hold_the_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a process needs no room for what others hold."""
    path = tmp_path / "t.safetensors"
    rows = BLOCK // 1024
    write_tensors(path, {"a": torch.arange(4.0 * rows * 256).view(4 * rows, 256)}, {})
    read: list[int] = []
    real = TensorFile._data

    def data(file: TensorFile, number: int) -> bytes:
        read.append(number)
        return real(file, number)

    monkeypatch.setattr(TensorFile, "_data", data)
    with open_tensors(path) as saved:
        found = saved.read("a", slice(rows, 2 * rows))
    assert found[0, 0] == rows * 256 and len(found) == rows and read == [1]


@given(st.data())
@settings(deadline=None)
def test_any_flipped_bit_of_any_part_is_found(
    parts: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    copy = copied(parts, tmp_path_factory.mktemp("flip"))
    file = data.draw(st.sampled_from(saved_files(copy)[1:]))
    content = bytearray(file.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    place = data.draw(st.integers(header, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(bytes(content))
    assert check_saved(copy) == [f"{file} is damaged: in blocks 0 of 4 MiB."]
    with pytest.raises(RunError, match="is damaged: in blocks 0 of 4 MiB"):
        read_ahead(copy)


def lacking_a_part(copy: Path) -> str:
    (copy.parent / "model-00002-of-00003.safetensors").unlink()
    return "model-00002-of-00003.safetensors is missing."


def lacking_the_index(copy: Path) -> str:
    (copy.parent / "model.safetensors.index.json").unlink()
    return "model.safetensors is missing."


def with_an_edited_index(copy: Path) -> str:
    index = copy.parent / "model.safetensors.index.json"
    index.write_text(index.read_text().replace('"step": "7"', '"step": "8"'))
    return "its hash does not fit"


def with_rows_left_out(copy: Path) -> str:
    """By somebody who made the hash fit."""
    index = copy.parent / "model.safetensors.index.json"
    content = read_checked_json(index)
    del content["tensors"]["a4"]["pieces"][1]
    write_checked_json(index, {k: v for k, v in content.items() if k != "format_version"})
    return "the rows of a4 do not follow each other"


def with_the_rows_of_a_part_twice(copy: Path) -> str:
    """By somebody who made the hash fit."""
    index = copy.parent / "model.safetensors.index.json"
    content = read_checked_json(index)
    tensor = content["tensors"]["a0"]
    part, begin, end = tensor["pieces"][-1]
    tensor["pieces"].append([part, end, end + end - begin])
    tensor["shape"][0] += end - begin
    write_checked_json(index, {k: v for k, v in content.items() if k != "format_version"})
    return "the rows of a0 do not follow each other"


def with_two_parts_exchanged(copy: Path) -> str:
    one, two = (copy.parent / f"model-0000{n}-of-00003.safetensors" for n in (1, 2))
    shutil.copy(one, two)
    return "it is not the part that model.safetensors.index.json names"


@pytest.mark.parametrize(
    "damaged",
    [
        lacking_a_part,
        lacking_the_index,
        with_an_edited_index,
        with_rows_left_out,
        with_the_rows_of_a_part_twice,
        with_two_parts_exchanged,
    ],
)
def test_what_is_wrong_with_parts_is_said(
    damaged: Callable[[Path], str], parts: Path, tmp_path: Path
) -> None:
    copy = copied(parts, tmp_path)
    saying = damaged(copy)
    (problem,) = check_saved(copy)
    assert saying in problem
    with pytest.raises(RunError) as refused, open_tensors(copy) as saved:
        for name in saved.facts:
            saved.read(name, None)
    assert str(refused.value) == problem
    with pytest.raises(RunError) as refused:
        read_ahead(copy)
    assert str(refused.value) == problem
