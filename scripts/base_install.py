"""Installs the wheel alone into an empty environment, and runs README's first commands there.

    python scripts/base_install.py

Flags that README leaves out keep their defaults, so that what a newcomer runs first needs no extra;
only budgets and numbers of seeds are smaller. Needs nothing but Python: it is run with the one that
`make` finds.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
SMALLER = {r"--budget \S+": "--budget 16-steps", r"--seeds \S+": "--seeds 2"}
"""What flags become: 16 steps are two for the first of the four points at which a comparison
scores, and two seeds are the fewest of which it judges.
"""

PAGES = ("docs/tutorial.md", "docs/reference/architectures.md")
"""README begins with the text of all pages; two make the comparison as short as the budgets."""


def commands() -> list[str]:
    """The lines after a `$ ` in README's console blocks, up to the first comparison.

    With small budgets, and few seeds.
    """
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    for given, smaller in SMALLER.items():
        lines = [re.sub(given, smaller, line) for line in lines]
    last = next(number for number, line in enumerate(lines) if line.startswith("inklings compare "))
    return lines[: last + 1]


def install(folder: Path) -> Path:
    """Make the environment in a folder, and return where its programs are."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "wheel",
        "--no-deps",
        "--wheel-dir",
        str(folder / "wheel"),
        str(ROOT),
    ]
    subprocess.run(pip, check=True)
    (wheel,) = (folder / "wheel").glob("inklings-*.whl")
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip = [
        str(programs / "python"),
        "-m",
        "pip",
        "--quiet",
        "install",
        "--no-compile",
        "--constraint",
        str(ROOT / "constraints.txt"),
    ]
    subprocess.run([*pip, str(wheel)], check=True)
    return programs


def main() -> int:
    """Install and run; the exit code is 1 where a command fails."""
    with tempfile.TemporaryDirectory() as working:
        folder = Path(working)
        began = time.perf_counter()
        programs = install(folder)
        print(f"{time.perf_counter() - began:6.1f} s  the wheel and what it depends on, installed")
        for page in PAGES:
            copy = folder / "work" / page
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(ROOT / page)
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "INKLINGS_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        for command in commands():
            began = time.perf_counter()
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=folder / "work",
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            print(f"{time.perf_counter() - began:6.1f} s  {command}", flush=True)
            if done.returncode != 0:
                print(
                    f"{done.stdout}{done.stderr}\nit left with {done.returncode}, without any extra"
                    " installed",
                    file=sys.stderr,
                )
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
