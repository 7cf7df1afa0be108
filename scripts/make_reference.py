"""Trains the run of configs/reference.toml and publishes it in the package.

Without checkpoints, and with nothing of the machine in it.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from inklings.config import load_run_config
from inklings.durable import read_checked_json, write_bytes, write_checked_json
from inklings.training.train import train

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "src" / "inklings" / "reference"
COMMAND = "inklings train configs/reference.toml --run reference"
KEPT_LINES = 200
"""About how many lines of the metrics are published, evaluations and samples beside them."""


def main() -> None:
    """Train, copy what a reader of the run needs, and say where it came from."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "reference"
        result = train(load_run_config(ROOT / "configs" / "reference.toml"), run)
        shutil.rmtree(TARGET, ignore_errors=True)
        TARGET.mkdir()
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            shutil.copyfile(run / name, TARGET / name)
        shutil.copytree(run / "samples", TARGET / "samples")
        machine = ("store", "system", "memory")
        environment = read_checked_json(run / "environment.json")
        write_checked_json(
            TARGET / "environment.json", {k: v for k, v in environment.items() if k not in machine}
        )
        lines = (run / "metrics.jsonl").read_text().splitlines()
        steps = [line for line in lines if '"event": "step"' in line]
        kept = set(steps[:: max(1, len(steps) // KEPT_LINES)]) | (set(lines) - set(steps))
        write_bytes(
            TARGET / "metrics.jsonl",
            "".join(f"{line}\n" for line in lines if line in kept).encode(),
        )
    words = (
        f"{result.steps:,} steps, {result.tokens:,} tokens, validation loss"
        f" {result.best_validation_loss:.4f} nats per character"
    )
    text = (
        "# The reference run\n\nTrained on `builtin:unicode-names`"
        f" by\n\n```sh\n{COMMAND}\n```\n\n{words}.\n"
    )
    write_bytes(TARGET / "README.md", text.encode())


if __name__ == "__main__":
    main()
