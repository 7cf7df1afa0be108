"""The conclusion of a memory's proof, in a sentence."""

from __future__ import annotations

from inklings.auditing.memory.proof import Change, MemoryProof

MOST = 0.5
"""Share from which what permuted values keep is called the gain, rather than a part of it."""


def say_proof(proof: MemoryProof) -> str:
    """Say in a sentence what the memory is worth.

    No claim is made unless the interval is clear of zero, and none for the memory if permuted
    values gain too.
    """
    memory = proof.change("memory")
    if not proof.provenance.holds:
        return _cheats(proof)
    if memory is None:
        return "No claim: a loss is not finite."
    if memory.low is None or memory.high is None:
        return f"No claim: {proof.resampled} of text is too little for an interval. Give more."
    if memory.raises:
        return f"The memory does harm: it raises perplexity by {_range(memory, proof)}."
    if not memory.lowers:
        return (
            f"No claim: with the memory perplexity is {signed(memory)} ({_ends(memory)} over"
            f" {proof.resampled}), which may be chance."
        )
    if proof.keeps:
        return _not_the_memory(proof, memory)
    return (
        "The memory lowers perplexity by"
        f" {_range(memory, proof)}{_permuted(proof)}{_rivals(proof, memory)}."
    )


def _cheats(proof: MemoryProof) -> str:
    of = proof.provenance
    wrong, what = (
        (of.ahead, "do not stand before their targets")
        if of.ahead
        else (of.untrue, "are not of the text that was read")
    )
    return f"No gain counts: {wrong:,} of {of.hits:,} retrieved values {what} ({of.example})."


def _not_the_memory(proof: MemoryProof, memory: Change) -> str:
    kept = proof.change("permuted values")
    assert kept is not None
    whose = (
        "The gain is not the memory's"
        if kept.nats <= MOST * memory.nats
        else "A part of the gain is not the memory's"
    )
    left = f"with permuted values it is still lower by {_size(kept)} ({_ends(kept)})"
    return f"{whose}: perplexity is lower by {_range(memory, proof)}, and {left}."


def _permuted(proof: MemoryProof) -> str:
    """Say what becomes of the gain with permuted values, which do not lower it."""
    permuted = proof.change("permuted values")
    if permuted is None:
        return ""
    done = (
        f"raises it by {_size(permuted)}"
        if permuted.raises
        else f"changes it by {signed(permuted)}, which may be chance"
    )
    return f"; with permuted values it {done}, so the gain comes from what is stored"


def _rivals(proof: MemoryProof, memory: Change) -> str:
    """Say what could be gained without a memory."""
    rivals = []
    longer, temperature = proof.arm("longer context"), proof.change("temperature")
    if longer is not None and longer.change is not None:
        untrained = " without training for it" if longer.change.nats > 0 else ""
        rivals.append((f"a longer context of {longer.setting or 0:,.0f}{untrained}", longer.change))
    if temperature is not None:
        rivals.append(("a temperature", temperature))
    said = "".join(
        f"{', ' if at else '; '}{words} {_verb(change)}"
        for at, (words, change) in enumerate(rivals)
    )
    return said + (
        ": as much can be had without it"
        if any(change.nats <= memory.nats for _, change in rivals)
        else ""
    )


def _verb(change: Change) -> str:
    """Phrase a change, as in `lowers it by 4.0%`."""
    if abs(change.percent[0]) < 0.05:
        return "changes nothing"
    verb = "lowers it by" if change.nats < 0 else "raises it by"
    return f"{verb} {_size(change)}"


def _range(change: Change, proof: MemoryProof) -> str:
    """Format a range: `19.1% (17.8 to 20.4 over 62 documents)`.

    Either direction in positive numbers.
    """
    return f"{_size(change)} ({_ends(change)} over {proof.resampled})"


def _ends(change: Change) -> str:
    """Format the interval in per cent.

    Positive numbers where all of it lies to one side of zero, else with signs.
    """
    _, low, high = change.percent
    assert low is not None and high is not None
    if low * high > 0:
        return " to ".join(f"{end:.1f}" for end in sorted((abs(low), abs(high))))
    return f"{low:+.1f}% to {high:+.1f}%"


def _size(change: Change) -> str:
    return f"{abs(change.percent[0]):.1f}%"


def signed(change: Change) -> str:
    """Write a change with its sign, as in `-19.1%` of perplexity."""
    return f"{change.percent[0]:+.1f}%"
