"""FSDP2 by one process of torchrun, beside one process without it: the same losses, and the time.

    python scripts/gpu_fsdp.py FOLDER gpt --data ... (a command line of `inklings train`)

The last line is JSON.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any


def events(run: Path) -> list[dict[str, Any]]:
    """The steps of a run."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "step"]


def main() -> None:
    """Train both, and compare."""
    folder, given = Path(sys.argv[1]), sys.argv[2:]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    alone = [sys.executable]
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1"]
    for name, start, more in (("alone", alone, []), ("fsdp", launched, ["--strategy", "fsdp"])):
        command = [*start, "-m", "inklings", "train", *given, "--out", str(folder / name), *more]
        subprocess.run(command, check=True)
    one, other = events(folder / "alone"), events(folder / "fsdp")
    found: dict[str, Any] = {
        "losses_differ_by": max(abs(a["loss"] - b["loss"]) for a, b in zip(one, other, strict=True))
    }
    for name, steps in (("alone", one), ("fsdp", other)):
        tokens = steps[-1]["tokens"] - steps[0]["tokens"]
        found[f"{name}_tokens_per_second"] = tokens / (steps[-1]["seconds"] - steps[0]["seconds"])
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
