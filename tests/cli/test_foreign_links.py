"""A folder that somebody else made may hold links: nothing is written or removed through them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import cast

import pytest

from inklings.durable import refuse_links_out
from inklings.errors import DiskError
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.merge import merge
from inklings.lab.comparison.resume import begin
from inklings.lab.report.page import write_figures
from inklings.runs.audits import keep_audit
from inklings.runs.directory import RunDirectory
from inklings.runs.lock import locked
from inklings.text.store import TokenStore
from tests.commands import Command, words

FORMATS = Path(__file__).parents[1] / "fixtures" / "formats"
FILES = ["lock", "metrics.jsonl", "memory/lock"]
FOLDERS = ["checkpoints", "samples", "evaluations", "memory"]


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    shutil.copytree(FORMATS / "runs" / "memory", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text(words(200))
    Path("elsewhere/step_1").mkdir(parents=True)
    Path("elsewhere/.kept.tmp").mkdir()
    Path("elsewhere/kept.txt").write_text("kept " * 9_000)
    return Command(capsys)


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


VERBS: list[tuple[str, ...]] = [
    ("resume", "run", "--budget", "5-steps"),
    ("memory", "run", "add", "words.txt"),
    ("evaluate", "run"),
]


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_no_verb_writes_through_a_link_of_a_run(command: Command, name: str) -> None:
    link = Path("run") / name
    if link.is_dir():
        shutil.rmtree(link)
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(Path("elsewhere", "kept.txt" if name in FILES else "").absolute())
    before = content(Path("elsewhere"))
    said = {verb[0]: command(*verb) for verb in VERBS}
    assert content(Path("elsewhere")) == before
    assert link.is_symlink()
    for verb in ("resume", "memory"):
        code, text = said[verb]
        assert code == 1 and f"{name} in it is a link out of it" in " ".join(text.split()), text


def test_audits_and_pages_are_not_written_through_links_either(command: Command) -> None:
    for name in ("audits", "figures"):
        (Path("run") / name).symlink_to(Path("elsewhere").absolute())
    before = content(Path("elsewhere"))
    with pytest.raises(DiskError, match="audits in it is a link out of it"):
        keep_audit(RunDirectory.open(Path("run")), "test", {})
    with pytest.raises(DiskError, match="figures in it is a link out of it"):
        write_figures(Path("run"), [])
    assert content(Path("elsewhere")) == before


@pytest.mark.parametrize("target", ["elsewhere", "elsewhere/kept.txt", "elsewhere/nothing"])
def test_the_one_entry_that_is_written_to_is_looked_at_whatever_it_leads_to(
    tmp_path: Path, target: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept.txt").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "audits").symlink_to(tmp_path / target)
    with pytest.raises(DiskError, match="audits in it is a link out of it"):
        refuse_links_out(tmp_path / "run", "audits")
    refuse_links_out(tmp_path / "run", "figures")


def test_links_within_a_folder_and_to_a_whole_one_are_fine(tmp_path: Path) -> None:
    (tmp_path / "run" / "kept").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints").symlink_to("kept")
    (tmp_path / "run" / "nothing").symlink_to("nothing")
    (tmp_path / "run" / "loop").symlink_to("loop")
    (tmp_path / "linked").symlink_to("run")
    with locked(tmp_path / "linked"):
        assert (tmp_path / "run" / "lock").is_file()


def test_a_comparison_goes_on_and_is_merged_through_no_link(command: Command) -> None:
    shutil.copytree(FORMATS / "comparison", "out")
    shutil.rmtree("out/runs")
    Path("out/runs").symlink_to(Path("elsewhere").absolute())
    before = content(Path("elsewhere"))
    with pytest.raises(DiskError, match="runs in it is a link out of it"):
        merge([FORMATS / "comparison"], Path("out"))
    plan, store = read_comparison(Path("out")).plan, cast(TokenStore, None)  # neither is looked at
    with pytest.raises(DiskError, match="runs in it is a link out of it"):
        begin(Path("out"), plan, [], store, "test", None)
    assert content(Path("elsewhere")) == before
