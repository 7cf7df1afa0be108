from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inklings.errors import RunError
from inklings.runs.lock import is_locked, locked

HOLD = """
import sys
from pathlib import Path
from inklings.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(run: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        assert is_locked(tmp_path)
        with pytest.raises(RunError, match=f"process {process.pid}"), locked(tmp_path):
            pass
        process.communicate("")
    with locked(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
    assert (tmp_path / "lock").is_file()
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        pass


def test_a_run_without_a_lock_file_is_not_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert not (tmp_path / "lock").exists()
