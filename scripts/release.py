"""Builds the wheel and the source package, and checks both before anybody uploads them.

    python scripts/release.py [--out dist]

The source package must give the same wheel as the checkout, the wheel must hold every file of the
package that git knows and no other, their metadata must be what an index takes, and the changelog
must have a heading for the version.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "inklings/"


def build(source: Path, out: Path, kind: str) -> Path:
    """Build a package, and return it.

    Args:
        source: a checkout, or an unpacked source package.
        out: the folder that it is built into.
        kind: `wheel` or `sdist`.
    """
    command = [sys.executable, "-m", "build", f"--{kind}", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"the {kind} cannot be built:\n{done.stdout}{done.stderr}")
    (made,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def content(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel; its own list of them holds no news."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: archive.read(name)
            for name in archive.namelist()
            if not name.endswith(".dist-info/RECORD")
        }


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Return the names of files that are not the same in both."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def tracked(root: Path) -> set[str]:
    """Return the files of the package that git knows, as a wheel names them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", f"src/{PACKAGE}"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {name.removeprefix("src/") for name in listed.split("\0") if name}


def problems_of(wheel: dict[str, bytes], rebuilt: dict[str, bytes], known: set[str]) -> list[str]:
    """Return what is wrong with a wheel, in sentences.

    Args:
        wheel: its files.
        rebuilt: those of the wheel that the source package gives.
        known: the files of the package that git knows.
    """
    packed = {name for name in wheel if name.startswith(PACKAGE)}
    sentences = {
        "the wheel lacks {}": known - packed,
        "the wheel has {}, which git does not know": packed - known,
        "the source package gives another {}": differences(wheel, rebuilt),
    }
    return [
        sentence.format(name) for sentence, names in sentences.items() for name in sorted(names)
    ]


def version_of(wheel: dict[str, bytes]) -> str:
    """Return the version that the metadata of a wheel says."""
    (metadata,) = (wheel[name] for name in wheel if name.endswith(".dist-info/METADATA"))
    found = re.search(r"^Version: (\S+)$", metadata.decode(), re.MULTILINE)
    assert found is not None
    return found[1]


def main() -> int:
    """Build and check; the exit code is 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where both are put")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as working:
        folder = Path(working)
        wheel = build(ROOT, folder / "wheel", "wheel")
        source = build(ROOT, folder / "source", "sdist")
        with tarfile.open(source) as archive:
            archive.extractall(folder / "unpacked", filter="data")
        (unpacked,) = (folder / "unpacked").iterdir()
        files = content(wheel)
        problems = problems_of(
            files, content(build(unpacked, folder / "again", "wheel")), tracked(ROOT)
        )
        checked = subprocess.run(
            [sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(source)],
            capture_output=True,
            text=True,
        )
        if checked.returncode != 0:
            problems.append(f"an index would refuse the metadata: {checked.stdout.strip()}")
        version = version_of(files)
        if f"\n## {version}" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
            problems.append(f"CHANGELOG.md has no heading `## {version}`")
        for problem in problems:
            print(f"not ready: {problem}", file=sys.stderr)
        if problems:
            return 1
        out.mkdir(parents=True, exist_ok=True)
        for package in (wheel, source):
            shutil.copy(package, out)
            size = package.stat().st_size / 1e6
            print(f"{out / package.name}  {size:.1f} MB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
