"""The code of the page on Python runs, with small budgets, from the first block to the last."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"
SMALL = [
    (r'"1M-tokens"', '"5-steps"'),
    (r'budget="20-steps"', 'budget="5-steps", threads=1, show=False'),
    (r'TrainingConfig\(budget="5-steps", threads=1, show=False', 'TrainingConfig(budget="5-steps"'),
    (r"n_layer=2,n_embd=64", "n_layer=1,n_embd=16,n_head=2"),
    (r'"gpt:n_layer=1"', '"gpt:n_layer=1,n_embd=16,n_head=2"'),
    (r"seeds=2", "seeds=2, workers=1"),
]


@pytest.mark.slow
def test_the_code_of_the_page_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (f"the {one} sat on the {two}\n" for one in "abcdefgh" for two in "stuvwxyz")
    (folder / "my.txt").write_text("Once\n" + "".join(lines))
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) > 5
    names: dict[str, Any] = {}
    for block in blocks:
        small = block
        for pattern, instead in SMALL:
            small = re.sub(pattern, instead, small)
        exec(compile(small, str(PAGE), "exec"), names)
    assert "Did you mean 'adamw'" in capsys.readouterr().out
