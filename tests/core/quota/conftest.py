"""A quota on a real Redis and the real embedded store, whose records can be made to fail."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import redis

from geniequeue.config import Settings
from geniequeue.quota import Quota, Reservation, Unit
from geniequeue.quota.units import Units
from geniequeue.records.embedded import EmbeddedStore
from tests.conftest import Person
from tests.core.quota.parts import OPERATION, Clock, Faulty, Subscribe, Take, quota_of


@pytest.fixture
def clock() -> Clock:
    return Clock("2026-02-10T12:00:00Z")


@pytest.fixture
def records(store: EmbeddedStore) -> Faulty:
    return Faulty(store.as_service())


@pytest.fixture
def subscribe(settings: Settings, creator: Person) -> Subscribe:
    """Change the creator's subscription, as billing does: behind our back."""

    def change(tier: str | None = "starter", start: str | None = None, period: str | None = "monthly") -> None:
        with closing(sqlite3.connect(settings.var_dir / "records" / "records.sqlite3")) as database, database:
            database.execute(
                "UPDATE directus_users SET subscription_tier=?, subscription_start=?, subscription_period=? WHERE id=?",
                (tier, start, period, creator.user.id),
            )

    change()
    return change


@pytest.fixture
def new_process(redis_client: redis.Redis, records: Faulty, clock: Clock) -> Callable[[], Quota]:
    """Make a quota that remembers nothing, as a process that just started."""
    return lambda: quota_of(redis_client, records, clock=clock)


@pytest.fixture
def quota(new_process: Callable[[], Quota], subscribe: Subscribe) -> Quota:
    """The quota of a creator who is a starter and pays by the calendar month."""
    return new_process()


@pytest.fixture
def take(quota: Quota, creator: Person) -> Take:
    """Reserve a unit for a run, a new one unless named."""

    def reserve(run_id: str | None = None, operation: str = OPERATION, **more: Any) -> Reservation:
        return quota.reserve(creator.user.id, operation, run_id or str(uuid.uuid4()), **more)

    return reserve


@pytest.fixture
def use(redis_client: redis.Redis, clock: Clock) -> Callable[[Unit], None]:
    """End the job of a unit so that the unit counts."""
    units = Units(redis_client, clock)
    return lambda unit: units.end(replace(unit, state="used"))
