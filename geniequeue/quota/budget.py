"""A bounded time for calls that nobody may wait for longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Protocol, TypeVar

from geniequeue.errors import SourceSlow

T = TypeVar("T")


class Caller(Protocol):
    """Calls something and returns what it answers."""

    def __call__(self, ask: Callable[[], T], /) -> T:
        """Call `ask`."""


def unhurried(ask: Callable[[], T]) -> T:
    """Call `ask` and wait as long as it takes."""
    return ask()


class Budget:
    """Time that several calls share, from now on.

    A call that is given up goes on in its thread, so it must only read: a write that succeeds after the answer would
    be one that nobody knows of.

    Args:
        pool: where the calls run.
        seconds: how long they may take together.
    """

    def __init__(self, pool: ThreadPoolExecutor, seconds: float) -> None:
        self._pool = pool
        self._seconds = seconds
        self._end_s = time.monotonic() + seconds

    def __call__(self, ask: Callable[[], T], /) -> T:
        """Call `ask` in another thread.

        Raises:
            SourceSlow: the time is over.
        """
        future = self._pool.submit(copy_context().run, ask)
        try:
            return future.result(max(0.0, self._end_s - time.monotonic()))
        except TimeoutError:
            future.cancel()
            raise SourceSlow(f"expected an answer within {self._seconds} s, got none; let the job through") from None
