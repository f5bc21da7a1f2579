"""Progress that is honest over several steps: each has its part of the whole, and nothing ever goes back."""

from __future__ import annotations

from collections.abc import Callable


class Progress:
    """Report one share of the whole while steps report their own.

    Args:
        report: takes the share of the whole, 0.0 to 1.0, growing.
    """

    def __init__(self, report: Callable[[float], None]) -> None:
        self._report = report
        self._told = 0.0

    def tell(self, share: float) -> None:
        """Tell the share of the whole that is done."""
        if share > self._told:
            self._told = min(1.0, share)
            self._report(self._told)

    def part(self, start: float, end: float, duration_s: float) -> Callable[[float], None]:
        """Return what takes the seconds done of a step of `duration_s` that goes from share `start` to `end`."""
        return lambda seconds: self.tell(start + (end - start) * min(1.0, max(0.0, seconds) / max(duration_s, 1e-3)))
