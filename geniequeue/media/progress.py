"""Progress that is honest over several steps: each has its part of the whole, and nothing ever goes back.

The parts of a whole are chosen by how long they take, so that a share tells how much time is left, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from geniequeue.sandbox.inside import Pace, Work

# A table of packets has thousands of lines a second, and nobody looks at progress that often.
_EVERY_S = 0.1


class Progress:
    """Report one share of the whole while steps report their own, and how fast the step is.

    Args:
        work: takes the share of the whole, 0.0 to 1.0, growing, and the pace.
    """

    def __init__(self, work: Work, clock: Callable[[], float] = time.monotonic) -> None:
        self._work = work
        self._clock = clock
        self._told = 0.0
        self._told_at = float("-inf")

    def tell(self, share: float) -> None:
        """Tell the share of the whole that is done."""
        if share > self._told:
            self._told = min(1.0, share)
            self._told_at = self._clock()
            self._work.report(self._told)

    def part(self, start: float, end: float, whole: float, *, in_time: bool = True) -> Callable[[float], None]:
        """Return what takes how much is done of a step that goes from share `start` to `end`.

        A step that has to be done again does not go back: its share stands still, and the time left says the truth.

        Args:
            whole: how much there is to do: seconds of video, or with `in_time` False anything else.
        """
        began = self._clock()

        def done(amount: float) -> None:
            now = self._clock()
            if now - self._told_at < _EVERY_S:
                return
            share = min(1.0, max(0.0, amount) / max(whole, 1e-3))
            if share and now > began:
                left = (1 - share) * (end - start) + 1 - end
                left_s = left * (now - began) / (share * (end - start))
                self._work.pace(Pace(amount / (now - began) if in_time else None, left_s))
            self.tell(start + (end - start) * share)
            self._told_at = now

        return done
