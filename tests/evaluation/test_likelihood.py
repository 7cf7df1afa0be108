"""The figures are those of a naive loop, whatever the batch size.

And they can be written and read.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from inklings import durable
from inklings.errors import ArchitectureError, ConfigError, RunError, SourceError, TokenizerError
from inklings.evaluation.likelihood import scoring
from inklings.evaluation.likelihood import windows as lanes
from inklings.evaluation.likelihood.evaluate import (
    LikelihoodResult,
    evaluate,
    load_likelihood,
    save_likelihood,
)
from inklings.models.contract import SequenceModel, Traits
from inklings.text.checked_blocks import CheckedBlocks
from inklings.text.store import TokenSplit

LENGTHS = [0, 1, 5, 40, 3, 0, 17, 60, 2]
Documents = Callable[..., list[list[int]]]
MakeSplit = Callable[..., TokenSplit]


@pytest.fixture
def short_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warm-ups of 6 tokens.

    As long as the longest context of the models here, and lanes of 48 targets.
    """
    monkeypatch.setattr(lanes, "SHORTEST_WARM_UP", 6)


def naive(
    model: SequenceModel, documents: list[list[int]], *, lane: int = 10**9, warm: int = 0
) -> list[dict[str, float]]:
    """One entry a target: each predicted by a pass of its own over its context, in float64."""
    found = []
    model.eval()
    for number, document in enumerate(documents):
        stream = [0, *document, 0]
        for i in range(len(stream) - 1):
            begin = max(0, i // lane * lane - warm)
            with torch.no_grad():
                logits = model(torch.tensor([stream[begin : i + 1]])).logits[0, -1].double()
            order = sorted(range(len(logits)), key=lambda token: (-float(logits[token]), token))
            target = stream[i + 1]
            nats = float(-torch.log_softmax(logits, 0)[target])
            found.append(
                {
                    "document": number,
                    "place": i + 1,
                    "nats": nats,
                    "target": target,
                    "guess": order[0],
                    "rank": order.index(target),
                }
            )
    return found


def assert_is(result: LikelihoodResult, expected: list[dict[str, float]], n_bytes: int) -> None:
    n = len(expected)
    nats = sum(e["nats"] for e in expected)
    assert result.targets == n
    assert result.loss == pytest.approx(nats / n, abs=1e-5)
    assert result.perplexity == pytest.approx(math.exp(nats / n), rel=1e-4)
    assert result.bits_per_byte == pytest.approx(nats / math.log(2) / n_bytes, rel=1e-5)
    assert result.accuracy == sum(e["rank"] == 0 for e in expected) / n
    assert result.top5_accuracy == sum(e["rank"] < 5 for e in expected) / n
    labels = {e["target"] for e in expected} | {e["guess"] for e in expected}
    f1 = [
        2
        * sum(e["target"] == e["guess"] == label for e in expected)
        / sum((e["target"] == label) + (e["guess"] == label) for e in expected)
        for label in labels
    ]
    assert result.macro_f1 == pytest.approx(np.mean(f1))
    longest = max(e["place"] for e in expected)
    first = 1
    for low, high, loss, count in result.loss_by_position:
        inside = [e["nats"] for e in expected if low <= e["place"] <= high]
        assert (low, count) == (first, len(inside))
        assert loss == pytest.approx(np.mean(inside), abs=1e-5)
        first = high + 1
    assert first == longest + 1
    for number in range(len(result.documents)):
        own = [e for e in expected if e["document"] == number]
        assert result.documents.targets[number] == len(own)
        assert result.documents.nats[number] == pytest.approx(sum(e["nats"] for e in own), abs=1e-4)
        assert result.documents.hits[number] == sum(e["rank"] == 0 for e in own)


def test_it_is_a_naive_loop_over_targets(
    any_model: SequenceModel, split_of: MakeSplit, documents_of: Documents
) -> None:
    documents = documents_of(LENGTHS)
    split = split_of(documents, bytes_per_token=3)
    assert_is(evaluate(any_model, split, batch_size=4), naive(any_model, documents), split.n_bytes)


@pytest.mark.usefixtures("short_lanes")
def test_lanes_are_a_naive_loop_over_their_context(
    any_model: SequenceModel, split_of: MakeSplit, documents_of: Documents
) -> None:
    documents = documents_of([110, 48, 47, 0])
    result = evaluate(any_model, split_of(documents), batch_size=3)
    assert result.protocol == {
        "warm_up": max(6, any_model.config.context_length),
        "lane": 8 * max(6, any_model.config.context_length),
        "block_bytes": 2048,
    }
    expected = naive(
        any_model, documents, lane=result.protocol["lane"], warm=result.protocol["warm_up"]
    )
    assert_is(result, expected, sum(len(d) + 1 for d in documents))


@pytest.mark.usefixtures("short_lanes")
@pytest.mark.parametrize("any_model", ["ngram", "mlp", "tree_wavenet"], indirect=True)
def test_lanes_change_nothing_where_the_context_is_short(
    any_model: SequenceModel,
    split_of: MakeSplit,
    documents_of: Documents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = split_of(documents_of([300, 200]))
    cut = evaluate(any_model, split)
    assert cut.protocol["lane"] < 200
    monkeypatch.setattr(lanes, "SHORTEST_WARM_UP", 512)
    assert cut.loss == pytest.approx(evaluate(any_model, split).loss, abs=1e-6)


@pytest.mark.usefixtures("short_lanes")
@pytest.mark.parametrize(
    "limits", [{}, {"LOGITS": 11 * 64}, {"POSITIONS": 8}, {"CHUNK": 7}], ids=str
)
def test_batch_size_and_limits_of_memory_change_nothing(
    any_model: SequenceModel,
    split_of: MakeSplit,
    documents_of: Documents,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, int],
) -> None:
    split = split_of(documents_of([*LENGTHS, 200, 130]))
    one = evaluate(any_model, split, batch_size=1)
    for name, value in limits.items():
        monkeypatch.setattr(scoring, name, value)
    many = evaluate(any_model, split, batch_size=64)
    assert many.loss == pytest.approx(one.loss, abs=1e-5)
    assert many.documents.nats == pytest.approx(one.documents.nats, abs=1e-3)
    assert (many.accuracy, many.top5_accuracy, many.macro_f1) == (
        one.accuracy,
        one.top5_accuracy,
        one.macro_f1,
    )
    assert [entry[2] for entry in many.loss_by_position] == pytest.approx(
        [entry[2] for entry in one.loss_by_position], abs=1e-4
    )


def test_memory_is_bounded(
    split_of: MakeSplit,
    documents_of: Documents,
    table: Callable[..., SequenceModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "LOGITS", 11 * 40)
    model = table(torch.zeros(11, 11))
    sizes = []
    model.register_forward_hook(
        lambda module, given, output: sizes.append(tuple(output.logits.shape))
    )
    evaluate(model, split_of(documents_of(LENGTHS)), batch_size=64)
    assert max(math.prod(size) for size in sizes) <= 11 * 40
    assert (
        max(size[0] for size in sizes) == 2
    )  # rows are given up before chunks get shorter than 16


def test_it_repeats_to_the_bit_in_any_mode_and_leaves_the_mode(
    any_model: SequenceModel, split_of: MakeSplit, documents_of: Documents
) -> None:
    split = split_of(documents_of(LENGTHS))
    any_model.eval()
    first = evaluate(any_model, split)
    any_model.train()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    second = evaluate(any_model, split)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(first.documents.nats, second.documents.nats)
    assert first.summary() == second.summary()
    assert any_model.training
    assert torch.is_grad_enabled()


def test_a_bigram_table_has_its_closed_form(
    split_of: MakeSplit, documents_of: Documents, table: Callable[..., SequenceModel]
) -> None:
    split = split_of(documents_of(LENGTHS), bytes_per_token=2)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(11), size=11)
    counts = np.zeros((11, 11))
    np.add.at(counts, (split.tokens[:-1], split.tokens[1:]), 1)
    result = evaluate(table(torch.from_numpy(probabilities).log()), split)
    nats = -(counts * np.log(probabilities)).sum()
    assert result.nats == pytest.approx(nats)
    assert result.loss == pytest.approx(nats / counts.sum())
    assert result.bits_per_byte == pytest.approx(nats / math.log(2) / split.n_bytes)
    assert (
        result.accuracy == counts[np.arange(11), probabilities.argmax(axis=1)].sum() / counts.sum()
    )


def test_a_model_that_knows_nothing_gets_no_marks_for_ties(
    split_of: MakeSplit, documents_of: Documents, table: Callable[..., SequenceModel]
) -> None:
    split = split_of(documents_of(LENGTHS))
    result = evaluate(table(torch.zeros(11, 11)), split)
    assert result.loss == pytest.approx(math.log(11))
    assert result.perplexity == pytest.approx(11)
    assert result.accuracy == np.mean(split.tokens[1:] == 0)
    assert result.top5_accuracy == np.mean(split.tokens[1:] < 5)


def test_bits_per_byte_are_refused_where_bytes_are_lost(
    split_of: MakeSplit, documents_of: Documents, table: Callable[..., SequenceModel]
) -> None:
    result = evaluate(table(torch.zeros(11, 11)), split_of(documents_of(LENGTHS)), lossless=False)
    assert result.bits_per_byte is None
    assert result.summary()["bits_per_byte"] is None


def test_few_documents_are_resampled_by_blocks(
    split_of: MakeSplit, documents_of: Documents, table: Callable[..., SequenceModel]
) -> None:
    model = table(torch.randn(11, 11, generator=torch.Generator().manual_seed(0)))
    one = evaluate(model, split_of(documents_of([20_479])))
    assert one.blocks is not None
    assert one.units.targets.tolist() == [2048] * 10
    assert one.units.nats.sum() == pytest.approx(one.nats)
    assert one.interval().n == 10
    assert one.interval().contains(one.loss)
    assert one.interval().high - one.interval().low < 0.2
    many = evaluate(model, split_of(documents_of([50] * 30)))
    assert many.blocks is None
    assert many.interval().n == 30


@pytest.mark.parametrize("n_documents", [3, 40])
def test_it_is_written_and_read(
    split_of: MakeSplit,
    documents_of: Documents,
    table: Callable[..., SequenceModel],
    tmp_path: Path,
    n_documents: int,
) -> None:
    model = table(torch.randn(11, 11, generator=torch.Generator().manual_seed(0)))
    result = evaluate(model, split_of(documents_of([3000, *[5] * (n_documents - 1)])))
    folder = save_likelihood(result, tmp_path / "new" / "folder")
    loaded = load_likelihood(folder)
    assert loaded.summary() == result.summary()
    assert (loaded.blocks is None) == (n_documents == 40)
    for ours, theirs in ((result.documents, loaded.documents), (result.units, loaded.units)):
        for name, values in vars(ours).items():
            assert np.array_equal(values, vars(theirs)[name])
    (folder / "units.safetensors").write_bytes(
        b"\0" + (folder / "units.safetensors").read_bytes()[1:]
    )
    with pytest.raises(RunError, match="does not belong"):
        load_likelihood(folder)
    (folder / "units.safetensors").unlink()
    with pytest.raises(RunError, match="missing"):
        load_likelihood(folder)


def test_a_token_held_impossible_makes_the_loss_infinite_and_json_valid(
    split_of: MakeSplit,
    documents_of: Documents,
    table: Callable[..., SequenceModel],
    tmp_path: Path,
) -> None:
    logits = torch.zeros(11, 11)
    logits[:, 3] = -math.inf
    result = evaluate(table(logits), split_of(documents_of(LENGTHS)))
    assert result.loss == result.perplexity == math.inf
    assert json.loads(json.dumps(result.summary(), allow_nan=False))["loss"] is None
    assert math.isnan(load_likelihood(save_likelihood(result, tmp_path)).loss)
    with pytest.raises(ConfigError, match="not finite"):
        result.interval()


def test_what_cannot_be_scored_is_refused(
    split_of: MakeSplit, documents_of: Documents, table: Callable[..., SequenceModel]
) -> None:
    split, model = split_of(documents_of(LENGTHS)), table(torch.zeros(11, 11))
    with pytest.raises(TokenizerError, match="holds token 10, the model knows 5"):
        evaluate(table(torch.zeros(5, 5)), split)
    with pytest.raises(TokenizerError, match="boundary is token 1"):
        evaluate(model, dataclasses.replace(split, boundary=1))
    with pytest.raises(SourceError, match="no documents"):
        evaluate(model, split_of([]))
    with pytest.raises(ConfigError, match="batch_size is 0"):
        evaluate(model, split, batch_size=0)
    model.traits = Traits(has_likelihood=False)
    with pytest.raises(ArchitectureError, match="Table has no likelihood"):
        evaluate(model, split)


def test_a_damaged_token_file_is_noticed(
    split_of: MakeSplit,
    documents_of: Documents,
    table: Callable[..., SequenceModel],
    tmp_path: Path,
) -> None:
    split, path = split_of(documents_of(LENGTHS)), tmp_path / "tokens.bin"
    path.write_bytes(split.tokens.tobytes())
    guarded = dataclasses.replace(
        split, unchecked=CheckedBlocks(path, durable.block_hashes(path), 2)
    )
    model = table(torch.zeros(11, 11))
    assert evaluate(model, guarded).summary() == evaluate(model, split).summary()
    damaged = dataclasses.replace(split, unchecked=CheckedBlocks(path, ["0" * 64], 2))
    with pytest.raises(RunError, match="damaged"):
        evaluate(model, damaged)
