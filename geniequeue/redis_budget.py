"""How long one request may wait for Redis, over all its calls together.

A Redis that is slow but answers would otherwise keep a request for as many times its slowness as there are calls.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import redis


class _Budget:
    """Seconds that are left; shared with the threads that a request has others work in."""

    def __init__(self, seconds: float) -> None:
        self.left_s = seconds

    @contextmanager
    def spending(self) -> Iterator[float]:
        """Yield what is left, and take off how long the block takes.

        Raises:
            redis.TimeoutError: nothing is left.
        """
        if self.left_s <= 0:
            raise redis.TimeoutError("the request has no time left to wait for Redis")
        began = time.monotonic()
        try:
            yield self.left_s
        finally:
            self.left_s -= time.monotonic() - began


_budget: ContextVar[_Budget | None] = ContextVar("redis_budget", default=None)


def allow(seconds: float) -> None:
    """Let the calls of this thread wait for so many seconds together from now on, until `unlimited`."""
    _budget.set(_Budget(seconds))


def unlimited() -> None:
    """Let each call of this thread wait as long as its connection does."""
    _budget.set(None)


class BudgetedConnection(redis.Connection):
    """A connection to Redis; what waits for the server pays from the budget."""

    def _connect(self) -> Any:
        budget = _budget.get()
        if budget is None:
            return super()._connect()  # type: ignore[no-untyped-call]
        with budget.spending() as left_s:
            own_s = self.socket_connect_timeout
            self.socket_connect_timeout = min(left_s, own_s or left_s)
            try:
                return super()._connect()  # type: ignore[no-untyped-call]
            finally:
                self.socket_connect_timeout = own_s

    def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        """Send a command, unless nobody could wait for its answer."""
        budget = _budget.get()
        if budget is not None:
            with budget.spending():
                pass
        super().send_packed_command(*args, **kwargs)  # type: ignore[no-untyped-call]

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read an answer."""
        budget = _budget.get()
        if budget is None:
            return super().read_response(*args, **kwargs)
        with budget.spending() as left_s:
            kwargs["timeout"] = min(left_s, self.socket_timeout or left_s)
            return super().read_response(*args, **kwargs)


class BudgetedTLSConnection(BudgetedConnection, redis.SSLConnection):
    """A connection to Redis over TLS."""
