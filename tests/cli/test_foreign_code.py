"""A run that somebody else made runs no code of its own, wherever in its settings it names some."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import py_compile
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inklings.cli.main import main
from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.durable import sha256, write_checked_json
from inklings.errors import ArchitectureError, ConfigError, InklingsError, RunError
from inklings.events import silent
from inklings.lab.execution.run_arm import ArmRun, attempt
from inklings.models.contract import model_fields
from inklings.models.registry import ARCHITECTURES, build, load_class
from inklings.runs.directory import CONFIG, RunDirectory
from inklings.runs.user_code import named_code
from inklings.serving.process.model_loader import ServedModel, Spec
from inklings.training.train import train

pytestmark = pytest.mark.filterwarnings("ignore:field")

OWN = Path(__file__).parents[1] / "contracts" / "fixtures" / "own_architecture.py"
TINY: dict[str, Any] = {
    "budget": "2-steps",
    "batch_size": 2,
    "sequence_length": 8,
    "evaluations": 1,
    "samples": 0,
}
FIXED: dict[str, Any] = {"threads": 1, "precision": "float32", "compile": "off"}

VERBS: dict[str, list[str]] = {
    "generate": ["generate", "RUN", "a"],
    "evaluate": ["evaluate", "RUN"],
    "samples": ["evaluate", "RUN", "--samples", "100"],
    "resume": ["resume", "RUN", "--budget", "4-steps"],
    "resume by flops": ["resume", "RUN", "--budget", "1e12-flops"],
    "memory info": ["memory", "RUN", "info"],
    "memory add": ["memory", "RUN", "add", "words.txt"],
    "audit": ["audit", "RUN"],
    "audit with a memory": ["audit", "RUN", "--memory"],
    "from, as it is": [
        "train",
        "ARCHITECTURE",
        "--from",
        "RUN",
        "--run",
        "new",
        "--data",
        "words.txt",
    ],
    "from, around it": ["train", "varda", "--from", "RUN", "--run", "new", "--data", "words.txt"],
    "report of a sweep": ["report", "."],
    "runs": ["runs", "."],
    "doctor": ["doctor", "RUN"],
    "compare": [
        "compare",
        "RUN",
        "ngram:order=2",
        "--out",
        "out",
        "--seeds",
        "1",
        "--budget",
        "2-steps",
        "--rates",
        "0",
        "--data",
        "words.txt",
        "--workers",
        "1",
    ],
}
"""What opens a run, with what is needed to get so far."""


@dataclasses.dataclass(frozen=True)
class Trap:
    """A file of code that leaves a mark when it is run."""

    file: Path
    mark: Path

    def forms(self) -> Iterator[Any]:
        """What a field could hold that names it, at any depth."""
        name = f"{self.file}:X"
        yield from (name, str(self.file), f"[{name}]", f"{name}:n_embd=4", f"{self.file.name}:X")
        yield f"varda:backbone=[{name}]"
        yield f"varda:backbone={name}"
        yield f"varda:reader=concat,backbone=[varda:backbone=[varda:backbone=[{name}:n_embd=4]]]"
        yield f"gpt:n_layer=[{name}]"
        yield from ([name], [["gpt", {"inner": (name,)}]], {"inner": name}, {name: 1})
        yield "varda:backbone=[" * 30 + name + "]" * 30

    def sprung(self) -> bool:
        """Whether the code was run."""
        return self.mark.exists()


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trap:
    folder = tmp_path / "trap"
    folder.mkdir()
    mark = folder / "mark"
    file = folder / "pwn.py"
    file.write_text(f"{OWN.read_text()}\nopen({str(mark)!r}, 'w').close()\nX = Convolution\n")
    monkeypatch.chdir(folder)  # a relative name finds it too
    return Trap(file, mark)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs and their text."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "words.txt").write_text("\n".join(f"word {n} and {n * 7 % 13}" for n in range(200)))
    models: dict[str, dict[str, Any]] = {
        "mlp": {"n_hidden": 4, "n_embd": 4},
        "varda": {"backbone": "mlp:n_hidden=4"},
    }
    for name, model in models.items():
        config = RunConfig(
            architecture=name,
            model=model,
            data=DataConfig(source=str(folder / "words.txt")),
            training=TrainingConfig(**TINY, **FIXED),
        )
        train(config, folder / name)
    return folder


@pytest.fixture
def foreign(made: Path, trap: Trap) -> Callable[..., Path]:
    """Changes the settings of a run, its hash made anew; returns the run."""
    shutil.copy(made / "words.txt", trap.file.parent)

    def change(base: str = "mlp", **changed: Any) -> Path:
        run = trap.file.parent / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(made / base, run)
        rewrite(run, changed)
        return run

    return change


def config_of(run: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((run / CONFIG).read_text())["config"]
    return config


def rewrite(run: Path, fields: dict[str, Any], **record: Any) -> None:
    content = json.loads((run / CONFIG).read_text())
    del content["sha256"]
    write_checked_json(
        run / CONFIG, {**content, "config": {**content["config"], **fields}, **record}
    )


def fields_of(architecture: str) -> list[str]:
    return [*model_fields(load_class(architecture).Config), "no_such_field"]


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(name, marks=() if name in ("gpt", "varda", "file") else pytest.mark.slow)
        for name in (*ARCHITECTURES, "file")
    ],
)
def test_no_field_of_a_model_can_name_code_that_is_run(
    architecture: str, foreign: Callable[..., Path], trap: Trap
) -> None:
    fields = fields_of("varda" if architecture == "file" else architecture)
    name = f"{trap.file}:X" if architecture == "file" else architecture
    run = foreign()
    for field in fields:
        for value in trap.forms():
            rewrite(run, {"architecture": name, "model": {field: value}})
            with pytest.raises(RunError, match=r"names the code|nested more than"):
                RunDirectory.open(run).build_model()
            assert not trap.sprung(), (field, value)


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_runs_what_a_run_names(
    verb: str, made: Path, foreign: Callable[..., Path], trap: Trap
) -> None:
    name = f"{trap.file}:X"
    # all other settings stay, as what lacks some is refused before anything is built
    whole = RunDirectory.open(made / "varda").config.model
    settings: list[dict[str, Any]] = [{"model": {**whole, "backbone": name}}]
    if verb != "compare":  # it trains
        nested = f"varda:reader=concat,backbone=[varda:backbone=[{trap.file.name}:X:n_embd=4]]"
        settings += [
            {"model": {**whole, "backbone": f"varda:backbone=[{name}]"}},
            {"model": {**whole, "backbone": nested}},
            {"architecture": name, "model": {}},
            {"architecture": "gpt", "model": {"n_layer": [name]}},
        ]
    for changed in settings:
        run = foreign("varda", **changed)
        write_sweep(trap.file.parent, changed)
        words = {"RUN": str(run), "ARCHITECTURE": "varda"}
        code = main([words.get(word, word) for word in VERBS[verb]])
        assert not trap.sprung(), (verb, changed)
        assert code in (0, 1) if verb in ("runs", "compare") else code in (1, 2)
        shutil.rmtree(trap.file.parent / "new", ignore_errors=True)


def write_sweep(folder: Path, changed: dict[str, Any]) -> None:
    """A sweep of somebody else's, with such settings."""
    sweep = {
        "architecture": "varda",
        "study": "s",
        "space": ["n_layer=1..2"],
        "budget": "2-steps",
        "seed": 0,
        "unit": "nats",
        "asked": 1,
        "status": "complete",
        "command": None,
        "text": {},
        "environment": {},
        "identity": {"settings": {"architecture": "varda", "training": {}, **changed}},
    }
    (folder / "sweep.json").write_text(json.dumps({"format_version": 1, **sweep}))


def test_the_trap_works(trap: Trap) -> None:
    assert load_class(f"{trap.file}:X").__name__ == "Convolution"
    assert trap.sprung()


def test_a_server_runs_nothing_either(foreign: Callable[..., Path], trap: Trap) -> None:
    for form in trap.forms():
        run = foreign("varda", model={"backbone": form})
        spec = Spec(
            name="run", run=str(run), rows=1, precision="float32", workers=1, trust_code=False
        )
        with pytest.raises(RunError):
            ServedModel(spec)
        assert not trap.sprung()


@pytest.mark.parametrize("section", ["data", "training"])
def test_no_other_setting_can_name_code(
    section: str, foreign: Callable[..., Path], trap: Trap
) -> None:
    kind = DataConfig if section == "data" else TrainingConfig
    for field in dataclasses.fields(kind):
        for value in (f"{trap.file}:X", str(trap.file), [f"{trap.file}:X"]):
            run = foreign("mlp")
            given = {**config_of(run)[section], field.name: value}
            rewrite(run, {section: given})
            try:
                RunDirectory.open(run).load_model()
            except InklingsError:
                continue
            main(["generate", str(run), "a", "--max-new-tokens", "1"])
            main(["evaluate", str(run)])
            assert not trap.sprung(), (field.name, value)


def test_a_record_cannot_vouch_for_its_code(foreign: Callable[..., Path], trap: Trap) -> None:
    run = foreign("varda", model={"backbone": f"varda:backbone=[{trap.file}:X]"})
    shutil.copy(trap.file, run / "architecture.py")
    digest = sha256(trap.file.read_bytes())
    signatures: list[object] = [None, "", 0, "0" * 64, "\u00fc", [], True]
    for signature in signatures:
        claim = {"file": str(trap.file), "sha256": digest, "signature": signature}
        codes: list[object] = [[claim], None, {}, [{}]]
        for code in codes:
            rewrite(run, {}, code=code)
            with pytest.raises(RunError, match=r"--trust-code|no copy"):
                RunDirectory.open(run).load_model()
            assert not trap.sprung()


def test_a_backbone_within_a_backbone_is_refused_before_it_is_imported(trap: Trap) -> None:
    with pytest.raises(ArchitectureError, match="cannot be a backbone"):
        build(
            "varda", {"backbone": f"varda:backbone=[{trap.file}:X]"}, vocab_size=5, boundary_token=0
        )
    assert not trap.sprung()


# --- code that may be run ---------------------------------------------------------------------


def own_run(folder: Path, made: Path, architecture: str, model: dict[str, Any]) -> Path:
    config = RunConfig(
        architecture=architecture,
        model=model,
        data=DataConfig(source=str(made / "words.txt")),
        training=TrainingConfig(**TINY, **FIXED),
    )
    train(config, folder / "own")
    return folder / "own"


@pytest.fixture(autouse=True)
def _own_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))


def test_compiled_code_beside_a_copy_is_never_run(made: Path, trap: Trap, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(OWN.read_bytes())
    run = own_run(tmp_path, made, f"{tmp_path / 'mine.py'}:Convolution", {"n_embd": 4})
    copy = run / "architecture.py"
    for mode in py_compile.PycInvalidationMode:
        py_compile.compile(
            str(trap.file),
            cfile=importlib.util.cache_from_source(str(copy)),
            invalidation_mode=mode,
        )
        assert type(RunDirectory.open(run).load_model()).__name__ == "Convolution"
        assert not trap.sprung()
    copy.unlink()
    copy.symlink_to(trap.file)
    with pytest.raises(RunError, match="damaged or was edited"):
        RunDirectory.open(run).load_model(trust_code=True)
    assert not trap.sprung()


def test_a_run_keeps_every_file_that_it_is_made_of(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = tmp_path / "wrapper.py"
    wrapper.write_text(
        "from inklings.models.varda.model import Varda\n\nclass Mine(Varda):\n    pass\n"
    )
    inner = tmp_path / "inner.py"
    inner.write_bytes(OWN.read_bytes())
    model = {"backbone": f"{inner}:Convolution:n_embd=4", "segment": 4}
    run = own_run(tmp_path, made, f"{wrapper}:Mine", model)
    wrapper.unlink()
    inner.unlink()
    opened = RunDirectory.open(run)
    assert named_code(opened.config) == [f"{wrapper}:Mine", f"{inner}:Convolution"]
    assert type(opened.load_model()).__name__ == "Mine"
    assert opened.check() == []
    second = run / "architecture_2.py"
    second.write_text(second.read_text() + "\n")
    with pytest.raises(RunError, match=r"architecture_2\.py is damaged or was edited"):
        opened.load_model(trust_code=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another home"))
    with pytest.raises(RunError, match="--trust-code"):
        opened.load_model()


def test_a_run_that_recorded_one_file_opens_as_before(made: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(OWN.read_bytes())
    run = own_run(tmp_path, made, f"{tmp_path / 'mine.py'}:Convolution", {"n_embd": 4})
    (kept,) = RunDirectory.open(run).record.code
    rewrite(run, {}, code={**kept, "class": "Convolution"})
    assert type(RunDirectory.open(run).load_model()).__name__ == "Convolution"
    run = Path(shutil.copytree(made / "mlp", tmp_path / "without"))
    rewrite(run, {}, code=None)
    assert RunDirectory.open(run).record.code == []


@pytest.mark.parametrize("trusted", [False, True])
def test_a_comparison_scores_a_run_of_somebody_else_that_is_trusted(
    trusted: bool, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_bytes(OWN.read_bytes())
    run = own_run(tmp_path, made, f"{tmp_path / 'mine.py'}:Convolution", {"n_embd": 4})
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another home"))
    planned: list[ArmRun] = []

    def plan(jobs: list[ArmRun], *_: Any, **__: Any) -> Iterator[Any]:
        planned.extend(jobs)
        if jobs:
            raise ConfigError("that is enough")
        yield from ()

    monkeypatch.setattr("inklings.lab.comparison.compare.do_jobs", plan)
    trust = ["--trust-code"] if trusted else []
    assert main(["compare", str(run), str(made / "mlp"), "--out", str(tmp_path / "out"), *trust])
    result = attempt(dataclasses.replace(planned[0], first=False), silent)
    assert result is not None and (result.status == "done") == trusted
    assert trusted or "--trust-code" in str(result.message)
