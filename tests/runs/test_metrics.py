from __future__ import annotations

import errno
from pathlib import Path

import pytest

from inklings.durable import sha256
from inklings.errors import DiskError, RunError
from inklings.runs.metrics import MetricsLog, lost_events, read_metrics


def test_events_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, length=0) as log:
        for step in range(1000):
            log.append({"event": "step", "step": step, "loss": 1 / (step + 1)})
    assert read_metrics(path) == [
        {"event": "step", "step": step, "loss": 1 / (step + 1)} for step in range(1000)
    ]


def test_what_lies_behind_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, length=0) as log:
        log.append({"event": "a"})
        length, _ = log.sync()
        log.append({"event": "b"})
    with MetricsLog(path, length=length) as log:
        log.append({"event": "c"})
    assert [event["event"] for event in read_metrics(path)] == ["a", "c"]


def test_a_line_torn_by_a_crash_is_left_out_and_one_within_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"event": "a"}\n{"event": "b", "lo')
    assert read_metrics(path) == [{"event": "a"}]
    path.write_text('{"event": "a"}\n{"eve\n{"event": "b"}\n')
    with pytest.raises(RunError, match="line 2"):
        read_metrics(path)
    with pytest.raises(RunError, match="missing"):
        read_metrics(tmp_path / "absent")


@pytest.mark.parametrize(
    ("left", "kept"), [("", 0), ("x", 0), ('{"event": "a"}\n{"ev', 1), ('{"event": "a"}\n', 1)]
)
def test_of_a_file_shorter_than_its_checkpoint_the_whole_lines_are_kept(
    tmp_path: Path, left: str, kept: int
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(left)
    assert "damaged" in (lost_events(path, length=500) or "")
    with MetricsLog(path, length=500) as log:
        log.append({"event": "b"})
        length, digest = log.sync()
    assert [event["event"] for event in read_metrics(path)] == ["a"] * kept + ["b"]
    assert (length, digest) == (path.stat().st_size, sha256(path.read_bytes()))
    assert lost_events(path, length=length) is None


def test_lines_reach_the_file_in_groups(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, length=0) as log:
        log.append({"event": "a"})
        assert path.stat().st_size == 0
        for _ in range(255):
            log.append({"event": "a"})
        assert len(read_metrics(path)) == 256


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with MetricsLog(tmp_path / "metrics.jsonl", length=0) as log:
        log.append({"event": "a"})
        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", full)
            with pytest.raises(DiskError, match="full"):
                log.sync()
