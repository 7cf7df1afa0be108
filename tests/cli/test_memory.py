"""`inklings memory`: what it shows, what it changes, and what it says to what cannot be done."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import faiss
import pytest

from inklings.cli import terminal
from inklings.cli.main import main
from tests.commands import TINY, Ask, words

FILE = Path(__file__).resolve().parents[1] / "training" / "fixtures" / "remembering.py"
STORY = (
    "The lamp in the harbour was lit at nine. Nobody had seen the café door open since May, and the"
    " clerk slept."
)


@pytest.fixture
def run(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small finished run that reads a memory, and a text to give it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    ask(
        "train",
        f"{FILE}:Rememberer",
        "--data",
        "words.txt",
        "--tokenizer",
        "byte",
        "--budget",
        "3-steps",
        "--run",
        "run",
        *TINY,
    )
    Path("story.txt").write_text(STORY, encoding="utf-8")
    return "run"


def test_what_was_stored_while_training_is_kept(ask: Ask) -> None:
    small = "varda:backbone=[gpt:n_layer=1,n_embd=16,context_length=16],clear_at=epoch,segment=4"
    Path("few.txt").write_text(words(40))
    batch = ("--training.batch-size", "2", "--training.sequence-length", "32")
    ask(
        *("train", small, "--data", "few.txt", "--budget", "3-steps", "--run", "remembers"),
        *TINY,
        *batch,
    )
    kept = ask("memory", "remembers", "keep", "--capacity", "5000")
    assert kept["added"] == kept["entries"] > 0
    info = ask("memory", "remembers", "info")
    assert info["memory"]["capacity"] == 5000
    assert sorted(d["name"] for d in info["documents"]) == sorted(kept["documents"])
    assert all(re.fullmatch("training:[0-9]+", name) for name in kept["documents"])
    assert "are in the memory already" in ask("memory", "remembers", "keep", code=2)["error"]


def test_a_memory_for_a_gpu_opens_on_a_cpu_where_that_is_asked(
    ask: Ask, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as there:
        there.setattr(faiss, "StandardGpuResources", object, raising=False)
        there.setattr(faiss, "get_num_gpus", lambda: 1)
        there.setattr(
            faiss, "index_cpu_to_gpu", lambda _, __, i: faiss.clone_index(i), raising=False
        )
        ask("memory", run, "add", "story.txt", "--backend", "flat", "--device", "cuda")
        found = ask("memory", run, "search", "The lamp")
        assert (
            "compact --device cpu"
            in ask("memory", run, "add", "words.txt", "--device", "cpu", code=2)["error"]
        )
    assert "is built for CPUs alone" in ask("memory", run, "search", "The lamp", code=2)["error"]
    ask("memory", run, "compact", "--device", "cpu")
    assert ask("memory", run, "search", "The lamp") == found


@pytest.fixture
def filled(ask: Ask, run: str) -> str:
    """The same with the text in its memory."""
    ask("memory", run, "add", "story.txt")
    return run


def content() -> dict[str, bytes]:
    """Every file of the memory, but for the lock."""
    return {
        str(path): path.read_bytes()
        for path in Path("run/memory").rglob("*")
        if path.is_file() and path.name != "lock"
    }


def test_what_was_added_is_found_and_what_was_removed_is_not(ask: Ask, run: str) -> None:
    added = ask("memory", run, "add", "story.txt")
    assert (added["added"], added["entries"], added["documents"]) == (
        len(STORY.encode()) + 1,
    ) * 2 + (["story.txt"],)
    info = ask("memory", run, "info")
    assert (info["memory"]["count"], info["memory"]["clock"], info["memory"]["backend"]) == (
        added["entries"],
        1,
        "exact",
    )
    assert info["documents"] == [
        {
            "name": "story.txt",
            "tokens": len(STORY.encode()),
            "entries": added["entries"],
            "first_id": 0,
            "last_id": added["last_id"],
        }
    ]
    first, *rest = ask("memory", run, "search", "the harbour")["hits"]
    assert (first["document"], first["position"], first["value"], first["age"]) == (
        "story.txt",
        STORY.index(" was") + 1,
        " ",
        0,
    )
    assert first["before"].endswith("The lamp in the harbour")
    assert first["after"].startswith("was lit")
    assert len(rest) == 4
    removed = ask("memory", run, "remove", f"{first['id']},{rest[0]['id']}", "100-200")
    assert removed["removed"][:2] == [first["id"], rest[0]["id"]]
    found = ask("memory", run, "search", "the harbour", "--k", str(removed["entries"]))["hits"]
    assert not {hit["id"] for hit in found} & set(removed["removed"])
    compacted = ask("memory", run, "compact")
    assert compacted["documents_dropped"] == 0
    assert (
        ask("memory", run, "search", "the harbour", "--k", str(removed["entries"]))["hits"] == found
    )


def test_documents_of_a_source_are_documents(
    ask: Ask, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(ask("memory", run, "add", "words.txt")["documents"]) == 200
    assert (
        ask("memory", run, "search", "word 17 and", "--k", "1")["hits"][0]["document"]
        == "words.txt:18"
    )
    again = ask("memory", run, "add", "words.txt", "--layout", "documents")
    assert again["documents"] == ["words.txt"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped in, and read\n")))
    assert ask("memory", run, "add", "-")["documents"] == ["stdin"]
    assert ask("memory", run, "search", "piped in,", "--k", "1")["hits"][0]["age"] == 0


def test_forgetting_takes_a_probability_and_a_seed(ask: Ask, filled: str) -> None:
    before = ask("memory", filled, "info")["memory"]["count"]
    forgotten = ask("memory", filled, "forget", "--factor", "0.5", "--seed", "3")
    assert len(forgotten["forgotten"]) + forgotten["entries"] == before
    assert ask("memory", filled, "forget", "--factor", "1")["entries"] == 0
    assert ask("memory", filled, "info")["memory"]["recall"] is None


def test_the_first_addition_chooses_capacity_and_backend(ask: Ask, run: str) -> None:
    ask("memory", run, "add", "story.txt", "--capacity", "150", "--backend", "flat")
    info = ask("memory", run, "info")["memory"]
    assert (info["capacity"], info["backend"]) == (150, "flat")
    Path("more.txt").write_text("x" * 99)
    assert ask("memory", run, "add", "more.txt")["evicted"] == len(STORY.encode()) + 1 + 100 - 150


def test_tables_fit_a_terminal_of_80_columns(
    filled: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "WIDE", 80)
    for asked in (["info"], ["search", "the harbour", "--k", "9"]):
        capsys.readouterr()
        assert main(["memory", filled, *asked]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80
    # a hit is one line
    assert len([line for line in lines if "«" in line and "»" in line]) == 9
    assert re.search(r"0\.0\d* +0 +story\.txt +.*harbour« »was", lines[1])
    assert len({line.index("«") for line in lines[1:]}) == 1


def test_generate_and_evaluate_read_it(
    ask: Ask, filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    size = len(STORY.encode()) + 1
    plain = ask("evaluate", filled, "--no-memory")
    assert plain["memory"] is None
    scored = ask("evaluate", filled)
    assert scored["memory"] == {
        "entries": size,
        "held_out": {"documents": 0, "spans": None, "span": 50, "flatters": False},
    }
    assert scored["loss"] == plain["loss"]  # this architecture makes no use of what it reads
    assert len(list(Path("run/evaluations").iterdir())) == 2
    capsys.readouterr()
    assert main(["generate", filled, "word", "--max-new-tokens", "3"]) == 0
    assert f"long-term memory of {size} entries" in capsys.readouterr().err
    assert main(["generate", filled, "word", "--max-new-tokens", "3", "--no-memory"]) == 0
    assert "long-term memory" not in capsys.readouterr().err


def test_held_out_text_in_the_memory_is_said(
    ask: Ask, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ask("memory", run, "add", "words.txt")
    held = ask("evaluate", run)["memory"]["held_out"]
    assert (held["documents"], held["flatters"]) == (20, True)
    assert main(["evaluate", run]) == 0
    assert "20 of the validation documents" in capsys.readouterr().out


def test_held_out_spans_in_the_memory_are_said(ask: Ask, filled: str) -> None:
    Path("long.txt").write_text(
        "\n\n".join(f"{STORY} {number} {STORY[::-1]}" for number in range(3)), encoding="utf-8"
    )
    held = ask("evaluate", filled, "--data", "long.txt", "--split", "train")["memory"]["held_out"]
    assert held["documents"] == 0
    assert 0.1 < held["spans"] < 0.9
    assert held["flatters"]


def test_a_stale_memory_is_refused_until_it_is_left_out(ask: Ask, filled: str) -> None:
    ask("resume", filled, "--budget", "30-steps")
    for verb in (["generate", filled, "word"], ["evaluate", filled], ["memory", filled, "info"]):
        assert "other weights" in ask(*verb, code=2)["error"]
    ask("generate", filled, "word", "--no-memory", "--max-new-tokens", "3")


@pytest.mark.parametrize(
    ("asked", "saying"),
    [
        (["search", "lamp", "--k", "500"], "has 109 entries"),
        (["search", "lamp", "--k", "0"], "ask for 1 to 109"),
        (["search", ""], "empty"),
        (["search"], "needs TEXT"),
        (["search", "two", "words"], "quote it"),
        (["remove", "3", "700"], "no entry with id 700"),
        (["remove", "3", "3-4"], "given twice"),
        (["remove", "700-800"], "700 to 800"),
        (["remove", "three"], "'three' is not the id"),
        (["remove", "-1"], "-1"),
        (["remove"], "needs IDS"),
        (["forget"], "needs --factor"),
        (["forget", "--factor", "2"], "give 0 to 1"),
        (["forget", "--factor", "0.5", "--seed", "-1"], "seed is -1"),
        (["add", "absent.txt"], "absent.txt"),
        (["add", "binary.txt"], "not text"),
        (["add", "empty.txt"], "empty"),
        (["add", "story.txt"], "story.txt is in the memory already"),
        (["add", "words.txt", "--capacity", "7"], "made with 1000000"),
        (["add", "words.txt", "--backend", "hnsw"], "made with exact"),
        (["add", "words.txt", "--table", "t"], "for pgvector"),
        (["info", "--k", "3"], "takes no --k; it is for search"),
        (["compact", "it"], "takes no 'it'"),
    ],
)
def test_what_cannot_be_done_is_one_clear_message(
    ask: Ask, filled: str, asked: list[str], saying: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("binary.txt").write_bytes(b"ab\x00cd" * 50)
    Path("empty.txt").write_bytes(b"")
    before = content()
    capsys.readouterr()
    try:
        code = main(["memory", filled, *asked])
    except SystemExit as leaving:  # tyro ends the process itself
        code = int(leaving.code or 0)
    out, err = capsys.readouterr()
    assert code == 2
    assert saying in " ".join((out + err).split())
    assert "Traceback" not in err
    assert content() == before


def test_before_the_first_addition(ask: Ask, run: str) -> None:
    for asked in (
        ["info"],
        ["search", "x"],
        ["remove", "1"],
        ["forget", "--factor", "1"],
        ["compact"],
    ):
        assert "add FILE` makes one" in ask("memory", run, *asked, code=2)["error"]
    assert "capacity" in ask("memory", run, "add", "story.txt", "--capacity", "0", code=2)["error"]
    assert "say that too" in ask("memory", run, "add", "story.txt", "--table", "t", code=2)["error"]
    assert (
        "INKLINGS_POSTGRES"
        in ask("memory", run, "add", "story.txt", "--backend", "pgvector", code=2)["error"]
    )
    assert (
        "20 at most" in ask("memory", run, "add", "story.txt", "--capacity", "20", code=2)["error"]
    )
    assert not content()


def test_a_run_without_a_memory_says_how_to_get_one(ask: Ask) -> None:
    ask(
        "train",
        "mlp:n_hidden=8",
        "--data",
        "words.txt",
        "--budget",
        "1-steps",
        "--run",
        "plain",
        *TINY,
    )
    for asked in (["info"], ["search", "x"], ["add", "words.txt"]):
        assert (
            "inklings train varda --from plain --run NEW"
            in ask("memory", "plain", *asked, code=2)["error"]
        )


def test_what_an_addition_says_is_for_people(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("lines.txt").write_text("one line\n" * 3 + "another\n")
    capsys.readouterr()
    assert main(["memory", run, "add", "lines.txt", "--layout", "lines"]) == 0
    out = capsys.readouterr().out
    assert "added 2 documents of lines.txt: 17 entries, 17 in all" in out
    assert "2 documents are there already, or come twice" in out
    assert main(["memory", run, "info", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["memory"]["count"] == 17
    assert "17 entries of 2 documents" in said.err
    Path("more.txt").write_text("one line\nnew\n")
    assert main(["memory", run, "add", "more.txt", "--layout", "lines"]) == 0
    assert "1 document is there already, or comes twice; it was left" in capsys.readouterr().out


@pytest.mark.slow
def test_a_generated_text_says_where_it_comes_from(
    ask: Ask, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a model that reads its memory.

    Of the entries that a token takes something of, those of an added text bear its name.
    """
    Path("story.txt").write_text(STORY, encoding="utf-8")
    small = "varda:backbone=[gpt:n_layer=1,n_head=2,n_embd=8],segment=4,num_search_results=3"
    ask(
        "train",
        small,
        "--data",
        "words.txt",
        "--tokenizer",
        "byte",
        "--budget",
        "3-steps",
        "--run",
        "real",
        *TINY,
    )
    ask("memory", "real", "add", "story.txt")
    (sample,) = ask("generate", "real", "the harbour", "--max-new-tokens", "6", "--provenance")[
        "samples"
    ]
    assert [len(token["entries"]) > 0 for token in sample["provenance"]] == [True] * sample[
        "tokens"
    ]
    documents = {entry["document"] for token in sample["provenance"] for entry in token["entries"]}
    assert "story.txt" in documents <= {"story.txt", None}
    assert main(["generate", "real", "the harbour", "--max-new-tokens", "2", "--provenance"]) == 0
    assert re.search(
        r"token +remembered +weight +distance +from +position", capsys.readouterr().out
    )
    assert main(["generate", "real", "--provenance", "--interactive"]) == 2


def test_what_is_odd_in_an_added_text_is_noted(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("odd.txt").write_text("One went.<|endoftext|>Two came.\n" * 3)
    folder = Path("folder")
    folder.mkdir()
    (folder / "a.txt").write_text("Three stayed.")
    (folder / "b.pdf").write_text("no text")
    for given, said in (("odd.txt", "document-separator"), ("folder", "1 .pdf")):
        capsys.readouterr()
        assert main(["memory", run, "add", given]) == 0
        assert said in capsys.readouterr().out, given
