"""What was measured, beside its aim."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: was done.
        whose: `ours`, or the peer's name.
        came_to: the figure, with its unit.
        aim: '' where there is none, as for peers.
        met: None where there is no aim.
    """

    what: str
    whose: str
    came_to: str
    aim: str = ""
    met: bool | None = None

    def line(self) -> str:
        """Return it for the table."""
        verdict = {None: "", True: "ok", False: "MISSED"}[self.met]
        return f"{self.what:<38} {self.whose:<7} {self.came_to}{f'  (aim {self.aim})  {verdict}' if self.aim else ''}"


def p99(values: Sequence[float]) -> float:
    """Return the value that 99 of 100 do not exceed; the largest of fewer than 100."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def spread(values: Sequence[float]) -> str:
    """Describe how long something took, in seconds."""
    return f"median {median(values):5.2f} s  p99 {p99(values):5.2f} s  of {len(values)}"
