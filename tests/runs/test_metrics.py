from __future__ import annotations

import errno
from pathlib import Path

import pytest

from inklings.durable import sha256
from inklings.errors import DiskError, RunError
from inklings.events import CheckpointEvent
from inklings.runs.metrics import MetricsLog, lost_events, read_metrics

LINE = '{"event": "checkpoint", "step": 1}\n'


def event(step: int) -> CheckpointEvent:
    return {"event": "checkpoint", "step": step}


def test_events_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, length=0) as log:
        for step in range(1000):
            log.append(event(step))
    assert read_metrics(path) == [event(step) for step in range(1000)]


def test_what_lies_behind_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, length=0) as log:
        log.append(event(1))
        length, _ = log.sync()
        log.append(event(2))
    with MetricsLog(path, length=length) as log:
        log.append(event(3))
    assert read_metrics(path) == [event(1), event(3)]


def test_a_line_torn_by_a_crash_is_left_out_and_one_within_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(LINE + LINE[:20])
    assert read_metrics(path) == [event(1)]
    path.write_text(LINE + LINE[:5] + "\n" + LINE)
    with pytest.raises(RunError, match="line 2"):
        read_metrics(path)
    with pytest.raises(RunError, match="missing"):
        read_metrics(tmp_path / "absent")


@pytest.mark.parametrize(("left", "kept"), [("", 0), ("x", 0), (LINE + LINE[:5], 1), (LINE, 1)])
def test_of_a_file_shorter_than_its_checkpoint_the_whole_lines_are_kept(
    tmp_path: Path, left: str, kept: int
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(left)
    assert "damaged" in (lost_events(path, length=500) or "")
    with MetricsLog(path, length=500) as log:
        log.append(event(2))
        length, digest = log.sync()
    assert read_metrics(path) == [event(1)] * kept + [event(2)]
    assert (length, digest) == (path.stat().st_size, sha256(path.read_bytes()))
    assert lost_events(path, length=length) is None


def test_lines_reach_the_file_in_groups(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, length=0) as log:
        log.append(event(1))
        assert path.stat().st_size == 0
        for _ in range(255):
            log.append(event(1))
        assert len(read_metrics(path)) == 256


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with MetricsLog(tmp_path / "metrics.jsonl", length=0) as log:
        log.append(event(1))
        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", full)
            with pytest.raises(DiskError, match="full"):
                log.sync()
