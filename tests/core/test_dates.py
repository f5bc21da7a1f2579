"""Dates are UTC whatever the host's zone is, on the days when that matters, and beyond 2038."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from geniequeue.jobs.broker import celery_settings
from geniequeue.jobs.finish import iso, now_iso
from geniequeue.jobs.leases import Leases
from geniequeue.jobs.ledger import Ledger
from geniequeue.operations import MEDIA_QUEUE
from geniequeue.records.values import normal_timestamp
from tests.core.test_leases import queued, take

MOMENTS = {
    "2026-03-08T07:30:00.000Z": "an hour that New York's clocks leave out",
    "2026-11-01T05:30:00.000Z": "an hour that New York's clocks show twice",
    "2028-02-29T12:00:00.000Z": "a leap day",
    "2038-01-19T03:14:08.000Z": "the first second that 32 bits do not hold",
    "2100-02-28T23:59:59.999Z": "a year that is no leap year",
}


@pytest.fixture(params=["America/New_York", "Pacific/Kiritimati", "UTC"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The host's zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("text", MOMENTS, ids=MOMENTS.values())
def test_f42_a_moment_is_written_and_read_as_utc_in_any_zone(zone: str, text: str) -> None:
    moment = datetime.fromisoformat(text)
    assert normal_timestamp(moment.astimezone()) == text
    assert iso(datetime.fromtimestamp(moment.timestamp(), UTC)) == text


def test_f42_now_is_utc_in_any_zone(zone: str) -> None:
    assert os.environ["TZ"] == zone
    told = datetime.fromisoformat(now_iso())
    assert told.utcoffset() == timedelta(0)
    assert abs(told.timestamp() - time.time()) < 5


def test_f42_the_schedule_is_utc() -> None:
    settings = celery_settings("redis://127.0.0.1/0")
    assert (settings["enable_utc"], settings["timezone"]) == (True, "UTC")


@pytest.mark.parametrize("year", [2038, 2039, 2040, 2100])
def test_f42_a_delay_ends_on_the_millisecond_beyond_2038(ledger: Ledger, year: int) -> None:
    leases = Leases(ledger)
    run, job = queued(ledger, leases)
    seconds, microseconds = ledger.client.time()
    now_ms = seconds * 1000 + microseconds // 1000
    after_ms = int(datetime(year, 6, 1, tzinfo=UTC).timestamp() * 1000) - now_ms
    ledger.delay(run, take(ledger, run).attempt, after_s=after_ms / 1000, reason="")
    score = ledger.client.zscore(f"bull:{MEDIA_QUEUE}:delayed", run.number)
    assert 0 <= int(score) // 4096 - (now_ms + after_ms) < 2000
    assert int(score) % 4096 == 0
    assert leases.resend(job) == "not due"
    assert list(leases.due(MEDIA_QUEUE, 10)) == []
