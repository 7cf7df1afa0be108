"""The checks of a generator that makes whole texts out of noise, and of its critic."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from inklings.auditing.check import Check
from inklings.auditing.checks.novelty import check_novelty
from inklings.auditing.checks.text_overlap import check_learned_overlap
from inklings.auditing.findings import Finding, Status
from inklings.auditing.learned_text import learned_part
from inklings.auditing.subjects import NoiseSubject
from inklings.evaluation.samples.collapse import collapse
from inklings.evaluation.samples.sample_set import SampleSet
from inklings.evaluation.samples.sampling import draw_as_trained, real_as_trained
from inklings.models.from_noise import Drawn, SampleModel
from inklings.seeds import drawn_from
from inklings.text.store import TokenSplit
from inklings.text.token_bytes import OF_LETTERS
from inklings.training.objectives.real_texts import real_texts

TEXTS = 5
SAMPLES = 1000
"""Texts that the alarm and the search for copies look at, at most."""
REAL_TOKENS = 200_000
TOLERANCE = 1e-4
"""Largest difference between logits of one text beside others and alone: a batch of another size
takes another kernel.
"""


def check_made(model: SampleModel) -> Finding:
    """Check that texts and scores have the promised shapes and depend on the noise alone."""
    length, vocab_size = model.config.context_length, model.config.vocab_size
    noise = model.noise(TEXTS, length).to(model.device)
    with torch.no_grad():
        first: Drawn = model(noise)
        again: Drawn = model(noise)
        scores = model.make_critic().to(model.device)(first.rows)
    broken = []
    if first.rows.shape != (TEXTS, length, vocab_size) or first.tokens.shape != (TEXTS, length):
        broken.append(
            f"rows of shape {tuple(first.rows.shape)} and tokens of {tuple(first.tokens.shape)}"
        )
    elif not torch.isfinite(first.logits).all():
        broken.append("logits that are not finite")
    elif not torch.equal(first.tokens, again.tokens):
        broken.append("other texts from the same noise: something is drawn in forward")
    else:
        sums = first.rows.sum(-1)
        if not bool(((sums - 1).abs() < TOLERANCE).logical_or(sums == 0).all()):
            broken.append("rows that are neither a distribution nor empty")
    if scores.shape != (TEXTS,):
        broken.append(f"scores of shape {tuple(scores.shape)}, not one for each text")
    if broken:
        return Finding(
            check="contract", status="fail", summary=f"the model gives {'; '.join(broken)}"
        )
    return Finding(
        check="contract",
        status="pass",
        summary="shapes are as promised, and texts are a function of the noise",
    )


def check_texts_apart(model: SampleModel) -> Finding:
    """Return whether a text depends on its own noise alone."""
    noise = model.noise(TEXTS, model.config.context_length).to(model.device)
    with torch.no_grad():
        whole: Drawn = model(noise)
        alone: list[Drawn] = [model(noise.part(slice(row, row + 1))) for row in range(TEXTS)]
    apart = [
        float((one.logits[0] - whole.logits[row]).abs().max()) for row, one in enumerate(alone)
    ]
    # where rounding decides a draw, all words after it differ: once that is bad luck
    if sum(difference > TOLERANCE for difference in apart) > 1:
        summary = (
            "a text depends on those made beside it: its logits differ from alone, by up to"
            f" {max(apart):.2g}"
        )
        return Finding(
            check="rows", status="fail", summary=summary, evidence={"differences": apart}
        )
    return Finding(check="rows", status="pass", summary="a text depends on its own noise alone")


def check_both_learn(model: SampleModel) -> Finding:
    """Check that every parameter of generator and critic gets a gradient.

    The critic's slope must have a gradient too.
    """
    model = copy.deepcopy(model).train()
    critic = model.make_critic().to(model.device)
    drawn: Drawn = model(model.noise(8, model.config.context_length).to(model.device))
    told: Tensor = critic(drawn.rows).square().sum()
    told.backward()
    real = model.real_rows(
        torch.randint(model.config.vocab_size, drawn.tokens.shape, device=model.device)
    ).requires_grad_()
    scores = critic(real)
    (slope,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    slope.square().sum().backward()
    silent = [f"generator.{name}" for name in _silent(model)] + [
        f"critic.{name}" for name in _silent(critic)
    ]
    if silent:
        more = f" and {len(silent) - 5} more" if len(silent) > 5 else ""
        return Finding(
            check="gradients",
            status="fail",
            summary=(
                "parameters that no gradient reaches, so that they never learn:"
                f" {', '.join(silent[:5])}{more}"
            ),
            evidence={"parameters": silent},
        )
    return Finding(
        check="gradients",
        status="pass",
        summary="every parameter of generator and critic gets a gradient",
    )


def _silent(module: nn.Module) -> list[str]:
    return [
        name
        for name, p in module.named_parameters()
        if p.grad is None or not bool((p.grad != 0).any())
    ]


def check_real_texts(model: SampleModel, split: TokenSplit) -> Finding:
    """Return how much of the text the critic is shown."""
    if model.reads == "windows":
        return Finding(
            check="coverage",
            status="pass",
            summary="windows begin at every token of every document that is long enough",
        )
    texts = real_texts(model, split, 1, 0)
    share = texts.n_texts / split.n_documents
    status: Status = "pass" if share > 0.99 else "warning"
    summary = (
        f"an epoch shows {texts.n_texts:,} of {split.n_documents:,} documents ({share:.1%}), each"
        " once; longer ones are left out"
    )
    return Finding(
        check="coverage",
        status=status,
        summary=summary,
        evidence={"texts": texts.n_texts, "documents": split.n_documents},
    )


def check_collapse(subject: NoiseSubject) -> Finding:
    """Check whether a run's texts repeat themselves more than real text does."""
    made, _ = _made_and_held_out(subject)
    real = real_as_trained(subject.model, subject.text.split("train"), most_tokens=REAL_TOKENS)
    reasons = collapse(made, real, subject.text.tokenizer)
    if reasons:
        return Finding(
            check="collapse",
            status="warning",
            summary=" ".join(reasons),
            evidence={"reasons": reasons},
        )
    return Finding(check="collapse", status="pass", summary=f"{len(made):,} texts show no collapse")


def _made_and_held_out(subject: NoiseSubject) -> tuple[SampleSet, SampleSet]:
    """Return texts that the run makes, and held-out ones."""
    store, model = subject.text, subject.model
    held_out = real_as_trained(model, store.split(subject.split), most_tokens=REAL_TOKENS)
    return draw_as_trained(model, store.tokenizer, min(SAMPLES, len(held_out))), held_out


def _novelty(subject: NoiseSubject) -> Finding:
    texts, beside = (
        [of.document(i).tolist() for i in range(min(len(of), 64))]
        for of in _made_and_held_out(subject)
    )
    return check_novelty(
        texts,
        beside,
        learned_part(subject.text, subject.run),
        characters=subject.text.tokenizer.kind in OF_LETTERS,
    )


def _seeded(check: Callable[[NoiseSubject], Finding]) -> Callable[[NoiseSubject], Finding]:
    """Return a check with the same draws every time, which leaves torch's generator as it was."""

    def seeded(subject: NoiseSubject) -> Finding:
        with drawn_from(0):
            return check(subject)

    return seeded


CONTRACT: Check[NoiseSubject] = Check(
    name="contract",
    run=_seeded(lambda subject: check_made(subject.model)),
    bars_ranking=True,
    before_training=True,
)
ROWS_APART: Check[NoiseSubject] = Check(
    name="rows",
    run=_seeded(lambda subject: check_texts_apart(subject.model)),
    bars_ranking=True,
    before_training=True,
    after_training=True,
)
GRADIENTS: Check[NoiseSubject] = Check(
    name="gradients",
    run=_seeded(lambda subject: check_both_learn(subject.fresh(0))),
    before_training=True,
)
OVERLAP: Check[NoiseSubject] = Check(
    name="overlap",
    run=lambda subject: check_learned_overlap(subject.text, subject.run),
    needs_text=True,
)
COVERAGE: Check[NoiseSubject] = Check(
    name="coverage",
    run=lambda subject: check_real_texts(subject.model, subject.text.split("train")),
    needs_text=True,
    before_training=True,
)
COLLAPSE: Check[NoiseSubject] = Check(
    name="collapse", run=check_collapse, needs_text=True, needs_run=True
)
NOVELTY: Check[NoiseSubject] = Check(name="novelty", run=_novelty, needs_text=True, needs_run=True)
