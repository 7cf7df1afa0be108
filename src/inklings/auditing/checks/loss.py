"""The check of a loss: its place between guessing and counted n-grams."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding, not_applicable
from inklings.auditing.subjects import Subject
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.models.ngram import NGram, NGramConfig
from inklings.models.objectives import has_likelihood, objective_of
from inklings.text.documents import SplitName
from inklings.text.store import TokenStore

TRAIN_TARGETS = 5_000_000
"""Most targets of the training text on which n-grams are counted."""
SCORED = 16_384
"""Held-out targets that are scored."""
SUSPICIOUS = 0.5
"""A loss below this share of that of the best n-gram asks for an explanation."""
NEAR = 0.5
"""Nats by which an untrained model's loss may differ from ln V."""


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """Losses, in nats per target, that a trained model can be measured against."""

    uniform: float
    """ln V: every token is as likely as any other."""
    unigram: float
    bigram: float
    fivegram: float
    targets: int
    """Held-out targets that were scored."""
    train_tokens: int
    """Training tokens that were counted, boundaries included."""


def score_baselines(
    store: TokenStore, split_name: SplitName, *, targets: int = 32_768
) -> Baselines:
    """Score counted n-grams on the first documents of a split.

    A loss on the same documents (the `head` of the split) is best compared with these; that of the
    whole split differs by chance.

    Args:
        store: the text.
        split_name: the split that is scored.
        targets: most targets of it.

    Raises:
        SourceError: the store has no text in train, or in the split.
        RunError: the store is damaged.
    """
    train, held_out = (
        store.split("train").head(TRAIN_TARGETS),
        store.split(split_name).head(targets),
    )
    tokens = train.read(0, len(train.tokens))
    losses = []
    for order in (1, 2, 5):
        model = NGram(
            NGramConfig(
                vocab_size=store.tokenizer.vocab_size, boundary_token=train.boundary, order=order
            )
        )
        model.count(tokens)
        losses.append(evaluate(model, held_out, lossless=False).loss)
    return Baselines(
        uniform=math.log(store.tokenizer.vocab_size),
        unigram=losses[0],
        bigram=losses[1],
        fivegram=losses[2],
        targets=held_out.n_targets,
        train_tokens=len(tokens),
    )


def check_loss(loss: float, baselines: Baselines, *, trained: bool) -> Finding:
    """Judge a held-out loss; check name `loss`.

    A trained model fails where its loss is not finite, and gets a warning where it is above ln V,
    not below the unigram's, or below `SUSPICIOUS` times that of the best n-grams. An untrained one
    gets a warning where its loss is further than `NEAR` from ln V.

    Args:
        loss: in nats per target.
        baselines: losses of counted n-grams on the same text.
        trained: whether the model is trained.
    """
    evidence: dict[str, Any] = {
        "loss": loss if math.isfinite(loss) else None,
        "trained": trained,
        **vars(baselines),
    }
    if not math.isfinite(loss):
        return Finding(
            check="loss",
            status="fail",
            summary=f"{loss}: the loss is not a finite number",
            evidence=evidence,
        )
    passes, said = _untrained(loss, baselines) if not trained else _trained(loss, baselines)
    return Finding(
        check="loss",
        status="pass" if passes else "warning",
        summary=f"{loss:.2f} nats: {said}",
        evidence=evidence,
    )


def _untrained(loss: float, baselines: Baselines) -> tuple[bool, str]:
    """Return whether an untrained model's loss is as it should be, and in words."""
    if abs(loss - baselines.uniform) <= NEAR:
        return True, f"near ln V ({baselines.uniform:.2f}), as an untrained model should be"
    return False, f"begins far from ln V ({baselines.uniform:.2f}): check the initialisation"


def _trained(loss: float, baselines: Baselines) -> tuple[bool, str]:
    """Return whether a trained model's loss is as it should be, and in words."""
    if loss > baselines.uniform:
        return False, f"worse than guessing (ln V is {baselines.uniform:.2f})"
    losses = {
        "guessing": baselines.uniform,
        "the unigram model": baselines.unigram,
        "the bigram model": baselines.bigram,
        "the 5-gram model": baselines.fivegram,
    }
    # on little text a higher order need not be the better one
    best = min(losses, key=lambda name: losses[name])
    name = best.removeprefix("the ")
    if loss < SUSPICIOUS * losses[best]:
        few = (
            f"less than half of the {name}'s ({losses[best]:.2f})"
            if best != "guessing"
            else f"less than half of ln V ({losses[best]:.2f})"
        )
        return (
            False,
            f"{few}, lower than any honest model of this size is likely to reach; look for a leak",
        )
    if loss < losses[best]:
        below = f"below the {name}" if best != "guessing" else "below guessing"
        return True, f"{below} ({losses[best]:.2f}), as a trained network should be"
    beaten = [f"{name} ({of:.2f})" for name, of in losses.items() if loss < of]
    missed = [f"{name} ({of:.2f})" for name, of in losses.items() if loss >= of]
    better = f"better than {_listed(beaten)}, but" if beaten else "no better than guessing, and"
    return loss < min(baselines.unigram, baselines.uniform), f"{better} not than {_listed(missed)}"


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _run(subject: Subject) -> Finding:
    model = subject.trained or subject.fresh(0)
    if not has_likelihood(model):
        return not_applicable("loss", "it has no likelihood")
    head = subject.text.split(subject.split).head(SCORED)
    counts = objective_of(model).one_pass and subject.trained is None
    return check_loss(
        evaluate(model, head, lossless=False).loss,
        score_baselines(subject.text, subject.split, targets=SCORED),
        trained=subject.trained is not None and not counts,
    )


LOSS: Check[Subject] = Check(name="loss", run=_run, needs_text=True)
