"""The recipe for an architecture, carried out: its file, its line, its two configurations."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

from inklings import models
from inklings.cli.main import main
from inklings.models.registry import ARCHITECTURES

from . import properties, run_properties
from .subjects import NotApplicableError, Subject

PAGE = Path(__file__).parents[2] / "docs" / "contributing" / "recipes" / "architecture.md"
FILE, LINE, SUBJECTS = re.findall(
    r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


@pytest.fixture
def _added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the architecture as the page says, in a folder beside that of the package."""
    (tmp_path / "average.py").write_text(FILE, encoding="utf-8")
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    for name, target in ast.literal_eval("{" + LINE + "}").items():
        monkeypatch.setitem(ARCHITECTURES, name, target)


@pytest.mark.slow
@pytest.mark.usefixtures("_added")
def test_it_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in SUBJECTS.splitlines():
        subject = eval(line, {"Subject": Subject})
        for module in (properties, run_properties):
            for name, check in vars(module).items():
                if name.startswith("check_"):
                    try:
                        check(subject)
                    except NotApplicableError:
                        continue


@pytest.mark.slow
@pytest.mark.usefixtures("_added")
def test_the_verbs_know_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--budget", "3-steps", "--training.threads", "1", "--training.evaluations", "1"]
    assert main(["models"]) == 0
    assert "A decaying average of the embeddings" in capsys.readouterr().out
    assert main(["train", "average", "--model.keep", "0.5", *small, "--run", "run"]) == 0
    assert main(["resume", "run", "--budget", "5-steps"]) == 0
    assert main(["generate", "run", "--max-new-tokens", "3"]) == 0
    assert main(["audit", "average:n_embd=16"]) == 0
    shutil.rmtree("run")
