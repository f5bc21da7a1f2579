"""Celery's consumer, which waits out any trouble with Redis: told once, and tried again soon, but not at once.

Celery by itself tries every 30 s at last where Redis is away, so that jobs wait long after it is back; and where Redis
answers but refuses to write, as a replica does, or one whose memory is full, it tries many times a second.
"""

from __future__ import annotations

import time
from typing import Any

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

from geniequeue.log import get_logger

PAUSE_BASE_S = 0.5
PAUSE_CAP_S = 3.0
LOOK_EVERY_S = 0.5

log = get_logger(__name__)


class PatientConsumer(Consumer):  # type: ignore[misc]  # celery is untyped
    """A consumer that tells of trouble when it begins and when it is over."""

    _pause_s = 0.0

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long Redis is away."""
        connected = conn.ensure_connection(
            lambda error, _: self._note(error),
            None,
            interval_start=PAUSE_BASE_S,
            interval_step=PAUSE_BASE_S,
            interval_max=PAUSE_CAP_S,
            callback=maybe_shutdown,
        )
        self.first_connection_attempt = False
        return connected

    def on_connection_error_before_connected(self, error: Exception) -> None:
        """Wait before the next start: Redis let us connect, but not work."""
        self._wait(error)

    def on_connection_error_after_connected(self, error: Exception) -> None:
        """Clean up as Celery does, then wait."""
        super().on_connection_error_after_connected(error)
        self._wait(error)

    def steady(self) -> None:
        """Note that messages come again."""
        if self._pause_s:
            log.info("Redis serves again")
        self._pause_s = 0.0

    def _note(self, error: Exception) -> None:
        if not self._pause_s:
            log.error("Redis away or refusing, no message is taken", error=str(error))
        self._pause_s = min(PAUSE_CAP_S, self._pause_s + PAUSE_BASE_S)

    def _wait(self, error: Exception) -> None:
        self._note(error)
        until = time.monotonic() + self._pause_s
        while time.monotonic() < until:
            maybe_shutdown()
            time.sleep(LOOK_EVERY_S)
