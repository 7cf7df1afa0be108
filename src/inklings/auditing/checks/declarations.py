"""Whether what a model says of itself is so: its operations, its receptive field, its traits.

Equal budgets and the checks themselves rest on these. Operations are counted by PyTorch as it
computes a step of training; it counts products of matrices and convolutions, so what a model
declares may be more, within reason, and not much less.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from inklings.auditing.check import Check
from inklings.auditing.draws import seeded
from inklings.auditing.findings import Finding
from inklings.auditing.probes import difference, logits_of, other_tokens, random_tokens, span
from inklings.auditing.snapshot import untouched
from inklings.auditing.subjects import Subject
from inklings.models.contract import SequenceModel, parameter_count
from inklings.models.objectives import objective_of

ROWS, LENGTH = 8, 32
"""Of the batch whose operations are counted: short rows, since declared operations do not grow with
the length.
"""
LEAST, MOST = 0.6, 3.0
"""What may be declared, as multiples of what is counted or, where that is kinder, of six times the
parameters. Of honest models it is 0.9 to 1.6.
"""
REUSED = 5.0
"""Six times the parameters, the usual estimate, may be so many times too low: weights that are used
again are not in it.
"""
FULL = 1024
"""Most positions of the row whose operations are counted where more are declared than in short
ones: attention over all of the context may be what they are.
"""
FURTHEST = 2048
"""Most positions at which a receptive field is tried."""


def check_declarations(model: SequenceModel, *, seed: int = 0) -> Finding:
    """Check what a model declares against what it does; all that is wrong is named."""
    wrong: list[str] = []
    evidence: dict[str, Any] = {}
    if objective_of(model).learns_by_likelihood:
        if not model.traits.has_likelihood:
            wrong.append("it learns by likelihood, and declares that it has none")
        wrong += _operations(model, evidence, seed)
    wrong += _field(model, evidence, seed)
    if wrong:
        return Finding(
            check="declarations", status="fail", summary="; ".join(wrong), evidence=evidence
        )
    said = []
    if "declared" in evidence:
        said.append(
            f"it declares {evidence['declared'] / evidence['counted']:.2f} times the"
            " floating-point operations that are counted"
        )
    if evidence["receptive_field"] is not None:
        field = f"{evidence['receptive_field']:,} tokens it declares"
        said.append(
            f"sees no further than the {field}"
            if evidence["field_tried"]
            else f"that it sees no further than the {field} was not tried: it takes longer texts"
        )
    return Finding(
        check="declarations",
        status="pass",
        summary=" and ".join(said) or "it declares nothing that could be tried",
        evidence=evidence,
    )


def _operations(model: SequenceModel, evidence: dict[str, Any], seed: int) -> list[str]:
    context = model.config.context_length
    length = max(1, min(LENGTH, context))
    targets = ROWS * LENGTH // length * length
    counted = _counted(model, targets // length, length, seed)
    declared, of_more = model.flops(targets), model.flops(100 * targets)
    evidence |= {"declared": declared, "counted": counted, "tokens": targets}
    wrong = []
    weights = 6 * parameter_count(model) * targets
    if declared < LEAST * counted and (declared < LEAST * weights or declared < counted / REUSED):
        wrong.append(
            f"`flops` declares {declared:.3g} floating-point operations of training on"
            f" {targets} tokens, and {counted:.3g} are counted"
        )
    if declared > MOST * max(counted, weights) and context > length:
        full = min(context, FULL)
        in_full = _counted(model, 1, full, seed) * context / full  # attention grows so at most
        counted = evidence["counted"] = round(in_full * targets / full)
    if declared > MOST * max(counted, weights):
        wrong.append(
            f"`flops` declares {declared:.3g} floating-point operations of training on"
            f" {targets} tokens, where {counted:.3g} are counted"
        )
    if declared > 0 and not 50 <= of_more / declared <= 200:
        wrong.append(
            f"`flops` declares {of_more / declared:.3g} times as much for a hundred times as many"
            " tokens"
        )
    return wrong


def _counted(model: SequenceModel, rows: int, length: int, seed: int) -> int:
    """Count the operations of a step of training."""
    tokens = random_tokens(model, rows, length + 1, seed)
    counter = FlopCounterMode(display=False)
    # what a fused kernel does is not counted
    plain = sdpa_kernel(SDPBackend.MATH)
    with untouched(model), torch.enable_grad(), seeded(seed), plain, counter:
        output = model.train()(tokens[:, :-1])
        loss = F.cross_entropy(output.logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
        torch.stack([loss, *output.losses.values()]).sum().backward()
    return counter.get_total_flops()


def _field(model: SequenceModel, evidence: dict[str, Any], seed: int) -> list[str]:
    """Whether tokens before the receptive field move a logit."""
    field = model.receptive_field
    evidence |= {"receptive_field": field, "field_tried": False}
    if field is None:
        return []
    if field < 1:
        return [f"`receptive_field` is {field}; the current token is one"]
    # twice as far, and a little more: what is seen may lie far before what is declared
    length = max(span(model), min(2 * field + 8, FURTHEST))
    if field >= length:
        return []
    evidence["field_tried"] = True
    tokens = random_tokens(model, 2, length, seed)
    changed = other_tokens(model, tokens)
    logits = logits_of(model.eval(), tokens)
    for at in {field, (field + length) // 2, length - 1}:
        before = at - field + 1
        other = torch.cat([changed[:, :before], tokens[:, before:]], dim=1)
        if difference(logits_of(model, other)[:, at], logits[:, at]) > 1:
            return [
                f"`receptive_field` declares {field} tokens, and a token before the last {field}"
                " moves a logit"
            ]
    return []


DECLARATIONS: Check[Subject] = Check(
    name="declarations",
    run=lambda subject: check_declarations(subject.scrambled),
    bars_ranking=True,
    before_training=True,
)
