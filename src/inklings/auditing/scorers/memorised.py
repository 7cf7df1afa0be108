"""A held-out text inside a scorer: no replay can prove it, but some of its signs can be seen.

Who has the answers in a table finds them by their position or by what came before, so that one
other token at the beginning takes them away. A model gets over it.
"""

from __future__ import annotations

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding
from inklings.auditing.scorers.protocol import Tokens
from inklings.auditing.scorers.subject import ScorerSubject, nats_of, replay

RECOVERY = 16
"""Tokens after a change that are not counted: a model may need them to get over it."""
MANY = 0.5
"""Nats per token that a model may lose for longer than that."""


def check_memorised(subject: ScorerSubject) -> Finding:
    """Look whether predictions rest on the exact beginning of the text."""
    document = subject.longest
    if len(document) < 3 * RECOVERY:
        return Finding(
            check="memorised",
            status="warning",
            summary=(
                f"it cannot be decided: the longest document has {len(document)} tokens, and it"
                f" takes {3 * RECOVERY}"
            ),
        )
    as_it_is = _later_cost(subject, document, document[RECOVERY:])
    others = {
        "its first token is another": [(document[0] + 1) % subject.vocab_size, *document[1:]],
        "its first token is missing": document[1:],
    }
    losses = {
        how: _later_cost(subject, other, document[RECOVERY:]) for how, other in others.items()
    }
    worst = max(losses, key=lambda how: losses[how])
    evidence = {"as_it_is": as_it_is, **losses}
    if losses[worst] - as_it_is > MANY:
        return Finding(
            check="memorised",
            status="warning",
            summary=(
                f"it cannot be decided: the text costs {as_it_is:.3f} nats per token, and"
                f" {losses[worst]:.3f} where {worst}. The text itself may be inside"
            ),
            evidence=evidence,
        )
    return Finding(
        check="memorised",
        status="pass",
        summary=(
            f"another beginning changes little ({as_it_is:.3f} nats per token, {losses[worst]:.3f}"
            f" where {worst}); a text inside the weights can never be excluded"
        ),
        evidence=evidence,
    )


def _later_cost(subject: ScorerSubject, document: Tokens, counted: Tokens) -> float:
    """Nats per token of the last tokens of a document, which are `counted`."""
    nats = nats_of(replay(subject.make(), document), document)
    return float(nats[-len(counted) :].mean())


MEMORISED = Check(name="memorised", run=check_memorised, needs_text=True)
