"""JSON and tables of every shape are read as what they are.

Or refused with what would read them.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import subprocess
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.config import DataConfig
from inklings.errors import SourceError
from inklings.text.documents import Text
from inklings.text.formats.files import read_texts, text_file
from inklings.text.formats.records import Wanted, json_records, table_records
from inklings.text.rules import notes
from inklings.text.store import prepare

RECORDS = [{"id": 1, "text": 'red; "river", 4'}, {"id": 2, "text": "blue\nhill\t\u00e9"}]
TEXTS = [record["text"] for record in RECORDS]


def texts(found: Iterator[Text]) -> list[str]:
    return ["".join(text.chunks) for text in found]


def read(path: Path, data: bytes | str, **wanted: object) -> list[str]:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return texts(read_texts(text_file(path), Wanted("text", **wanted)))  # type: ignore[arg-type]


def table(delimiter: str, end: str) -> str:
    made = io.StringIO(newline="")
    # this writer leaves a line feed bare where rows end otherwise
    quoting: Literal[0, 1] = csv.QUOTE_ALL if end == "\r" else csv.QUOTE_MINIMAL
    csv.writer(made, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(
        [["id", "text"], *([r["id"], r["text"]] for r in RECORDS)]
    )
    return made.getvalue()


FORMS = {
    "a.ndjson": "\n".join(map(json.dumps, RECORDS)),
    "a.JSONL": "\n".join(map(json.dumps, RECORDS)),
    "lines.json": "\n\n".join(map(json.dumps, RECORDS)) + "\n",
    "array.json": json.dumps(RECORDS),
    "indented.json": json.dumps(RECORDS, indent=2, ensure_ascii=False),
    "array.jsonl": json.dumps(RECORDS),
    "a.tsv": table("\t", "\n"),
    "comma.csv": table(",", "\r\n"),
    "semicolon.csv": table(";", "\n"),
    "tab.csv": table("\t", "\n"),
    "bar.CSV": table("|", "\n"),
    "carriage.csv": table(",", "\r"),
    "said.csv": "sep=^\n" + table("^", "\n"),
    "said carriage.csv": '"sep=;"\r' + table(";", "\r"),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
def test_every_form_gives_the_texts(tmp_path: Path, name: str, mark: str, compression: str) -> None:
    data = (mark + FORMS[name]).encode()
    if compression:
        data = (
            gzip.compress(data)
            if compression == ".gz"
            else pyarrow.compress(data, codec="zstd", asbytes=True)
        )
    assert read(tmp_path / f"{name}{compression}", data) == TEXTS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", json.dumps({"data": RECORDS}), r"""jq -c '\.\["data"\]\[\]' FILE > NEW.jsonl"""),
        (
            "a.json",
            json.dumps({"version": [1], "data": RECORDS}, indent=1),
            r"""jq -c '\.\["data"\]\[\]'""",
        ),
        (
            "a.json",
            "\n".join(json.dumps(record, indent=1) for record in RECORDS),
            r"jq -c '\.' FILE",
        ),
        ("a.json", '[{"text": "a"}', "after record 1 of .* stands ''"),
        ("a.json", '[{"text": "a"},', "record 2 of .* is not JSON"),
        ("a.json", '[{"text": "a"}] []', "something else follows"),
        ("a.json", "[3]", "record 1 of .* no object: 3"),
        (
            "a.csv",
            "1;red\n2;blue\n",
            r"It has: 1, red\..*If the first line is a record.*echo 'text;column2'",
        ),
        ("a.csv", "body;id\nred 4;4\n", "It has: body, id"),
        ("a.csv", "id,text\n1,a, b\n", "line 2 of .* has 3 columns, the first line names 2"),
        ("a.csv", 'id,text\n1,"a\n2,b\n', "unexpected end of data. Is a quotation mark not closed"),
        ("a.csv", "sep=;\nid;text\n4\n", "ends in line 3 of .*too short"),
        ("a.jsonl", "PAR1", "is a Parquet file. Name it with .parquet"),
        ("a.txt", "PK\3\4", "zip archive"),
    ],
)
def test_what_is_no_list_of_records_is_refused_with_what_would_read_it(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        read(tmp_path / name, content)


def test_marks_that_enclose_nothing_are_text_in_tab_separated_values(tmp_path: Path) -> None:
    assert read(tmp_path / "a.tsv", 'id\ttext\n1\t"Hello," she said.\n2\t"open\n3\tsay "x"\n') == [
        '"Hello," she said.',
        '"open',
        'say "x"',
    ]


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), VALUES), max_size=5
    ),
    st.data(),
)
def test_an_array_is_its_records_wherever_it_is_cut(
    pairs: list[tuple[str, object]], data: st.DataObject
) -> None:
    whole = json.dumps(
        [{"x": value, "text": text} for text, value in pairs],
        indent=data.draw(st.sampled_from([None, 1])),
    )
    cuts = sorted(
        {0, len(whole), *data.draw(st.lists(st.integers(1, max(1, len(whole) - 1)), max_size=6))}
    )
    chunks = [whole[a:b] for a, b in itertools.pairwise(cuts)]
    if len(chunks) > 1 and chunks[0].startswith("[") and "\n" in chunks[0].strip():
        chunks[:2] = ["".join(chunks[:2])]
    assert texts(json_records(iter(chunks), Wanted("text"), "here")) == [
        text.replace("\r\n", "\n") for text, _ in pairs
    ]


@given(
    st.lists(
        st.text(st.sampled_from('ab",;\t\n |'), min_size=1, max_size=6), min_size=1, max_size=5
    ),
    st.sampled_from(",;\t|"),
    st.booleans(),
)
def test_a_table_is_its_column_whatever_stands_between(
    column: list[str], delimiter: str, said: bool
) -> None:
    made = io.StringIO(newline="")
    csv.writer(made, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(
        [["n", "text"], *enumerate(column)]
    )
    content = (f"sep={delimiter}\n" if said else "") + made.getvalue().replace("\r\n", "\n")
    assert texts(table_records(iter([content]), Wanted("text"), "here")) == column


def test_a_large_array_is_read_in_bounded_memory() -> None:
    record = json.dumps({"text": "x" * 1000})

    def chunks() -> Iterator[str]:
        yield "["
        for _ in range(20_000):
            yield f"{record},\n"
        yield f"{record}]"

    tracemalloc.start()
    count = sum(1 for _ in json_records(chunks(), Wanted("text"), "here"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (count, peak < 2**20) == (20_001, True)


BAD = {
    "a.jsonl": (
        '{"text": "a"}\n{"text": null}\n{"text": "\\ud800"}\n{"id": 1}\n3\n{"te\n{"text":'
        ' ""}\n{"text": "b"}\n'
    ),
    "a.json": (
        '[{"text": "a"}, {"text": null}, {"text": "\\ud800"}, {"id": 1}, 3, {"text": " "}, {"text":'
        ' "b"}]'
    ),
    "a.csv": "id,text\n1,a\n2\n3,x,y\n4,\n5,b\n",
}
COUNTED = {
    "a.jsonl": {"without text": 4, "not JSON": 1, "empty": 1},
    "a.json": {"without text": 4, "empty": 1},
    "a.csv": {"of other columns than the header's": 2, "empty": 1},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_records_are_left_out_and_counted_if_asked(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(SourceError, match=r"--data\.skip-bad"):
        read(path, BAD[name])
    left_out: Counter[str] = Counter()
    assert [
        text for text in read(path, BAD[name], skip_bad=True, left_out=left_out) if text.strip()
    ] == ["a", "b"]
    data = DataConfig(source=str(path), skip_bad=True, split=(1.0, 0.0, 0.0), tokenizer="byte")
    for _ in range(2):  # made, and from the cache
        said: list[str] = []
        store = prepare(
            data,
            cache=tmp_path / "cache",
            on_event=lambda event, said=said: said.append(str(event.get("text"))),  # type: ignore[misc]
        )
        assert store.manifest["source"]["left_out"]["records"] == COUNTED[name]
        assert notes(store.manifest)[0] in said
        assert "1 empty" in notes(store.manifest)[0]


def test_a_field_that_no_record_has_is_an_error_however_bad_records_are_taken(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"body": "a"}\n{"body": "b"}\n')
    with pytest.raises(
        SourceError,
        match=(
            r"holds no text.*Left out as bad: 2 records; without --data.skip-bad the first is shown"
        ),
    ):
        prepare(DataConfig(source=str(path), skip_bad=True), cache=tmp_path / "cache")


def test_a_long_window_is_said_with_the_command_that_unpacks_it(tmp_path: Path) -> None:
    frame = (
        b"\x28\xb5\x2f\xfd\x00\xa8" + (1 | 5 << 3).to_bytes(3, "little") + b"hello"
    )  # a window of 2 GiB, one raw block
    with pytest.raises(SourceError, match=r"zstd -d --long=31 .*a.txt.zst -o NEW"):
        read(tmp_path / "a.txt.zst", frame)


ENCODINGS = ["utf-32", "utf-32-le", "utf-32-be", "utf-16", "utf-16-le", "utf-16-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_wide_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    data = "A text in an encoding.\n".encode(encoding)
    with pytest.raises(SourceError) as refused:
        read(tmp_path / "a.txt", data)
    said = str(refused.value).partition("iconv -f ")[2].partition(" ")[0]
    assert said.replace("-", "") == encoding.replace("-", "")
    made = subprocess.run(
        ["iconv", "-f", said, "-t", "utf-8"], input=data, capture_output=True, check=True
    ).stdout
    assert made.decode() == "A text in an encoding.\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"it\x92s caf\xe9.", "iconv -f windows-1252"),
        (b"caf\xe9 it\x92s.", "iconv -f windows-1252"),
        (b"caf\xe9.", "iconv -f latin1"),
        (b"\x81\x30\x92", "neither Latin-1 nor Windows-1252"),
        ("caf\u00e9 ".encode() + b"\xff.", "iconv -c -f utf-8"),
        ("caf\u00e9 \u00e9".encode()[:-1], "is the file whole"),
        (b"x \xed\xa0\x80.", "half of a surrogate pair"),
    ],
)
def test_bytes_that_are_not_utf_8_are_named_by_what_they_may_be(
    tmp_path: Path, data: bytes, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "a.txt", data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", "text,id,text\nred,1,blue\n"),
        ("a.tsv", "text\tid\ttext\nred\t1\tblue\n"),
        ("a.jsonl", '{"text": "first"}\n{"text": "red", "id": 1, "text": "blue"}\n'),
        ("a.jsonl", '{"text": "red", "id": 1, "te\\u0078t": "blue"}\n'),
        ("a.json", '[{"text": "first"}, {"text": "red", "id": 1, "text": "blue"}]'),
    ],
)
def test_two_fields_of_the_name_that_is_wanted_are_no_choice_of_ours(
    tmp_path: Path, name: str, data: str
) -> None:
    with pytest.raises(SourceError, match=r"'text'.*Give each a name of its own.*--data.field"):
        read(tmp_path / name, data)


def test_a_field_of_a_record_within_may_bear_the_same_name(tmp_path: Path) -> None:
    inside = '{"text": "red", "meta": {"text": "blue"}, "said": "text"}\n'
    assert read(tmp_path / "a.jsonl", inside) == ["red"]
    twice = '{"text": "red", "meta": {"a": 1, "a": 2}}\n'
    assert read(tmp_path / "a.jsonl", twice) == ["red"]
    counted: Counter[str] = Counter()
    both = '{"text": "red"}\n{"text": "red", "text": "blue"}\n'
    assert read(tmp_path / "a.jsonl", both, skip_bad=True, left_out=counted) == ["red"]
    assert counted == {"with its field twice": 1}


def test_so_it_is_in_an_array(tmp_path: Path) -> None:
    counted: Counter[str] = Counter()
    inside = '[{"text": "red", "meta": {"text": "blue", "a": 1, "a": 2}, "said": "text"}'
    assert read(tmp_path / "a.json", f"{inside}]") == ["red"]
    both = inside + ', {"text": "red", "text": "blue"}]'
    with pytest.raises(SourceError, match=r"record 2 of .*a\.json has the field 'text'"):
        read(tmp_path / "a.json", both)
    assert read(tmp_path / "a.json", both, skip_bad=True, left_out=counted) == ["red"]
    assert counted == {"with its field twice": 1}
