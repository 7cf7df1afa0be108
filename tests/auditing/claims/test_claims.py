"""A claim in bits per byte: figures are recomputed from the text, and known mistakes are named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from inklings.auditing.audit import Audit, audit
from inklings.auditing.claims.claim_checks import CLAIM_CHECKS
from inklings.auditing.claims.claim_file import read_claim
from inklings.errors import ConfigError
from inklings.text.vocabularies import make_tokenizer

TEXT = "The café is naïve — très naïve.\nA second line about the second café, in Zürich.\n" * 20
SIZE = len(TEXT.encode())


@pytest.fixture(scope="module")
def backend() -> tokenizers.Tokenizer:
    """A small byte-level BPE, whose tokens cut characters in two."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        ["The second line about a line"],
        trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, show_progress=False),
    )
    return made


@pytest.fixture
def judge(tmp_path: Path, backend: tokenizers.Tokenizer) -> Any:
    """Audit a claim with these fields."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    backend.save(str(tmp_path / "tokenizer.json"))

    def run(table: list[int] | None = None, **fields: Any) -> Audit:
        if table is not None:
            (tmp_path / "table.json").write_text(json.dumps(table))
            fields["token_bytes"] = "table.json"
        given = {"text": "text.txt", "tokenizer": "tokenizer.json", **fields}
        (tmp_path / "claim.json").write_text(json.dumps(given))
        return audit(read_claim(tmp_path / "claim.json"))

    return run


def table_of(backend: tokenizers.Tokenizer) -> list[int]:
    """The right number of bytes of each token: a character of its name for each."""
    return [len(str(backend.id_to_token(token))) for token in range(backend.get_vocab_size())]


def test_each_is_registered_under_its_name() -> None:
    assert [check.name for check in CLAIM_CHECKS] == list(CLAIM_CHECKS.places)


def test_an_honest_claim_holds(judge: Any, backend: tokenizers.Tokenizer) -> None:
    count = len(backend.encode(TEXT).ids)
    bits = 1.5 * count / math.log(2) / SIZE
    result = judge(
        table=table_of(backend),
        bits_per_byte=round(bits, 4),
        loss=1.5,
        tokens=count,
        bytes=SIZE,
    )
    assert {finding.status for finding in result.findings} == {"pass"}
    assert result.kind == "claim"


def alone(backend: tokenizers.Tokenizer) -> list[int]:
    """Bytes of tokens decoded alone: a part of a character becomes U+FFFD, of three bytes."""
    return [len(backend.decode([token]).encode()) for token in range(backend.get_vocab_size())]


def doubled(backend: tokenizers.Tokenizer) -> list[int]:
    """The blank that a token begins with, counted twice."""
    return [
        size + str(backend.id_to_token(token)).startswith("Ġ")
        for token, size in enumerate(table_of(backend))
    ]


def dropped(backend: tokenizers.Tokenizer) -> list[int]:
    """The blank that a token begins with, left out."""
    return [2 * size - more for size, more in zip(table_of(backend), doubled(backend), strict=True)]


def names(backend: tokenizers.Tokenizer) -> list[int]:
    """The bytes of names, in which other bytes than printable ones take two."""
    return [
        len(str(backend.id_to_token(token)).encode()) for token in range(backend.get_vocab_size())
    ]


@pytest.mark.parametrize(
    ("table", "says"),
    [(alone, "U+FFFD"), (doubled, "twice"), (dropped, "blanks"), (names, "names")],
)
def test_a_wrong_byte_table_is_told_with_the_right_figure(
    judge: Any, backend: tokenizers.Tokenizer, table: Any, says: str
) -> None:
    counts = table(backend)
    ids = backend.encode(TEXT).ids
    wrong = sum(counts[token] for token in ids)
    assert 0.01 < abs(wrong / SIZE - 1) < 0.4
    nats = 1.5 * len(ids)
    result = judge(table=counts, bits_per_byte=nats / math.log(2) / wrong, nats=nats)
    found = {finding.check: finding for finding in result.findings}
    for check in ("byte table", "bits per byte"):
        assert found[check].status == "fail"
        assert says in found[check].summary
    assert f"{SIZE:,}" in found["byte table"].summary
    assert found["bits per byte"].evidence["recomputed"] == pytest.approx(nats / math.log(2) / SIZE)


@pytest.mark.parametrize(
    ("fields", "check", "says"),
    [
        ({"bytes": len(TEXT)}, "bytes", "characters"),
        ({"bytes": SIZE - 40}, "bytes", "ends of lines"),
        ({"bytes": SIZE + 7}, "bytes", "+0."),
        ({"tokens": +1}, "tokens", "opens the text"),
        ({"tokens": +40}, "tokens", "each line"),
        ({"tokens": +3}, "tokens", "the text has"),
        ({"bits_per_byte": 100.0 / SIZE}, "bits per byte", "nats per byte"),
        ({"bits_per_byte": 0.01}, "bits per byte", "it is 0.0"),
    ],
)
def test_other_mistakes_are_told(
    judge: Any, backend: tokenizers.Tokenizer, fields: dict[str, Any], check: str, says: str
) -> None:
    if "tokens" in fields:
        fields = {"tokens": len(backend.encode(TEXT).ids) + fields["tokens"]}
    result = judge(**{"bits_per_byte": 100 / math.log(2) / SIZE, "nats": 100.0, **fields})
    assert [finding.check for finding in result.failed] == [check]
    assert says in result.failed[0].summary


def test_a_tokenizer_that_loses_text_is_told(judge: Any, tmp_path: Path) -> None:
    words = tokenizers.Tokenizer(models.WordLevel({"The": 0, "?": 1}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "words.json"))
    result = judge(tokenizer="words.json", bits_per_byte=1.0, nats=SIZE * math.log(2))
    assert [finding.check for finding in result.failed] == ["round trip"]


def test_what_is_not_given_is_not_judged(judge: Any) -> None:
    result = judge(tokenizer=None, bits_per_byte=1.0, loss=0.5)
    assert {finding.status for finding in result.findings} == {"not applicable"}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"bits_per_byte": 1.0}, "loss"),
        ({"bits_per_bite": 1.0, "nats": 1.0}, "bits_per_byte"),
        ({"nats": 1.0}, "bits_per_byte"),
        ({"bits_per_byte": 1.0, "nats": 1.0, "text": "none.txt"}, r"none\.txt"),
        ({"bits_per_byte": 1.0, "nats": 1.0, "tokenizer": "text.txt"}, "no tokenizer.json"),
        ({"bits_per_byte": 1.0, "nats": 1.0, "token_bytes": "text.txt"}, "not JSON"),
    ],
)
def test_a_file_that_is_no_claim_is_refused(judge: Any, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        judge(**fields)


def test_a_figure_that_is_claimed_twice_is_refused(tmp_path: Path) -> None:
    claim = tmp_path / "claim.json"
    claim.write_text('{"text": "text.txt", "bits_per_byte": 1.0, "loss": 2.0, "loss": 1.0}')
    with pytest.raises(ConfigError, match=r"claim\.json is not JSON.*'loss' is given twice"):
        read_claim(claim)


def test_bytes_and_characters_are_tokens_too(judge: Any) -> None:
    for kind, count in (("byte", SIZE), ("char", len(TEXT))):
        bits = 2.0 * count / math.log(2) / SIZE
        assert not judge(tokenizer=kind, bits_per_byte=bits, loss=2.0, tokens=count).failed


def test_characters_with_bytes_for_the_rest_hold_the_text(judge: Any, tmp_path: Path) -> None:
    made = make_tokenizer("char+bytes", lambda: iter([("The second line about a line", True)]))
    made.backend.save(str(tmp_path / "tokenizer.json"))
    table = [len(made.token_bytes(token)) for token in range(made.vocab_size)]
    tokens = len(made.encode(TEXT))
    assert tokens > len(TEXT)
    bits = 2.0 * tokens / math.log(2) / SIZE
    result = judge(table=table, bits_per_byte=bits, loss=2.0, tokens=tokens, bytes=SIZE)
    assert not result.failed
    assert all(finding.status == "pass" for finding in result.findings)


def test_a_byte_table_that_is_too_short_fails(judge: Any) -> None:
    result = judge(table=[1, 1], bits_per_byte=1.0, nats=SIZE * math.log(2))
    assert [finding.check for finding in result.failed] == ["byte table"]
