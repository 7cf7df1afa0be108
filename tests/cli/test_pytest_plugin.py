"""`pytest --inklings-audit THING`: each check is a test, and nothing is imported where none is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.auditing.scorers.fixtures import EXAMPLES
from tests.test_house import loaded_by


@pytest.fixture
def audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> object:
    """Run pytest in an empty folder with the plug-in; return its exit code and what it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    (tmp_path / "test_own.py").write_text("def test_own() -> None: pass\n")

    def run(*options: str) -> tuple[int, str]:
        # at its end that one collects garbage five times, of all that the tests hold
        left_out = ("-p", "no:cacheprovider", "-p", "no:unraisableexception")
        plugins = ("-p", "inklings.cli.pytest_plugin", *left_out)
        code = pytest.main([*plugins, "-q", "-rA", str(tmp_path), *options])
        return int(code), capsys.readouterr().out

    return run


def test_each_check_is_a_test_beside_the_others(audited) -> None:  # type: ignore[no-untyped-def]  # a function of a fixture
    code, said = audited("--inklings-audit", f"{EXAMPLES / 'unnormalised_mixture.py'}:Scorer")
    assert code == 1
    assert re.search(r"1 failed, \d+ passed, 2 skipped", said)
    assert "does not hold: normalised: probabilities sum to" in said
    assert "Traceback" not in said


def test_its_tests_are_chosen_like_others(audited) -> None:  # type: ignore[no-untyped-def]  # as above
    thing = f"{EXAMPLES / 'unnormalised_mixture.py'}:Scorer"
    code, said = audited("--inklings-audit", thing, "-k", "contract or own")
    assert code == 0
    assert re.search(r"2 passed, \d+ deselected", said)
    code, said = audited("--inklings-audit", thing, "-m", "inklings_audit", "-k", "own or claim")
    assert (code, "1 passed" in said) == (0, True)


def test_what_cannot_be_named_is_wrong_usage(audited) -> None:  # type: ignore[no-untyped-def]  # as above
    assert audited("--inklings-audit", "no_such.py:Scorer")[0] == 4


def test_without_the_option_nothing_is_loaded() -> None:
    loaded = loaded_by("import inklings.cli.pytest_plugin")
    assert not {"torch", "numpy", "tyro", "inklings.auditing.audit"} & loaded
