"""The Python of README and of its own page runs with small budgets, from first to last."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": 1,
    "docs/reference/python.md": 6,
    "docs/reference/memory.md": 5,
    "docs/how-to/coming-from/wavegpt.md": 2,
}
"""The pages, and how many blocks each has at least."""
SMALL = [
    (r'"(1M|300k|100k)-tokens"', '"5-steps"'),
    (r'"gpt"', '"gpt:n_layer=1,n_embd=16,n_head=2"'),
    (r'"wavegpt:', '"wavegpt:n_layer=1,n_embd=16,n_head=2,wave_layers=2,context_length=6,'),
    (r"seeds=3", "seeds=2"),
    (r'budget="20-steps"', 'budget="5-steps", threads=1, show=False'),
    (r'TrainingConfig\(budget="5-steps", threads=1, show=False', 'TrainingConfig(budget="5-steps"'),
    (r"n_layer=2,n_embd=64", "n_layer=1,n_embd=16,n_head=2"),
    (r'"gpt:n_layer=1"', '"gpt:n_layer=1,n_embd=16,n_head=2"'),
    (r"seeds=2", "seeds=2, workers=1"),
]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(
    page: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (f"the {one} sat on the {two}\n" for one in "abcdefgh" for two in "stuvwxyz")
    (folder / "my.txt").write_text("Once A model\n" + "".join(lines))
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) >= PAGES[page]
    names: dict[str, Any] = {}
    for block in blocks:
        small = block
        for pattern, instead in SMALL:
            small = re.sub(pattern, instead, small)
        exec(compile(small, page, "exec"), names)
    assert "try:" not in text or "Did you mean 'adamw'" in capsys.readouterr().out
