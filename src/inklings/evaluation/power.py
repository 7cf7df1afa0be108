"""Power: how small a difference paired seeds can show."""

from __future__ import annotations

import math
from functools import lru_cache

from inklings.evaluation.statistics import FLIPS_DETECT, LEVEL

POWER = 0.8
"""The chance with which a difference of the size that `detectable` states is found."""


def least_significant(n: int, *, tests: int = 1) -> float:
    """Return the mean of n paired differences, in their standard deviations.

    From which on a paired t test claims one.

    Args:
        n: paired seeds, two or more.
        tests: how many pairs of arms are tested; p is multiplied by it, which is the most that
            Holm's correction does.
    """
    from scipy import special

    return float(special.stdtrit(n - 1, 1 - LEVEL / (2 * tests))) / math.sqrt(n)


@lru_cache(maxsize=256)
def detectable(n: int, *, tests: int = 1) -> float:
    """Return the smallest true difference that n paired seeds find with a chance of `POWER`.

    Its unit is the standard deviation of the paired differences.

    The noncentral t distribution for a two-sided test at `LEVEL`, divided by the number of tests
    (the bound of Holm's correction: Cohen 1988, section 2.2, for the power of a t test); where the
    sign-flip test must agree, and asks for more, what that asks for.

    Args:
        n: paired seeds, two or more.
        tests: how many pairs of arms are tested.
    """
    from scipy import special

    threshold = special.stdtrit(n - 1, 1 - LEVEL / (2 * tests))
    # That the other sign is found is left out: at this power its chance is below one in a million.
    of_t = float(special.nctdtrinc(n - 1, 1 - POWER, threshold)) / math.sqrt(n)
    return max(of_t, FLIPS_DETECT.get(n, 0.0))
