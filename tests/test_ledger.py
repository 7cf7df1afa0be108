"""The ledger keeps its word.

Every claim's file is whole, stands in the document, and its command is one that runs; a replay
resumes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import runpy
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.cli.arguments import parse
from inklings.cli.audit import AuditFlags
from inklings.cli.compare import Compare
from inklings.cli.evaluate import Evaluate
from inklings.cli.generate import Generate
from inklings.cli.import_model import Import
from inklings.cli.memory import MemoryFlags
from inklings.cli.prepare import Prepare
from inklings.cli.run_arguments import parse_run, parse_settings
from inklings.cli.terminal import open_terminal
from inklings.cli.train import Train
from inklings.errors import ConfigError
from inklings.lab.comparison.request import check_request
from inklings.runs.arms import parse_arm

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import ledger  # noqa: E402  # the scripts are no package: their folder has to be on the path first
from ledger_claims import (  # noqa: E402
    SOURCES,
    Check,
    Claim,
    chosen,
    figure,
    identity,
    in_order,
    markdown,
    read_claims,
)
from ledger_replay import lay_out_corpora, replay  # noqa: E402

CLAIMS = read_claims()
DOCUMENT = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
MACHINE = re.compile(r"(?<![\w.])/(?:work|tmp|home|root|usr|mnt)/|[A-Z]:\\")


class Understood(Exception):
    """Raised where a script has read its arguments, so that it goes no further."""


def claim(name: str = "one", command: str = "python script.py", **more: Any) -> Claim:
    words = {
        "claim": "it runs",
        "source": "Inklings",
        "published": "1",
        "measured": "1",
        "verdict": "reproduced",
        "why": "So.",
    }
    return Claim(name=name, command=command, **{"minutes": 1.0, **words, **more})


def test_the_document_has_the_table_of_the_files() -> None:
    table = DOCUMENT.partition(ledger.BEGIN)[2].partition(ledger.END)[0]
    assert table == f"\n{markdown(CLAIMS)}\n", "run: python scripts/ledger.py --write"
    for name, one in CLAIMS.items():
        row = next(line for line in table.splitlines() if f"[{name}]" in line)
        assert row.endswith(f"**{one.verdict}** |")


def test_nothing_names_a_machine() -> None:
    for path in [
        *(ROOT / "configs" / "ledger").glob("*.toml"),
        ROOT / "docs" / "ledger.md",
        *ROOT.glob("scripts/ledger*.py"),
    ]:
        assert not MACHINE.search(path.read_text(encoding="utf-8")), path


def test_every_source_of_the_project_has_claims() -> None:
    assert {one.source for one in CLAIMS.values()} == set(SOURCES)


PARSERS: dict[str, Callable[[list[str]], object]] = {
    "train": lambda words: parse_run(words, Train, verb="train", description=""),
    "audit": lambda words: parse_settings(words, AuditFlags, verb="audit", description=""),
    "evaluate": lambda words: parse(Evaluate, words, verb="evaluate", description=""),
    "generate": lambda words: parse(Generate, words, verb="generate", description=""),
    "import": lambda words: parse(Import, words, verb="import", description=""),
    "memory": lambda words: parse(MemoryFlags, words, verb="memory", description=""),
    "prepare": lambda words: parse(Prepare, words, verb="prepare", description=""),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_the_arguments_of_a_command_are_accepted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(re.sub(r"\{\w+\}", str(tmp_path), CLAIMS[name].command))
    if words[0] == "inklings" and words[1] == "compare":
        parsed = parse_settings(words[2:], Compare, verb="compare", description="")
        flags: Compare = parsed.verb
        assert "--seeds" in words, "the default may change, and with it what the command measures"
        assert "--points" in words
        assert "--rates" in words
        arms = [parse_arm(text, base=parsed.config) for text in flags.arms]
        check_request(arms, range(flags.seeds), flags.workers)
        labels = {arm.label for arm in arms}
        check = CLAIMS[name].check
        for way in (check.read or [], check.minus or []) if check else ():
            assert way[:1] != ["arms"] or way[1].removeprefix("label=") in labels, way
    elif words[0] == "inklings":
        PARSERS[words[1]](words[2:])
        if words[1] == "train" and "--dry-run" not in words:
            assert "--run" in words, "where it is kept must not depend on what else is there"
    else:
        run_script_to_its_arguments(words[1], words[2:], monkeypatch)


def run_script_to_its_arguments(
    script: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        raise Understood

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", [script, *words])
    monkeypatch.syspath_prepend(str(Path(script).parent))
    with pytest.raises(Understood):
        runpy.run_path(script, run_name="__main__")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("claims = 'x'", "Did you mean 'claim'"),
        ("name = 'x'", "named after its file"),
        ("verdict = 'proven'", "unknown value 'proven'"),
        ("command = 'rm -r x'", "must begin with"),
        ("command = 'python x --to {home}'", "unknown placeholder 'home'"),
        ("minutes = 0", "above 0"),
        ("[check]\nexpected = 1\ntolerance = 1", "one of them"),
        ("[check]\nexpected = 1\ntolerance = 0\npattern = '(x)'", "above 0"),
        ("[check]\nexpected = 1\ntolerance = 1\npattern = 'x'", "has 0 groups"),
        ("[check]\nexpected = 1\ntolerance = 1\npattern = '('", "no regular expression"),
        (
            "[check]\nexpected = 1\ntolerance = 1\npattern = '(x)'\nminus = ['a']",
            "goes with check.read",
        ),
    ],
)
def test_a_wrong_file_is_refused_in_clear_words(text: str, words: str, tmp_path: Path) -> None:
    given = {
        k: v
        for k, v in dataclasses.asdict(claim()).items()
        if k not in ("name", "check", "estimated", "leaves_with")
    }
    given.pop(text.partition(" ")[0], None)
    whole = "".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items())
    (tmp_path / "one.toml").write_text(whole + text)
    with pytest.raises(ConfigError, match=re.escape(words)):
        read_claims(tmp_path)


def test_claims_stand_after_those_that_they_read() -> None:
    names = list(CLAIMS)
    for name, one in CLAIMS.items():
        assert all(names.index(needed) < names.index(name) for needed in one.needs)
    read = {name: claim(name) for name in "cd"}
    read |= {
        "a": claim("a", "python x {out}/b/run"),
        "b": claim("b", "python x {out}/c --out {out}/b/run"),
    }
    assert list(in_order(read)) == ["c", "b", "a", "d"]
    assert list(chosen(in_order(read), ["a"])) == ["c", "b", "a"]
    assert identity(read, "a") == ["python script.py", read["b"].command, read["a"].command]
    with pytest.raises(ConfigError, match="a -> b -> a"):
        in_order({"a": read["a"], "b": claim("b", "python x {out}/a/run")})
    with pytest.raises(ConfigError, match="unknown claim 'b'"):
        in_order({"a": read["a"]})


def test_what_was_not_tried_runs_only_by_name() -> None:
    both = {"a": claim("a"), "b": claim("b", verdict="not tried")}
    assert list(chosen(both, [])) == ["a"]
    assert list(chosen(both, ["b"])) == ["b"]
    with pytest.raises(ConfigError, match="Did you mean"):
        chosen(CLAIMS, ["makemore-bigrams"])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.integers(0, 5))
def test_a_way_leads_to_its_figure(values: list[float], place: int) -> None:
    document = {
        "arms": [
            {"label": "other", "runs": []},
            {"label": "gpt:n_layer=4", "runs": [{"loss": value} for value in values]},
        ]
    }
    mean = figure(document, ["arms", "label=gpt:n_layer=4", "runs", "*", "loss"])
    assert mean == pytest.approx(sum(values) / len(values))
    if place < len(values):
        assert figure(document, ["arms", "1", "runs", str(place), "loss"]) == values[place]
    for wrong in (
        ["arms", "label=none", "runs"],
        ["arms", "2"],
        ["arms", "label=other", "runs", "*", "loss"],
        ["nothing"],
        ["arms"],
    ):
        with pytest.raises(ConfigError, match="output has"):
            figure(document, wrong)


SCRIPT = """
import json, pathlib, sys
count = pathlib.Path({count!r})
count.write_text(str(int(count.read_text()) + 1) if count.exists() else "1")
print("said", file=sys.stderr)
print(json.dumps({{"loss": {loss}}}))
sys.exit({code})
"""


def tried(
    folder: Path,
    *,
    loss: float = 1.0,
    code: int = 0,
    command: str = "python script.py",
    **more: Any,
) -> tuple[Any, int]:
    """The outcome of replaying a script, and how often it has run."""
    (folder / "script.py").write_text(
        SCRIPT.format(count=str(folder / "count"), loss=loss, code=code)
    )
    more = {"check": Check(expected=1.0, tolerance=0.25, read=["loss"]), **more}
    outcome = replay(
        claim(command=command, **more), [command], out=folder / "out", places={}, root=folder
    )
    return outcome, int((folder / "count").read_text())


@pytest.mark.parametrize(
    ("loss", "state"),
    [(1.2, "holds"), (0.8, "holds"), (1.3, "no longer holds"), (0.7, "no longer holds")],
)
def test_the_figure_decides(loss: float, state: str, tmp_path: Path) -> None:
    outcome, _ = tried(tmp_path, loss=loss)
    assert outcome.state == state
    assert outcome.found == loss


def test_a_figure_is_read_from_words_too(tmp_path: Path) -> None:
    check = Check(expected=1000.0, tolerance=1.0, pattern=r"took ([0-9.,]+) s")
    (tmp_path / "script.py").write_text("print('it took 7 s'); print('it took 1,000.5 s')")
    assert (
        replay(claim(check=check), ["x"], out=tmp_path / "out", places={}, root=tmp_path).found
        == 1000.5
    )
    absent = dataclasses.replace(check, pattern="lasted ([0-9]+)")
    outcome = replay(claim(check=absent), ["x"], out=tmp_path / "out", places={}, root=tmp_path)
    assert (outcome.state, "nothing in the output fits" in outcome.words) == ("failed", True)


def test_what_is_there_is_not_run_again_and_what_changed_or_failed_is(tmp_path: Path) -> None:
    assert tried(tmp_path)[1] == 1
    assert tried(tmp_path)[1] == 1
    assert tried(tmp_path, command="python script.py --more")[1] == 2
    (tmp_path / "count").write_text("0")
    outcome, count = tried(tmp_path, command="python script.py --fails", code=1)
    assert (outcome.state, count) == ("failed", 1)
    assert "said" in outcome.words
    assert tried(tmp_path, command="python script.py --fails")[1] == 2


def test_an_audit_that_is_to_fail_must_fail(tmp_path: Path) -> None:
    assert tried(tmp_path, code=3, leaves_with=3)[0].state == "holds"
    assert (
        tried(tmp_path, code=0, leaves_with=3, command="python script.py --b")[0].state
        == "no longer holds"
    )
    assert tried(tmp_path, code=3, command="python script.py --c")[0].state == "no longer holds"


def test_a_folder_that_is_not_of_a_replay_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out" / "one").mkdir(parents=True)
    (tmp_path / "out" / "one" / "mine.txt").write_text("mine")
    (tmp_path / "script.py").write_text("")
    with pytest.raises(Exception, match="in the way"):
        replay(claim(), ["x"], out=tmp_path / "out", places={}, root=tmp_path)
    assert (tmp_path / "out" / "one" / "mine.txt").read_text() == "mine"


INTERRUPTING = """
import os, pathlib, signal, sys
def save(number, frame):
    pathlib.Path({saved!r}).touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, save)
again = pathlib.Path({again!r})
if not again.exists():
    again.touch()
    os.kill(os.getppid(), signal.SIGINT)
    signal.pause()
"""


def replay_all(claims: dict[str, Claim], out: Path) -> int:
    return ledger.replay_all(claims, claims, out, {}, open_terminal(False))


def scripts(folder: Path, monkeypatch: pytest.MonkeyPatch, **codes: str) -> dict[str, Claim]:
    """Claims whose scripts are given, run in `folder`."""
    for name, code in codes.items():
        (folder / f"{name}.py").write_text(code)
    monkeypatch.setattr(
        ledger, "replay", lambda *given, **more: replay(*given, **more, root=folder)
    )
    return {name: claim(name, f"python {name}.py") for name in codes}


def test_a_failure_keeps_nothing_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claims = scripts(
        tmp_path, monkeypatch, bad="raise SystemExit('no such thing')", good="print(1)"
    )
    claims["after"] = claim("after", "python good.py {out}/bad/run")
    assert replay_all(claims, tmp_path / "out") == 1
    said = capsys.readouterr().out
    assert "no such thing" in said
    assert re.search(r"good +reproduced +ran", said)
    assert re.search(r"after +reproduced +not run +it needs bad", said)


def test_a_verdict_that_no_longer_holds_leaves_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = scripts(
        tmp_path, monkeypatch, bad="raise SystemExit(1)", wrong="print('{\"loss\": 2}')"
    )
    claims["wrong"] = dataclasses.replace(
        claims["wrong"], check=Check(expected=1, tolerance=0.5, read=["loss"])
    )
    assert replay_all(claims, tmp_path / "out") == 3


def test_an_interrupted_replay_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupting = INTERRUPTING.format(again=str(tmp_path / "again"), saved=str(tmp_path / "saved"))
    claims = scripts(tmp_path, monkeypatch, a="print(1)", b=interrupting, c="print(1)")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert replay_all(claims, tmp_path / "out") == 1
    finally:
        signal.signal(signal.SIGINT, before)
    said = capsys.readouterr().out
    assert (tmp_path / "saved").exists(), "the command was not told"
    assert re.search(r"a +reproduced +ran", said)
    assert "interrupted; what is done is kept" in said
    first = (tmp_path / "out" / "a" / "replay.json").read_bytes()
    assert replay_all(claims, tmp_path / "out") == 0
    assert (tmp_path / "out" / "a" / "replay.json").read_bytes() == first, "what was done ran again"


def test_the_plan_says_how_long_it_takes_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        ledger.main(
            ["--list", "--only", "makemore-bigram", "wavegpt-leak", "--out", str(tmp_path / "out")]
        )
        == 0
    )
    said = capsys.readouterr().out
    minutes = sum(
        CLAIMS[name].minutes for name in ("makemore-bigram", "wavegpt-leak", "wavegpt-leaky-run")
    )
    assert f"3 commands to run, {minutes:.0f} min in all" in said
    assert not (tmp_path / "out").exists()


def test_corpora_of_a_folder_take_the_place_of_downloads(tmp_path: Path) -> None:
    (tmp_path / "data" / "names").mkdir(parents=True)
    (tmp_path / "data" / "names" / "names.txt").write_text("emma\n")
    lay_out_corpora(tmp_path / "data", tmp_path / "cache")
    assert (tmp_path / "cache" / "downloads" / "names" / "names.txt").read_text() == "emma\n"
    assert len(list((tmp_path / "cache").rglob("*.txt"))) == 1
