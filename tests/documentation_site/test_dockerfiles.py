"""The Dockerfiles, read without Docker: what they copy, install and start is there."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from inklings.cli.main import VERBS
from tests.surface.test_advice import wrong

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
PAGE = (ROOT / "docs" / "how-to" / "docker.md").read_text(encoding="utf-8")
INSTRUCTIONS = {
    "FROM", "ARG", "WORKDIR", "RUN", "COPY", "USER", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK",
    "ENTRYPOINT", "CMD", "STOPSIGNAL",
}  # fmt: skip


def instructions(path: Path) -> list[tuple[str, str]]:
    """Each instruction of a Dockerfile with its arguments, comments left out and lines joined."""
    text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines if line.strip()]


def all_of(path: Path, name: str) -> list[str]:
    """The arguments of every instruction of a name."""
    return [arguments for each, arguments in instructions(path) if each == name]


def test_there_is_one_that_trains_and_one_that_serves() -> None:
    assert [path.name for path in FILES] == ["serve.Dockerfile", "train.Dockerfile"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_syntax(path: Path) -> None:
    given = instructions(path)
    assert {name for name, _ in given} <= INSTRUCTIONS
    assert given[0] == ("FROM", "python:3.11-slim")
    for name, arguments in given:
        assert arguments
        if name in ("ENTRYPOINT", "CMD"):
            assert all(isinstance(part, str) for part in json.loads(arguments))
        if name == "RUN":
            shlex.split(arguments)
    declared = {argument.partition("=")[0] for argument in all_of(path, "ARG")}
    used = set(re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8")))
    assert used == declared


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_copied_is_there_and_reaches_docker(path: Path) -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = [part for each in all_of(path, "COPY") for part in each.split()[:-1]]
    assert "src" in copied
    assert {"pyproject.toml", "README.md", "LICENSE"} <= set(copied), "the wheel is made of them"
    for part in copied:
        assert (ROOT / part).exists()
        assert part in let_through


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_installs_extras_that_there_are_with_the_pinned_versions(path: Path) -> None:
    (install,) = [each for each in all_of(path, "RUN") if "uv pip install" in each]
    assert "--constraint constraints.txt" in install
    extras = re.search(r"'\.\[(.*)\]'", install)
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_runs_as_a_user_without_rights_and_keeps_runs_in_a_volume(path: Path) -> None:
    names = [name for name, _ in instructions(path)]
    assert all_of(path, "USER") == ["inklings"]
    assert all_of(path, "VOLUME") == ["/runs"]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "RUN" not in names[names.index("USER") :]
    assert len(all_of(path, "HEALTHCHECK")) == 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_it_starts_is_a_command_of_ours(path: Path) -> None:
    (entry,), (default,) = all_of(path, "ENTRYPOINT"), all_of(path, "CMD")[-1:]
    command = [*json.loads(entry), *json.loads(default)]
    assert command[0] == "inklings"
    assert command[1] in VERBS
    assert not wrong(shlex.join(command), ())
    for part in command:
        if part.startswith("/opt/inklings/"):
            inside = part.removeprefix("/opt/inklings/")
            assert (ROOT / inside).exists()
            assert inside.split("/")[0] in all_of(path, "COPY")[-1].split()


def test_the_server_is_asked_where_it_listens() -> None:
    serve = FILES[0]
    check, entry = all_of(serve, "HEALTHCHECK")[0], json.loads(all_of(serve, "ENTRYPOINT")[0])
    port = entry[entry.index("--port") + 1]
    assert f"http://127.0.0.1:{port}/health" in check
    assert all_of(serve, "EXPOSE") == [port]
    described = json.loads((ROOT / "tests" / "surface" / "openapi.json").read_text())
    assert "/health" in described["paths"]
    code = json.loads(check.partition("CMD ")[2])
    compile(code[code.index("-c") + 1], "healthcheck", "exec")


def test_the_page_names_files_and_commands_that_there_are() -> None:
    assert set(re.findall(r"--file (\S+)", PAGE)) == {f"docker/{path.name}" for path in FILES}
    after = re.findall(r" inklings-(train|serve)(?: \\\n)?[ ]+([a-z]\w*|/runs/\w+)", PAGE)
    started = {word for image, word in after if image == "train"}
    assert started == {"train", "resume", "doctor"} <= set(VERBS)
    for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            shlex.split(line)
            if (ours := line.partition(" inklings-train ")[2]) and not ours.startswith("."):
                assert not wrong(f"inklings {ours}", ())
