"""A process that is told to end while it still waits for the others ends at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from torch._C._distributed_c10d import TCPStore

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")


@pytest.mark.parametrize(
    ("number", "both"),
    [
        (signal.SIGTERM, False),
        pytest.param(signal.SIGINT, True, marks=pytest.mark.slow),
    ],
    ids=["before the other came", "when the other has come and does not answer"],
)
def test_who_waits_for_others_ends_when_told(
    number: signal.Signals, both: bool, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    command = ["train", "mlp", "--data", "builtin:unicode-names", "--out", str(tmp_path / "run")]
    with subprocess.Popen(
        [sys.executable, "-m", "inklings", *command],
        env={**os.environ, **where, "RANK": "0", "WORLD_SIZE": "2"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            # the process 0 listens from when it waits on
            minute = timedelta(seconds=60)
            TCPStore("127.0.0.1", port, 2, timeout=minute, wait_for_workers=both)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 1
    assert said.count("inklings: interrupted; what was finished is kept.") == 1
    assert "Traceback" not in said and not (tmp_path / "run").exists()
