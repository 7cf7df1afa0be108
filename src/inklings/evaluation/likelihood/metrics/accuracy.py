"""Shares of the targets that were the most likely token, or among the five most likely."""

from __future__ import annotations

from inklings.evaluation.likelihood.likelihood_metric import LikelihoodMetric, Sums, Totals


def share(hits: Sums, totals: Totals) -> float:
    """Return the share of the targets that were hit."""
    return int(hits) / totals.targets


ACCURACY = LikelihoodMetric(
    name="accuracy",
    title="accuracy",
    form="{:.1%}",
    unit="next token",
    better="higher",
    count=lambda scored, _: int((scored.rank == 0).sum()),
    finish=share,
    ranking=True,
)
TOP5_ACCURACY = LikelihoodMetric(
    name="top5_accuracy",
    title="top-5 accuracy",
    form="{:.1%}",
    unit="next token",
    better="higher",
    count=lambda scored, _: int((scored.rank < 5).sum()),
    finish=share,
)
