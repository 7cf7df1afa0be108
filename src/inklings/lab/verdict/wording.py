"""Wording of a verdict: differences, their evidence, and lists of names."""

from __future__ import annotations

from collections.abc import Sequence

from inklings.lab.comparison.result import Difference


def say_effect(difference: Difference, unit: str) -> str:
    """Format an effect: `0.021 ± 0.006 nats per token (1.2%, 0.030 bits per byte)`.

    What is not known is left out.
    """
    sizes = []
    if difference.relative is not None:
        sizes.append(
            f"{difference.relative:.1%}"
            if difference.relative >= 0.001
            else f"{difference.relative:.2%}"
        )
    if difference.bits_per_byte is not None and unit != "bits per byte":
        sizes.append(f"{difference.bits_per_byte:.3f} bits per byte")
    return f"{difference.mean:.3f} ± {say_half_width(difference)} {unit}" + (
        f" ({', '.join(sizes)})" if sizes else ""
    )


def say_evidence(difference: Difference) -> str:
    """Say the evidence, as in `5 seeds, p = 0.013` or `1,289 documents resampled`.

    From six seeds on there is `sign-flip p = 0.031` too; samples give `3,000 samples of one run
    each`.
    """
    if difference.p is not None:
        flips = "" if difference.flips is None else f", sign-flip p {say_p(difference.flips)}"
        return f"{difference.count} seeds, p {say_p(difference.p)}{flips}"
    if difference.evidence == "samples":
        return f"{difference.count:,} samples of one run each"
    return (
        f"{difference.count:,}"
        f" {'documents' if difference.evidence == 'documents' else 'blocks of text'} resampled"
    )


def say_half_width(difference: Difference) -> str:
    """Format half of the 95% interval, three digits; `?` where there is none."""
    if difference.low is None or difference.high is None:
        return "?"
    return f"{(difference.high - difference.low) / 2:.3f}"


def say_p(p: float | None) -> str:
    """Format a p-value: `= 0.013`, two digits, or `< 0.001`."""
    assert p is not None
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def say_list(names: Sequence[str], last: str = "and") -> str:
    """Join names: `a`, `a and b`, or `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def other_of(difference: Difference, label: str) -> str:
    """Return the arm of a difference that is not the named one."""
    return difference.worse if difference.better == label else difference.better
