"""How an API priority becomes one of the broker's 64 steps."""

from __future__ import annotations

STEPS = 64
EXACT = 32


def step_of(priority: int) -> int:
    """Map a priority onto the broker's steps: exact for 0..31, then two steps an octave; lower runs first.

    Args:
        priority: 0 to 2097151.

    Returns:
        0 to 63, never falling as the priority grows.
    """
    if priority < EXACT:
        return priority
    octave = priority.bit_length() - 1
    upper_half = (priority >> (octave - 1)) & 1
    return min(STEPS - 1, EXACT + (octave - 5) * 2 + upper_half)
