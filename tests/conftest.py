"""What every test runs under.

Checked shapes, poisoned memory, a private cache, one thread.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import shape_checks

# What is collected is there to the end: to look through it for garbage, time and again while it
# grows, takes a quarter of collecting.
gc.disable()
shape_checks.install()

# What starts the tests in the background may ignore a closed terminal and Ctrl-C, and its children
# inherit that; the tests of signals, and the processes that they start, must not.
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

for profile, examples in (("fast", 10), ("full", 30)):
    settings.register_profile(
        profile,
        deadline=None,
        max_examples=examples,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("fast")


def pytest_configure(config: pytest.Config) -> None:
    """Search spaces of inputs longer where the slow tests run too."""
    if config.getoption("-m"):
        settings.load_profile("full")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check shapes anew in every file of tests."""
    shape_checks.tests_of(str(item.path))


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """See that a test leaves gradients on: others would fail without them."""
    import torch

    left = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    assert left, f"{item.nodeid} has turned gradients off for all that comes after it"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests out unless `-m` says otherwise; the longest of the others comes first."""
    items.sort(key=lambda item: not item.nodeid.endswith("run[README.md]"))
    if config.getoption("-m"):
        return
    skip = pytest.mark.skip(reason="slow: run by `make test-all`")
    for item in items:
        if item.get_closest_marker("slow"):  # keywords hold names of folders too
            item.add_marker(skip)


def pytest_collection_finish() -> None:
    """Look for garbage again, and only in what tests make."""
    gc.enable()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _one_thread_and_poison() -> None:
    """One thread, so that workers share the machine and bits repeat.

    Uninitialised tensors hold NaN, so that reading one shows. A GPU computes as users have it, but
    with all digits of float32 in convolutions too.
    """
    import torch

    torch.set_num_threads(1)
    if os.environ.get("INKLINGS_TEST_DEVICE", "cpu").startswith("cuda"):
        torch.backends.cudnn.allow_tf32 = False
        return
    torch.use_deterministic_algorithms(True)
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)  # noqa: B010


@pytest.fixture(scope="session", autouse=True)
def _pretended() -> Iterator[None]:
    """Where INKLINGS_TEST_DEVICE says `pretended:0`, tests have the GPU of `pretended_gpu.py`."""
    if not os.environ.get("INKLINGS_TEST_DEVICE", "").startswith("pretended"):
        yield
        return
    from tests.pretended_gpu import pretended_gpu

    with pretended_gpu():
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_sync() -> Iterator[None]:
    """What tests write is thrown away: nobody waits for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Token stores of tests go to a temporary cache, shared by the tests of one worker."""
    os.environ["INKLINGS_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder with the public corpora; a test that asks for it is skipped where it is absent."""
    folder = Path(
        os.environ.get(
            "INKLINGS_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"
        )
    )
    if not folder.is_dir():
        pytest.skip("the public corpora are not here; set INKLINGS_TEST_DATA to their folder")
    return folder
