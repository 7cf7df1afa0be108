"""Whatever happened to the files of a run, every verb that opens it ends with one clear message."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inklings.cli.main import main
from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.durable import canonical, sha256, write_checked_json
from inklings.errors import ConfigError, InklingsError, RunError
from inklings.events import Event
from inklings.models.contract import model_fields
from inklings.models.registry import ARCHITECTURES, load_class
from inklings.runs.directory import CONFIG, RunDirectory, list_runs
from inklings.runs.open_memory import attach, changing, create_memory
from inklings.serving.process.model_loader import ServedModel, Spec
from inklings.training.train import resume, train

pytestmark = pytest.mark.filterwarnings("ignore:field")

VERBS = {
    "generate": ["generate", "RUN", "w", "--max-new-tokens", "2"],
    "without a memory": ["generate", "RUN", "w", "--max-new-tokens", "2", "--no-memory"],
    "last weights": [
        "generate",
        "RUN",
        "w",
        "--max-new-tokens",
        "2",
        "--weights",
        "last",
        "--no-memory",
    ],
    "evaluate": ["evaluate", "RUN"],
    "resume": ["resume", "RUN"],
    "memory": ["memory", "RUN", "info"],
    "search": ["memory", "RUN", "search", "word", "--k", "1"],
    "doctor": ["doctor", "RUN"],
    "runs": ["runs", "."],
}
SAID = (
    "damaged",
    "cannot be read",
    "missing",
    "not a run",
    "lacks",
    "Upgrade",
    "cannot write",
    "could not write",
    "belong",
    "not written by Inklings",
    "no checkpoint",
)
"""What a message about a file has one of."""
QUICK = ("generate", "memory", "resume", "doctor", "runs")
OF_EACH_KIND = (
    "config.json",
    "metrics.jsonl",
    "checkpoints/step_2/model.safetensors",
    "memory/store/manifest.json",
)
"""Four files in whose place JSON that nobody meant is tried by the fast tests."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything that a run can have."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "words.txt").write_text("\n".join(f"word {n} and {n * 7 % 13}" for n in range(200)))
    config = RunConfig(
        architecture="varda",
        model={"backbone": "mlp:n_hidden=4,n_embd=4", "segment": 4},
        data=DataConfig(source=str(folder / "words.txt"), tokenizer="byte"),
        training=TrainingConfig(
            budget="2-steps",
            batch_size=2,
            sequence_length=8,
            evaluations=1,
            samples=1,
            threads=1,
            precision="float32",
            compile="off",
        ),
    )
    train(config, folder / "run")
    run = RunDirectory.open(folder / "run")
    model: Any = run.load_model()
    with changing(run):
        create_memory(run, model).add([("a.txt", "word 3 and 8, word 4 and 2")])
    assert main(["evaluate", str(folder / "run")]) == 0
    return folder / "run"


FILES = (
    "config.json",
    "environment.json",
    "tokenizer.json",
    "metrics.jsonl",
    "model.safetensors",
    "checkpoints/step_2/progress.json",
    "checkpoints/step_2/model.safetensors",
    "checkpoints/step_2/optimizer.safetensors",
    "memory/store/manifest.json",
    "memory/documents/0.json",
    "VECTORS",
    "samples/step_2.txt",
    "EVALUATION/likelihood.json",
    "EVALUATION/units.safetensors",
    "lock",
)


def named(run: Path, name: str) -> Path:
    if name == "VECTORS":
        return next((run / "memory" / "store").glob("vectors-*.npy"))
    evaluation = next((run / "evaluations").iterdir())
    return run / name.replace("EVALUATION", evaluation.relative_to(run).as_posix())


@pytest.fixture
def ask(
    whole: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., dict[str, tuple[int, str]]]:
    """Harm a copy of the run, then let verbs open it: exit code and message of each."""
    folder = tmp_path_factory.mktemp("harmed")
    monkeypatch.chdir(folder)

    def harmed(
        harm: Callable[[Path], None], verbs: tuple[str, ...] = tuple(VERBS)
    ) -> dict[str, tuple[int, str]]:
        found = {}
        for verb in verbs:
            shutil.rmtree("run", ignore_errors=True)
            shutil.copytree(whole, "run")
            harm(Path("run"))
            capsys.readouterr()
            code = main([word.replace("RUN", "run") for word in VERBS[verb]])
            out, err = capsys.readouterr()
            assert code in (0, 1, 2), (verb, err)
            assert "Traceback" not in err + out
            if code:
                said = out if verb == "doctor" and code == 1 else err
                assert any(word in said for word in SAID), (verb, said)
                assert verb != "runs", said
            found[verb] = (code, " ".join((out + err).split()))
        return found

    return harmed


def replaced(name: str, by: bytes) -> Callable[[Path], None]:
    def harm(run: Path) -> None:
        named(run, name).write_bytes(by)

    return harm


def put(name: str, kind: str) -> Callable[[Path], None]:
    """Something else than a file in its place."""

    def harm(run: Path) -> None:
        path = named(run, name)
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "link to itself":
            path.symlink_to(path.name)
        elif kind == "link to nothing":
            path.symlink_to("nothing")
        elif kind == "pipe":
            os.mkfifo(path)

    return harm


DEEP = b'{"format_version": 1, "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
DIGITS = b'{"format_version": 1, "a": ' + b"7" * 5_000 + b"}"
NO_NUMBERS = [
    b'{"format_version": 1, "event": "x", "a": ' + text + b"}\n"
    for text in (b"NaN", b"-Infinity", b"1e999")
]
HEADERS = [
    struct.pack("<Q", 1 << 62) + b"{}",
    struct.pack("<Q", len(DEEP)) + DEEP,
    struct.pack("<Q", 2) + b"[]",
    struct.pack("<Q", 20) + b'{"__metadata__": 5  }',
    struct.pack("<Q", 1) + b"\xff",
    b"",
    b"PK\x03\x04",
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "kind",
    [
        "nothing",
        *(
            pytest.param(kind, marks=pytest.mark.slow)
            for kind in ("folder", "link to itself", "link to nothing", "pipe")
        ),
    ],
)
def test_something_else_in_a_file_s_place_is_said(
    name: str, kind: str, ask: Callable[..., dict[str, tuple[int, str]]]
) -> None:
    other = QUICK[FILES.index(name) % 3]
    found = ask(put(name, kind), ("doctor", other))
    if name != "lock":
        assert found["doctor"][0] != 0, found


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in OF_EACH_KIND else pytest.mark.slow)
        for name in FILES
        if name.endswith((".json", ".jsonl", ".safetensors"))
    ],
)
def test_json_that_nobody_meant_is_said(
    name: str, ask: Callable[..., dict[str, tuple[int, str]]]
) -> None:
    bodies = (
        HEADERS
        if name.endswith(".safetensors")
        else [DEEP, DIGITS, *NO_NUMBERS, b"[]", b"5", b"\xff\xfe", b"{}", b""]
    )
    for body in bodies:
        found = ask(replaced(name, body), ("doctor",))
        assert found["doctor"][0] != 0, (body[:50], found)
    ask(replaced(name, bodies[1]), QUICK)


@settings(max_examples=25)
@given(data=st.data())
def test_no_damage_ends_in_a_traceback(data: st.DataObject, whole: Path) -> None:
    """Flip, cut, grow or replace any file."""
    name = data.draw(st.sampled_from([name for name in FILES if name != "lock"]))
    content = named(whole, name).read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    how = data.draw(st.sampled_from(["flip", "cut", "grow", "replace", "remove"]))
    other = data.draw(st.binary(max_size=40))
    verb = data.draw(st.sampled_from(["doctor", *VERBS]))

    def harm(run: Path) -> None:
        path = named(run, name)
        if how == "remove":
            path.unlink()
        elif how == "flip":
            path.write_bytes(
                content[:at]
                + bytes([content[at] ^ 1 << data.draw(st.integers(0, 7))])
                + content[at + 1 :]
            )
        else:
            path.write_bytes(
                {"cut": content[:at], "grow": content + other + b"x", "replace": other}[how]
            )

    code = outcome(whole, harm, verb)
    assert code in (0, 1, 2)
    if verb == "doctor":
        assert code != 0, (name, how)


def outcome(whole: Path, harm: Callable[[Path], None], verb: str) -> int:
    """The exit code of a verb on a harmed copy; a traceback fails the test by itself."""
    folder = whole.parent / "copies"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder / "run")
    harm(folder / "run")
    words = {"RUN": str(folder / "run"), ".": str(folder)}
    return main([words.get(word, word) for word in VERBS[verb]])


# --- content that was forged: every hash fits ------------------------------------------------


def forge(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    content = json.loads(path.read_text())
    del content["sha256"]
    content = change(content)
    write_checked_json(path, content, format_version=content["format_version"])


FORGED: list[tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = [
    ("config.json", lambda content: {**content, "unknown": 1}),
    ("config.json", lambda content: {**content, "config": 5}),
    ("config.json", lambda content: {**content, "steps": "many"}),
    ("config.json", lambda content: {**content, "code": 5}),
    ("config.json", lambda content: {**content, "extensions": {}}),
    ("config.json", lambda content: {"format_version": 1}),
    ("environment.json", lambda content: {**content, "runtime": 5}),
    ("environment.json", lambda content: {**content, "runtime": {"reasons": 1}}),
    ("environment.json", lambda content: {"format_version": 1}),
    ("tokenizer.json", lambda content: {**content, "tokenizer": {}}),
    ("tokenizer.json", lambda content: {"format_version": 1}),
    ("checkpoints/step_2/progress.json", lambda content: {**content, "step": None}),
    ("checkpoints/step_2/progress.json", lambda content: {**content, "stopped": "bored"}),
    ("checkpoints/step_2/progress.json", lambda content: {"format_version": 1}),
    ("memory/store/manifest.json", lambda content: {**content, "files": 5}),
    (
        "memory/store/manifest.json",
        lambda content: {**content, "files": {"vectors": {"name": "x"}}},
    ),
    ("memory/store/manifest.json", lambda content: {"format_version": 1, "metric": "squared_l2"}),
    ("EVALUATION/likelihood.json", lambda content: {"format_version": 1}),
]


@pytest.mark.parametrize("case", range(len(FORGED)))
def test_content_that_was_forged_is_damage_too(
    case: int, ask: Callable[..., dict[str, tuple[int, str]]]
) -> None:
    name, change = FORGED[case]
    found = ask(lambda run: forge(named(run, name), change), ("doctor", QUICK[case % 3]))
    assert found["doctor"][0] != 0, found


def test_a_forged_header_of_tensors_is_damage(
    ask: Callable[..., dict[str, tuple[int, str]]],
) -> None:
    def harm(run: Path) -> None:
        path = run / "model.safetensors"
        data = path.read_bytes()
        start = 8 + struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:start])
        facts = header.pop("__metadata__")
        for about in header.values():
            about["shape"] = [10**15]
        del facts["header_sha256"]
        facts["header_sha256"] = sha256(canonical([header, facts]))
        text = json.dumps({"__metadata__": facts, **header}).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[start:])

    found = ask(harm, ("generate", "evaluate"))
    assert all(code == 2 for code, _ in found.values())


HUGE = (10**7, 10**12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(name, marks=[] if name in ("gpt", "recurrent") else [pytest.mark.slow])
        for name in ARCHITECTURES
    ],
)
def test_settings_of_a_model_far_larger_than_its_weights_end_at_once(
    architecture: str, whole: Path, tmp_path: Path
) -> None:
    """Ten million layers, and every other number of every architecture."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    kind = load_class(architecture).Config
    for name, about in model_fields(kind).items():
        if not isinstance(about.default, int) or isinstance(about.default, bool):
            continue
        for value in HUGE:
            forge(
                run / CONFIG,
                lambda content, n=name, v=value: {  # type: ignore[misc]
                    **content,
                    "config": {**content["config"], "architecture": architecture, "model": {n: v}},
                },
            )
            try:
                RunDirectory.open(run).load_model()
            except InklingsError:
                continue
            pytest.fail(f"{name}={value} was taken")


# --- what may be lost -------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_goes_on_without_its_metrics(whole: Path, tmp_path: Path) -> None:
    harms: list[Callable[[Path], object]] = [
        Path.unlink,
        lambda path: path.write_bytes(path.read_bytes()[:100]),
    ]
    for number, harm in enumerate(harms):
        run = Path(shutil.copytree(whole, tmp_path / f"run{number}"))
        harm(run / "metrics.jsonl")
        events: list[Event] = []
        result = resume(run, budget="4-steps", on_event=events.append)
        notes = [event["text"] for event in events if event["event"] == "note"]
        assert result.steps == 4
        assert any("metrics.jsonl" in note and "without the events" in note for note in notes)
        assert [problem for problem in RunDirectory.open(run).check() if "metrics" in problem] == []


def test_one_run_that_cannot_be_read_leaves_the_others_in_the_list(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c", "d", "e"):
        shutil.copytree(whole, tmp_path / name)
    put("config.json", "pipe")(tmp_path / "a")
    put("tokenizer.json", "folder")(tmp_path / "b")
    forge(
        tmp_path / "c" / "checkpoints/step_2/progress.json", lambda content: {"format_version": 1}
    )
    (tmp_path / "d" / "metrics.jsonl").unlink()
    honest = Path.read_bytes

    def denied(path: Path) -> bytes:
        if path == tmp_path / "e" / "config.json":
            raise PermissionError(13, "Permission denied")
        return honest(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    states = {Path(run.path).name: run.state for run in list_runs(tmp_path)}
    assert states == {
        "a": "damaged",
        "b": "complete",
        "c": "damaged",
        "d": "complete",
        "e": "damaged",
    }
    with pytest.raises(RunError, match=r"config\.json cannot be read: Permission denied"):
        RunDirectory.open(tmp_path / "e")


@pytest.mark.parametrize("path", ["x" * 5_000, "x/" * 5_000, "words.txt/run", "a\0b"])
def test_a_path_that_cannot_be_is_said(
    path: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "words.txt").touch()
    for verb in VERBS.values():
        code = main(
            [
                word.replace("RUN", str(tmp_path / path)) if word != "." else str(tmp_path / path)
                for word in verb
            ]
        )
        assert code == 2 or (code == 0 and "runs" in verb)
    assert main(["evaluate", "builtin:reference", "--data", path]) == 2
    assert main(["train", "mlp", "--data", path, "--run", str(tmp_path / "new")]) == 2
    assert (
        main(["train", "mlp", "--data", path, "--tokenizer", path, "--run", str(tmp_path / "new")])
        == 2
    )
    assert main(["train", "--config", f"{path}.toml"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_memory_is_not_passed_over_in_silence(whole: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "memory" / "store" / "manifest.json").unlink()
    assert main(["generate", str(run), "w"]) == 2
    assert main(["evaluate", str(run)]) == 2
    assert main(["generate", str(run), "w", "--no-memory", "--max-new-tokens", "1"]) == 0
    model: Any = RunDirectory.open(run).load_model()
    with pytest.raises(RunError, match="--no-memory"):
        attach(RunDirectory.open(run), model)
    assert main(["serve", str(run), "--port", "0"]) == 2
    spec = Spec(name="it", run=str(run), rows=1, precision="float32", workers=1, trust_code=False)
    with pytest.raises(RunError, match=r"serve RUN --no-memory"):
        ServedModel(spec)
    served = ServedModel(replace(spec, memory=False))
    assert (served.card().memory, served.card().remembers) == (None, False)
    with pytest.raises(ConfigError, match="served without its memory"):
        served.memory_add("a", "b")
    with pytest.raises(ConfigError, match="served without its memory"):
        served.memory_info()


def test_the_doctor_says_what_it_cannot_check(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    assert main(["doctor", str(run)]) == 0
    assert "every file is as it was written" in capsys.readouterr().out
    (run / "notes.txt").write_text("mine")
    assert main(["doctor", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == [] and found["unchecked"] == ["notes.txt (not of the run)"]
