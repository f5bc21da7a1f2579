"""Time that is moved by hand, records that fail on demand, and what tests of the quota say often."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import redis

from geniequeue.accounts import Accounts
from geniequeue.errors import RecordsError
from geniequeue.quota import Quota, Reservation, Unit
from geniequeue.records.protocol import Records

OPERATION = "resize_image"
UNLIMITED_OPERATION = "apply_watermark"
FEATURE = "media_modifications"
STARTER_LIMIT = 5

LATER_S = 61
"""Longer than a unit stays reserved before it is asked for its run."""

Take = Callable[..., Reservation]
Use = Callable[[Unit], None]
Subscribe = Callable[..., None]


class Clock:
    """Time that stands until it is moved."""

    def __init__(self, now: str) -> None:
        self.set(now)

    def set(self, now: str) -> None:
        self.now_s = datetime.fromisoformat(now).timestamp()

    def __call__(self) -> float:
        return self.now_s


class Faulty:
    """Records with a fault that can be switched on and off.

    Attributes:
        fault: called before every call that passes.
        calls: how many passed.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self.fault: Callable[[str], None] = lambda _name: None
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._records, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            self.fault(name)
            return method(*args, **kwargs)

        return call

    def fail(self, error: RecordsError, *names: str) -> None:
        """Fail from now on, in all methods or in those named."""

        def raise_it(name: str) -> None:
            if not names or name in names:
                raise error

        self.fault = raise_it

    def mend(self) -> None:
        """Answer again."""
        self.fault = lambda _name: None


def quota_of(client: redis.Redis, records: Any, **given: Any) -> Quota:
    """Return a quota that remembers nothing, as a process that just started."""
    ages = {"clock": given["clock"]} if "clock" in given else {}
    return Quota(client, records, Accounts(records, **ages), **given)


def accept(records: Any, unit: Unit) -> None:
    """Create the run that took a unit, as the producer does."""
    run = {"id": unit.id, "job_id": unit.id, "round": 1, "user_id": unit.user_id, "operation": OPERATION}
    records.create_item("media_job_runs", {**run, "spec": {}, "priority": 10, "bull_job_id": "bull:media-jobs:1"})


def taken(reservation: Reservation) -> Unit:
    """Return the unit of a job that was let in."""
    assert reservation.verdict.allowed
    assert reservation.unit is not None
    return reservation.unit


def rows(records: Any) -> list[dict[str, Any]]:
    """Return every unit in the records."""
    found: list[dict[str, Any]] = records.list_items("user_usage_counts")
    return found


def add_row(records: Any, user_id: str, cycle_start: str = "2026-02-01T00:00:00.000Z", **fields: Any) -> str:
    """Count something, as another system would; return the row's id."""
    row = {"user_id": user_id, "feature": FEATURE, "billing_cycle_start": cycle_start, **fields}
    return str(records.create_item("user_usage_counts", row)["id"])
