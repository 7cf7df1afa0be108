"""Every word that a user meets is in the glossary.

Words of the command line, of the report's headings and columns, and of the server's own fields.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

import inklings
from inklings.cli.main import VERBS
from inklings.config import DataConfig, TrainingConfig
from inklings.evaluation.likelihood.likelihood_metric import METRICS
from inklings.evaluation.samples.metric import METRICS as SAMPLE_METRICS
from inklings.models.contract import model_fields
from inklings.models.registry import ARCHITECTURES, load_class

ROOT = Path(__file__).parents[1]
SURFACE = ROOT / "tests" / "surface"
REPORT = Path(inklings.__file__).parent / "lab" / "report"
GLOSSARY = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")

PLAIN = """
a against all and apart as at before after by first for from full in is last no none of on one or
over per cent plausible self than that the them they to up used was well what where which with
without added age allow also begin best better body both bytes change changed compared created data
details down each error evicted failed follow given has help history host hour id ids index info
input item kind last left list longer max message min name new num number object options order
other out output owned port position problem ready removed research result results return running
scored seconds sets some special state status step steps strs summary template them they text time
timeout total trained turn type user value varied version waiting went words worse write
"""
"""Words of plain English that mean here what they mean everywhere."""
THEIRS = {"bos", "pad", "unk", "eos", "len", "vocab", "v1", "tokenizer", "class", "count", "health"}
"""Fields and routes as other servers name them."""


REMEDY = "add a line for each word to docs/reference/glossary.md"


def words(text: str) -> set[str]:
    """The words of a name or a title, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Za-z][A-Za-z0-9]*", text) if len(word) > 1}


KNOWN = words(GLOSSARY)


def unknown(text: str) -> set[str]:
    """The words of `text` that neither the glossary nor plain English has."""
    return {
        word
        for word in words(text) - words(PLAIN)
        if not {word, f"{word}s", f"{word}es", word.removesuffix("s"), word.removesuffix("es")}
        & KNOWN
    }


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_and_their_flags(verb: str) -> None:
    lines = (SURFACE / "help.txt").read_text(encoding="utf-8").splitlines()
    flags = [flag for line in lines for flag in re.findall(rf"^{verb} (?:\w+ )?--(\S+)", line)]
    assert not unknown(f"{verb} {' '.join(flags)}"), REMEDY


def test_settings() -> None:
    names = [*vars(DataConfig)["__dataclass_fields__"], *TrainingConfig.__dataclass_fields__]
    names += [name for each in ARCHITECTURES for name in model_fields(load_class(each).Config)]
    assert not unknown(" ".join(names)), REMEDY


def server_words() -> Iterator[str]:
    """Parts of routes, and fields that OpenAI's client does not know."""
    described = json.loads((SURFACE / "openapi.json").read_text(encoding="utf-8"))
    folder = Path(openai.__file__).parent / "types"
    files = [*folder.glob("*.py"), *folder.glob("chat/*.py"), *folder.glob("responses/*.py")]
    openais = {
        name
        for path in files
        for name in re.findall(r"^    (\w+): ", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    yield from described["paths"]
    for schema in described["components"]["schemas"].values():
        yield from set(schema.get("properties", {})) - openais


def test_routes_and_fields_of_the_server() -> None:
    assert (
        not {word for name in server_words() for word in unknown(name.replace("_", " "))} - THEIRS
    )


def report_titles() -> Iterator[str]:
    """Headings, columns and terms of the report's templates, and titles that code gives them."""
    for template in (REPORT / "templates").glob("*.jinja"):
        text = template.read_text(encoding="utf-8")
        for title in re.findall(r"<(?:h[1-4]|th|dt|small)\b[^>]*>(.*?)</", text, re.DOTALL):
            yield re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<[^>]*>|&\w+;", " ", title, flags=re.DOTALL)
    for path in REPORT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "title":
                yield from (
                    part.value
                    for part in ast.walk(node.value)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                )
    yield from (metric.title for metric in (*SAMPLE_METRICS, *METRICS))


def test_headings_and_columns_of_the_report() -> None:
    assert not {word for title in report_titles() for word in unknown(title)}, REMEDY


def test_a_word_has_one_line() -> None:
    terms = re.findall(r"\*\*([^*]+)\*\*", GLOSSARY)
    assert sorted(set(terms)) == sorted(terms)
