"""The documents keep their word.

Their console blocks run, at a tiny budget; links lead somewhere; JSON and Markdown are whole.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from inklings.cli.main import main
from tests.brief import brief_comparisons

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
WORD = re.compile(r"[A-Za-z_]\w{2,}")
FILE = re.compile(r"[\w.*-]+/[\w./*-]*|[\w*-]+\.(?:py|md|toml|txt)")
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
STRANGER = re.compile(r"^(inklings audit .*?)(?:   # exit code (\d))?$", re.MULTILINE)
PRESENT = re.compile(r" (hf:)?examples/| wavegpt")
"""What is audited that needs no run and no file of the reader."""
DEAR = ("hf:", "wavegpt", "peeking")
TINY = [
    # of the text that README begins with, two pages
    (re.compile(r"cat docs/\S+ docs/\S+"), "cat docs/tutorial.md docs/reference/architectures.md"),
    (re.compile(r"--budget \S+"), "--budget 3-steps"),
    (re.compile(r"--seeds \d+"), "--seeds 2"),
    (re.compile(r"--trials \d+"), "--trials 2"),
    (re.compile(r"--samples \d{3,}"), "--samples 60"),
    (re.compile(r"--rates [1-9]\d*"), "--rates 1"),
    (re.compile(r"^inklings compare (?!.*--rates)(.*)"), r"inklings compare \1 --rates 0"),
    (re.compile(r"^inklings compare (?!.*--points)(.*)"), r"inklings compare \1 --points 1"),
    # in this process: a worker of its own takes longer to start than all of its runs
    (re.compile(r"^inklings compare (?!.*--merge)(.*)"), r"inklings compare \1 --workers 1"),
    (re.compile(r" gpt (?=--|recurrent)"), " gpt:n_layer=1,n_head=2,n_embd=16 "),
    (re.compile(r"recurrent:cell=gru"), "recurrent:cell=gru,n_embd=16,n_hidden=16"),
    (re.compile(r"--max-new-tokens \d+"), "--max-new-tokens 4"),
    (re.compile(r"--targets \d+"), "--targets 1000"),
    (
        re.compile(r"^inklings train (?!.*--training.evaluations)(.*)"),
        r"inklings train \1 --training.evaluations 1",
    ),
    (
        re.compile(r"^inklings train (?!.*--training.threads)(.*)"),
        r"inklings train \1 --training.threads 1",
    ),
]


def commands(document: Path) -> list[str]:
    """The lines after a `$ ` in the document's console blocks, in order."""
    text = document.read_text(encoding="utf-8")
    return [
        line[2:]
        for block in BLOCK.findall(text)
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def shrink(command: str) -> str:
    """The same command with a tiny budget, so that a document's whole story takes seconds."""
    for pattern, small in TINY:
        command = pattern.sub(small, command)
    return command


@pytest.mark.parametrize(
    "document",
    [
        # that the flags of all of them exist is seen in tests/surface/test_advice.py, in no time
        pytest.param(
            document,
            marks=[] if document == ROOT / "README.md" else [pytest.mark.slow],
            id=str(document.relative_to(ROOT)),
        )
        for document in DOCUMENTS
        if commands(document)
    ],
)
def test_the_commands_of_a_document_run(
    document: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("configs", "docs", "examples"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    budget = 3
    for command in commands(document):
        small = shrink(command)
        if small.startswith("inklings resume"):
            budget += 3  # "more of the same" must be more
            small = small.replace("--budget 3-steps", f"--budget {budget}-steps")
        if small.startswith("inklings "):
            try:
                with brief_comparisons():
                    code = main(shlex.split(small)[1:])
            except SystemExit as leaving:
                code = int(leaving.code or 0)
        else:
            code = subprocess.run(["bash", "-c", small], env=os.environ, check=False).returncode
        assert code == 0, f"{command}\n{capsys.readouterr()}"


def audits_outside_stories() -> list[tuple[str, int]]:
    """Every audit in a block that is no story, and the exit code that the page gives."""
    pages = [*DOCUMENTS, ROOT / "examples" / "audit" / "README.md"]
    found = [line for page in pages for line in STRANGER.findall(page.read_text(encoding="utf-8"))]
    return [(line, int(code or 0)) for line, code in dict.fromkeys(found) if PRESENT.search(line)]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        pytest.param(
            command,
            code,
            marks=[pytest.mark.slow] if any(name in command for name in DEAR) else [],
            id=command.removeprefix("inklings audit "),
        )
        for command, code in audits_outside_stories()
    ],
)
def test_an_audit_that_a_page_shows_ends_as_it_says(
    command: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "my.txt").symlink_to(ROOT / "examples" / "audit" / "text.txt")
    assert main(shlex.split(command)[1:]) == code


SHELL = re.compile(r"(<!-- not run: .+ -->\n\n)?^```(?:sh|bash)\n(.*?)^```", re.M | re.S)
"""A block of commands that no story runs, with the reason before it where there is one."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_run_by_a_test_or_say_why_not(document: Path) -> None:
    """Commands after a `$` are run above; so are some audits."""
    run = {line for line, _ in audits_outside_stories()}
    for reason, block in SHELL.findall(document.read_text(encoding="utf-8")):
        tested = {line for line, _ in STRANGER.findall(block)} & run
        assert reason or len(tested) == len(block.splitlines()), block


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_pictures_say_in_words_what_they_show(document: Path) -> None:
    text = CODE.sub("", document.read_text(encoding="utf-8"))
    assert not [target for alt, target in re.findall(r"!\[(.*?)\]\((.*?)\)", text) if len(alt) < 10]
    assert not [tag for tag in re.findall(r"<img\b[^>]*>", text) if " alt=" not in tag]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere_and_fences_are_closed(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert text.count("\n```") % 2 == 0 or text.startswith("```"), "an open code fence"
    for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text):
        if "://" not in target:
            page = document.parent / target if target else document
            assert page.exists(), target
            assert not heading or heading in headings(page), f"{target}#{heading}"


def headings(document: Path) -> set[str]:
    """The names that links to the headings of a page use."""
    titles = re.findall(r"^#+ (.*)", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_is_led_to() -> None:
    """From README or CONTRIBUTING, over any number of links."""
    reached, ahead = set(), [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached:
            reached.add(page)
            links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8"))
            ahead += [(page.parent / link).resolve() for link in links if "://" not in link]
    assert {d for d in DOCUMENTS if "recipes" not in d.parts} - reached <= {ROOT / "CHANGELOG.md"}


CONTRIBUTING = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "contributing").rglob("*.md"))]
EXAMPLES = {"its_name", "Release", "src/inklings/models/average.py"}
"""What stands for something that a contributor fills in or adds."""


@functools.cache
def words_of_the_code() -> set[str]:
    """Every word of the code, its tests, its build and its command lines."""
    files = [ROOT / name for name in ("Makefile", "pyproject.toml", "CHANGELOG.md")]
    files += [ROOT / "tests" / "surface" / "help.txt"]
    for folder in ("src", "tests", "scripts", "benchmarks"):
        files += (ROOT / folder).rglob("*.py")
    return {word for path in files for word in WORD.findall(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("page", CONTRIBUTING, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_contributors_are_told_of_is_there(page: Path) -> None:
    """Files and folders by their path or the end of it; anything else by each of its words."""
    text = page.read_text(encoding="utf-8")
    known = words_of_the_code() | EXAMPLES | set(WORD.findall("".join(CODE.findall(text))))
    added = re.findall(r"^# src/inklings/(\S+)", text, re.MULTILINE)
    for name in re.findall(r"`([^`\n]+)`", CODE.sub("", text)):
        if FILE.fullmatch(name):
            end = name.removeprefix("src/inklings/").rstrip("/")
            places = [
                (ROOT / home).glob(f"{depth}{end}")
                for home, depth in (("src", "**/"), ("tests", "**/"), ("docs", "**/"), (".", ""))
            ]
            assert name in EXAMPLES or end in added or any(next(place, None) for place in places), (
                name
            )
        else:
            words = set(WORD.findall(name.replace("...", "")))
            missing = {word for word in words - known if not word.endswith("_")}
            assert not missing, f"`{name}` is nowhere in the code"


def test_json_files_are_json() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.json"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    for name in listed:
        json.loads((ROOT / name).read_text(encoding="utf-8"))
