"""Models of every architecture in transformers: logits, texts, caches, padding, training, files."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from inklings.errors import ArchitectureError, ConfigError
from inklings.models.contract import SequenceModel
from inklings.models.ngram import NGram
from inklings.models.objectives import has_likelihood
from inklings.models.registry import ARCHITECTURES, load_class
from tests.built import build_opinionated

pytest.importorskip("transformers")

from transformers import AutoModelForCausalLM, DynamicCache, set_seed

from inklings.interop.registered.columns import first_columns
from inklings.interop.transformers import (
    InklingsConfig,
    InklingsForCausalLM,
    StateCache,
    as_transformers,
)

WINDOW = {"context_length": 6}
WAVE = {"n_layer": 1, "n_head": 2, "n_embd": 16, "wave_layers": 2, **WINDOW}
MEMORY = {**WINDOW, "segment": 5, "num_search_results": 3, "memory_size": 20, "share": 0.1}
INSIDE = "gpt:n_layer=1,n_head=2,n_embd=16"
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "ngram": ("ngram", {"order": 3}),
    "mlp": ("mlp", {"n_embd": 6, "n_hidden": 20, "context_length": 4}),
    "recurrent": ("recurrent", {"cell": "lstm", "n_layer": 2, "n_embd": 12, "n_hidden": 20}),
    "tree_wavenet": ("tree_wavenet", {"n_embd": 6, "n_hidden": 12, "context_length": 4}),
    "wavenet": ("wavenet", {"n_layer": 3, "n_embd": 16, "n_skip": 16, "context_length": 8}),
    "gpt2": ("gpt2", {"n_layer": 1, "n_head": 2, "n_embd": 16, **WINDOW}),
    "gpt, tied": ("gpt", {"n_layer": 2, "n_head": 2, "n_embd": 16, "tied_head": True, **WINDOW}),
    "wavegpt": ("wavegpt", {**WAVE, "fusion": "closed_blocks", "mix": "logits"}),
    "varda, mixture": ("varda", {**MEMORY, "backbone": INSIDE, "reader": "mixture"}),
    "varda, concat": (
        "varda",
        {
            **MEMORY,
            "backbone": "wavenet:n_layer=2,n_embd=12,n_skip=16",
            "reader": "concat",
            "write": "surprisal",
        },
    ),
    "varda, deleting": (
        "varda",
        {**MEMORY, "backbone": INSIDE, "write": "learned", "segment": 2, "delete_within": 1.0},
    ),
}
VOCABULARY = 23
LENGTHS = (20, 13, 5)
NEW = 8
WRITING: dict[str, Any] = {"max_new_tokens": NEW, "pad_token_id": 0, "eos_token_id": -1}
"""No token has the number -1: a text goes on across the end of a document."""


@dataclass(frozen=True)
class Both:
    """A model, and the same in transformers, which was written to a folder and read again."""

    ours: SequenceModel
    theirs: Any
    info: dict[str, Any]


SLOW = ("varda, concat", "varda, deleting")
"""Each row has a memory, which every beam copies."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in MODELS
    ],
)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    architecture, fields = MODELS[request.param]
    ours = build_opinionated(architecture, fields, vocab_size=VOCABULARY).eval()
    folder = tmp_path_factory.mktemp("model")
    as_transformers(ours).save_pretrained(folder)
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    return Both(ours, *loaded)


def some_tokens(rows: int = 3, length: int = LENGTHS[0]) -> Tensor:
    """The same tokens each time, the boundary among them."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, VOCABULARY, (rows, length)))


def whole(tokens: Tensor) -> dict[str, Tensor]:
    """Rows without padding, which is said: the token that pads stands within them too."""
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def padded() -> tuple[Tensor, Tensor]:
    """Rows of different lengths, filled up on the left, and their mask."""
    tokens, mask = some_tokens(), torch.zeros(len(LENGTHS), LENGTHS[0], dtype=torch.int64)
    filled = torch.full_like(tokens, 7)
    for row, length in enumerate(LENGTHS):
        mask[row, -length:] = 1
        filled[row, -length:] = tokens[row, :length]
    return filled, mask


def greedy(model: SequenceModel, prompt: Tensor, count: int = NEW) -> list[int]:
    """The most likely tokens one after the other, streamed by our own means."""
    with torch.no_grad():
        output, tokens = model(prompt[None], model.initial_state(1)), []
        for _ in range(count):
            tokens.append(int(output.logits[0, -1].argmax()))
            output = model(torch.tensor([tokens[-1:]]), output.state)
    return tokens


def test_every_architecture_with_a_likelihood_is_tried_here() -> None:
    able = {name for name in ARCHITECTURES if has_likelihood(load_class(name))}
    assert able == {architecture for architecture, _ in MODELS.values()}


def test_logits_are_ours_however_a_text_is_cut(both: Both) -> None:
    tokens = some_tokens()
    with torch.no_grad():
        expected = both.ours(tokens).logits
        assert expected.std() > 0.3, "weights that say nothing prove nothing"
        plain = both.theirs(tokens, use_cache=False)
        cache, pieces = None, []
        for piece in tokens.split([1, 6, 10, 3], dim=1):
            output = both.theirs(piece, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            pieces.append(output.logits)
    assert plain.past_key_values is None
    torch.testing.assert_close(plain.logits, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat(pieces, 1), expected, atol=1e-4, rtol=0)


def test_rows_filled_up_on_the_left_go_on_as_each_alone_would(both: Both) -> None:
    filled, mask = padded()
    written = both.theirs.generate(filled, attention_mask=mask, do_sample=False, **WRITING)
    for row, length in enumerate(LENGTHS):
        assert written[row, -NEW:].tolist() == greedy(both.ours, some_tokens()[row, :length])
    uncached = both.theirs.generate(
        filled, attention_mask=mask, do_sample=False, use_cache=False, **WRITING
    )
    assert torch.equal(written, uncached)


def test_beams_are_those_of_a_search_without_a_cache(both: Both) -> None:
    filled, mask = padded()
    how = {**WRITING, "num_beams": 3, "num_return_sequences": 2, "do_sample": False}
    cached = both.theirs.generate(filled, attention_mask=mask, **how)
    assert torch.equal(
        cached, both.theirs.generate(filled, attention_mask=mask, use_cache=False, **how)
    )
    assert len({tuple(row) for row in cached.tolist()}) > len(LENGTHS), "beams of a row differ"


def test_a_seed_says_what_is_drawn(both: Both) -> None:
    drawn = []
    for seed in (0, 0, 1):
        set_seed(seed)
        drawn.append(both.theirs.generate(**whole(some_tokens()), do_sample=True, **WRITING))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_guesses_that_are_taken_back_leave_no_trace(both: Both) -> None:
    prompt = some_tokens(1).repeat(1, 2)  # copies of what stands there are guessed
    for guessed in (3, 10):
        written = both.theirs.generate(
            **whole(prompt), prompt_lookup_num_tokens=guessed, do_sample=False, **WRITING
        )
        new = written[0, prompt.shape[1] :].tolist()
        # early versions of transformers write guesses that hold beyond `max_new_tokens` too
        assert len(new) >= NEW
        assert new == greedy(both.ours, prompt[0], len(new))


@pytest.mark.parametrize("recording", [False, True])
def test_going_back_is_as_never_having_been_there(both: Both, recording: bool) -> None:
    tokens, cache = some_tokens(), StateCache()
    if recording:
        cache.activate_past_recording()
    with torch.no_grad():
        both.theirs(tokens[:, :9], past_key_values=cache)
        kept = copy.deepcopy(cache)
        both.theirs(tokens[:, 9:], past_key_values=cache)
        cache.crop(-4)
        cache.crop(12)
        assert cache.get_seq_length() == 12
        output = both.theirs(tokens[:, 12:], past_key_values=cache)
        expected = both.ours(tokens).logits
        torch.testing.assert_close(output.logits, expected[:, 12:], atol=1e-4, rtol=0)
        output = both.theirs(tokens[:, 9:], past_key_values=kept)  # reading on changed no copy
        torch.testing.assert_close(output.logits, expected[:, 9:], atol=1e-4, rtol=0)


def test_rows_of_a_cache_are_taken_and_repeated(both: Both) -> None:
    tokens, cache = some_tokens(), StateCache()
    with torch.no_grad():
        both.theirs(tokens[:, :9], past_key_values=cache)
        cache.batch_select_indices(torch.tensor([2, 0]))
        cache.batch_repeat_interleave(2)
        rows = torch.tensor([2, 2, 0, 0])
        output = both.theirs(tokens[rows, 9:], past_key_values=cache)
    expected = both.ours(tokens[rows]).logits
    torch.testing.assert_close(output.logits, expected[:, 9:], atol=1e-4, rtol=0)


def test_texts_of_one_row_do_not_see_each_other(both: Both) -> None:
    tokens = some_tokens(1)
    places = torch.cat([torch.arange(8), torch.arange(12)])[None]
    with torch.no_grad():
        output = both.theirs(tokens, position_ids=places, use_cache=False)
        alone = both.ours(tokens[:, 8:]).logits
    torch.testing.assert_close(output.logits[:, 8:], alone, atol=1e-4, rtol=0)


def test_the_loss_of_transformers_trains_it(both: Both) -> None:
    tokens = some_tokens()
    labels = tokens.masked_fill(padded()[1].flip(1) == 0, -100)  # filled up on the right
    output = both.theirs(tokens, attention_mask=padded()[1].flip(1), labels=labels)
    logits = both.ours(tokens).logits
    expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(output.loss, expected, atol=1e-4, rtol=0)
    if isinstance(both.ours, NGram):
        return  # it counts
    learner = copy.deepcopy(both.theirs).train()
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.05)
    losses = []
    for _ in range(2):
        torch.manual_seed(0)  # of dropout
        loss = learner(tokens, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[1] < losses[0]


def test_a_folder_has_every_weight_once(both: Both) -> None:
    assert not any(both.info.values()), "nothing is missing, left over or of another size"
    own, theirs = both.ours.state_dict(), both.theirs.model.state_dict()
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[name], theirs[name]) for name in own)
    tied = getattr(both.ours.config, "tied_head", False)
    assert both.theirs.config.tie_word_embeddings == bool(tied)
    assert len(list(both.theirs.parameters())) == len(list(both.ours.parameters()))


def test_what_such_a_model_does_not_take_is_said() -> None:
    model: Any = as_transformers(build_opinionated(*MODELS["mlp"], vocab_size=VOCABULARY))
    tokens = some_tokens()
    with pytest.raises(ConfigError, match="give input_ids"):
        model(inputs_embeds=torch.zeros(1, 2, 6))
    with pytest.raises(ConfigError, match="StateCache"):
        model(tokens, past_key_values=DynamicCache())
    with pytest.raises(ConfigError, match="cache for attention"):
        model.generate(tokens, cache_implementation="static", **WRITING)
    with pytest.raises(ArchitectureError, match="not extended here"):
        model.resize_token_embeddings(30)
    mask = torch.ones_like(tokens)
    mask[1, 4:6] = 0
    with pytest.raises(ConfigError, match="Fill up on the left"):
        model(tokens, attention_mask=mask)
    with pytest.raises(ConfigError, match="one for each column"):
        model(tokens, attention_mask=mask[:, 1:])


@pytest.mark.parametrize(
    ("architecture", "fields"),
    [("evil.py:Model", {}), ("varda", {"backbone": "evil.py:Model"})],
)
def test_a_configuration_runs_no_code(
    architecture: str,
    fields: dict[str, str],
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('it was run')")
    config = InklingsConfig(architecture=architecture, fields=fields)
    with pytest.raises(ArchitectureError, match="is never run"):
        InklingsForCausalLM(config)


def test_a_generator_of_whole_texts_is_no_causal_model() -> None:
    with pytest.raises(ArchitectureError, match="does not predict token by token"):
        InklingsForCausalLM(InklingsConfig(architecture="textgan"))


@given(st.data())
def test_a_text_begins_behind_its_padding(data: st.DataObject) -> None:
    rows, read, new = (data.draw(st.integers(low, 5)) for low in (1, 0, 1))
    length = read + new
    empty = [data.draw(st.integers(0, length)) for _ in range(rows)]
    mask = torch.tensor([[int(column >= first) for column in range(length)] for first in empty])
    found = first_columns(mask, None, read=read, shape=(rows, new))
    expected = {(row, first - read) for row, first in enumerate(empty) if read <= first < length}
    if read == 0:
        expected -= {(row, 0) for row in range(rows)}  # there a row begins anyway
    begun = set() if found is None else {(row, column) for row, column in found.nonzero().tolist()}
    assert begun == expected
