"""Command lines that torchrun starts: its own parser sees every word of them first."""

from __future__ import annotations

import contextlib
import io
import re

import pytest
from torch.distributed.run import get_args_parser

from tests.surface.surface import FLAGS
from tests.surface.test_advice import KNOWN

NOT_UNDER_TORCHRUN = {"run"}
"""Flags that torchrun takes for beginnings of its own (`--run-path`, `--run_path`)."""


def passes(*words: str) -> bool:
    """Whether torchrun hands a command line of `inklings train` on as it stands."""
    line = ["-m", "inklings", "train", "gpt", *words]
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            found = get_args_parser().parse_args(["--nproc-per-node", "2", *line])
        except SystemExit:
            return False
    return [found.training_script, *found.training_script_args] == line[1:]


@pytest.mark.parametrize("verb", ["train", "resume"])
def test_torchrun_hands_on_every_flag_but_one(verb: str) -> None:
    refused = {flag for flag in KNOWN[verb] if not passes(f"--{flag}", "3")}
    assert refused == NOT_UNDER_TORCHRUN & KNOWN[verb]


def test_what_torchrun_refuses_has_a_second_name() -> None:
    assert passes("--out", "runs/mine", "--budget", "10-steps")
    line = next(
        line
        for line in FLAGS.read_text(encoding="utf-8").splitlines()
        if re.match(r"train .*--run\b", line)
    )
    assert "--out" in line
