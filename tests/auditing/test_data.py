"""Text that is in train and held out is found, and a loader that does not read its text."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inklings.auditing.checks import coverage, text_overlap
from inklings.auditing.checks.coverage import check_coverage
from inklings.auditing.checks.text_overlap import check_overlap
from inklings.config import DataConfig
from inklings.text.batches import Batch, positions, streams, windows
from inklings.text.store import TokenSplit, prepare

Documents = list[list[int]]
TEXTS = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=12), min_size=1, max_size=6)


def split_of(documents: Documents, *, boundary: int = 0) -> TokenSplit:
    tokens, offsets = [boundary], [0]
    for document in documents:
        tokens += [*document, boundary]
        offsets.append(len(tokens) - 1)
    return TokenSplit(
        np.array(tokens, np.uint32),
        np.array(offsets),
        np.array([len(document) for document in documents]),
        boundary,
    )


def random_documents(n: int, length: int, seed: int = 0) -> Documents:
    documents: Documents = np.random.default_rng(seed).integers(1, 30, (n, length)).tolist()
    return documents


# The beginning of a split


@given(TEXTS, st.integers(2, 60))
def test_the_head_of_a_split_is_its_first_documents(documents: Documents, targets: int) -> None:
    split = split_of(documents)
    head = split.head(targets)
    assert head.n_targets <= max(targets, 0)
    assert 2 * head.n_targets >= min(targets, split.n_targets)
    assert head.tokens.dtype == split.tokens.dtype
    assert (head.tokens[head.offsets] == 0).all()
    assert len(head.offsets) == head.n_documents + 1
    assert head.offsets[-1] == head.n_targets
    for index in range(head.n_documents):
        whole = index < head.n_documents - 1 or head.n_targets == split.offsets[head.n_documents]
        kept = head.document(index).tolist()
        assert kept == (documents[index] if whole else documents[index][: len(kept)])


# Overlap


def spans(documents: Documents, length: int) -> list[tuple[int, ...]]:
    return [
        tuple(document[at : at + length])
        for document in documents
        for at in range(len(document) - length + 1)
    ]


@given(TEXTS.filter(lambda documents: len(documents) > 1), TEXTS, st.integers(1, 9))
def test_shares_are_those_of_a_plain_count(
    train: Documents, held_out: Documents, length: int
) -> None:
    fact = check_overlap(
        {"train": split_of(train), "test": split_of(held_out)}, length=length
    ).evidence["splits"]["test"]
    assert fact["documents_in_train"] == sum(document in train for document in held_out) / len(
        held_out
    )
    assert fact["repeated_documents"] == len(held_out) - len(
        {tuple(document) for document in held_out}
    )
    known, asked = set(spans(train, length)), spans(held_out, length)
    assert fact["spans"] == len(asked)
    if asked and known:
        assert fact["spans_in_train"] == pytest.approx(
            sum(span in known for span in asked) / len(asked)
        )
    else:
        assert fact["spans_in_train"] is None


def test_held_out_documents_that_are_in_train_are_told_with_their_share() -> None:
    documents = random_documents(200, 20)
    finding = check_overlap(
        {"train": split_of(documents[:120]), "validation": split_of(documents[100:200])}
    )
    assert (finding.check, finding.status) == ("overlap", "warning")
    assert (
        finding.summary
        == "20.0% of the validation documents are also in train: its loss is partly a memory test"
    )
    assert finding.evidence["splits"]["validation"]["documents_in_train"] == 0.2
    json.dumps(finding.evidence)


def test_long_spans_that_are_in_train_are_told_where_no_document_is() -> None:
    train, held_out = random_documents(20, 300), random_documents(5, 300, seed=1)
    apart = check_overlap({"train": split_of(train), "test": split_of(held_out)})
    assert apart.status == "pass"
    assert (
        apart.summary
        == "of each held-out split at most 0.0% of the documents and 0.0% of the spans of 50 tokens"
        " are also in train"
    )
    held_out[2][100:200] = train[7][50:150]
    finding = check_overlap({"train": split_of(train), "test": split_of(held_out)})
    assert finding.status == "warning"
    assert finding.evidence["splits"]["test"]["spans_in_train"] == pytest.approx(51 / (5 * 251))
    assert "4.1% of the test spans of 50 tokens are also in train" in finding.summary


def test_a_few_spans_of_few_long_documents_are_no_warning() -> None:
    train, held_out = random_documents(500, 8), random_documents(500, 8, seed=1)
    train.append(list(range(1, 21)) * 3)
    held_out.append(list(range(1, 21)) * 3)
    held_out[-1][-1] = 30
    finding = check_overlap({"train": split_of(train), "test": split_of(held_out)})
    assert finding.evidence["splits"]["test"]["spans_in_train"] > 0.5
    assert finding.status == "pass"
    assert "few documents are as long" in finding.summary


def test_documents_that_repeat_are_told() -> None:
    train = random_documents(100, 20)
    finding = check_overlap(
        {"train": split_of(train + train[:25]), "test": split_of(random_documents(50, 20, seed=1))}
    )
    assert finding.status == "warning"
    assert finding.summary == "20.0% of the train documents repeat an earlier one"
    assert finding.evidence["splits"]["train"]["repeated_documents"] == 25


def test_parts_of_one_document_have_spans_but_no_documents() -> None:
    text = random_documents(1, 5000)[0]
    finding = check_overlap({"train": split_of([text[:4000]]), "test": split_of([text[4000:]])})
    assert finding.status == "pass"
    assert "documents do not apply" in finding.summary
    assert finding.evidence["splits"]["test"]["documents_in_train"] is None
    copied = check_overlap({"train": split_of([text[:4000]]), "test": split_of([text[3000:]])})
    assert copied.status == "warning"
    assert "documents" not in copied.summary


def test_a_text_that_is_too_small_is_not_judged() -> None:
    one = split_of([[1, 2, 3]])
    finding = check_overlap({"train": one, "test": one})
    assert finding.status == "not applicable"
    assert "50 tokens" in finding.summary
    assert check_overlap({"train": one}).status == "not applicable"
    assert check_overlap({"test": one}).status == "not applicable"


@pytest.mark.parametrize(("tokenizer", "length"), [("char", 50), ("byte", 50), ("word:50", 13)])
def test_a_store_says_how_long_a_span_is_and_how_it_was_split(
    tmp_path: Path, tokenizer: str, length: int
) -> None:
    words = np.random.default_rng(0).choice(["ink", "pen", "page", "quill", "desk"], 4000)
    (tmp_path / "text.txt").write_text(" ".join(words), encoding="utf-8")
    store = prepare(
        DataConfig(source=str(tmp_path / "text.txt"), layout="documents", tokenizer=tokenizer)
    )
    finding = check_overlap(store)
    assert finding.evidence["span"] == length
    assert not finding.evidence["documents_apply"]
    assert set(finding.evidence["splits"]) == {"train", "validation", "test"}


def test_the_work_is_bounded_and_the_evidence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_overlap, "TRAIN_TARGETS", 1000)
    monkeypatch.setattr(text_overlap, "HELD_OUT_TARGETS", 300)
    facts = check_overlap(
        {
            "train": split_of(random_documents(99, 20)),
            "test": split_of(random_documents(99, 20, seed=1)),
        }
    ).evidence
    for name, bound in (("train", 1000), ("test", 300)):
        assert bound / 2 <= facts["splits"][name]["targets"] <= bound
        assert not facts["splits"][name]["whole"]


# Coverage


@dataclass
class Loader:
    """Batches of rows that begin at given places."""

    split: TokenSplit
    begins: list[list[int]]
    length: int

    def batch(self, step: int) -> Batch:
        begins = np.array(self.begins[step % len(self.begins)])
        columns = (begins[:, None] + np.arange(self.length)) % self.split.n_targets
        tokens, targets = (
            torch.from_numpy(self.split.tokens[at].astype(np.int64))
            for at in (columns, columns + 1)
        )
        return Batch(tokens, targets, torch.ones(tokens.shape), None)


class Epochs(Loader):
    """Such batches that say how many an epoch has."""

    @property
    def steps_per_epoch(self) -> int:
        return len(self.begins)


def rows(
    split: TokenSplit, length: int, stride: int, share: float = 1.0, repeats: int = 1
) -> Epochs:
    """The windows of `length` of a split, in eights, each beginning `stride` after the last."""
    count = int(split.n_targets // length * share) // 8 * 8
    begins = np.tile((np.arange(count) * stride).reshape(-1, 8), (repeats, 1))
    return Epochs(split, begins.tolist(), length)


SPLIT = split_of(random_documents(700, 25) + random_documents(1, 4000) + random_documents(50, 1))


@pytest.mark.parametrize("boundary", [0, 7, 20_000_000])
@pytest.mark.parametrize("order", ["windows", "streams"])
def test_the_loaders_that_read_in_order_cover_everything_once(order: str, boundary: int) -> None:
    split = TokenSplit(SPLIT.tokens.copy(), SPLIT.offsets, SPLIT.document_bytes, boundary)
    split.tokens[split.offsets] = boundary
    finding = check_coverage(
        lambda part: (
            windows(part, batch_size=8, length=32, lead=5)
            if order == "windows"
            else streams(part, 8, 32)
        ),
        split,
    )
    assert (finding.check, finding.status) == ("coverage", "pass")
    assert finding.evidence["covered"] == 1.0
    assert finding.evidence["repeated"] == 0.0
    assert finding.evidence["targets"] == split.n_targets
    json.dumps(finding.evidence)


@pytest.mark.parametrize("boundary", [0, 7, 52, 20_000_000])
def test_a_loader_sees_the_same_documents_and_boundaries_and_every_other_token_once(
    boundary: int,
) -> None:
    split = TokenSplit(SPLIT.tokens.copy(), SPLIT.offsets, SPLIT.document_bytes, boundary)
    seen: list[TokenSplit] = []
    check_coverage(lambda part: seen.append(part) or windows(part, batch_size=8, length=32), split)  # type: ignore[func-returns-value]
    (part,) = seen
    assert part.boundary == boundary
    assert np.array_equal(np.flatnonzero(part.tokens == boundary), split.offsets)
    others = part.tokens[part.tokens != boundary]
    assert len(np.unique(others)) == len(others)


def test_a_loader_indexed_by_the_number_of_the_window_reads_a_64th_of_the_text() -> None:
    split = split_of(random_documents(1, 64 * 8000))
    finding = check_coverage(lambda part: rows(part, 64, stride=1), split)
    assert finding.status == "fail"
    assert "reads 1/64 of the text" in finding.summary
    assert finding.evidence["covered"] < 0.02
    assert check_coverage(lambda part: rows(part, 64, stride=64), split).status == "pass"


@pytest.mark.parametrize(("share", "repeats"), [(0.8, 1), (0.55, 2), (0.3, 3), (0.0, 1)])
def test_a_loader_that_leaves_text_out_fails_even_if_it_repeats_the_rest(
    share: float, repeats: int
) -> None:
    finding = check_coverage(
        lambda part: rows(part, 16, stride=16, share=share, repeats=repeats), SPLIT
    )
    assert finding.status == "fail"
    assert finding.evidence["covered"] == pytest.approx(share, abs=0.02)
    assert ("leaves out" if share in (0.8, 0.55, 0.0) else "reads 1/3") in finding.summary


def test_draws_with_replacement_are_known_and_pass() -> None:
    finding = check_coverage(lambda part: positions(part, 64, 8), SPLIT)
    assert finding.status == "pass"
    assert "draws with replacement" in finding.summary
    assert finding.evidence["covered"] == pytest.approx(1 - math.exp(-1), abs=0.02)
    few = check_coverage(
        lambda part: positions(part, 64, 8), SPLIT, steps=SPLIT.n_targets // 64 // 2
    )
    assert few.status == "fail"


def test_a_loader_without_epochs_runs_until_it_has_scored_enough() -> None:
    def random_crops(part: TokenSplit) -> Loader:
        return Loader(
            part,
            np.random.default_rng(0).integers(part.n_targets - 16, size=(5000, 8)).tolist(),
            16,
        )

    finding = check_coverage(random_crops, SPLIT)
    assert finding.status == "pass"
    assert finding.evidence["steps"] == -(-SPLIT.n_targets // 128)
    assert "draws with replacement" in finding.summary


def test_targets_without_weight_are_not_read() -> None:
    @dataclass
    class EndsOnly:
        inner: Epochs

        @property
        def steps_per_epoch(self) -> int:
            return self.inner.steps_per_epoch

        def batch(self, step: int) -> Batch:
            batch = self.inner.batch(step)
            return Batch(batch.tokens, batch.targets, (batch.targets != 0).float(), None)

    split = split_of(random_documents(1000, 4))
    finding = check_coverage(lambda part: EndsOnly(rows(part, 8, stride=8)), split)
    assert finding.status == "fail"
    assert finding.evidence["covered"] == pytest.approx(0.8, abs=0.01)


def test_long_splits_and_short_steps_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "EPOCH_TARGETS", 5000)
    monkeypatch.setattr(coverage, "EPOCH_STEPS", 50)
    for size, bound in ((32, 5000), (1, 800)):
        finding = check_coverage(partial(windows, batch_size=size, length=16), SPLIT)
        assert finding.status == "pass"
        assert bound / 2 <= finding.evidence["targets"] <= bound
        assert not finding.evidence["whole"]
        assert finding.evidence["steps"] <= 60


def test_a_split_that_the_loader_refuses_is_not_judged() -> None:
    finding = check_coverage(
        lambda part: windows(part, batch_size=1, length=100), split_of([[1, 2, 3]])
    )
    assert finding.status == "not applicable"
    assert "4 tokens" in finding.summary
