"""From which score on a copy is named, and how probable it is that an innocent is accused.

A copy's code word is 4096 random signs that are independent of any leak the copy did not go into. Its score is
z = sum(s_i y_i) / |y|, so by Hoeffding's inequality (1963, theorem 2) P(z >= t) <= exp(-t^2/2), whatever the chips y
are: no assumption on the picture, on the attack or on noise. Over N copies and R looks the union bound multiplies by
N R.
"""

from __future__ import annotations

import math


def threshold(copies: int, looks: int, traces: int, probability: float = 1e-9) -> float:
    """The score from which on a copy is named.

    Args:
        copies: code words on record that are compared with one leak, N.
        looks: how often the leak was read with the best kept, R.
        traces: leaks that the system will be asked about over its life, M.
        probability: that over all of this one innocent is accused.
    """
    if min(copies, looks, traces) < 1 or not 0 < probability < 1:
        raise ValueError("expected at least one copy, look and trace and a probability between 0 and 1")
    return math.sqrt(2 * (math.log(copies) + math.log(looks) + math.log(traces) - math.log(probability)))


def false_accusation(z: float, copies: int, looks: int = 1) -> float:
    """Bound on the probability that any of `copies` innocents reaches z in `looks` looks; 1 where it says nothing."""
    if z <= 0:
        return 1.0
    return min(1.0, math.exp(math.log(max(1, copies)) + math.log(max(1, looks)) - z * z / 2))
