"""Every verb does its work, prints for people on stderr and one JSON document on stdout when asked.

And loses nothing.
"""

from __future__ import annotations

import errno
import io
import sys
from pathlib import Path

import pytest

import inklings
from inklings import durable
from inklings.cli.main import VERBS, help_text, main
from inklings.generation.packed_weights import can_pack
from tests.commands import Ask, tiny

TINY = tiny(samples=1)


@pytest.fixture
def run(ask: Ask) -> str:
    """A small finished run."""
    ask(
        "train",
        "mlp:n_hidden=8",
        "--data",
        "words.txt",
        "--budget",
        "3-steps",
        "--run",
        "run",
        *TINY,
    )
    return "run"


def test_help_names_every_verb_and_every_verb_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        assert f"  {verb} " in help_text()
        with pytest.raises(SystemExit) as leaving:
            main([verb, "--help"])
        assert leaving.value.code == 0
        assert "--json" in capsys.readouterr().out


def test_prepare_shows_what_is_in_the_text(ask: Ask) -> None:
    shown = ask("prepare", "words.txt")
    assert sum(split["documents"] for split in shown["splits"].values()) == 200
    assert shown["layout"] == "lines"
    assert Path(shown["store"]).is_dir()


def test_prepare_says_what_the_rules_for_documents_dropped(
    ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = ["--tokenizer", "word:40", "--data.min-known", "0.8", "--data.max-length", "4"]
    shown = ask("prepare", "words.txt", *rules)
    assert shown["rules"] == {"min_length": 0, "max_length": 4, "min_known": 0.8}
    assert (
        sum(
            split["documents"] + sum(split["dropped"].values())
            for split in shown["splits"].values()
        )
        == 200
    )
    assert main(["prepare", "words.txt", *rules]) == 0
    dropped = shown["splits"]["train"]["dropped"]["min_known"]
    assert dropped > 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert (
        f"{dropped} of 160 training documents dropped: {dropped} with fewer than 80% known words."
        in said
    )
    assert main(["prepare", "words.txt", "--tokenizer", "word:1", "--data.min-known", "1"]) == 2
    assert "data.min_known 1.0 drops 160" in " ".join(capsys.readouterr().err.split())
    Path("mine.toml").write_text(
        '[data]\nsource = "words.txt"\nlayout = "lines"\ntokenizer = "word:40"\nmin_known ='
        " 1\nmax_length = 4\n"
    )
    plan = ask("train", "mine.toml", "--data.min-known", "0.8", "--budget", "2-steps", "--dry-run")
    assert (plan["config"]["data"]["min_known"], plan["config"]["data"]["max_length"]) == (0.8, 4)


def test_runs_are_searched_for_in_folders(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", __file__]) == 2
    assert f"{__file__} is no folder" in " ".join(capsys.readouterr().err.split())


def test_train_resume_evaluate_and_list(ask: Ask, run: str) -> None:
    more = ask("resume", run, "--budget", "5-steps")
    assert (more["steps"], more["stopped"]) == (5, "budget")
    scored = ask("evaluate", run, "--split", "test")
    assert 0 < scored["loss"] < 4
    assert list(Path(run, "evaluations").iterdir())
    listed = ask("runs", ".")["runs"]
    assert [found["step"] for found in listed] == [5]
    assert ask("doctor", run)["problems"] == []


def test_a_run_that_may_not_be_written_to_is_evaluated_all_the_same(
    ask: Ask, run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = durable.write_bytes

    def locked(path: Path, data: bytes) -> None:
        with durable.disk_errors(path):
            if "evaluations" in path.parts:
                raise OSError(errno.EROFS, "Read-only file system")
        real(path, data)

    monkeypatch.setattr(durable, "write_bytes", locked)
    assert main(["evaluate", run, "--split", "test", "--samples", "5"]) == 0
    said = capsys.readouterr().out
    assert "nats per token" in said
    assert "warning: the per-document losses could not be kept: no permission to write" in said
    assert "warning: the sample report could not be kept: no permission to write" in said
    assert not Path(run, "evaluations").exists()


def test_flags_win_over_the_file_and_the_file_over_defaults(ask: Ask) -> None:
    Path("mine.toml").write_text(
        'architecture = "mlp"\n[model]\nn_hidden = 5\nn_embd = 3\n[training]\nbatch_size = 7\n'
    )
    plan = ask(
        "train",
        "mine.toml",
        "--data",
        "words.txt",
        "--model.n-embd",
        "4",
        "--training.batch-size",
        "6",
        "--budget",
        "2-steps",
        "--dry-run",
    )
    assert (plan["config"]["model"]["n_hidden"], plan["config"]["model"]["n_embd"]) == (5, 4)
    assert plan["config"]["training"]["batch_size"] == 6
    assert plan["tokens"] == 2 * 6 * 64
    assert plan["parameters"] > 0
    assert plan["receptive_field"] == plan["config"]["model"]["context_length"]
    assert plan["memory"] > 16 * plan["parameters"] - 1
    assert not Path("runs").exists()
    same = ask(
        "train", "--config", "mine.toml", "--data", "words.txt", "--budget", "2-steps", "--dry-run"
    )
    assert same["config"]["training"]["batch_size"] == 7


def test_a_plan_for_another_machine_is_marked_as_computed(
    ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["train", "mlp:n_hidden=8", "--data", "words.txt", *TINY, "--on", "8xH100"]
    assert "--dry-run" in ask(*asked, code=2)["error"]
    plan = ask(*asked, "--dry-run")
    assert plan["seconds"] is None
    assert plan["on"]["computed"] and plan["on"]["machine"] == "8 x H100"
    assert {share["strategy"] for share in plan["on"]["shares"]} == {"ddp", "fsdp"}
    assert main([*asked, "--dry-run"]) == 0
    assert "on 8 x H100: computed, nothing of it was measured" in capsys.readouterr().out
    assert not Path("runs").exists()


def test_the_finders_find(ask: Ask) -> None:
    found = ask("train", "mlp:n_hidden=8", "--data", "words.txt", "--find-lr", *TINY)
    assert found["suggestion"] > 0
    assert (
        ask("train", "mlp:n_hidden=8", "--data", "words.txt", "--find-batch-size", *TINY)[
            "batch_size"
        ]
        >= 1
    )
    assert not Path("runs").exists()


def test_a_run_gets_a_name_of_its_own(ask: Ask) -> None:
    first = ask("train", "mlp:n_hidden=4", "--data", "words.txt", "--budget", "1-steps", *TINY)
    second = ask("train", "mlp:n_hidden=4", "--data", "words.txt", "--budget", "1-steps", *TINY)
    assert first["run"] != second["run"]


def test_fine_tuning_begins_where_the_other_run_ended(ask: Ask, run: str) -> None:
    tuned = ask(
        "train",
        "mlp:n_hidden=8",
        "--data",
        "words.txt",
        "--from",
        run,
        "--budget",
        "1-steps",
        "--run",
        "tuned",
        *TINY,
    )
    fresh = ask(
        "train",
        "mlp:n_hidden=8",
        "--data",
        "words.txt",
        "--budget",
        "1-steps",
        "--run",
        "fresh",
        *TINY,
    )
    assert tuned["best_validation_loss"] < fresh["best_validation_loss"]


def test_samples_depend_on_the_seed_and_their_number_alone(ask: Ask, run: str) -> None:
    three = ask("generate", run, "wo", "--samples", "3", "--max-new-tokens", "9")["samples"]
    two = ask("generate", run, "wo", "--samples", "2", "--max-new-tokens", "9")["samples"]
    assert three[:2] == two
    assert (
        three
        != ask("generate", run, "wo", "--samples", "3", "--max-new-tokens", "9", "--seed", "1")[
            "samples"
        ]
    )
    assert ask("generate", run, "wo")["decoding"]["precision"] == "float32"


@pytest.mark.skipif(not can_pack("bfloat16"), reason="oneDNN has no bfloat16 for this processor")
def test_decoding_in_bfloat16_is_said(ask: Ask, run: str) -> None:
    found = ask("generate", run, "wo", "--precision", "bfloat16")
    assert found["decoding"]["precision"] == "bfloat16"


def test_interactive_turns_go_on_from_the_text_so_far(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("word\n\n/new\nword\n"))
    capsys.readouterr()
    assert main(["generate", run, "--interactive", "--max-new-tokens", "5"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_a_comparison_is_a_table_a_verdict_and_a_report(ask: Ask) -> None:
    asked = [
        "compare",
        "ngram:order=2",
        "mlp:n_hidden=8",
        "--data",
        "words.txt",
        "--budget",
        "3-steps",
        "--seeds",
        "2",
        "--rates",
        "2",
        "--out",
        "c",
        *TINY,
    ]
    made = ask(*asked, "--workers", "1")
    assert made["status"] == "complete"
    assert [len(arm["runs"]) for arm in made["arms"]] == [1, 2]
    assert made["verdict"]["headline"]
    page = Path(made["report"]).read_text(encoding="utf-8")
    assert "mlp" in page
    Path(made["report"]).unlink()
    assert Path(ask("report", "c")["report"]).is_file()


def test_lists(ask: Ask) -> None:
    assert set(ask("models")["models"]) >= {
        "ngram",
        "mlp",
        "recurrent",
        "tree_wavenet",
        "gpt2",
        "gpt",
    }
    assert "n_layer" in ask("models", "gpt")["settings"]
    assert "builtin:python-docs" in ask("corpora")["corpora"]
    assert ask("doctor")["torch"]


def test_the_reference_run_is_small_whole_and_as_good_as_it_says(ask: Ask) -> None:
    folder = Path(inklings.__file__).parent / "reference"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1_000_000
    assert ask("doctor", "builtin:reference")["problems"] == []
    said = float((folder / "README.md").read_text().rpartition("loss ")[2].split()[0])
    assert abs(ask("evaluate", "builtin:reference")["loss"] - said) < 1e-3
    assert ask("generate", "builtin:reference", "GREEK")["samples"][0]["text"]
    assert not (folder / "evaluations").exists()


def test_code_from_another_machine_is_run_only_on_request(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "mine"))
    ask("new", "own.py")
    sizes = "own.py:MyModel:n_layer=1,n_embd=8"
    ask("train", sizes, "--data", "words.txt", "--budget", "2-steps", "--run", "own", *TINY)
    ask("generate", "own", "--max-new-tokens", "2")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "somebody-elses"))
    assert "--trust-code" in ask("generate", "own", code=2)["error"]
    assert "--trust-code" in ask("resume", "own", "--budget", "3-steps", code=2)["error"]
    ask("generate", "own", "--max-new-tokens", "2", "--trust-code")
    assert ask("resume", "own", "--budget", "3-steps", "--trust-code")["steps"] == 3


@pytest.mark.slow
def test_a_comparison_takes_text_and_budget_from_its_files_unless_told(ask: Ask) -> None:
    Path("other.txt").write_text("\n".join(f"quite another line {number}" for number in range(200)))
    settings = '[data]\nsource = "other.txt"\n[training]\nbudget = "2-steps"\n'
    Path("mine.toml").write_text(f'architecture = "mlp"\n{settings}')
    terms = ["--seeds", "1", "--workers", "1", "--points", "1", "--rates", "0", *TINY]
    made = ask("compare", "ngram:order=2", "mine.toml", "--out", "c", *terms)
    assert (made["plan"]["data"]["source"], made["plan"]["budget"]) == ("other.txt", "2-steps")
    told = ask(
        "compare",
        "ngram:order=2",
        "mine.toml",
        "--data",
        "words.txt",
        "--budget",
        "1-steps",
        "--out",
        "d",
        *terms,
    )
    assert (told["plan"]["data"]["source"], told["plan"]["budget"]) == ("words.txt", "1-steps")
    based = ask("compare", "ngram:order=2", "mlp", "--config", "mine.toml", "--out", "e", *terms)
    assert (based["plan"]["data"]["source"], based["plan"]["budget"]) == ("other.txt", "2-steps")
    Path("theirs.toml").write_text('architecture = "mlp"\n[data]\nsource = "words.txt"\n')
    assert (
        "--data"
        in ask("compare", "mine.toml", "theirs.toml", "--out", "f", *terms, code=2)["error"]
    )
    assert not Path("f").exists()


def test_a_plan_of_fine_tuning_looks_at_the_run_that_it_begins_from(ask: Ask, run: str) -> None:
    arguments = (
        "train",
        "mlp:n_hidden=4",
        "--data",
        "words.txt",
        "--from",
        run,
        "--budget",
        "1-steps",
        *TINY,
    )
    assert "n_hidden" in ask(*arguments, "--dry-run", code=2)["error"]
    assert "n_hidden" in ask(*arguments, "--find-lr", code=2)["error"]


def test_an_interactive_session_has_no_document(ask: Ask, run: str) -> None:
    assert "--interactive" in ask("generate", run, "--interactive", code=2)["error"]
