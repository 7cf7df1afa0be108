"""The tests that have a pretended GPU, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def passes(*words: str, device: str | None = None) -> None:
    """Run tests in another process."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *words]
    more = {} if device is None else {"INKLINGS_TEST_DEVICE": device}
    done = subprocess.run(command, env={**os.environ, **more}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.slow
def test_a_gpt_trains_and_writes_on_it() -> None:
    passes(str(HERE / "on_pretended_gpu.py"), "-k", "refuses or gpt")


@pytest.mark.slow
def test_all_train_and_write_on_it() -> None:
    passes(str(HERE / "on_pretended_gpu.py"), "-m", "slow or not slow")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["mlp", "gpt:", "wavenet:"])
def test_the_contract_is_kept(architecture: str) -> None:
    tests = str(HERE / "contracts" / "test_contracts.py")
    passes(tests, "-k", f"{architecture} and not tree", device="pretended:0")
