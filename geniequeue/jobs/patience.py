"""Waiting for Redis and the record store while a job holds its lease.

An encoded output, or the end of a job, is not thrown away because nobody can take it now: it is kept and offered again
until it is taken, the attempt has taken too long, the worker stops, or somebody cancels the job.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from geniequeue.errors import CancelledError, LedgerUnavailable, RecordsUnavailable, ServiceTokenRefused
from geniequeue.log import get_logger

PAUSE_BASE_S = 0.5
PAUSE_CAP_S = 8.0
LOOK_EVERY_S = 0.5
TOKEN_PATIENCE_S = 30.0
"""How long a refused token is waited for with the work in hand; longer than it takes to write a new one to its file."""

T = TypeVar("T")

log = get_logger(__name__)


class Patience:
    """Calls again and again while a store is away.

    Args:
        lasts_s: how long it may wait in all, over all calls, in seconds from now.
        stopping: whether this worker is about to end.
        cancelled: whether somebody asked for the job to stop.
        clock, sleep: monotonic seconds.
    """

    def __init__(
        self,
        lasts_s: float,
        *,
        stopping: Callable[[], bool],
        cancelled: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ends = clock() + lasts_s
        self._stopping = stopping
        self._cancelled = cancelled
        self._clock = clock
        self._sleep = sleep

    def call(self, call: Callable[[], T], *, cancellable: bool = True) -> T:
        """Return what `call` returns, as soon as it does; its last error is raised when waiting is over.

        Raises:
            CancelledError: while it waited, somebody asked for the job to stop.
        """
        began, number = self._clock(), 0
        while True:
            try:
                return call()
            except (LedgerUnavailable, RecordsUnavailable) as error:
                until = self._clock() + self._pause_s(error, number)
                log.warning("waiting for the store", error=str(error), tries=number + 1)
                if not self._wait(until, self._end_for(error, began), cancellable):
                    raise
            number += 1

    def _pause_s(self, error: Exception, number: int) -> float:
        ceiling: float = min(PAUSE_CAP_S, PAUSE_BASE_S * 2.0**number)
        return max(ceiling * random.uniform(0.5, 1), getattr(error, "retry_after_s", None) or 0.0)

    def _end_for(self, error: Exception, began: float) -> float:
        refused = isinstance(error, ServiceTokenRefused)
        return min(self._ends, began + TOKEN_PATIENCE_S) if refused else self._ends

    def _wait(self, until: float, end: float, cancellable: bool) -> bool:
        """Sleep in short pieces; False when waiting is over before that."""
        while (now := self._clock()) < until:
            if until >= end or self._stopping():
                return False
            if cancellable and self._cancelled():
                raise CancelledError
            self._sleep(min(LOOK_EVERY_S, until - now))
        return True
