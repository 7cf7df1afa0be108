"""`inklings new`: what it writes is an architecture that can be changed at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inklings.cli.new_architecture import CLASS_NAME, write_template
from inklings.errors import InputError
from inklings.models.registry import build


def test_the_file_holds_an_architecture_and_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "leaky.py"
    write_template(path)
    text = path.read_text(encoding="utf-8")
    assert "inklings train leaky.py:MyModel" in text
    assert "my_model.py" not in text
    model = build(f"{path}:{CLASS_NAME}", {"n_embd": 8}, vocab_size=5, boundary_token=0)
    assert model(torch.zeros(1, 3, dtype=torch.int64)).logits.shape == (1, 3, 5)


def test_what_exists_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("weeks of work", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.py exists"):
        write_template(path)
    assert path.read_text(encoding="utf-8") == "weeks of work"


def test_a_name_that_could_not_be_given_as_an_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"try .*notes\.py"):
        write_template(tmp_path / "notes.txt")
    assert not list(tmp_path.iterdir())
