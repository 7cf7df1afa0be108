"""Whatever a user gets wrong is one clear message and exit code 2 (1 for the disk).

No traceback, nothing half-written.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inklings.cli.main import main
from tests.commands import TINY, Command, words


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A small honest text."""
    file = tmp_path / "words.txt"
    file.write_text(words(200))
    return file


@pytest.fixture
def run(command: Command, text: Path) -> Path:
    """A small finished run."""
    code, said = command(
        "train", "mlp:n_hidden=8", "--data", text, "--budget", "3-steps", "--run", "run", *TINY
    )
    assert code == 0, said
    return Path("run")


# --- the command line -----------------------------------------------------------------------------


def test_an_unknown_verb_names_the_nearest(command: Command) -> None:
    command.refuses("trian", saying="Did you mean 'train'")


def test_an_unknown_architecture_names_the_nearest(command: Command, text: Path) -> None:
    command.refuses("train", "gtp", "--data", text, "--run", "r", saying="Did you mean 'gpt'")
    assert not Path("r").exists()


def test_an_unknown_flag_names_the_nearest(command: Command, text: Path) -> None:
    command.refuses(
        "train", "gpt", "--data", text, "--model.n-laier", "2", saying="--model.n-layer"
    )


def test_an_unknown_field_of_an_arm_names_the_nearest(command: Command, text: Path) -> None:
    command.refuses("train", "gpt:n_laier=2", "--data", text, saying="n_layer")


def test_a_field_out_of_range_is_named(command: Command, text: Path) -> None:
    command.refuses("train", "gpt:n_layer=0", "--data", text, "--run", "r", saying="n_layer")
    command.refuses("train", "gpt:n_layer=two", "--data", text, "--run", "r", saying="n_layer")
    assert not Path("r").exists()


@pytest.mark.parametrize(
    "budget", ["", "many", "3-lightyears", "-5-steps", "0-tokens", "1e400-flops", "nan-min"]
)
def test_a_budget_that_cannot_be_parsed_shows_what_can(
    command: Command, text: Path, budget: str
) -> None:
    command.refuses(
        "train", "mlp", "--data", text, f"--budget={budget}", "--run", "r", saying="500-steps"
    )
    assert not Path("r").exists()


def test_a_run_file_with_a_wrong_key_names_the_nearest(command: Command, text: Path) -> None:
    Path("run.toml").write_text('architecture = "mlp"\n[training]\nbatchsize = 3\n')
    command.refuses("train", "run.toml", "--data", text, saying="batch_size")
    Path("run.toml").write_text("architecture = ")
    command.refuses("train", "run.toml", "--data", text, saying="not a TOML file")
    command.refuses("train", "absent.toml", "--data", text, saying="absent.toml")


def test_nothing_to_train_is_said(command: Command) -> None:
    command.refuses("train", saying="inklings train gpt")


def test_errors_are_json_when_asked(command: Command) -> None:
    code, _ = command("train", "gtp", "--json")
    assert code == 2
    code = main(["evaluate", "absent", "--json"])
    assert code == 2
    out = command.capture.readouterr().out
    assert json.loads(out)["exit_code"] == 2


# --- the text -------------------------------------------------------------------------------------


def write_text(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


@pytest.mark.parametrize(
    ("content", "saying"),
    [
        (b"", "empty"),
        (b"\n\n\n", "empty"),
        (b"ab\x00cd" * 50, "not text"),
        (b"caf\xe9 au lait\n" * 50, "UTF-8"),
    ],
)
def test_a_file_that_is_not_text(command: Command, content: bytes, saying: str) -> None:
    Path("bad.txt").write_bytes(content)
    command.refuses("train", "mlp", "--data", "bad.txt", "--run", "r", saying=saying)
    assert not Path("r").exists()


def test_a_missing_file(command: Command) -> None:
    command.refuses("prepare", "absent.txt", saying="absent.txt")
    command.refuses("prepare", "builtin:unicode-nams", saying="unicode-names")
    Path("folder").mkdir()
    command.refuses("prepare", "folder", saying="folder")


def test_a_gigantic_single_line_is_read(command: Command) -> None:
    Path("line.txt").write_text("all on one line, and on, and on. " * 100_000)
    code, said = command("prepare", "line.txt", "--tokenizer", "byte")
    assert code == 0, said


def test_a_corpus_shorter_than_the_context(command: Command) -> None:
    Path("short.txt").write_text("to be or not to be, that is the question. " * 3)
    command.refuses(
        "train", "gpt:context_length=512", "--data", "short.txt", "--run", "r", saying="tokens"
    )
    assert not Path("r").exists()


def test_a_tokenizer_that_does_not_exist(command: Command, text: Path) -> None:
    command.refuses(
        "train", "mlp", "--data", text, "--tokenizer", "bbpe:100", "--run", "r", saying="bpe"
    )
    command.refuses(
        "train",
        "mlp",
        "--data",
        text,
        "--tokenizer",
        "absent.json",
        "--run",
        "r",
        saying="absent.json",
    )


def test_pickles_are_never_data_or_weights(command: Command, run: Path) -> None:
    (run / "model.safetensors").write_bytes(pickle.dumps({"weights": [1.0]}))
    command.refuses("generate", run, saying="pickle")
    Path("model.pt").write_bytes(pickle.dumps({"weights": [1.0]}))
    command.refuses("generate", "model.pt", saying="pickle")


# --- run directories ------------------------------------------------------------------------------


def test_a_run_that_exists_is_not_overwritten(command: Command, run: Path, text: Path) -> None:
    before = (run / "config.json").read_bytes()
    command.refuses(
        "train", "mlp", "--data", text, "--run", run, "--budget", "2-steps", saying="resume"
    )
    assert (run / "config.json").read_bytes() == before


def test_a_directory_that_is_no_run(command: Command) -> None:
    Path("folder").mkdir()
    command.refuses("generate", "folder", saying="folder")
    command.refuses("resume", "absent", saying="absent")


def test_a_run_from_a_newer_format(command: Command, run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    config["format_version"] += 1
    (run / "config.json").write_text(json.dumps(config))
    command.refuses("generate", run, saying="Upgrade")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_flipped_byte_is_found(command: Command, run: Path, name: str) -> None:
    content = bytearray((run / name).read_bytes())
    content[len(content) * 3 // 4] ^= 1
    (run / name).write_bytes(bytes(content))
    command.refuses("generate", run, saying=name)
    code, said = command("doctor", run)
    assert code != 0
    assert name in said


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_of_a_run_is_named(command: Command, run: Path, name: str) -> None:
    (run / name).unlink()
    command.refuses("generate", run, saying=name.split(".")[0])


def test_a_checkpoint_of_another_architecture(command: Command, run: Path, text: Path) -> None:
    command.refuses(
        "train",
        "gpt",
        "--data",
        text,
        "--from",
        run,
        "--run",
        "r",
        "--budget",
        "2-steps",
        saying="mlp",
    )
    code, said = command(
        "train", "mlp:n_hidden=4", "--data", text, "--run", "other", "--budget", "2-steps", *TINY
    )
    assert code == 0, said
    (run / "model.safetensors").write_bytes(Path("other/model.safetensors").read_bytes())
    command.refuses("generate", run, saying="model.safetensors")


def test_a_tokenizer_that_does_not_belong(command: Command, run: Path) -> None:
    Path("many.txt").write_text("quite different letters: xyzzy QWERTY\n" * 50)
    assert (
        command(
            "train",
            "mlp:n_hidden=8",
            "--data",
            "many.txt",
            "--run",
            "other",
            "--budget",
            "2-steps",
            *TINY,
        )[0]
        == 0
    )
    (run / "tokenizer.json").write_bytes(Path("other/tokenizer.json").read_bytes())
    command.refuses("generate", run, saying="tokenizer")


# --- prompts --------------------------------------------------------------------------------------


def test_prompts_of_every_kind(command: Command, run: Path) -> None:
    code, said = command("generate", run, "", "--max-new-tokens", "3")
    assert code == 0, said
    code, said = command("generate", run, "word " * 500, "--max-new-tokens", "3")
    assert code == 0, said
    code, said = command("generate", run, "łódź", "--max-new-tokens", "3")
    assert code in (0, 2)
    assert "ł" in said


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--temperature", "-1"),
        ("--top-p", "1.5"),
        ("--top-k", "0"),
        ("--max-new-tokens", "-3"),
        ("--samples", "0"),
    ],
)
def test_sampling_settings_out_of_range(command: Command, run: Path, flag: str, value: str) -> None:
    command.refuses(
        "generate", run, "word", f"{flag}={value}", saying=flag.strip("-").replace("-", "_")
    )


# --- files of the user's own ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "saying"),
    [
        ("import nothing_of_the_kind\n", "line 1"),
        ("x = 1\n\nraise RuntimeError('not today')\n", "line 3"),
        ("def f(:\n", "could not be imported"),
        ("class MyModel: pass\n", "SequenceModel"),
        ("x = 1\n", "MyModel"),
    ],
)
def test_a_file_that_cannot_be_an_architecture(
    command: Command, text: Path, content: str, saying: str
) -> None:
    Path("mine.py").write_text(content)
    command.refuses("train", "mine.py:MyModel", "--data", text, "--run", "r", saying=saying)
    assert not Path("r").exists()


def test_an_absent_file_of_ones_own(command: Command, text: Path) -> None:
    command.refuses("train", "absent.py:MyModel", "--data", text, saying="inklings new")


# --- the disk -------------------------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    yield
    monkeypatch.undo()


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk(command: Command, text: Path) -> None:
    command.refuses(
        "train",
        "mlp",
        "--data",
        text,
        "--budget",
        "2-steps",
        "--run",
        "r",
        *TINY,
        saying="disk is full",
        code=1,
    )


def test_no_permission_to_write(
    command: Command, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path, *arguments: object, **keywords: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    command.refuses(
        "train",
        "mlp",
        "--data",
        text,
        "--budget",
        "2-steps",
        "--run",
        "r/s",
        *TINY,
        saying="permission",
        code=1,
    )


def test_a_file_where_a_run_should_go(command: Command, text: Path) -> None:
    Path("taken").write_text("mine")
    command.refuses(
        "train", "mlp", "--data", text, "--run", "taken", "--budget", "2-steps", saying="taken"
    )
    assert Path("taken").read_text() == "mine"
