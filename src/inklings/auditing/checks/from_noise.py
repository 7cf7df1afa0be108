"""The checks of a generator that makes whole texts out of noise.

And of the critic it is trained against.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inklings.auditing.checks.novelty import check_novelty
from inklings.auditing.findings import Finding, Status
from inklings.auditing.learned_text import check_learned_overlap, learned_part
from inklings.evaluation.samples.collapse import collapse
from inklings.evaluation.samples.sample_set import SampleSet
from inklings.evaluation.samples.sampling import draw_as_trained, real_as_trained
from inklings.models.from_noise import Drawn, SampleModel
from inklings.runs.directory import RunDirectory
from inklings.text.documents import SplitName
from inklings.text.store import TokenSplit, TokenStore
from inklings.training.objectives.make_objective import real_texts

TEXTS = 5
SAMPLES = 1000
"""Texts that the alarm and the search for copies look at, at most."""
REAL_TOKENS = 200_000
TOLERANCE = 1e-4
"""Between logits of one text beside others and alone: a batch of another size takes another kernel.
"""


@dataclass(frozen=True, kw_only=True)
class NoiseSubject:
    """A generator without likelihood that can be made anew from any seed.

    With what is known of its text.
    """

    label: str
    fresh: Callable[[int], SampleModel]
    trained: SampleModel | None = None
    """A run's model; None for an architecture."""
    store: TokenStore | None = None
    split: SplitName = "validation"
    run: RunDirectory | None = None
    """The run, whose own text may be another one."""


def noise_checks(subject: NoiseSubject) -> dict[str, Callable[[], Finding]]:
    """The checks by name, in their order.

    Their draws are the same every time, and torch's generator is left as it was.
    """
    model = subject.trained or subject.fresh(0)
    return {
        "contract": lambda: _seeded(lambda: check_made(model)),
        "rows": lambda: _seeded(lambda: check_texts_apart(model)),
        "gradients": lambda: _seeded(lambda: check_both_learn(subject.fresh(0))),
        "overlap": lambda: _needs(
            subject, "overlap", lambda store: check_learned_overlap(store, subject.run)
        ),
        "coverage": lambda: _needs(
            subject, "coverage", lambda store: check_real_texts(model, store.split("train"))
        ),
        "collapse": lambda: _of_samples(subject, "collapse", _collapse),
        "novelty": lambda: _of_samples(
            subject,
            "novelty",
            lambda model, store, split: _novelty(
                model, store, split, learned_part(store, subject.run)
            ),
        ),
    }


def _seeded(check: Callable[[], Finding]) -> Finding:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return check()


def _needs(subject: NoiseSubject, check: str, of: Callable[[TokenStore], Finding]) -> Finding:
    if subject.store is None:
        return Finding(
            check=check, status="not applicable", summary="it needs a text: give one with --data"
        )
    return of(subject.store)


def _of_samples(
    subject: NoiseSubject, check: str, of: Callable[[SampleModel, TokenStore, SplitName], Finding]
) -> Finding:
    trained = subject.trained
    if trained is None:
        return Finding(
            check=check, status="not applicable", summary="it needs a trained model: audit a run"
        )
    return _needs(subject, check, lambda store: of(trained, store, subject.split))


def check_made(model: SampleModel) -> Finding:
    """Whether texts and scores have the shapes that are promised.

    And are a function of the noise alone.
    """
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
    """Whether a text depends on its own noise alone."""
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
    """Whether every parameter of generator and critic gets a gradient.

    And the critic's slope one of its own.
    """
    model = copy.deepcopy(model).train()
    critic = model.make_critic().to(model.device)
    drawn: Drawn = model(model.noise(8, model.config.context_length).to(model.device))
    told: Tensor = critic(drawn.rows).square().sum()
    told.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    real = model.real_rows(
        torch.randint(model.config.vocab_size, drawn.tokens.shape, device=model.device)
    ).requires_grad_()
    scores = critic(real)
    (slope,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    slope.square().sum().backward()  # type: ignore[no-untyped-call]
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
    """How much of the text the critic is shown."""
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


def _sets(
    model: SampleModel, store: TokenStore, split: SplitName
) -> tuple[SampleSet, SampleSet, SampleSet]:
    """Made texts, real ones of the training split, and held-out ones."""
    held_out = real_as_trained(model, store.split(split), most_tokens=REAL_TOKENS)
    made = draw_as_trained(model, store.tokenizer, min(SAMPLES, len(held_out)))
    return made, real_as_trained(model, store.split("train"), most_tokens=REAL_TOKENS), held_out


def _collapse(model: SampleModel, store: TokenStore, split: SplitName) -> Finding:
    made, real, _ = _sets(model, store, split)
    reasons = collapse(made, real, store.tokenizer)
    if reasons:
        return Finding(
            check="collapse",
            status="warning",
            summary=" ".join(reasons),
            evidence={"reasons": reasons},
        )
    return Finding(check="collapse", status="pass", summary=f"{len(made):,} texts show no collapse")


def _novelty(model: SampleModel, store: TokenStore, split: SplitName, train: TokenSplit) -> Finding:
    made, _, held_out = _sets(model, store, split)
    texts, beside = (
        [of.document(i).tolist() for i in range(min(len(of), 64))] for of in (made, held_out)
    )
    return check_novelty(texts, beside, train, characters=store.tokenizer.kind in ("char", "byte"))
