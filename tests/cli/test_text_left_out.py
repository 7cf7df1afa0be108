"""What of a text is left out is told by `prepare` and `train`, to people and to machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inklings.cli.main import main


def test_prepare_and_train_tell_what_they_leave_out(
    ask: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path("folder")
    folder.mkdir()
    (folder / "a.jsonl").write_text(
        "".join(f'{{"text": "word {number}"}}\n' for number in range(60))
        + '{"text": null}\n{"text": ""}\n'
    )
    (folder / "b.pdf").write_text("no text")
    counted = {"files": {".pdf": 1}, "records": {"empty": 1, "without text": 1}}
    assert ask("prepare", "folder", "--data.skip-bad")["left_out"] == counted
    tiny = ["--training.threads", "1", "--training.samples", "0", "--training.evaluations", "1"]
    trained = ask("train", "ngram", "--data", "folder", "--data.skip-bad", "--run", "run", *tiny)
    assert trained["left_out"] == counted
    assert main(["prepare", "folder", "--data.skip-bad"]) == 0
    said = capsys.readouterr().out
    assert "1 .pdf" in said and "1 empty, 1 without text" in said
    assert main(["prepare", "folder"]) == 2
    assert "--data.skip-bad" in capsys.readouterr().err
