"""A moment by which everything that a request asks of the record store must be over, however many calls that is."""

from __future__ import annotations

import time
from contextvars import ContextVar

_until: ContextVar[float] = ContextVar("records_until", default=float("inf"))


def hurry(within_s: float) -> None:
    """Let the calls of this thread end within so many seconds from now, until `relax`."""
    _until.set(time.monotonic() + within_s)


def relax() -> None:
    """Let each call of this thread take its own time again."""
    _until.set(float("inf"))


def hurried_until() -> float:
    """Return the moment by which a call must be over, in monotonic seconds; infinity where nobody hurries."""
    return _until.get()
