"""What `make release` refuses, and that the workflow for hosts names what is there."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import release  # noqa: E402  # the scripts are no package: their folder has to be on the path

FILES = st.dictionaries(st.sampled_from("abcde").map("inklings/{}.py".format), st.binary())


@given(wheel=FILES, rebuilt=FILES, known=st.sets(st.sampled_from("abcde")))
def test_a_wheel_is_right_only_if_all_three_are_the_same(
    wheel: dict[str, bytes], rebuilt: dict[str, bytes], known: set[str]
) -> None:
    names = {f"inklings/{name}.py" for name in known}
    found = release.problems_of(wheel, rebuilt, names)
    assert (not found) == (wheel == rebuilt and set(wheel) == names)
    for name in names - set(wheel):
        assert f"the wheel lacks {name}" in found


def test_what_git_knows_is_what_the_wheel_is_asked_for() -> None:
    known = release.tracked(ROOT)
    assert {"inklings/__init__.py", "inklings/py.typed"} <= known
    assert not [name for name in known if name.endswith(".pyc")]


def test_the_workflow_runs_commands_and_tests_that_exist() -> None:
    text = (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    ran = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    for path in re.findall(r"(?:tests|scripts|\.ci)/[\w./]+", ran):
        assert (ROOT / path).exists(), path
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = {line.rpartition(" ")[2] for line in project["classifiers"] if ":: 3." in line}
    assert said == set(jobs["base"]["strategy"]["matrix"]["python"])
