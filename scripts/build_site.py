"""Build the site: `python scripts/build_site.py`, after `pip install '.[site]'`.

The Markdown of the repository is the site. Its pages are copied to `build/pages` in the folders
that they have here, so that their links hold. What they link to comes too: a picture as it is, a
file of code or settings as a page that shows it, a folder as a page that lists its files. The
reference of the API is written from the docstrings. zensical then builds `build/site`, strictly: a
link that leads nowhere fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "pages"
SHOWN = {
    ".json": "json",
    ".md": "",
    ".py": "python",
    ".toml": "toml",
    ".yml": "yaml",
    "Dockerfile": "dockerfile",
}
"""The suffix, or the name, of files that become a page, with the language to shade them by."""
LINK = re.compile(r"(\]\()([^)#\s]+)(?=[)#])")
WORKER_SHIM = re.compile(r'src="https://[^"]*/iframe-worker/shim"')
"""What zensical asks another host for, so that search works on pages opened from a folder."""
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n"
"""Stands before a page that shows a file: who searches wants what is told, not what is quoted."""

API = "docs/reference/api.md"
SECTIONS = {
    "The verbs": "prepare train resume load evaluate generate stream audit compare load_comparison "
    "merge_comparisons sweep serve export write_report parse_arm",
    "What they return": "Run RunDirectory GeneratedText Records ComparisonFolder Arm",
    "Settings": "RunConfig DataConfig TrainingConfig SamplingConfig Method",
    "An architecture": "SequenceModel ModelConfig Output State Traits",
    "The memory": "Memory MemoryConfig",
    "Errors": "InklingsError InputError",
}
"""The public names, in the order in which the reference has them."""


def sources() -> list[Path]:
    """The pages that the site begins with; what they link to is found from them."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def kind_of(path: Path) -> str | None:
    """The language of a file that is shown on a page; None for one that is copied as it is."""
    return SHOWN.get(path.suffix or path.name)


def place_of(path: Path) -> Path:
    """Where the page or the copy of a file or folder stands, from the root of the pages."""
    place = path.relative_to(ROOT)
    if path.is_dir():
        return place / "README.md"
    if path.suffix != ".md" and kind_of(path) is not None:
        return place.with_name(f"{place.name}.md")
    return place


def page_of(path: Path) -> str:
    """The Markdown of a page: of itself, of the file that it shows, or of a folder's files."""
    if path.is_dir():
        if (path / "README.md").exists():
            return (path / "README.md").read_text(encoding="utf-8")
        names = sorted(each.name for each in path.iterdir() if each.is_file())
        listed = "".join(f"- [{name}]({name})\n" for name in names if name[0] not in "._")
        return f"{NOT_SEARCHED}# {path.relative_to(ROOT)}\n\n{listed}"
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    fence = f"````{kind_of(path)}\n{text}\n````\n"
    return f"{NOT_SEARCHED}# {path.relative_to(ROOT)}\n\n{fence}"


def links_of(text: str) -> list[str]:
    """The files and folders that a page links to, as it writes them."""
    targets = [match[2] for match in LINK.finditer(FENCED.sub("", text))]
    return [target for target in targets if "://" not in target]


def relinked(text: str, page: Path) -> str:
    """The same page, with its links to shown files and folders led to their pages."""

    def lead(link: re.Match[str]) -> str:
        target = page.parent / link[2]
        if "://" in link[2] or not target.exists():
            return link[0]  # zensical says that it leads nowhere
        place = PAGES / place_of(target.resolve())
        return link[1] + os.path.relpath(place, PAGES / page.parent.relative_to(ROOT))

    parts = re.split(f"({FENCED.pattern})", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if i % 2 else LINK.sub(lead, part) for i, part in enumerate(parts))


def gather() -> None:
    """Write all pages, and copy what they show."""
    done: set[Path] = set()
    ahead = sources()
    while ahead:
        path = ahead.pop()
        place = PAGES / place_of(path)
        if place in done or not path.resolve().is_relative_to(ROOT):
            continue
        done.add(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() or path.suffix == ".md":
            # a folder's page stands in the folder, and its links begin there
            page, text = (path / "README.md" if path.is_dir() else path), page_of(path)
            place.write_text(relinked(text, page), encoding="utf-8")
            targets = [(page.parent / target).resolve() for target in links_of(text)]
            ahead += [target for target in targets if target.exists()]
        elif kind_of(path) is None:
            shutil.copyfile(path, place)
        else:
            place.write_text(page_of(path), encoding="utf-8")


def api_page() -> str:
    """The reference of the public names, to be filled in from their docstrings."""
    parts = ["# The API\n\nEvery public name, from its docstring. "]
    parts.append("[Inklings in Python](python.md) tells how they belong together.\n")
    for title, names in SECTIONS.items():
        parts.append(f"\n## {title}\n")
        parts += [f"\n::: inklings.{name}\n" for name in names.split()]
    return "".join(parts)


def pages_of(nav: list[Any]) -> list[str]:
    """The pages of a navigation, in its order."""
    return [
        page
        for entry in nav
        for what in entry.values()
        for page in ([what] if isinstance(what, str) else pages_of(what))
    ]


def settle() -> None:
    """Let the built pages ask no other host: the stand-in for a worker is our own."""
    for page in (ROOT / "build" / "site").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        way = os.path.relpath(ROOT / "build" / "site" / "docs" / "site" / "worker.js", page.parent)
        page.write_text(WORKER_SHIM.sub(f'src="{way}"', text), encoding="utf-8")


def main() -> None:
    """Gather the pages and build the site."""
    shutil.rmtree(PAGES, ignore_errors=True)
    gather()
    (PAGES / API).write_text(api_page(), encoding="utf-8")
    shutil.copytree(ROOT / "docs" / "site", PAGES / "docs" / "site", dirs_exist_ok=True)
    project = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    if missing := [page for page in pages_of(project["nav"]) if not (PAGES / page).exists()]:
        sys.exit(f"zensical.toml names pages that are not there: {', '.join(missing)}")
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=ROOT, check=False
    )
    if built.returncode == 0:
        settle()
    sys.exit(built.returncode)


if __name__ == "__main__":
    main()
