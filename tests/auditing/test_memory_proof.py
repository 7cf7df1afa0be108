"""A memory that helps is told from one that does not.

From one that cheats, and from one that is not the reason of its gain.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inklings.auditing.audit import audit
from inklings.auditing.checks.reads_memory import check_memory
from inklings.auditing.memory.proof import (
    ARMS,
    QUICK,
    ArmName,
    Change,
    MemoryProof,
    Part,
    ProofArm,
    occurred_before,
    prove,
)
from inklings.auditing.memory.provenance import Provenance
from inklings.auditing.memory.rivals import (
    Tempered,
    fitted_temperature,
    longer_contexts,
    token_nats,
)
from inklings.auditing.memory.verdict import say_proof
from inklings.auditing.probes import scrambled
from inklings.auditing.subjects import of_architecture
from inklings.config import RunConfig
from inklings.errors import ArchitectureError, ConfigError
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.memory.settings import MemoryConfig
from inklings.memory.store import Memory
from inklings.models.registry import build
from inklings.models.varda.model import Varda
from inklings.values import from_mapping
from tests.built import build_sequence_model

from .fixtures import bad_memories
from .memory_texts import SYMBOLS, chains, knows_the_chain, repeats, split_of, untrained

FILE = Path(bad_memories.__file__)
Helped = tuple[MemoryProof, list[ProofArm]]
Ends = tuple[float, float | None, float | None]


def with_bad_memory(name: str, **fields: Any) -> Varda:
    """A model of `fixtures/bad_memories.py`."""
    model = build(f"{FILE}:{name}", fields, vocab_size=SYMBOLS + 1, boundary_token=0)
    assert isinstance(model, Varda)
    return model


@pytest.fixture(scope="module")
def helped() -> Helped:
    """The whole proof of a memory that helps by construction."""
    told: list[ProofArm] = []
    proof = prove(
        untrained(share=0.8, sharpness=30.0),
        repeats(30),
        fit=repeats(6, seed=1),
        on_arm=told.append,
    )
    return proof, told


def change(proof: MemoryProof, name: ArmName) -> Change:
    found = proof.change(name)
    assert found is not None
    return found


def test_a_memory_that_helps_is_found_to_help(helped: Helped) -> None:
    proof, _ = helped
    assert (proof.documents, proof.unit, proof.units, proof.targets) == (
        30,
        "documents",
        30,
        30 * (3 * SYMBOLS + 1),
    )
    assert change(proof, "memory").lowers
    assert change(proof, "memory").nats < -1
    assert change(proof, "permuted values").raises
    assert change(proof, "random retrieval").raises
    assert change(proof, "another document").raises
    assert proof.holds
    sentence = say_proof(proof)
    assert sentence.startswith("The memory lowers perplexity by ")
    assert "over 30 documents); with permuted values it raises it by" in sentence
    assert "so the gain comes from what is stored" in sentence


def test_what_the_backbone_sees_is_not_what_helps(helped: Helped) -> None:
    """A string comes back after more symbols than the context holds.

    Nothing is lost with what stands in it.
    """
    proof, _ = helped
    assert change(proof, "outside the window").nats < 0.9 * change(proof, "memory").nats


def test_the_gain_lies_with_what_occurred_before(helped: Helped) -> None:
    proof, _ = helped
    assert proof.seen.share == pytest.approx(2 * SYMBOLS / (3 * SYMBOLS + 1))
    assert proof.seen.change is not None
    assert proof.new.change is not None
    assert proof.seen.change.lowers
    assert proof.new.change.raises
    parts = proof.seen.share * proof.seen.change.nats + proof.new.share * proof.new.change.nats
    assert parts == pytest.approx(change(proof, "memory").nats)


def test_rivals_do_not_replace_it(helped: Helped) -> None:
    proof, told = helped
    assert abs(change(proof, "temperature").nats) < 0.05
    longer = proof.arm("longer context")
    assert longer is not None
    assert longer.setting in (32, 64, 128, 256)
    assert longer.change is not None
    assert abs(longer.change.nats) < 0.05  # it is untrained
    assert [arm.name for arm in told] == list(ARMS) == [arm.name for arm in proof.arms]
    assert told == proof.arms


def test_hits_are_traced(helped: Helped) -> None:
    proof, _ = helped
    assert proof.provenance.holds
    assert proof.provenance.hits > 5_000


def test_a_proof_survives_json(helped: Helped) -> None:
    proof, _ = helped
    assert (
        from_mapping(
            MemoryProof,
            json.loads(json.dumps(dataclasses.asdict(proof), allow_nan=False)),
            where="here",
        )
        == proof
    )
    json.dumps(proof.plain(), allow_nan=False)


def test_the_same_call_gives_the_same_figures() -> None:
    model, text = untrained(share=0.8), repeats(4, times=2)
    arms = (*QUICK, "random retrieval", "another document")
    assert prove(model, text, arms=arms) == prove(model, text, arms=arms)


def test_no_memory_is_the_backbone() -> None:
    model, text = untrained(), repeats(5)
    with model.controlled("off"):
        np.testing.assert_allclose(
            token_nats(model, text), token_nats(model.backbone, text), atol=1e-5
        )


def test_what_is_scored_is_what_is_evaluated() -> None:
    model, text = untrained(share=0.5), repeats(5)
    nats = token_nats(model, text)
    of_documents = np.add.reduceat(nats, text.offsets[:-1])
    np.testing.assert_allclose(of_documents, evaluate(model, text).documents.nats, rtol=1e-5)


# What is not the memory's


def test_a_gain_that_survives_permutation_is_not_the_memorys() -> None:
    model = knows_the_chain(
        with_bad_memory("Sharpens", backbone="gpt:n_layer=1,n_head=2,n_embd=64")
    )
    proof = prove(model.eval(), chains(12), fit=chains(6, seed=1), arms=(*QUICK, "temperature"))
    assert change(proof, "memory").lowers
    assert change(proof, "permuted values").nats == pytest.approx(change(proof, "memory").nats)
    assert proof.keeps
    assert not proof.holds
    sentence = say_proof(proof)
    assert sentence.startswith("The gain is not the memory's: perplexity is lower by ")
    assert "with permuted values it is still lower by" in sentence
    assert change(proof, "temperature").nats < change(proof, "memory").nats, (
        "a temperature does all that and more"
    )
    finding = check_memory(model, chains(12))
    assert finding.status == "fail"
    assert "The gain is not the memory's" in finding.summary


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Foresees", "which stands at"),
        ("ForeseesAndLies", "which does not stand at"),
    ],
)
def test_a_memory_that_holds_the_answer_fails(name: str, said: str) -> None:
    model = with_bad_memory(name).eval()
    text = repeats(8, times=2)
    proof = prove(model, text, arms=QUICK)
    assert change(proof, "memory").lowers
    wrong = proof.provenance.ahead if name == "Foresees" else proof.provenance.untrue
    assert wrong >= 0.9 * proof.provenance.queries
    assert not proof.holds
    assert say_proof(proof).startswith("No gain counts: ")
    finding = check_memory(model, text)
    assert finding.status == "fail"
    result = audit(
        of_architecture(name, RunConfig(architecture=f"{FILE}:{name}"), None),
        only=["memory", "prefixes"],
    )
    assert [(found.check, found.status) for found in result.findings] == [
        ("memory", "fail"),
        ("prefixes", "fail"),
    ]


def test_the_finding_says_which_value_is_ahead() -> None:
    model = with_bad_memory("Foresees").eval()
    finding = check_memory(model, repeats(3))
    assert (
        "values that were found are not of the text before their target" in finding.summary
        or "differs" in finding.summary
    )


def test_a_reader_that_meddles_without_hits_fails() -> None:
    model = with_bad_memory("Meddles")
    finding = check_memory(scrambled(lambda seed: model))
    assert finding.status == "fail"
    assert "with an empty memory it differs from its backbone by up to" in finding.summary


@pytest.mark.parametrize(
    "settings",
    [
        {"reader": "mixture"},
        {"reader": "attention"},
        {"reader": "concat"},
        # begins anew whenever its context is full, in the middle of a pass and between two
        {"reader": "concat", "backbone": "gpt2:n_layer=1,n_head=2,n_embd=16", "segment": 5},
        {"reader": "concat", "backbone": "gpt2:n_layer=1,n_head=2,n_embd=16", "segment": 40},
    ],
)
def test_honest_memories_pass(settings: dict[str, Any]) -> None:
    model = scrambled(lambda seed: untrained(**settings))
    finding = check_memory(model)
    assert finding.status == "pass", finding.summary
    assert "stand before their targets" in finding.summary


def test_the_finding_has_the_gain_where_there_is_a_text() -> None:
    finding = check_memory(untrained(share=0.8), repeats(8, times=2))
    assert finding.status == "pass"
    assert "The memory lowers perplexity by" in finding.summary
    json.dumps(finding.evidence, allow_nan=False)


def test_a_memory_that_nothing_is_found_in_is_a_warning() -> None:
    assert check_memory(untrained(frozen=True)).status == "warning"
    assert check_memory(untrained(), split_of([np.array([1, 2, 3])] * 9)).status == "warning"


def test_a_model_without_a_memory_has_nothing_to_prove() -> None:
    model = build_sequence_model("gpt", {"n_layer": 1, "n_embd": 16, "n_head": 2}, vocab_size=9)
    assert check_memory(model).summary == "it has no memory"
    with pytest.raises(ArchitectureError, match="GPT has no memory"):
        prove(model, repeats(2))


def test_what_the_controls_do_not_reach_is_refused() -> None:
    model = untrained()
    model.long_term = Memory(MemoryConfig(dimension=model.dimension, capacity=8))
    with pytest.raises(ConfigError, match="long-term memory"):
        prove(model, repeats(2))
    with pytest.raises(ConfigError, match="targets is 1"):
        prove(untrained(), repeats(2), targets=1)


# The parts


def test_documents_are_taken_whole_and_from_everywhere() -> None:
    text = split_of([np.full(9, 1 + at % SYMBOLS) for at in range(200)])
    part = text.spread(100)
    assert part.n_documents == 10
    assert part.n_targets == 100
    firsts = [int(part.document(at)[0]) for at in range(10)]
    assert all(
        (part.document(at) == firsts[at]).all() and len(part.document(at)) == 9 for at in range(10)
    )
    assert text.spread(5000) is text


def test_no_gap_between_the_chosen_documents_is_wide() -> None:
    text = split_of([np.array([at // 200 + 1, at % 200 + 1]) for at in range(1000)])
    for count in (7, 20, 90):
        part = text.spread(3 * count)
        places = [
            200 * (int(part.document(at)[0]) - 1) + int(part.document(at)[1]) - 1
            for at in range(part.n_documents)
        ]
        assert len(places) == count
        assert places == sorted(set(places))
        assert np.diff([0, *places, 1000]).max() < 3 * 1000 / count


def test_a_long_document_is_cut() -> None:
    part = split_of([np.arange(40) % 9 + 1] * 9).spread(40)
    assert (part.n_documents, part.n_targets, int(part.tokens[-1])) == (4, 40, 0)
    assert all(part.document(at).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9] for at in range(4))
    assert part.document_bytes[0] == pytest.approx(10, abs=1)


def test_what_occurred_before() -> None:
    text = split_of([np.array([3, 4, 3, 3]), np.array([3, 3])])
    assert occurred_before(text).tolist() == [False, False, True, True, False, False, True, False]


def test_the_temperature_of_the_lowest_loss_is_found() -> None:
    backbone = knows_the_chain(untrained(backbone="gpt:n_layer=1,n_head=2,n_embd=64")).backbone
    text = chains(6)
    best = fitted_temperature(backbone, text)
    assert 0.5 < best < 0.9
    assert fitted_temperature(Tempered(backbone, 0.8), text) == pytest.approx(best / 0.8, rel=0.03)
    losses = [
        token_nats(Tempered(backbone, best * factor), text).mean() for factor in (0.9, 1.0, 1.1)
    ]
    assert losses[1] == min(losses)


def test_a_longer_context_is_doubled_until_it_costs_as_much_as_the_memory() -> None:
    model = untrained(memory_size=64)
    found = longer_contexts(model, 10_000)
    assert isinstance(found, list)
    lengths = [one.config.context_length for one in found]
    assert lengths == [16 * 2 ** (at + 1) for at in range(len(lengths))]
    n = 1024
    own = sum(
        weight.numel()
        for name, weight in model.named_parameters()
        if not name.startswith("backbone.") and weight.ndim == 2
    )
    wanted = model.backbone.flops(n) / 3 + n * 2 * (own + model.dimension * 64)
    assert found[-1].flops(n) / 3 >= wanted
    assert len(found) == 1 or found[-2].flops(n) / 3 < wanted
    for name, tensor in found[-1].state_dict().items():
        assert torch.equal(tensor, model.backbone.state_dict()[name])
    whole = longer_contexts(untrained(memory_size=10_000), 100)
    assert isinstance(whole, list)
    assert whole[-1].config.context_length == 128, (
        "a context that sees every document whole is long enough"
    )


@pytest.mark.parametrize(
    ("backbone", "longest", "said"),
    [
        (
            "gpt2:n_layer=1,n_head=2,n_embd=16",
            100,
            "the backbone's weights fit its context of 16 only",
        ),
        (
            "recurrent:n_hidden=16,n_embd=8",
            100,
            "the backbone's cost does not depend on its context",
        ),
        ("gpt:n_layer=1,n_head=2,n_embd=16", 16, "no document is longer than the context of 16"),
    ],
)
def test_a_longer_context_does_not_always_apply(backbone: str, longest: int, said: str) -> None:
    found = longer_contexts(untrained(backbone=backbone), longest)
    assert isinstance(found, str)
    assert said in found


def test_what_needs_another_text_or_another_document_says_so() -> None:
    proof = prove(untrained(), repeats(1, times=2))
    notes = {arm.name: arm.note for arm in proof.arms if arm.loss is None}
    assert set(notes) == {"temperature", "longer context", "another document"}
    assert all(note.startswith("not applicable: there is ") for note in notes.values())
    assert proof.unit == "blocks"


# The sentence


def made(
    memory: Ends | None,
    permuted: Ends = (0.2, 0.1, 0.3),
    *,
    longer: Ends | None = None,
    temperature: Ends | None = None,
    ahead: int = 0,
) -> MemoryProof:
    """A proof with these changes in nats, each with its interval."""
    changes: dict[ArmName, Ends | None] = {
        "no memory": None,
        "memory": memory,
        "permuted values": permuted,
        "temperature": temperature,
        "longer context": longer,
    }
    arms = [
        ProofArm(
            name=name,
            loss=3.0,
            change=None if of is None else Change(nats=of[0], low=of[1], high=of[2]),
            note="",
            setting=512.0,
        )
        for name, of in changes.items()
    ]
    part = Part(share=0.5, change=None)
    traced = Provenance(
        queries=9, hits=9, ahead=ahead, untrue=0, example="after token 3 of a document"
    )
    return MemoryProof(
        targets=9,
        documents=62,
        unit="documents",
        units=62,
        arms=arms,
        seen=part,
        new=part,
        provenance=traced,
    )


GAIN = (math.log(1 - 0.191), math.log(1 - 0.204), math.log(1 - 0.178))
KEPT = (math.log(1 - 0.121), math.log(1 - 0.13), math.log(1 - 0.11))
LITTLE = (math.log(1 - 0.011), math.log(1 - 0.02), math.log(1 - 0.005))


RANGE = "19.1% (17.8 to 20.4 over 62 documents)"
LONGER, TEMPERATURE = (math.log(0.96), -0.1, -0.01), (math.log(0.999), -0.1, 0.1)
SENTENCES = [
    (
        made(GAIN, (math.log(1.03), 0.02, 0.04), longer=LONGER, temperature=TEMPERATURE),
        (
            f"The memory lowers perplexity by {RANGE}; with permuted values it raises it by 3.0%,"
            " so the gain comes from what is stored; a longer context of 512 lowers it by 4.0%, a"
            " temperature lowers it by 0.1%."
        ),
        True,
    ),
    (
        made(GAIN, (-0.001, -0.01, 0.01)),
        (
            f"The memory lowers perplexity by {RANGE}; with permuted values it changes it by -0.1%,"
            " which may be chance, so the gain comes from what is stored."
        ),
        True,
    ),
    (
        made(GAIN, longer=(0.3, 0.2, 0.4), temperature=(0.0, -0.1, 0.1)),
        (
            "; a longer context of 512 without training for it raises it by 35.0%, a temperature"
            " changes nothing."
        ),
        True,
    ),
    (
        made(GAIN, longer=(-0.5, -0.6, -0.4)),
        "a longer context of 512 lowers it by 39.3%: as much can be had without it.",
        True,
    ),
    (
        made((-0.01, -0.03, 0.01)),
        (
            "No claim: with the memory perplexity is -1.0% (-3.0% to +1.0% over 62 documents),"
            " which may be chance."
        ),
        True,
    ),
    (
        made((-0.01, None, None)),
        "No claim: 62 documents of text is too little for an interval. Give more.",
        True,
    ),
    (made(None), "No claim: a loss is not finite.", True),
    (
        made((0.1, 0.05, 0.15)),
        "The memory does harm: it raises perplexity by 10.5% (5.1 to 16.2 over 62 documents).",
        True,
    ),
    (
        made(GAIN, KEPT),
        (
            f"The gain is not the memory's: perplexity is lower by {RANGE}, and with permuted"
            " values it is still lower by 12.1% (11.0 to 13.0)"
        ),
        False,
    ),
    (
        made(GAIN, LITTLE),
        f"A part of the gain is not the memory's: perplexity is lower by {RANGE}",
        False,
    ),
    (
        made(GAIN, ahead=2),
        (
            "No gain counts: 2 of 9 retrieved values do not stand before their targets (after token"
            " 3 of a document)."
        ),
        False,
    ),
]


@pytest.mark.parametrize(("proof", "said", "holds"), SENTENCES)
def test_the_sentence_claims_what_the_intervals_bear(
    proof: MemoryProof, said: str, holds: bool
) -> None:
    assert said in say_proof(proof)
    assert proof.holds is holds
